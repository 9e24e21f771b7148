"""Seals a test part for data sets that come without one: by content, so it is the same for every study.

No seed is involved. Images are ranked by a hash of their key, so a data set that grows keeps nearly all of
its test part, and images of one key (equal content, or one group) always stay together.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from harness.datasets.grouping import merged
from harness.datasets.images import Images
from harness.errors import DataError
from harness.shares import whole_groups


def hold_out(images: Images, part: Literal["train", "test"], *, fraction: float) -> Images:
    """One part of images that have no official split; equal images and groups stay together."""
    keys = [hashlib.sha256(np.ascontiguousarray(pixels).data).digest() for pixels in images.pixels]
    if images.groups is not None:
        keys = group_keys(merged([str(group) for group in images.groups], keys))
    held_out = test_part(images.labels, keys, fraction=fraction, classes=images.classes)
    return images.take(np.flatnonzero(held_out == (part == "test")))


def group_keys(groups: Sequence[str]) -> list[bytes]:
    """Keys that keep images of one group together."""
    return [f"group {group}".encode() for group in groups]


def test_part(
    labels: np.ndarray, keys: Sequence[bytes], *, fraction: float, classes: Sequence[str]
) -> np.ndarray:
    """Which images are the test part: bool (N,).

    labels: int (N,).   keys: (N,), equal for images that must stay together.
    fraction: of each class, rounded, at least one image; less where whole groups do not fit, but at least one group.
    Raises DataError if a class cannot be in both parts.
    """
    counts = np.bincount(labels, minlength=len(classes))
    room = np.clip(np.rint(counts * fraction).astype(int), 1, np.maximum(counts - 1, 0))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([numbers[key] for key in keys], dtype=np.int64)
    order = sorted(numbers, key=lambda key: hashlib.sha256(b"harness test part\0" + key).digest())
    mask = whole_groups(labels, groups, order=[numbers[key] for key in order], room=room)
    _check_both_parts(labels, mask, classes)
    return mask


def _check_both_parts(labels: np.ndarray, mask: np.ndarray, classes: Sequence[str]) -> None:
    for label, name in enumerate(classes):
        of_class = labels == label
        if not mask[of_class].any() or mask[of_class].all():
            raise DataError(
                f"class {name} cannot be in both the training and the test part: it has {of_class.sum()} "
                "images, and equal images or groups stay together; add images, or give a test folder"
            )
