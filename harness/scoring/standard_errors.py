"""What may be said of a mean over cross-validation folds, whose training parts overlap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EpochChoice:
    """Means over the folds of the score at the final epoch, at the chosen one, and at the best one.

    inflation: how much better the mean looks if each fold's epoch is chosen by the score that it is reported with.
    """

    final: float
    chosen: float
    oracle: float

    @property
    def inflation(self) -> float:
        return self.oracle - self.chosen


def corrected_standard_error(scores: Sequence[float], *, test_fraction: float) -> float:
    """Standard error of a mean over cross-validation folds, corrected for their overlap.

    scores: (k,) one score per fold, k >= 2.   test_fraction: test size / train size, e.g. 0.25 for 5 folds.
    Raises ValueError for fewer than two scores.
    Source: Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52.
    """
    if len(scores) < 2:
        raise ValueError(f"a standard error needs at least 2 scores (got {len(scores)})")
    variance = (1 / len(scores) + test_fraction) * np.var(scores, ddof=1)
    return float(np.sqrt(variance))


def held_out_fraction(num_folds: float) -> float:
    """The `test_fraction` of cross-validation: held-out images of a fold per image that its network is trained on.

    num_folds: of one repetition; of a hold-out of a share s of the images 1/s.
    Of folds of unequal sizes it is that of the mean fold, for the shares that they hold out are 1/k in the mean.
    """
    return 1 / (num_folds - 1)


def trial_mean(scores: Sequence[float]) -> float:
    """Of a trial's scores, one per fold in fold order: the order and the way of adding decide the last bit."""
    return sum(scores) / len(scores)


def trial_standard_error(scores: Sequence[float], *, num_folds: float) -> float | None:
    """Corrected standard error of a trial's mean over the folds that it has; None below two.

    scores: of these folds, or of repeated ones, or differences of two trials.   num_folds: as of `held_out_fraction`.
    """
    if len(scores) < 2:
        return None
    return corrected_standard_error(scores, test_fraction=held_out_fraction(num_folds))


def corrected_interval(
    scores: Sequence[float], *, test_fraction: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for a mean over folds: corrected error, Student's t with k - 1 degrees of freedom.

    scores, test_fraction, errors and source: as in `corrected_standard_error`.   confidence: in 0..1.
    """
    from scipy.stats import t

    error = corrected_standard_error(scores, test_fraction=test_fraction)
    half_width = float(t.ppf((1 + confidence) / 2, df=len(scores) - 1)) * error
    mean = float(np.mean(scores))
    return mean - half_width, mean + half_width


def epoch_choice(curves: Sequence[Sequence[float]], chosen: Sequence[int]) -> EpochChoice:
    """What the choice of the epoch does to the mean over folds.

    curves: held-out score by epoch, higher is better, one sequence per fold; lengths may differ.
    chosen: each fold's epoch, counted from 1.   Raises ValueError if an epoch is not on its curve.
    """
    for curve, epoch in zip(curves, chosen, strict=True):
        if not 1 <= epoch <= len(curve):
            raise ValueError(f"epoch {epoch} is not one of {len(curve)}")
    return EpochChoice(
        final=float(np.mean([curve[-1] for curve in curves])),
        chosen=float(np.mean([curve[epoch - 1] for curve, epoch in zip(curves, chosen, strict=True)])),
        oracle=float(np.mean([max(curve) for curve in curves])),
    )
