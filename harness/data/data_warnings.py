"""What of a data set may be meant, and makes scores worth less than they look: a line each, with what to do.

Pure: it is given labels, names and facts as arrays, and reads no file.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

IMBALANCE = 10.0  # times as many images in the largest class, from which on accuracy hardly sees the smallest
NUM_NAMED = 3  # of a kind that a line names
LEAST_DIFFERENCE = 0.5  # between a class and all others, of the share that a fact holds for
MOST_FALSE = 0.01  # chance that facts which say nothing are told of, over all facts and classes together
MOST_VALUES = 20  # of a fact that is no number; one with more, a name say, is not looked at
MEANING = {  # of facts that may be known of a file
    "format": "file format",
    "mode": "kind of pixels",
    "has_alpha": "transparency",
    "quality": "JPEG quality",
    "width": "width",
    "height": "height",
    "bytes": "file size in bytes",
}


def warnings_of(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    names: Sequence[str] = (),
    hashes: np.ndarray | None = None,
    facts: Mapping[str, np.ndarray] | None = None,
    objective: str = "accuracy",
) -> list[str]:
    """What should be known of training images, a line each.

    labels: int (N,), indices into classes.   names: (N,) of the images, or empty.
    hashes: uint8 (N, B), equal for equal pictures, or None.   facts: of the files, each (N,), see MEANING.
    objective: what the study is judged by.
    """
    found = [*_imbalance(labels, classes, objective), *_like_named(classes)]
    if hashes is not None and len(labels):
        pictures = np.unique(hashes, axis=0, return_inverse=True)[1].reshape(-1)
        found += [*_contradictions(labels, classes, pictures, names), *_single(labels, classes, pictures)]
    return [*found, *_telling_facts(labels, classes, facts or {})]


def _imbalance(labels: np.ndarray, classes: Sequence[str], objective: str) -> Iterator[str]:
    """Accuracy can be high where a rare class is never recognised."""
    counts = np.bincount(labels, minlength=len(classes))
    if objective != "accuracy" or not counts.all() or counts.max() <= IMBALANCE * counts.min():
        return
    small, large = int(counts.argmin()), int(counts.argmax())
    yield (
        f"{classes[large]} has {counts[large]:,} images and {classes[small]} has {counts[small]:,}, which accuracy "
        f"hardly sees: a network that always says {classes[large]} scores {counts[large] / counts.sum():.4f}; consider "
        "objective: balanced_accuracy, and train.sampling: balanced"
    )


def _like_named(classes: Sequence[str]) -> Iterator[str]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike[re.sub(r"[\s_-]+", " ", name.casefold()).strip()].append(name)
    for several in alike.values():
        if len(several) > 1:
            yield (
                f"classes {_listed(several)} are told apart by how their names are written alone; if they are one, put "
                "their images into one folder"
            )


def _contradictions(
    labels: np.ndarray, classes: Sequence[str], pictures: np.ndarray, names: Sequence[str]
) -> Iterator[str]:
    """Equal pictures of several classes.   pictures: int (N,), equal for equal pictures."""
    of_picture = np.unique(np.column_stack([pictures, labels]), axis=0)[:, 0]
    several = np.flatnonzero(np.bincount(of_picture) > 1)
    if not len(several):
        return
    shown = []
    for picture in several[:NUM_NAMED]:
        images = np.flatnonzero(pictures == picture)
        one = [images[labels[images] == label][0] for label in np.unique(labels[images])]
        shown.append(" = ".join(names[i] if names else f"image {i} ({classes[labels[i]]})" for i in one))
    many = "1 picture is" if len(several) == 1 else f"{len(several):,} pictures are"
    yield (
        f"{many} in more than one class, so no network can be right about {'it' if len(several) == 1 else 'them'}: "
        f"{_listed(shown, len(several))}; leave each in its class alone"
    )


def _single(labels: np.ndarray, classes: Sequence[str], pictures: np.ndarray) -> Iterator[str]:
    """Classes that are one picture, over and over."""
    for label, name in enumerate(classes):
        of_class = pictures[labels == label]
        if len(of_class) > 1 and (of_class == of_class[0]).all():
            yield f"class {name} is one picture, {len(of_class):,} times over; add others"


class _Rule(NamedTuple):
    """A fact that holds for one class and not for others.   difference: of the shares it holds for."""

    difference: float
    text: str
    label: int
    inside: float
    outside: float


def _telling_facts(
    labels: np.ndarray, classes: Sequence[str], facts: Mapping[str, np.ndarray]
) -> Iterator[str]:
    """By which facts of their files a class can be told from the others: the clearest rule of each.

    A rule is a value, or a threshold of a number: a tree of depth one. The difference between a class and the others in
    the share that it holds for is the statistic of Kolmogorov and Smirnov, whose test says whether it is chance.
    """
    columns = [
        (name, text, values)
        for name in MEANING
        if name in facts
        for text, values in _columns(name, facts[name])
    ]
    level = MOST_FALSE / max(len(columns) * len(classes), 1)
    best: dict[str, _Rule] = {}
    for name, text, values in columns:
        for rule in _rules(values, labels, text, len(classes)):
            if rule.difference > best.get(name, _NOTHING).difference and _is_significant(
                values, labels == rule.label, level
            ):
                best[name] = rule
    for rule in best.values():
        yield (
            f"{rule.text} {rule.inside:.0%} of class {classes[rule.label]} and {rule.outside:.0%} of all others: a "
            "network may tell it by how the files were made, and not by what they show; make them alike in all classes"
        )


_NOTHING = _Rule(0.0, "", 0, 0.0, 0.0)


def _columns(name: str, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Numbers as they are; of other facts for each value whether it holds. Each with the words for a rule."""
    what = MEANING[name]
    if values.dtype.kind in "iuf":
        known = np.where(values < 0, np.nan, values.astype(float)) if values.dtype.kind != "u" else values
        if not np.isnan(known.astype(float)).any():
            yield what, known.astype(float)
        return
    found = sorted(set(values.tolist()), key=str)
    if 1 < len(found) <= MOST_VALUES:
        for value in found:
            if name == "has_alpha" and not value:
                continue
            words = f"{what} is that of" if name == "has_alpha" else f"{what} {value} is that of"
            yield words, np.array([one == value for one in values.tolist()], dtype=float)


