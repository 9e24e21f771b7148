"""What is said of images that are alike and are not held out together: somebody has to look at them."""

from collections.abc import Sequence

import numpy as np

from harness.data.image_similarity import LIKELY
from harness.data.near_duplicates import Duplicates
from harness.data.scenes import frames


def warnings_of(
    found: Duplicates, labels: np.ndarray, classes: Sequence[str], names: Sequence[str] = ()
) -> list[str]:
    """A line for copies with several labels, for likely copies, and for frames of one scene.

    found: among the images.   labels: int (N,), indices into classes.   names: (N,) of the images, or empty.
    """
    is_frame = frames(found.pairs, found.exact, found.level, len(labels), labels)
    one, two = found.pairs.T
    apart = ~found.exact & ~is_frame[one]
    across = apart & found.sure & (labels[one] != labels[two])
    likely = apart & ~found.sure & (found.level >= LIKELY)

    def example(pairs: np.ndarray) -> str:
        first, second = (
            names[image] if names else f"image {image}"
            for image in found.pairs[pairs][found.similarity[pairs].argmax()]
        )
        return f"{first} and {second}"

    lines = []
    if across.any():
        lines.append(
            f"{_pairs(across)} of images of different classes show the same picture, {example(across)}, say: "
            "a label may be wrong; they are not held out together"
        )
    if likely.any():
        lines.append(
            f"{_pairs(likely)} of images are likely to show the same picture, {example(likely)}, say; "
            "they are not held out together, and data.groups can do that"
        )
    if is_frame.any():
        label = classes[int(np.bincount(labels[is_frame]).argmax())]
        lines.append(
            f"{is_frame.sum():,} images are alike and no copies, as frames of a fixed camera are, most of {label}: "
            "not held out together; data.groups can do that for those of one object"
        )
    return lines


def _pairs(which: np.ndarray) -> str:
    count = int(which.sum())
    return f"{count:,} pair{'s' * (count > 1)}"
