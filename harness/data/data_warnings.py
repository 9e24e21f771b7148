"""What of a data set may be meant, and makes scores worth less than they look: a line each, with what to do.

Pure: it is given labels, names and facts as arrays, and reads no file.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.data.telling_facts import telling_facts

IMBALANCE = 10.0  # times as many images in the largest class, from which on accuracy hardly sees the smallest
NUM_NAMED = 3  # of a kind that a line names


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
    facts: of the files, each (N,), as telling_facts.py has them.   objective: what the study is judged by.
    """
    found = [*_imbalance(labels, classes, objective), *_like_named(classes)]
    if hashes is not None and len(labels):
        pictures = np.unique(hashes, axis=0, return_inverse=True)[1].reshape(-1)
        found += [*_contradictions(labels, classes, pictures, names), *_single(labels, classes, pictures)]
    alone = np.arange(len(labels))
    if groups is not None:  # what all images of a group have in common is one observation
        alone = np.unique(np.column_stack([groups, labels]), axis=0, return_index=True)[1]
    return [
        *found,
        *(
            f"{fact.sentence}: a network may tell the class by how its files were made, and not by what they show; "
            "make the files of all classes in the same way"
            for fact in telling_facts(labels, classes, facts or {}, alone)
        ),
    ]


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


def _listed(texts: Sequence[str], count: int | None = None) -> str:
    """The first few, and how many more there are."""
    count = len(texts) if count is None else count
    more = f" and {count - NUM_NAMED:,} more" if count > NUM_NAMED else ""
    return ", ".join(texts[:NUM_NAMED]) + more