def _rules(values: np.ndarray, labels: np.ndarray, text: str, num_classes: int) -> Iterator[_Rule]:
    """For each class the value or threshold that tells it best from the others, if it does so well."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))[:-1]  # of equal values; not of all
    if not len(last):
        return
    is_flag = set(np.unique(values).tolist()) <= {0.0, 1.0} and text.endswith("is that of")
    for label in range(num_classes):
        of_class = labels[order] == label
        if not 0 < of_class.sum() < len(of_class):
            continue
        inside = np.cumsum(of_class)[last] / of_class.sum()
        outside = np.cumsum(~of_class)[last] / (~of_class).sum()
        place = int(np.abs(inside - outside).argmax())
        one, other = float(inside[place]), float(outside[place])
        if abs(one - other) < LEAST_DIFFERENCE:
            continue
        if is_flag:
            yield _Rule(abs(one - other), text, label, 1 - one, 1 - other)
        else:
            threshold = ranked[last[place]]
            word, one, other = ("at most", one, other) if one > other else ("above", 1 - one, 1 - other)
            yield _Rule(abs(one - other), f"{text} {word} {threshold:,.0f} is that of", label, one, other)


def _is_significant(values: np.ndarray, of_class: np.ndarray, level: float) -> bool:
    from scipy.stats import ks_2samp  # takes a second

    method = "exact" if len(values) <= 1000 else "asymp"
    return bool(ks_2samp(values[of_class], values[~of_class], method=method).pvalue < level)


def _listed(texts: Sequence[str], count: int | None = None) -> str:
    """The first few, and how many more there are."""
    count = len(texts) if count is None else count
    more = f" and {count - NUM_NAMED:,} more" if count > NUM_NAMED else ""
    return ", ".join(texts[:NUM_NAMED]) + more
