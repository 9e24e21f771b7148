"""Whole groups up to a share of each class: what a test part and an inner split are made of."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np


def whole_groups(
    labels: np.ndarray, groups: np.ndarray, *, order: Sequence[int], room: np.ndarray
) -> np.ndarray:
    """Which images are taken, together with all of their group: bool (N,).

    labels: int (N,).   groups: int (N,), values 0..G-1.   order: (G,), in which groups are tried.
    room: (classes,), images to take of each class.
    A group that does not fit is left out. A class of which none fits gives its smallest group of those that leave
    an image of every class behind, if there is one.
    """
    needs: list[Counter[int]] = [Counter() for _ in order]
    for label, group in zip(labels.tolist(), groups.tolist(), strict=True):
        needs[group][label] += 1
    taken: Counter[int] = Counter()
    chosen = np.zeros(len(order), dtype=bool)

    def fits(group: int, most: Sequence[int]) -> bool:
        return all(taken[label] + count <= most[label] for label, count in needs[group].items())

    def take(group: int) -> None:
        chosen[group] = True
        taken.update(needs[group])

    shares, all_but_one = room.tolist(), (np.bincount(labels) - 1).tolist()
    for group in order:
        if fits(group, shares):
            take(group)
    smallest_first = sorted(order, key=lambda group: needs[group].total())
    for label in np.unique(labels).tolist():
        if not taken[label]:
            able = (group for group in smallest_first if label in needs[group] and fits(group, all_but_one))
            for group in islice(able, 1):
                take(group)
    mask: np.ndarray = chosen[groups]
    return mask
