"""What a network trained on all images will score, judged by networks trained on fewer.

A cross-validated score is of networks that lack a k-th of the images. What the whole adds is read off a learning curve:
networks trained on half as many images, scored on the same ones. Scores are taken as log-odds, which keep to what a
score can be. They grow towards their end as 1/n with the number of training images n, so the last k-th adds a k-th of
what the second half of a fold's images has added. Two points of a curve tell little where trainings are erratic, so
they are weighed against what twice the images add as a rule (errors fall as n^-0.35: Hestness et al. 2017, arXiv
1712.00409).
"""

import math
from dataclasses import dataclass

import numpy as np

from harness.scoring.standard_errors import corrected_standard_error, held_out_fraction

DOUBLING, DOUBLING_SPREAD = (
    0.25,
    0.25,
)  # log-odds that twice the images add as a rule, n^-0.35, and how much that varies
NORMAL = 1.959964  # 97.5 % of a normal distribution lie below so many standard deviations
MOST_DEVIATIONS = 3  # of the fold scores, that trainings may differ by


@dataclass(frozen=True)
class Scale:
    """Where a metric's scores are added up: log-odds between limits, the logarithm above one, themselves without."""

    low: float
    high: float

    def of(self, score: float, *, least: float = 1e-9) -> float:
        """least: how far from a limit a score is taken to be, as a share of what lies between, or of 1."""
        if math.isfinite(self.high):
            share = min(max((score - self.low) / (self.high - self.low), least), 1 - least)
            return math.log(share / (1 - share))
        return math.log(max(score - self.low, least)) if math.isfinite(self.low) else score

    def back(self, value: float) -> float:
        if math.isfinite(self.high):
            return self.low + (self.high - self.low) / (1 + math.exp(-value))
        return self.low + math.exp(value) if math.isfinite(self.low) else value

    def slope(self, score: float, *, least: float = 1e-9) -> float:
        """By how much `of` grows with the score."""
        if math.isfinite(self.high):
            width = self.high - self.low
            share = min(max((score - self.low) / width, least), 1 - least)
            return 1 / (share * (1 - share) * width)
        return 1 / max(score - self.low, least) if math.isfinite(self.low) else 1.0


@dataclass(frozen=True)
class Expected:
    """A score that is expected, with the interval that 95 of 100 such test scores lie in.

    gain: what more training images are expected to add.
    """

    score: float
    low: float
    high: float
    gain: float


def share_of_gain(parts: float, half: float = 0.5) -> float:
    """What the last k-th of the images adds, as a share of what a fold's images add to `half` of them.

    parts: k, the folds of one repetition; of a hold-out of a share f of the images 1/f.
    With s = 1 - 1/k of all images (1/s - 1) of it is left, and (1/half - 1)/s have been added.
    """
    return 1 / parts / (1 / half - 1)


