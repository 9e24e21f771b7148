"""The count of a data set's images, by class and by group."""

import numpy as np

from harness.data.class_counts import ClassCounts, count_classes
from harness.data.images import Images


def test_classes_and_groups_are_counted() -> None:
    labels = np.repeat([0, 1, 2], [6, 2, 9])
    images = Images(np.zeros((17, 1, 2, 2), np.uint8), labels, ("a", "b", "c"))
    assert count_classes(images) == ClassCounts(3, ("b", 2), ("c", 9), 4.5, None, None)
    grouped = Images(images.pixels, labels, images.classes, groups=np.array([7] * 5 + [3] * 4 + [9] * 8))
    assert count_classes(grouped) == ClassCounts(3, ("b", 2), ("c", 9), 4.5, num_groups=3, largest_group=8)
