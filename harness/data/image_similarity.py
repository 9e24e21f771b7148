"""Whether two images show the same picture: laid over one another, their detail agrees part by part."""

from dataclasses import dataclass

import numpy as np

from harness.data.looks import FAINT, MARGIN, PARTS, SIDE, Looks, blurred, cut, detail_of, luminance, turned
from harness.data.registration import Motion, align, correlation, grid, inner, warped

SMALLEST = 16  # pixels: in smaller images different pictures agree too well
ROUNDING = 0.75  # grey levels by which smaller images may differ
MOST_CONTRAST = 1.7  # times the other image's
ALIKE, EQUAL, UNCHANGED = 0.8, 0.9, 0.99  # correlation of detail from which on a part is so
MOVED, FAR = 0.05, 0.25  # of a motion, in half sides: more than what is still, and more than copies are moved
SAME_FORM, SAME_FORM_MOVED, SAME_FLAT = (
    0.985,
    0.997,
    0.993,
)  # correlation at half the size that needs no detail
COARSE_MARGIN = 2
RESEMBLING = 0.9  # correlation at half the size from which on a closer look is worth it
HOPEFUL = (-1, 0.65, 0.8, 0.8)  # and those that it takes before each step towards it
OTHER_COLOUR = 48.0  # grey levels of chroma by which colours are others
RECOLOURED = 0.15  # of the pixels may have another colour
GREY = 2.0  # grey levels: chroma that deviates less tells nothing
SAME_HUES = 0.4  # correlation of chroma
PARTLY, LIKELY, SURE = 1, 2, 3  # how much of two images agrees: some parts, most, or enough to be the same


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

    Flat pictures, such as digits on black, have too little in them for that: only as they lie, and in form.

    pairs: int (n, 2), indices here and there.   turns: int (n,), how the second ones are turned.
    """
    flat = ours.flat[pairs[:, 0]] & theirs.flat[pairs[:, 1]]
    level, similarity = _as_they_lie(
        *_laid(ours.detail, theirs.detail, pairs, turns), *_laid(ours.coarse, theirs.coarse, pairs, turns)
    )
    motion = Motion.none(len(pairs))
    level[flat & (similarity < SAME_FLAT)] = 0
    unsure = np.flatnonzero((level < SURE) & ~flat)
    moved, form = align(
        *_apart(ours.coarse, theirs.coarse, pairs[unsure], turns[unsure]), least=HOPEFUL, margin=COARSE_MARGIN
    )
    resembling = np.flatnonzero(form >= RESEMBLING)
    closer = unsure[resembling]
    smooth, which, other = _apart(ours.smooth, theirs.smooth, pairs[closer], turns[closer])
    moved, _ = align(smooth, which, other, moved.of(resembling), least=(-1, -1), margin=MARGIN)
    level_moved, similarity_moved = _as_they_were_moved(smooth[which], other, moved, form[resembling])
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


def _apart(
    ours: np.ndarray, theirs: np.ndarray, pairs: np.ndarray, turns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As _laid, but each first image once, and which of them is of each pair."""
    firsts, which = np.unique(pairs[:, 0], return_inverse=True)
    return ours[firsts].astype(np.float32), which, turned(theirs[pairs[:, 1]], turns).astype(np.float32)


def _as_they_lie(
    detail: np.ndarray, other_detail: np.ndarray, coarse: np.ndarray, other_coarse: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The level of agreement and the similarity: (n,) each."""
    parts = np.einsum("nyaxb,nyaxb->nyx", cut(detail), cut(other_detail)).reshape(-1, PARTS**2)
    equal, alike, is_framed = _agreeing(parts)
    margins = (COARSE_MARGIN, 2 * COARSE_MARGIN)  # within a frame, too
    forms = [correlation(inner(coarse, margin), inner(other_coarse, margin)) for margin in margins]
    deviations = [inner(image, COARSE_MARGIN).std(1) for image in (coarse, other_coarse)]
    comparable = np.maximum(*deviations) <= MOST_CONTRAST * np.minimum(*deviations)
    form = np.where(comparable, np.minimum(*forms), 0)
    rules = [
        ((parts >= UNCHANGED).sum(1) >= 5) & ~is_framed | (form >= SAME_FORM),
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
    moved, shifted = np.maximum(np.abs(motion.a - 1), np.abs(motion.t)), np.abs(motion.t)
    still = (moved < MOVED) & (whole >= 0.91) & (alike >= 5) & (equal >= 3) & (form >= 0.95)
    enough = (whole >= 0.96) & (alike >= 10) & (equal >= 5) & ~is_framed & (moved < FAR)
    all_there_is = (whole >= 0.975) & (equal >= 0.9 * num_detailed) & (num_detailed >= 3) & (moved < FAR)
    rules = [
        still | enough | all_there_is | ((form >= SAME_FORM_MOVED) & (shifted < FAR)),
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
    seen, is_seen = warped(detail_of(two), motion, points)
    first, second, common = _energies(inner(detail_of(one), MARGIN), seen, is_seen)
    correlated = common / np.sqrt(np.maximum(first * second, 1e-3))
    return correlated, np.sqrt(first), np.sqrt(second)


def _energies(one: np.ndarray, two: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of each part both variances and the covariance, of the pixels that both images have: (n, 16) each."""
    one, two, weights = (cut(values) for values in (one, two, weights.astype(np.float32)))
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


def allowed_by_colours(one: np.ndarray, two: np.ndarray, motion: Motion) -> np.ndarray:
    """How much of two images may agree at most: uint8 (n,), PARTLY, LIKELY or SURE.   one, two: float32 (n, 3, 32, 32).

    Nearly all pixels of copies have the colour of the other image's; and where one had to be moved to lie over the
    other, which may be chance, what is more coloured in one of them is so in the other.
    """
    points = grid(SIDE, MARGIN)
    distance = np.zeros((len(one), len(points)), np.float32)
    energies = np.zeros((3, len(one)), np.float32)  # of the first, of the second, of both together
    for channel in (0, 2):
        first, second = (blurred(image[:, channel] - luminance(image)) for image in (one, two))
        second, is_seen = warped(second, motion, points)
        first = inner(first, MARGIN)
        distance += np.square(first - second) * is_seen
        first, second = (values - values.mean(1, keepdims=True) for values in (first, second))
        energies += [
            np.einsum("np,np->n", *pair) for pair in ((first, first), (second, second), (first, second))
        ]
    same = (distance > OTHER_COLOUR**2).mean(1) <= RECOLOURED
    coloured = np.maximum(energies[0], energies[1]) >= GREY**2 * 2 * len(points)
    hues = energies[2] >= SAME_HUES * np.sqrt(energies[0] * energies[1])
    still = np.maximum(np.abs(motion.a - 1), np.abs(motion.t)) < MOVED
    allowed: np.ndarray = np.where(same, np.where(hues | still | ~coloured, SURE, LIKELY), PARTLY).astype(
        np.uint8
    )
    return allowed


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
