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
EXACT = 1000  # images, up to which the test's chances are counted out
MOST_VALUES = 20  # of a fact that is no number; one with more, a name say, is not looked at
# Facts of a file that say how it was made. Its size in bytes is none: it tells what the image shows, too.
NUMBERS = {"width": "a width", "height": "a height", "quality": "a JPEG quality"}
KINDS = {"format": "the file format {}", "mode": "pixels of the kind {}", "has_alpha": "transparency"}


def warnings_of(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    names: Sequence[str] = (),
    hashes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    facts: Mapping[str, np.ndarray] | None = None,
    objective: str = "accuracy",
) -> list[str]:
    """What should be known of training images, a line each.

    labels: int (N,), indices into classes.   names: (N,) of the images, or empty.
    hashes: uint8 (N, B), equal for equal pictures, or None.   groups: int (N,), or None for images that are all alone.
    facts: of the files, each (N,), by the names of NUMBERS and KINDS.   objective: what the study is judged by.
    """
    found = [*_imbalance(labels, classes, objective), *_like_named(classes)]
    if hashes is not None and len(labels):
        pictures = np.unique(hashes, axis=0, return_inverse=True)[1].reshape(-1)
        found += [*_contradictions(labels, classes, pictures, names), *_single(labels, classes, pictures)]
    alone = np.arange(len(labels))
    if groups is not None:  # what all images of a group have in common is one observation
        alone = np.unique(np.column_stack([groups, labels]), axis=0, return_index=True)[1]
    return [*found, *_telling_facts(labels, classes, facts or {}, alone)]


def joined(together: np.ndarray, groups: np.ndarray | None, names: Sequence[str]) -> str:
    """That images were taken for duplicates, in one line, or "".

    together: int (N,), equal for images that are held out together.   groups: int (N,), those that the images have, or
    None.   names: (N,), or empty.
    """
    own = np.arange(len(together)) if groups is None else groups
    pairs = np.unique(np.column_stack([together, own]), axis=0)
    merged = np.flatnonzero(np.bincount(pairs[:, 0]) > 1)  # of several groups, or of several images alone
    if not len(merged):
        return ""
    images = [np.flatnonzero(own == one)[0] for one in pairs[pairs[:, 0] == merged[0], 1][:2]]
    first = " and ".join(names[image] if names else f"image {image}" for image in images)
    count = int(np.isin(together, merged).sum())
    return (
        f"{count:,} images show {len(merged):,} picture{'s' * (len(merged) > 1)} more than once, and are held out "
        f"together: {first}, say (cv.duplicates)"
    )


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
    """That a column is above a bound, or at most: for one class and not for others.

    inside, outside: the shares of the class and of all others that it holds for.
    """

    values: np.ndarray
    label: int
    bound: float
    is_above: bool
    inside: float
    outside: float


def _telling_facts(
    labels: np.ndarray, classes: Sequence[str], facts: Mapping[str, np.ndarray], alone: np.ndarray
) -> Iterator[str]:
    """By which facts of their files a class can be told from the others: the clearest rule of each.

    A rule is a value, or a bound of a number: a tree of depth one. The difference between a class and the others in the
    share that it holds for is the statistic of Kolmogorov and Smirnov, whose test says whether it is chance.
    alone: the images that are independent of each other.
    """
    columns = {name: found for name in (*NUMBERS, *KINDS) if (found := _columns(name, facts.get(name)))}
    level = MOST_FALSE / max(sum(map(len, columns.values())) * len(classes), 1)
    for found in columns.values():
        rules = [
            (rule, words) for words, values in found.items() for rule in _rules(values, labels, len(classes))
        ]
        for rule, words in sorted(rules, key=lambda one: -abs(one[0].inside - one[0].outside)):
            if _is_significant(rule.values[alone], labels[alone] == rule.label, level):
                yield (
                    f"{_in_words(rule, words, classes[rule.label])}: a network may tell the class by how its files "
                    "were made, and not by what they show; make the files of all classes in the same way"
                )
                break


def _columns(name: str, values: np.ndarray | None) -> dict[str, np.ndarray]:
    """A number as it is; of another fact for each value whether it holds. By the words for it; {} where unknown."""
    known = [] if values is None else values.tolist()
    if not known or None in known:
        return {}
    if name in NUMBERS:
        return {NUMBERS[name]: np.array(known, dtype=float)}
    different = sorted(set(known), key=str)
    if not 1 < len(different) <= MOST_VALUES:
        return {}
    holds = {value: np.array([one == value for one in known], dtype=float) for value in different}
    return {KINDS[name].format(value): column for value, column in holds.items() if value is not False}


def _rules(values: np.ndarray, labels: np.ndarray, num_classes: int) -> Iterator[_Rule]:
    """For each class the bound that tells it best from the others, if it does so well."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(ranked[1:] != ranked[:-1])  # of equal values, but for the greatest
    if not len(last):
        return
    for label in range(num_classes):
        of_class = labels[order] == label
        if not 0 < of_class.sum() < len(of_class):
            continue
        inside = np.cumsum(of_class)[last] / of_class.sum()
        outside = np.cumsum(~of_class)[last] / (~of_class).sum()
        place = int(np.abs(inside - outside).argmax())
        one, other, bound = float(inside[place]), float(outside[place]), float(ranked[last[place]])
        if one - other >= LEAST_DIFFERENCE:
            yield _Rule(values, label, bound, False, one, other)
        elif other - one >= LEAST_DIFFERENCE:
            yield _Rule(values, label, bound, True, 1 - one, 1 - other)


def _in_words(rule: _Rule, words: str, name: str) -> str:
    inside, outside = rule.inside, rule.outside
    if words in NUMBERS.values():
        words += f" {'above' if rule.is_above else 'of at most'} {rule.bound:,.0f}"
    elif not rule.is_above:
        inside, outside = 1 - inside, 1 - outside
    return f"{inside:.0%} of class {name} and {outside:.0%} of all others have {words}"


def _is_significant(values: np.ndarray, of_class: np.ndarray, level: float) -> bool:
    from scipy.stats import ks_2samp  # takes a second

    if of_class.all() or not of_class.any():
        return False
    method = "exact" if len(values) <= EXACT else "asymp"
    return bool(ks_2samp(values[of_class], values[~of_class], method=method).pvalue < level)


def _listed(texts: Sequence[str], count: int | None = None) -> str:
    """The first few, and how many more there are."""
    count = len(texts) if count is None else count
    more = f" and {count - NUM_NAMED:,} more" if count > NUM_NAMED else ""
    return ", ".join(texts[:NUM_NAMED]) + more
