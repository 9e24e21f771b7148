"""How many images the classes and groups of a data set have: what a score of rare classes is worth."""

from dataclasses import dataclass

import numpy as np

from harness.data.images import Images


@dataclass(frozen=True)
class ClassCounts:
    """smallest, largest: a class and its number of images.   ratio: of these numbers, >= 1.

    num_groups, and largest_group in images: None where nothing is grouped.
    """

    num_classes: int
    smallest: tuple[str, int]
    largest: tuple[str, int]
    ratio: float
    num_groups: int | None
    largest_group: int | None


def count_classes(images: Images) -> ClassCounts:
    """Counts training images, of which every class has at least one."""
    counts = np.bincount(images.labels, minlength=len(images.classes))
    small, large = int(counts.argmin()), int(counts.argmax())
    sizes = None if images.groups is None else np.unique(images.groups, return_counts=True)[1]
    return ClassCounts(
        num_classes=len(images.classes),
        smallest=(images.classes[small], int(counts[small])),
        largest=(images.classes[large], int(counts[large])),
        ratio=float(counts[large] / counts[small]),
        num_groups=None if sizes is None else len(sizes),
        largest_group=None if sizes is None else int(sizes.max()),
    )
