"""Whether a probability means what it says: accuracy by confidence."""

from dataclasses import dataclass

import numpy as np

from harness.scoring.metrics import CALIBRATION_BINS, confidence_bins


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Mean confidence, accuracy and number of images of each bin of confidence; NaN means where there are none."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def calibration_curve(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS
) -> CalibrationCurve:
    """The curve over `bins` equal bins (low, high] of the likeliest class's probability; arrays of (bins,).

    labels: int64 (n,).   probabilities: (n, classes).
    The mean of |accuracy - confidence|, weighted by count, is the metric `calibration_error`.
    """
    confidence, bin_of = confidence_bins(probabilities, bins)
    right = probabilities.argmax(1) == labels
    count = np.bincount(bin_of, minlength=bins)
    images = np.where(count > 0, count, np.nan)
    return CalibrationCurve(
        np.bincount(bin_of, weights=confidence, minlength=bins) / images,
        np.bincount(bin_of, weights=right, minlength=bins) / images,
        count,
    )
