"""Stratified folds over the training images, a held-out part, and the inner split that early stopping looks at."""

from collections.abc import Sequence

import numpy as np

from harness.data.grouping import by_appearance, whole_groups
from harness.errors import DataError


def make_folds(
    labels: np.ndarray,
    *,
    num_folds: int,
    seed: int,
    groups: np.ndarray | None = None,
    classes: Sequence[str] = (),
) -> np.ndarray:
    """The fold in which each image is held out: int64 (N,), values 0..num_folds-1.

    labels: int (N,).   groups: int (N,), images that must be held out together, or None.   seed: >= 0.
    classes: their names, for messages.
    Each class is spread over the folds to within one image, or as evenly as whole groups allow.
    These are the folds of scikit-learn's StratifiedKFold or, with groups, StratifiedGroupKFold(num_folds,
    shuffle=True, random_state=seed % 2**32), drawn here because it takes seconds to import and, with the groups of
    40,000 images, 20 seconds to draw.
    Raises DataError if a class has fewer images, or there are fewer groups, than folds.
    """
    _check(labels, num_folds, groups, classes)
    if groups is None or len(np.unique(groups)) == len(groups):
        return _stratified(labels, num_folds, seed)
    fold_of = _stratified_groups(labels, num_folds, seed, groups)
    for fold in range(num_folds):
        absent = np.setdiff1d(labels, labels[fold_of != fold])
        if len(absent) or not (fold_of == fold).any():
            what = (
                f"trains on no image of class {_name(absent[0], classes)}"
                if len(absent)
                else "holds out no image"
            )
            raise DataError(f"groups are too few or too large for {num_folds} folds: fold {fold} {what}")
    return fold_of


def inner_split(
    labels: np.ndarray,
    indices: np.ndarray,
    *,
    fraction: float,
    seed: int,
    groups: np.ndarray | None = None,
    classes: Sequence[str] = (),
    purpose: str = "early stopping",
) -> tuple[np.ndarray, np.ndarray]:
    """Part a fold's training images again: (train, inner), disjoint, sorted, int64.

    labels: (N,), of the whole data set.   indices: the fold's training images.   fraction: of each class that
    goes to `inner`, rounded, at least one image and never all.   groups: int (N,), images that stay together, or
    None; where whole groups do not fit, inner gets fewer, but of each class at least one group, if need be a large one.
    purpose: for messages.
    Raises DataError if a class has a single image, or cannot be in both parts.
    """
    of_indices = labels[indices]
    counts = np.bincount(of_indices)
    if (counts == 1).any():
        name = _name(np.flatnonzero(counts == 1)[0], classes)
        raise DataError(f"class {name} has 1 training image; {purpose} needs 2 of each class")
    room = np.clip(np.rint(counts * fraction).astype(int), 1, np.maximum(counts - 1, 1))
    random = np.random.default_rng(seed)
    if groups is None or len(np.unique(groups[indices])) == len(indices):
        chosen = np.zeros(len(indices), dtype=bool)
        order = random.permutation(len(indices))
        for label in np.flatnonzero(counts):
            chosen[order[of_indices[order] == label][: room[label]]] = True
    else:
        chosen = _whole_groups(of_indices, groups[indices], room, random, classes, purpose)
    train, inner = np.sort(indices[~chosen]), np.sort(indices[chosen])
    return train.astype(np.int64), inner.astype(np.int64)


def _whole_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    room: np.ndarray,
    random: np.random.Generator,
    classes: Sequence[str],
    purpose: str,
) -> np.ndarray:
    """Which images go to the inner split, by whole groups: bool (n,)."""
    found, codes = np.unique(groups, return_inverse=True)
    order = random.permutation(len(found)).tolist()
    chosen = whole_groups(labels, codes, order=order, room=room)
    for label in np.unique(labels):
        of_class = labels == label
        if not chosen[of_class].any() or chosen[of_class].all():
            raise DataError(
                f"{purpose} sets whole groups aside, and class {_name(label, classes)} cannot be on both sides "
                f"(training images: {of_class.sum()}, groups: {len(np.unique(codes[of_class]))})"
            )
    return chosen


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if classes else str(label)


def _check(labels: np.ndarray, num_folds: int, groups: np.ndarray | None, classes: Sequence[str]) -> None:
    if num_folds < 2:
        raise DataError(f"cross-validation needs at least 2 folds (got {num_folds})")
    if not len(labels):
        raise DataError("cross-validation needs images (got none)")
    found, counts = np.unique(labels, return_counts=True)
    if counts.min() < num_folds:
        rare = counts.argmin()
        name, count = _name(found[rare], classes), int(counts[rare])
        raise DataError(
            f"class {name} has {count} training image{'s' * (count > 1)}, fewer than the {num_folds} folds; "
            "lower cv.folds, add images to it, or leave it out"
        )
    if groups is not None and len(np.unique(groups)) < num_folds:
        raise DataError(f"there are {len(np.unique(groups))} groups, fewer than the {num_folds} folds")


def _stratified(labels: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """scikit-learn's allocation: deal the sorted labels out to the folds, then shuffle within each class."""
    codes = by_appearance(labels)  # as scikit-learn numbers classes
    dealt, num_classes = np.sort(codes), len(np.unique(codes))
    shares = np.array([np.bincount(dealt[i::num_folds], minlength=num_classes) for i in range(num_folds)])
    random = np.random.RandomState(seed % 2**32)
    fold_of = np.empty(len(labels), dtype=np.int64)
    for code in range(num_classes):
        folds = np.arange(num_folds).repeat(shares[:, code])
        random.shuffle(folds)
        fold_of[codes == code] = folds
    return fold_of


def _stratified_groups(labels: np.ndarray, num_folds: int, seed: int, groups: np.ndarray) -> np.ndarray:
    """scikit-learn's allocation: each group, those of the most uneven classes first, to the fold that it evens most."""
    _, label_codes, class_sizes = np.unique(labels, return_inverse=True, return_counts=True)
    _, codes = np.unique(groups, return_inverse=True)
    shuffled = np.arange(codes.max() + 1)
    np.random.RandomState(seed % 2**32).shuffle(shuffled)
    counts = np.zeros((len(shuffled), len(class_sizes)))  # images of a group in each class
    np.add.at(counts, (codes, label_codes), 1)
    order = shuffled[np.argsort(-np.std(counts[shuffled], axis=1), kind="stable")]
    held = np.zeros((num_folds, len(class_sizes)))  # images of a fold in each class
    one_fold = np.eye(num_folds)[:, :, None]
    fold_of_group = np.empty(len(order), dtype=np.int64)
    for group in order.tolist():
        shares = (held + one_fold * counts[group]) / class_sizes  # (fold it could go to, fold, class)
        unevenness = np.mean(np.std(shares, axis=1), axis=1).tolist()
        sizes = held.sum(1).tolist()
        best = 0
        for fold in range(1, num_folds):
            difference = unevenness[fold] - unevenness[best]
            equal = abs(difference) <= 1e-8 + 1e-5 * unevenness[best]  # as numpy.isclose
            if difference < 0 or (equal and sizes[fold] < sizes[best]):
                best = fold
        held[best] += counts[group]
        fold_of_group[group] = best
    return fold_of_group[codes]
