"""Seals a test part for data sets that come without one: by content, so it is the same for every study.

No seed is involved. Images are ranked by a hash of their key, so a data set that grows keeps nearly all of
its test part, and images of one key (equal content, or one group) always stay together. So do duplicates, equal
or not; which ones there are changes nothing for all other images.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.data import near_duplicates
from harness.data.grouping import merged, whole_groups
from harness.data.images import Images
from harness.errors import DataError


def hold_out(images: Images, part: Literal["train", "test"], *, fraction: float) -> Images:
    """One part of images that have no official split; duplicates and groups stay together."""
    keys = [hashlib.sha256(np.ascontiguousarray(pixels).data).digest() for pixels in images.pixels]
    if images.groups is not None:
        keys = group_keys(merged([str(group) for group in images.groups], keys))
    alike = near_duplicates.find(images.pixels).groups(len(images))
    held_out = test_part(images.labels, keys, alike, fraction=fraction, classes=images.classes)
    return images.take(np.flatnonzero(held_out == (part == "test")))


def group_keys(groups: Sequence[str]) -> list[bytes]:
    """Keys that keep images of one group together."""
    return [f"group {group}".encode() for group in groups]


def test_part(
    labels: np.ndarray,
    keys: Sequence[bytes],
    alike: np.ndarray | None = None,
    *,
    fraction: float,
    classes: Sequence[str],
) -> np.ndarray:
    """Which images are the test part: bool (N,).

    labels: int (N,).   keys: (N,), equal for images that must stay together.
    alike: int (N,), equal for duplicates, which must stay together too, or None.
    fraction: of each class, rounded, at least one image; less where whole groups do not fit, but at least one group.
    Raises DataError if a class cannot be in both parts.
    """
    counts = np.bincount(labels, minlength=len(classes))
    room = np.clip(np.rint(counts * fraction).astype(int), 1, np.maximum(counts - 1, 0))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([numbers[key] for key in keys], dtype=np.int64)
    order = sorted(numbers, key=lambda key: hashlib.sha256(b"harness test part\0" + key).digest())
    ranking = [numbers[key] for key in order]
    mask = whole_groups(labels, groups, order=ranking, room=room)
    if alike is not None:
        mask = _reunited(mask, labels, groups, alike, ranking, room)
    _check_both_parts(labels, mask, classes)
    return mask


def _reunited(
    mask: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    alike: np.ndarray,
    ranking: Sequence[int],
    all_room: np.ndarray,
) -> np.ndarray:
    """The test part once images that are alike are on one side; only those that were on both sides move.

    They go to the test part as far as there is room, in the order of the first of them in the ranking.
    """
    _, joined = np.unique(merged(groups.tolist(), alike.tolist()), return_inverse=True)
    of_group = np.empty(len(ranking), dtype=np.int64)
    of_group[groups] = joined
    order = list(dict.fromkeys(of_group[ranking].tolist()))
    in_test = np.bincount(joined, mask)
    divided = (in_test > 0) & (in_test < np.bincount(joined))
    members: dict[int, list[int]] = {}
    for image in np.flatnonzero(divided[joined]).tolist():
        members.setdefault(int(joined[image]), []).append(image)
    mask = mask & ~divided[joined]
    room = np.maximum(all_room - np.bincount(labels[mask], minlength=len(all_room)), 0)
    for group in filter(members.get, order):
        needed = np.bincount(labels[members[group]], minlength=len(room))
        if (needed <= room).all():
            mask[members[group]] = True
            room = room - needed
    if np.isin(labels, labels[mask]).all():
        return mask
    return whole_groups(labels, joined, order=order, room=all_room)  # some class needs more than its share


def _check_both_parts(labels: np.ndarray, mask: np.ndarray, classes: Sequence[str]) -> None:
    for label, name in enumerate(classes):
        of_class = labels == label
        if not mask[of_class].any() or mask[of_class].all():
            raise DataError(
                f"class {name} cannot be in both the training and the test part: it has {of_class.sum()} "
                "images, and duplicates and groups stay together; add images, or give a test folder"
            )
