"""Whether two images show the same picture: laid over one another, their detail agrees part by part.

Detail, what is left of an image without its coarse forms, tells pictures apart: two skies or two horses resemble one
another in form, and not in detail. Brightness, contrast and JPEG change little of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.registration import Motion, align, correlation, grid, inner, warped

SMALLEST = 16  # pixels: in smaller images different pictures agree too well
ROUNDING = 0.75  # grey levels by which smaller images may differ
SIDE = 32  # pixels: images are compared at this size
MARGIN = 6  # pixels at the edges that are not compared: there may be a frame, or nothing to compare with
INNER = SIDE - 2 * MARGIN
PARTS = 4  # along each axis
MOST_CONTRAST = 1.7  # times the other image's
FAINT = 1.5  # grey levels: a part whose detail deviates less has none
ALIKE, EQUAL = 0.8, 0.9  # correlation of detail from which on a part is alike, and the same
MOVED, FAR = 0.05, 0.25  # of a motion, in half sides: more than what is still, and more than copies are moved
SAME_FORM, SAME_FORM_MOVED = 0.985, 0.997  # correlation at half the size that needs no detail
COARSE_MARGIN = 2
RESEMBLING = 0.9  # correlation at half the size from which on a closer look is worth it
HOPEFUL = (-1, 0.65, 0.8, 0.8)  # and those that it takes before each step towards it
OTHER_COLOUR = 48.0  # grey levels of chroma by which colours are others
RECOLOURED = 0.15  # of the pixels may have another colour
PARTLY, LIKELY, SURE = 1, 2, 3  # how much of two images agrees: some parts, most, or enough to be the same


@dataclass(frozen=True, eq=False)
class Looks:
    """What is compared of images: their luminance, smoothed, at two sizes, and its detail.

    smooth: (n, 32, 32).   coarse: (n, 16, 16).   detail: (n, 20, 20), without edges, each part of mean 0 and length 1,
    or 0 where it has none. As kept they are float16.
    """

    smooth: np.ndarray
    coarse: np.ndarray
    detail: np.ndarray

    @classmethod
    def at(cls, scaled: np.ndarray) -> "Looks":
        """Of images as `resized` makes them."""
        smooth = _blurred(luminance(scaled))
        parts = _cut(_detail(smooth)[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
        parts = parts - parts.mean((2, 4), keepdims=True)
        length = np.sqrt(np.square(parts).sum((2, 4), keepdims=True))
        has_detail = length >= FAINT * (INNER // PARTS)
        detail = np.where(has_detail, parts / np.maximum(length, 1e-6), 0).reshape(-1, INNER, INNER)
        coarse = smooth.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
        return cls(*(part.astype(np.float16) for part in (smooth, coarse, detail)))

    @classmethod
    def together(cls, several: Sequence["Looks"]) -> "Looks":
        return cls(
            *(np.concatenate(parts) for parts in zip(*(one._arrays() for one in several), strict=True))
        )

    def _arrays(self) -> tuple[np.ndarray, ...]:
        return self.smooth, self.coarse, self.detail


def turned(images: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Images (n, …, H, W), each mirrored where its turn is odd, and then turned by turn // 2 quarters of a circle."""
    lying = images.copy()
    for turn in set(turns.tolist()) - {0}:
        chosen = turns == turn
        some = images[chosen]
        lying[chosen] = np.rot90(some[..., ::-1] if turn % 2 else some, turn // 2, axes=(-2, -1))
    return lying


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far the images of each pair agree.

    level: uint8 (n,), 0, PARTLY, LIKELY or SURE.   similarity: float32 (n,), 0..1.
    motion: how one lies over the other.
    """

    level: np.ndarray
    similarity: np.ndarray
    motion: Motion


def agreement(ours: Looks, theirs: Looks, pairs: np.ndarray, turns: np.ndarray) -> Agreement:
    """The images of each pair are compared as they lie, and as they lie over one another best.

    pairs: int (n, 2), indices here and there.   turns: int (n,), how the second ones are turned.
    """
    level, similarity = _as_they_lie(
        *_laid(ours.detail, theirs.detail, pairs, turns), *_laid(ours.coarse, theirs.coarse, pairs, turns)
    )
    motion = Motion.none(len(pairs))
    unsure = np.flatnonzero(level < SURE)
    coarse = _laid(ours.coarse, theirs.coarse, pairs[unsure], turns[unsure])
    moved = align(*coarse, motion.of(unsure), least=HOPEFUL, margin=COARSE_MARGIN)
    seen, _ = warped(coarse[1], moved, grid(SIDE // 2, COARSE_MARGIN))
    form = correlation(inner(coarse[0], COARSE_MARGIN), seen)
    resembling = np.flatnonzero(form >= RESEMBLING)
    closer = unsure[resembling]
    smooth = _laid(ours.smooth, theirs.smooth, pairs[closer], turns[closer])
    moved = align(*smooth, moved.of(resembling), least=(-1, -1), margin=MARGIN)
    level_moved, similarity_moved = _as_they_were_moved(*smooth, moved, form[resembling])
    better = level_moved >= np.maximum(level[closer], PARTLY)
    places = closer[better]
    level[places], similarity[places] = level_moved[better], similarity_moved[better]
    motion.a[places], motion.t[places] = moved.a[better], moved.t[better]
    return Agreement(level, similarity, motion)


def _laid(
    ours: np.ndarray, theirs: np.ndarray, pairs: np.ndarray, turns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is looked at of the images of each pair, the second ones turned: float32 (n, side, side) each."""
    one, two = ours[pairs[:, 0]], turned(theirs[pairs[:, 1]], turns)
    return one.astype(np.float32), two.astype(np.float32)


def _as_they_lie(
    detail: np.ndarray, other_detail: np.ndarray, coarse: np.ndarray, other_coarse: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The level of agreement and the similarity: (n,) each."""
    parts = np.einsum("nyaxb,nyaxb->nyx", _cut(detail), _cut(other_detail)).reshape(-1, PARTS**2)
    equal, alike, is_framed = _agreeing(parts)
    margins = (COARSE_MARGIN, 2 * COARSE_MARGIN)  # within a frame, too
    forms = [correlation(inner(coarse, margin), inner(other_coarse, margin)) for margin in margins]
    form = np.minimum(*forms)
    rules = [
        ((equal >= 6) | (alike >= 9)) & ~is_framed | (form >= SAME_FORM),
        ((equal >= 5) | (alike >= 7)) & ~is_framed,
        alike >= 5,
    ]
    similarity = np.maximum(alike / PARTS**2, np.where(form >= SAME_FORM, form, 0)).astype(np.float32)
    return np.select(rules, [SURE, LIKELY, PARTLY], 0).astype(np.uint8), similarity


def _as_they_were_moved(
    one: np.ndarray, two: np.ndarray, motion: Motion, form: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The level of agreement and the similarity: (n,) each. More has to agree where there was more to choose from."""
    points = grid(SIDE, MARGIN)
    whole, (detail, first, second) = _whole(one, two, motion, points), _parts(one, two, motion, points)
    num_detailed = (np.maximum(first, second) >= FAINT).sum(1)
    equal, alike, is_framed = _agreeing(np.where(np.minimum(first, second) >= FAINT, detail, 0))
    is_moved = np.maximum(np.abs(motion.a - 1), np.abs(motion.t)) >= MOVED
    enough = (whole >= np.where(is_moved, 0.96, 0.94)) & (alike >= 7) & (equal >= 4) & ~is_framed
    all_there_is = (whole >= 0.975) & (equal >= 0.9 * num_detailed) & (num_detailed >= 3)
    rules = [
        (enough | all_there_is | (form >= SAME_FORM_MOVED)) & (np.abs(motion.t) < FAR),
        (equal >= 5) | (alike >= 7) | ((whole >= 0.92) & (alike >= 5)),
        alike >= 5,
    ]
    level = np.select(rules, [SURE, LIKELY, PARTLY], 0).astype(np.uint8)
    return level, ((np.clip(whole, 0, 1) + alike / PARTS**2) / 2).astype(np.float32)


def _agreeing(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many parts are equal, how many alike; and whether only those around the middle are, as in one frame: (n,).

    parts: correlations, (n, 16).
    """
    equal, alike = parts >= EQUAL, parts >= ALIKE
    middle = alike.reshape(-1, PARTS, PARTS)[:, 1:-1, 1:-1]
    return equal.sum(1), alike.sum(1), middle.sum((1, 2)) < 2


def _whole(one: np.ndarray, two: np.ndarray, motion: Motion, points: np.ndarray) -> np.ndarray:
    """The correlation within parts, all but the worst of them together: (n,); 0 where contrasts are too different."""
    seen, is_seen = warped(two, motion, points)
    first, second, common = _energies(inner(one, MARGIN), seen, is_seen)
    contrast = np.sqrt(np.maximum(first.sum(1), 1e-3) / np.maximum(second.sum(1), 1e-3))[:, None]
    energy = (first / contrast + second * contrast) / 2
    differing = energy - common
    worst = differing.argmax(1)[:, None]
    energy, differing = (
        part.sum(1) - np.take_along_axis(part, worst, 1)[:, 0] for part in (energy, differing)
    )
    allowed = np.maximum(contrast, 1 / contrast)[:, 0] <= MOST_CONTRAST
    agreed: np.ndarray = np.where(allowed, 1 - differing / np.maximum(energy, 1e-3), 0)
    return agreed


def _parts(one: np.ndarray, two: np.ndarray, motion: Motion, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each part the correlation of detail, and its deviation in both images: (n, 16) each."""
    seen, is_seen = warped(_detail(two), motion, points)
    first, second, common = _energies(inner(_detail(one), MARGIN), seen, is_seen)
    correlated = common / np.sqrt(np.maximum(first * second, 1e-3))
    return correlated, np.sqrt(first), np.sqrt(second)


def _energies(one: np.ndarray, two: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each part both variances and the covariance, of the pixels that both images have: (n, 16) each."""
    one, two, weights = (_cut(values) for values in (one, two, weights.astype(np.float32)))
    sizes = weights.sum((2, 4), keepdims=True)
    enough = sizes[:, :, 0, :, 0] >= 0.6 * weights.shape[2] * weights.shape[4]
    sizes = np.maximum(sizes, 1)
    one, two = (
        (values - (values * weights).sum((2, 4), keepdims=True) / sizes) * weights for values in (one, two)
    )
    products = (np.einsum("nyaxb,nyaxb->nyx", *pair) for pair in ((one, one), (two, two), (one, two)))
    return tuple(
        np.where(enough, product / sizes[:, :, 0, :, 0], 0).reshape(len(one), PARTS**2)
        for product in products
    )


def _cut(values: np.ndarray) -> np.ndarray:
    """(n, …) without edges as parts (n, PARTS, y, PARTS, x)."""
    parts: np.ndarray = values.reshape(-1, PARTS, INNER // PARTS, PARTS, INNER // PARTS)
    return parts


def _detail(images: np.ndarray) -> np.ndarray:
    detail: np.ndarray = images - _blurred(_blurred(images))
    return detail


def _blurred(images: np.ndarray) -> np.ndarray:
    """By the binomial filter of five pixels, along both axes of (n, H, W)."""
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (2, 2), (0, 0)), mode="edge")
    images = _binomial([padded[:, shift : shift + height] for shift in range(5)])
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2)), mode="edge")
    return _binomial([padded[..., shift : shift + width] for shift in range(5)])


def _binomial(shifts: Sequence[np.ndarray]) -> np.ndarray:
    mean: np.ndarray = (shifts[0] + shifts[4] + 4 * (shifts[1] + shifts[3]) + 6 * shifts[2]) / np.float32(16)
    return mean


def resized(pixels: np.ndarray) -> np.ndarray:
    """uint8 (n, C, H, W) as float32 (n, C, 32, 32): averaged where they are larger, interpolated where smaller."""
    down, right = (_resampling(size) for size in pixels.shape[2:])
    scaled: np.ndarray = down @ pixels.astype(np.float32) @ right.T
    return scaled


def _resampling(size: int) -> np.ndarray:
    """(32, size): the weights of a triangle filter, as Pillow's bilinear one has them."""
    width = max(size / SIDE, 1)
    centres = (np.arange(SIDE)[:, None] + 0.5) * size / SIDE
    weights = np.maximum(1 - np.abs(np.arange(size) + 0.5 - centres) / width, 0)
    scaled: np.ndarray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return scaled


def luminance(pixels: np.ndarray) -> np.ndarray:
    """(n, C, H, W) as float32 (n, H, W)."""
    channels = pixels.shape[1]
    weights = np.array((0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels, np.float32)
    grey: np.ndarray = np.einsum("nchw,c->nhw", pixels, weights, dtype=np.float32, casting="unsafe")
    return grey


def same_colours(one: np.ndarray, two: np.ndarray, motion: Motion) -> np.ndarray:
    """Whether nearly all pixels have the colour of the other image's: bool (n,).   one, two: float32 (n, 3, 32, 32)."""
    points = grid(SIDE, MARGIN)
    distance = np.zeros((len(one), len(points)), np.float32)
    for channel in (0, 2):
        chroma = [_blurred(image[:, channel] - luminance(image)) for image in (one, two)]
        seen, is_seen = warped(chroma[1], motion, points)
        distance += np.square(inner(chroma[0], MARGIN) - seen) * is_seen
    same: np.ndarray = (distance > OTHER_COLOUR**2).mean(1) <= RECOLOURED
    return same


def equal_but_for_rounding(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Whether small images are the same but for brightness, contrast and rounding: bool (n,).   uint8 (n, C, H, W)."""
    axes = (1, 2, 3)
    images = [image.astype(np.float32) for image in (one, two)]
    deviations = [image.std(axes, keepdims=True) for image in images]
    low, high = np.sort([deviation[:, 0, 0, 0] for deviation in deviations], axis=0)
    contrast = np.sqrt(deviations[0] * deviations[1])
    left, right = (
        (image - image.mean(axes, keepdims=True)) * (contrast / np.maximum(deviation, 1e-3))
        for image, deviation in zip(images, deviations, strict=True)
    )
    equal: np.ndarray = np.sqrt(np.square(left - right).mean(axes)) <= ROUNDING
    both: np.ndarray = equal & (high <= 1.5 * low)
    return both