def expected_score(
    fresh: np.ndarray,
    winner: int,
    *,
    tuned: np.ndarray,
    whole: np.ndarray,
    half: np.ndarray,
    half_share: float,
    optimism: float,
    image_error: float,
    num_images: int,
    fold_images: float,
    test_images: int,
    parts: float,
    limits: tuple[float, float] | None = None,
    higher_is_better: bool = True,
) -> Expected:
    """What the winner's network will score once it is trained on all images, on `test_images` that nobody has seen.

    fresh, tuned: (trials, splits, folds), scores of fold networks that were trained to confirm, and of the same trials'
    when they were tuned. A repetition is a split; a hold-out has one fold in each.   winner: its place among trials.
    whole, half: (folds,), its networks on the same held-out images, trained on a fold's images and on `half_share` of
    them, about half.
    optimism: what the choice of the winner adds to its mean, signed as the score is.
    image_error: standard error of a score pooled over `num_images`, from what images were drawn alone.
    fold_images: that a fold holds out, in the mean.   parts: as many as that make up the training images.
    limits: of the metric.

    The variance adds up from the images (those that the folds are scored on, and the test images), from the gain, and
    from training (one network, and the mean of the folds'). How much trainings differ is what the fold scores, pooled
    over the trials, differ by more than their images explain. So few scores do not tell that well: the interval is of
    the mixture of normal distributions over all that it may be, weighted by how likely it makes these fold scores.
    """
    num_trials, num_splits, num_folds = fresh.shape
    scale, least = Scale(*(limits or (-math.inf, math.inf))), 0.5 / num_images
    share, of_fold = share_of_gain(parts, half_share), image_error**2 * num_images / fold_images
    confirmed = float(fresh[winner].mean()) - optimism
    larger, smaller = float(whole.mean()), float(half.mean())
    gains = scale.slope(larger, least=least) * whole - scale.slope(smaller, least=least) * half
    seen = scale.of(larger, least=least) - scale.of(smaller, least=least)
    if num_folds > 1:
        error = corrected_standard_error(gains.tolist(), test_fraction=held_out_fraction(parts))
    else:  # as if the two were scored on images of their own
        error = math.sqrt(2 * of_fold) * scale.slope(larger, least=least)
    gain, gain_error = _weighed(seen, error, higher_is_better) if limits else (seen, error)
    then = scale.of(confirmed, least=least) + share * gain
    score = scale.back(then)

    slope, slope_then = scale.slope(confirmed, least=least), scale.slope(score, least=least)
    of_images = (slope * image_error) ** 2
    of_test = (
        slope * slope_then * image_error**2 * num_images / test_images
    )  # p (1 - p) of a share p, as odds
    networks = 1 + (1 + 2 * share) / (
        num_folds * num_splits
    )  # one, and the folds', of which the gain is, too
    rows = np.concatenate([fresh, tuned], axis=1).reshape(-1, num_folds)
    if num_folds == 1:  # the hold-outs of a trial are what may differ
        rows = rows.reshape(num_trials, -1)
    slopes = np.array([scale.slope(float(scores.mean()), least=least) for scores in rows])
    training, weights = _training_variance(
        slopes**2 * rows.var(1, ddof=1), rows.shape[1] - 1, slope * slopes * of_fold
    )
    errors = np.sqrt(of_images + of_test + (share * gain_error) ** 2 + networks * training)
    margin = _half_width(errors, weights)
    low, high = sorted((scale.back(then - margin), scale.back(then + margin)))
    return Expected(score, low, high, score - confirmed)


def _weighed(seen: float, error: float, higher_is_better: bool) -> tuple[float, float]:
    """A gain that was seen with this standard error and what is known of gains, together; and its error."""
    usual = DOUBLING if higher_is_better else -DOUBLING
    weight = DOUBLING_SPREAD**2 / (DOUBLING_SPREAD**2 + error**2)
    return usual + weight * (seen - usual), weight**0.5 * error


def _training_variance(
    between: np.ndarray, freedom: int, of_images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Variances that trainings may have, from standard deviations of equal prior weight, and how likely each is.

    between: (rows,), variances of fold scores, each with so many degrees of freedom.   of_images: (rows,), the part of
    each that images explain.   Source: the prior is that of Gelman 2006, Bayesian Analysis 1.
    """
    most = MOST_DEVIATIONS * max(float(between.mean()), float(of_images.mean())) ** 0.5
    variances = np.linspace(0, most, 400) ** 2
    total = np.maximum(variances[:, None] + of_images, np.finfo(float).tiny)
    logarithm = (-freedom / 2 * (np.log(total) + between / total)).sum(1)
    weights = np.exp(logarithm - logarithm.max())
    return variances, weights / weights.sum()


def _half_width(errors: np.ndarray, weights: np.ndarray) -> float:
    """Of the central 95 % of a mixture of normal distributions around one mean."""
    from scipy.special import ndtr

    low, high = 0.0, 10 * NORMAL * float(errors.max())
    for _ in range(60):
        middle = (low + high) / 2
        inside = float(weights @ (2 * ndtr(middle / np.maximum(errors, np.finfo(float).tiny)) - 1))
        low, high = (middle, high) if inside < 0.95 else (low, middle)
    return high
