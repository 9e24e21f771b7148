"""Images that look unlike the others of their data set: most often files that have strayed in. A line for each kind.

Pure: it is given pixels and what the files say of their sizes, and reads no file.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

SMALL = 3.0  # times as short as the median image: such a side is told
LONG = 3.0  # times as long for its width, or as wide for its height
FEW = 0.1  # of the images: what more of them have is no oddity
CHUNK = 1000  # images that are looked at at a time
NUM_NAMED = 3


def odd_images(pixels: np.ndarray, names: Sequence[str], facts: Mapping[str, np.ndarray]) -> Iterator[str]:
    """pixels: uint8 (N, C, H, W).   names: (N,).   facts: width and height of the files, each (N,), where known."""
    uniform, grey = _looks(pixels)
    yield from _told(uniform, names, "of one colour all over")
    if pixels.shape[1] == 3:
        yield from _told(grey & ~uniform, names, "grey among images in colour")
    if {"width", "height"} <= facts.keys() and len(names):
        width, height = (np.maximum(np.asarray(facts[side], float), 1.0) for side in ("width", "height"))
        sizes = [f"{name} ({w:.0f}×{h:.0f})" for name, w, h in zip(names, width, height, strict=True)]
        short = np.minimum(width, height)
        usual = f"{np.median(width):.0f}×{np.median(height):.0f}"
        small = short * SMALL < np.median(short)
        yield from _told(small, sizes, f"much smaller than the others, of which {usual} pixels are usual")
        shape = np.abs(np.log(width / height) - np.median(np.log(width / height)))
        yield from _told((shape > np.log(LONG)) & ~small, sizes, "much longer or wider than the others")


def _looks(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images have one colour, and which have none: bool (N,) each."""
    uniform, grey = np.zeros(len(pixels), bool), np.zeros(len(pixels), bool)
    for first in range(0, len(pixels), CHUNK):
        some = pixels[first : first + CHUNK]
        uniform[first : first + CHUNK] = (some == some[:, :, :1, :1]).all((1, 2, 3))
        grey[first : first + CHUNK] = (some == some[:, :1]).all((1, 2, 3))
    return uniform, grey


def _told(odd: np.ndarray, names: Sequence[str], what: str) -> Iterator[str]:
    """odd: bool (N,)."""
    found = np.flatnonzero(odd)
    if not 0 < len(found) <= max(FEW * len(odd), 1):
        return
    more = f" and {len(found) - NUM_NAMED:,} more" if len(found) > NUM_NAMED else ""
    many = "1 image is" if len(found) == 1 else f"{len(found):,} images are"
    yield f"{many} {what}: {', '.join(names[image] for image in found[:NUM_NAMED])}{more}; look whether it is meant"
