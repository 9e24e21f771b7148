"""Whether a class can be told by how its images were made: their sharpness, their colourfulness, their grey levels.

None of it has a place in the image. It may be what a class looks like, so it is noted and never fails an audit.
"""

from collections.abc import Iterator

import numpy as np

from harness.data.images import Images
from harness.store.findings import Check

FEWEST = 20  # images of a class
APART = {"sharpness": 0.9, "colourfulness": 0.95}  # difference between a class and all others, see check
LEVELS, NEVER = 0.06, 200  # share of the pixels; how many times as rare is never
MEANING = {
    "sharpness": "images that were scaled up, blurred or taken by another camera are told by it",
    "colourfulness": "a class of grey images among coloured ones is told by it",
}
NAME = "how images were made"
ADVICE = "If the class does not look like that by itself, make all images in the same way."


def check(images: Images) -> Check:
    """The clearest difference of a class from all others, if it is larger than photographs of one kind have it.

    Of sharpness and colourfulness it is the statistic of Kolmogorov and Smirnov: how far a bound of it divides the
    class from the others, 0..1.
    """
    found = [*_apart(images), *_levels(images)]
    if not found:
        sentence = "No class is told by its sharpness, its colourfulness or the grey levels that it has."
        return Check(NAME, "passed", None, None, sentence)
    return max(found, key=lambda one: one[0])[1]


def _apart(images: Images) -> Iterator[tuple[float, Check]]:
    from scipy.stats import ks_2samp  # takes a second

    for name, values in _statistics(images.pixels).items():
        for label, of_class in _classes(images):
            apart = float(ks_2samp(values[of_class], values[~of_class], method="asymp").statistic)
            if apart < APART[name]:
                continue
            more = "more" if np.median(values[of_class]) > np.median(values[~of_class]) else "less"
            sentence = (
                f"Class {images.classes[label]} is told from all others by {more} {name} (Kolmogorov-Smirnov "
                f"{apart:.2f}): {MEANING[name]}. {ADVICE}"
            )
            yield apart / APART[name], Check(NAME, "noted", apart, APART[name], sentence)


def _levels(images: Images) -> Iterator[tuple[float, Check]]:
    """Grey levels that a class never has and others have, or the other way round."""
    levels = np.rint(images.pixels.mean(1, dtype=np.float32)).astype(np.int64)
    for label, of_class in _classes(images):
        own, others = (
            np.bincount(levels[side].ravel(), minlength=256) / levels[side].size
            for side in (of_class, ~of_class)
        )
        for rare, usual, who in ((own, others, "it never has"), (others, own, "only it has")):
            share = float(usual[rare < usual / NEVER].sum())
            if share >= LEVELS:
                what = f"Class {images.classes[label]} is told by grey levels that {who}"
                why = f"{what} ({share:.0%} of the pixels): another brightness, contrast or ground. {ADVICE}"
                yield share / LEVELS, Check(NAME, "noted", share, LEVELS, why)


def _classes(images: Images) -> Iterator[tuple[int, np.ndarray]]:
    for label in range(len(images.classes)):
        of_class = images.labels == label
        if min(of_class.sum(), (~of_class).sum()) >= FEWEST:
            yield label, of_class


def _statistics(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Each (n,): the finest detail against that at half the size; the mean distance of an image's channels."""
    from scipy.ndimage import uniform_filter

    grey = pixels.mean(1, dtype=np.float32)
    height, width = (2 * (side // 2) for side in grey.shape[1:])
    halved = grey[:, :height, :width].reshape(len(grey), height // 2, 2, width // 2, 2).mean((2, 4))
    fine, coarse = (
        (scale - uniform_filter(scale, (0, 3, 3), mode="reflect")).std((1, 2)) for scale in (grey, halved)
    )
    found = {"sharpness": (fine + 0.1) / (coarse + 0.1)}
    if pixels.shape[1] == 3:
        found["colourfulness"] = (pixels.max(1).astype(np.int16) - pixels.min(1)).mean((1, 2))
    return found
