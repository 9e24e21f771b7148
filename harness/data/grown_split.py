"""The folds of a data set that has grown: what was there stays where it was, what is new fills the smallest folds."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from harness.data.grouping import by_appearance, merged


@dataclass(frozen=True, eq=False)
class GrownFolds:
    """fold_of: int64 (N,), the fold of each image, -1 for one that has to be left out.

    groups: int64 (N,), equal for images that are held out together, by first appearance among those that stay.
    """

    fold_of: np.ndarray
    groups: np.ndarray


def grown_folds(
    labels: np.ndarray,
    together: np.ndarray,
    old_folds: np.ndarray,
    old_groups: np.ndarray,
    *,
    num_folds: int,
) -> GrownFolds:
    """Folds in which no old image moves.

    labels: int (N,).   together: int (N,), equal for images that must be held out together, by what is known now.
    old_folds, old_groups: int (N,), where each image was before, -1 for a new one.
    A new image goes to the fold of the old ones that it belongs to, and is left out where these are in several folds.
    All others, the largest groups first, go where their class has the fewest images: folds that were even stay so, to
    within one image of each class, as far as whole groups allow.
    """
    is_new = old_folds < 0
    joined = np.array(merged((together - together.min()).tolist(), _singles(old_groups)))
    fold_of = old_folds.copy()
    homes: dict[int, set[int]] = {}
    for group, fold in zip(joined[~is_new].tolist(), old_folds[~is_new].tolist(), strict=True):
        homes.setdefault(group, set()).add(fold)
    members: dict[int, list[int]] = {}
    for image in np.flatnonzero(is_new).tolist():
        members.setdefault(int(joined[image]), []).append(image)
    free = []
    for group, images in members.items():
        match sorted(homes.get(group, ())):
            case []:
                free.append(images)
            case [fold]:
                fold_of[images] = fold
            case _:
                fold_of[images] = -1
    counts = np.zeros((num_folds, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (fold_of[fold_of >= 0], labels[fold_of >= 0]), 1)
    for images in sorted(free, key=len, reverse=True):
        needs = Counter(labels[images].tolist())
        chosen = min(
            range(num_folds),
            key=lambda fold: (sum(counts[fold, label] * n for label, n in needs.items()), counts[fold].sum(), fold),
        )  # fmt: skip
        fold_of[images] = chosen
        for label, number in needs.items():
            counts[chosen, label] += number
    groups = np.where(is_new, joined + old_groups.max() + 1, old_groups)
    for group, images in members.items():
        of_old = np.flatnonzero(~is_new & (joined == group))
        if len(of_old):
            groups[images] = old_groups[of_old[0]]
    return GrownFolds(fold_of, by_appearance(groups).astype(np.int64))


def _singles(groups: np.ndarray) -> list[int]:
    """The groups, with a number of its own for each image that has none."""
    numbers = groups.tolist()
    return [number if number >= 0 else -image - 1 for image, number in enumerate(numbers)]
