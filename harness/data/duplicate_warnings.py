"""What is said of images that are alike and are not held out together: somebody has to look at them."""

from collections.abc import Sequence

import numpy as np

from harness.data.grouping import components
from harness.data.image_similarity import LIKELY
from harness.data.near_duplicates import Duplicates
from harness.data.scenes import frames


def to_look_at(found: Duplicates, labels: np.ndarray, groups: np.ndarray) -> Duplicates:
    """The pairs that somebody should look at, the most suspicious first; frames of one scene are none.

    First those that show one picture and have two labels, then such that are held out apart, then likely ones.
    found: among the images.   labels: int (N,).   groups: int (N,), equal for images that are held out together.
    """
    one, two = found.pairs.T
    differ, are_apart = labels[one] != labels[two], groups[one] != groups[two]
    is_frame = _frames(found, labels)[one]
    is_copy = found.exact | (found.sure & ~is_frame)
    is_likely = ~found.sure & (found.level >= LIKELY) & ~is_frame
    chosen = np.flatnonzero((is_copy & (differ | are_apart)) | (is_likely & are_apart))
    order = np.lexsort((-found.similarity[chosen], ~differ[chosen], ~is_copy[chosen]))
    return found.of(chosen[order])


def warnings_of(
    found: Duplicates,
    labels: np.ndarray,
    classes: Sequence[str],
    names: Sequence[str] = (),
    *,
    groups: np.ndarray | None = None,
    option: str = "",
) -> list[str]:
    """A line for copies with several labels, for copies and likely copies that are apart, and for frames of one scene.

    found: among the images.   labels: int (N,), indices into classes.   names: (N,) of the images, or empty.
    groups: int (N,), equal for images that are held out together; None for those that are by default.
    option: like "data.duplicates: exact", where that keeps copies apart.
    """
    groups = found.groups(len(labels), labels) if groups is None else groups
    is_frame = _frames(found, labels)
    one, two = found.pairs.T
    is_apart = groups[one] != groups[two]
    across = found.sure & ~found.exact & ~is_frame[one] & (labels[one] != labels[two])
    likely = ~found.sure & (found.level >= LIKELY) & ~is_frame[one] & is_apart
    copies = found.of(is_apart).joined(len(labels), labels)

    def example(some: Duplicates) -> str:
        first, second = (
            names[image] if names else f"image {image}" for image in some.pairs[some.similarity.argmax()]
        )
        return f"{first} and {second}"

    lines = []
    if len(copies.pairs):
        sizes = np.bincount(components(copies.pairs, len(labels)))
        count, pictures = int(sizes[sizes > 1].sum()), int((sizes > 1).sum())
        lines.append(
            f"{count:,} images show {pictures:,} picture{'s' * (pictures > 1)} more than once, {example(copies)}, say, "
            f"and are not held out together{f' ({option})' if option else ''}: a score on copies of training images is "
            "worth nothing; near holds them out together"
        )
    if across.any():
        lines.append(
            f"{_pairs(across)} of images of different classes show the same picture, {example(found.of(across))}, say: "
            "a label may be wrong; they are not held out together"
        )
    if likely.any():
        lines.append(
            f"{_pairs(likely)} of images are likely to show the same picture, {example(found.of(likely))}, say; "
            "they are not held out together, and data.groups can do that; check --images draws them"
        )
    if is_frame.any():
        label = classes[int(np.bincount(labels[is_frame]).argmax())]
        lines.append(
            f"{is_frame.sum():,} images are alike and no copies, as frames of a fixed camera are, most of {label}: "
            "not held out together; data.groups can do that for those of one object"
        )
    return lines


def of_border(count: int, total: int, *, has_test_folder: bool, option: str = "") -> list[str]:
    """A line for sealed test images that show a picture which is in training, too: only how many.

    total: sealed images.   has_test_folder: whether the user has chosen them.   option: as for `warnings_of`.
    """
    if not count:
        return []
    advice = "final tells the score without them, too"
    if has_test_folder:
        advice = "take them out of the test folder or out of the training folder"
    elif option:
        advice = f"{option} allows it, and near keeps copies on one side"
    are = "shows a picture that is" if count == 1 else "show pictures that are"
    return [f"{count:,} of {total:,} sealed test images {are} in training, too: {advice}"]


def _frames(found: Duplicates, labels: np.ndarray) -> np.ndarray:
    return frames(found.pairs, found.exact, found.level, len(labels), labels)


def _pairs(which: np.ndarray) -> str:
    count = int(which.sum())
    return f"{count:,} pair{'s' * (count > 1)}"
