"""Faint marks, like watermarks: edges that lie at the same pixels in the images of one class alone.

What an image shows survives that it is moved by a few pixels, a mark at a fixed place does not: so two rules are
compared on images that neither has seen, one learnt as the images are, one where each is moved. Where the images of
all other classes have edges at fixed pixels too (a fixed camera, digits), this says nothing.
"""

from dataclasses import dataclass

import numpy as np

from harness.analysis.marks import ADVICE
from harness.data.images import Images
from harness.scoring.paired import mcnemar
from harness.store.findings import Check

SMALLEST, FEWEST = 16, 30  # pixels; images of a class
PART = 16  # of an image's side, by which images are moved at most
TOLD, TOLD_MORE, LUCK = (
    0.85,
    0.25,
    1e-5,
)  # area under the ROC curve; more than once moved; p of McNemar's test
EDGE, STILL = 5.0, 0.03  # standard errors that are an edge; share of the pixels where others may have one
DIFFERENT = 2.5  # standard errors, from which on a pixel counts
NAME = "faint marks"


def check(images: Images) -> Check:
    """The class that is told the better by exact places, if any is."""
    few = Check(NAME, "passed", None, TOLD, "In so few or so small images a faint mark cannot be told.")
    side = min(images.pixels.shape[2:])
    if side < SMALLEST or len(images.classes) < 2:
        return few
    detail, random, most = _detail(images.pixels), np.random.default_rng(0), max(side // PART, 1)
    moves = random.integers(-most, most + 1, (len(detail), 2))
    moved = np.stack([np.roll(one, tuple(move), (0, 1)) for one, move in zip(detail, moves, strict=True)])
    half = random.random(len(detail)) < 0.5
    found = []
    for label in range(len(images.classes)):
        of_class = images.labels == label
        count = min(of_class.sum(), (~of_class).sum())
        if count < FEWEST:
            continue
        exact, shifted = (_Told.of(one, of_class, half) for one in (detail, moved))
        equal = np.concatenate(
            [random.permutation(np.flatnonzero(is_in))[:count] for is_in in (of_class, ~of_class)]
        )
        p = mcnemar(exact.right[equal], shifted.right[equal])[2]
        still = float((_standard_errors(detail[~of_class]) > EDGE).mean())
        found.append((exact.area - shifted.area, exact.area, shifted.area, still, p, label))
    if not found:
        return few
    gain, area, area_moved, still, p, label = max(found)
    what = (
        f"edges at fixed pixels tell class {images.classes[label]} from the others with a ROC-AUC of {area:.3f}, and "
        f"of {area_moved:.3f} once each image is moved by up to {most} pixel{'s' * (most > 1)}"
    )
    if area >= TOLD and gain >= TOLD_MORE and still <= STILL and p <= LUCK:
        sentence = f"{what[0].upper()}{what[1:]}: it bears a mark, a faint watermark say; {ADVICE}."
        return Check(NAME, "failed", area, TOLD, sentence)
    return Check(NAME, "passed", area, TOLD, f"None for certain: {what}.")


def _detail(pixels: np.ndarray) -> np.ndarray:
    """Luminance without the mean of 3×3 pixels, in an image's own deviations: float32 (n, H, W)."""
    from scipy.ndimage import uniform_filter

    grey = pixels.mean(1, dtype=np.float32)
    detail = grey - uniform_filter(grey, (0, 3, 3), mode="reflect")
    scaled: np.ndarray = np.clip(detail / (detail.std((1, 2), keepdims=True) + 1), -2, 2)
    return scaled


def _standard_errors(detail: np.ndarray) -> np.ndarray:
    """How many standard errors each pixel's mean is from 0: (H, W)."""
    errors: np.ndarray = np.abs(detail.mean(0)) / (detail.std(0) / np.sqrt(len(detail)) + 1e-6)
    return errors


@dataclass(frozen=True, eq=False)
class _Told:
    """How a class is told from all others by a linear rule of the pixels that differ, each by its own deviation.

    Learnt on one half and asked on the other, both ways.   area: under the ROC curve, the mean of both.
    right: bool (n,).
    """

    area: float
    right: np.ndarray

    @classmethod
    def of(cls, detail: np.ndarray, of_class: np.ndarray, half: np.ndarray) -> "_Told":
        areas, right = [], np.zeros(len(detail), bool)
        for is_learnt in (half, ~half):
            one, other = detail[is_learnt & of_class], detail[is_learnt & ~of_class]
            difference = one.mean(0) - other.mean(0)
            errors = np.sqrt(one.var(0) / len(one) + other.var(0) / len(other) + 1e-6)
            spread = np.sqrt(one.var(0) + other.var(0) + 1e-3)
            weights = np.where(np.abs(difference) > DIFFERENT * errors, difference / spread, 0)
            scores = np.tensordot(detail, weights, axes=2)
            bound = (scores[is_learnt & of_class].mean() + scores[is_learnt & ~of_class].mean()) / 2
            asked, truth = scores[~is_learnt], of_class[~is_learnt]
            right[~is_learnt] = (asked > bound) == truth
            ranks = np.argsort(np.argsort(asked, kind="stable"), kind="stable") + 1
            count, rest = int(truth.sum()), int((~truth).sum())
            areas.append((ranks[truth].sum() - count * (count + 1) / 2) / max(count * rest, 1))
        return cls(float(np.mean(areas)), right)
