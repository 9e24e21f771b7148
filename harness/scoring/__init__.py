"""The statistics of predictions: metrics of one set of images, and what may be said of several scores."""

from harness.scoring.metrics import METRICS, Metric, confusion_matrix, score, softmax
from harness.scoring.standard_errors import corrected_interval, corrected_standard_error

__all__ = [
    "METRICS",
    "Metric",
    "confusion_matrix",
    "corrected_interval",
    "corrected_standard_error",
    "score",
    "softmax",
]
