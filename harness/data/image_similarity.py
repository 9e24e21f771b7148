"""Whether two images show the same picture: their pixels agree in every part, up to brightness, contrast and JPEG."""

from itertools import product

import numpy as np

SAME = 0.8  # agreement from which on two images are duplicates
MOST_CONTRAST = 1.5  # times the other image's
SMALLEST = 16  # pixels: in smaller images different pictures agree too well
ROUNDING = 0.75  # grey levels by which smaller images may differ
COMPARED = 64  # pixels: larger images are compared at about this size
GRID = 4  # parts of an image along each axis
NOISE = 8.0  # grey levels: a deviation of this size is JPEG's
CONTRAST = 32.0  # grey levels: in parts of more, differences weigh as in parts of this much


def similarity(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """How well the images of each pair agree, -1..1: (n,). One may lie a pixel beside the other.

    one, two: uint8 (n, C, H, W). Images smaller than 16 pixels agree only if they are equal up to rounding.
    """
    one, two = _reduced(one), _reduced(two)
    low, high = np.sort([image.std((1, 2, 3)) for image in (one, two)], axis=0)
    alike = high <= MOST_CONTRAST * low
    height, width = one.shape[2:]
    if min(height, width) < SMALLEST:
        left, right = _equalised(one, two)
        equal = np.sqrt(np.square(left - right).mean((1, 2, 3))) <= ROUNDING
        return np.where(alike & equal, _correlation(one, two), 0)
    shifts = [np.s_[y : y + height - 2, x : x + width - 2] for y, x in product((1, 0, 2), repeat=2)]
    middle = shifts[0]
    grey, other = (luminance(image) for image in (one, two))
    overall = np.stack([_grey_correlation(grey[:, *shift], other[:, *middle]) for shift in shifts])
    best, agreed = overall.argmax(0), np.where(alike, overall.max(0), 0)
    for place, shift in enumerate(shifts):
        likely = np.flatnonzero((best == place) & (agreed >= SAME))
        colours = _correlation(one[likely][..., *shift], two[likely][..., *middle])
        parts = _tile_correlation(grey[likely][:, *shift], other[likely][:, *middle])
        agreed[likely] = np.minimum(colours, parts)
    return agreed


def luminance(pixels: np.ndarray) -> np.ndarray:
    """(n, C, H, W) as float32 (n, H, W)."""
    channels = pixels.shape[1]
    weights = np.array((0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels, np.float32)
    grey: np.ndarray = np.einsum("nchw,c->nhw", pixels, weights, dtype=np.float32, casting="unsafe")
    return grey


def _reduced(pixels: np.ndarray) -> np.ndarray:
    """Averaged over squares so that they are compared at about `COMPARED` pixels: float32."""
    count, channels, height, width = pixels.shape
    side = max(1, min(height, width) // COMPARED)
    cut = pixels[:, :, : height // side * side, : width // side * side]
    squares = cut.reshape(count, channels, height // side, side, width // side, side)
    reduced: np.ndarray = squares.mean((3, 5), dtype=np.float32)
    return reduced


def _correlation(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The lesser of two: of all values, and of all values about the means of their channels. (n, C, H, W) to (n,)."""
    found = []
    for axes in ((1, 2, 3), (2, 3)):
        left, right = (image - image.mean(axes, keepdims=True) for image in (one, two))
        lengths = np.sqrt(np.square(left).sum((1, 2, 3)) * np.square(right).sum((1, 2, 3)))
        found.append(np.einsum("nchw,nchw->n", left, right) / np.maximum(lengths, 1e-6))
    lesser: np.ndarray = np.minimum(*found)
    return lesser


def _grey_correlation(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(n, H, W) to (n,)."""
    size = one[0].size if len(one) else 1
    sums = [image.sum((1, 2)) for image in (one, two)]
    squares = [np.einsum("nhw,nhw->n", image, image) for image in (one, two)]
    common = np.einsum("nhw,nhw->n", one, two) - sums[0] * sums[1] / size
    energies = [np.maximum(square - total**2 / size, 0) for square, total in zip(squares, sums, strict=True)]
    correlation: np.ndarray = common / np.maximum(np.sqrt(energies[0] * energies[1]), 1e-6)
    return correlation


def _tile_correlation(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """The lesser of two: the correlation within all parts of two luminances (n, H, W), and in the worst but one: (n,).

    So neither an equal sky nor an equal frame is enough. Where both are smooth, what differs is noise; where contrast
    is strong, it must still not differ by more than JPEG makes it.
    """
    down, right = (size // GRID for size in one.shape[1:])
    cut = [image[:, : GRID * down, : GRID * right] for image in _equalised(one, two)]
    tiles = [image.reshape(-1, GRID, down, GRID, right) for image in cut]
    one, two = (tile - tile.mean((2, 4), keepdims=True) for tile in tiles)
    energy = np.mean([np.square(one), np.square(two)], axis=0).mean((2, 4)).reshape(-1, GRID**2)
    difference = np.square(one - two).mean((2, 4)).reshape(-1, GRID**2) / 2
    together = 1 - difference.sum(1) / np.maximum(energy.sum(1), 1e-6)
    parts = 1 - difference / (np.minimum(energy, CONTRAST**2) + NOISE**2)
    lesser: np.ndarray = np.minimum(together, np.sort(parts, axis=1)[:, 1])
    return lesser


def _equalised(one: np.ndarray, two: np.ndarray) -> list[np.ndarray]:
    """Both images of each pair (n, …), brought to mean 0 and to one contrast between theirs."""
    axes = tuple(range(1, one.ndim))
    deviations = [image.std(axes, keepdims=True) for image in (one, two)]
    contrast = np.sqrt(deviations[0] * deviations[1])
    return [
        (image - image.mean(axes, keepdims=True)) * (contrast / np.maximum(deviation, 1e-3))
        for image, deviation in zip((one, two), deviations, strict=True)
    ]
