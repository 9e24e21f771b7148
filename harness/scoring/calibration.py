"""Whether a probability means what it says: accuracy by confidence, and the temperature that mends it."""

from dataclasses import dataclass

import numpy as np

from harness.scoring.metrics import CALIBRATION_BINS, confidence_bins

TEMPERATURES = (0.05, 20.0)
MOST_PROBABILITIES = 2**24  # that a temperature is fitted on: one number needs no more


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Mean confidence, accuracy and number of images of each bin of confidence; NaN means where there are none."""

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def bins(self) -> tuple[tuple[float, float, int], ...]:
        """Confidence, accuracy and count of each bin that has images, as a record keeps them."""
        rows = zip(self.confidence.tolist(), self.accuracy.tolist(), self.count.tolist(), strict=True)
        return tuple((confidence, accuracy, count) for confidence, accuracy, count in rows if count)


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


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The T for which softmax(log(probabilities) / T) has the least log-loss; above 1 for a network too sure of itself.

    labels: int64 (n,), n >= 1.   probabilities: (n, classes), of images that the network has not seen.
    It lies within TEMPERATURES. The likeliest class of an image stays what it is.
    Source: Guo, Pleiss, Sun and Weinberger 2017, arXiv 1706.04599.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    step = max(1, probabilities.size // MOST_PROBABILITIES)
    labels, kept = labels[::step], probabilities[::step].astype(np.float64)
    logs = np.log(np.maximum(kept, np.finfo(np.float32).smallest_subnormal))
    right = logs[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(logs * scale, axis=1) - right * scale))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
