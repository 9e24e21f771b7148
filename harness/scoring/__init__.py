"""The statistics of predictions: metrics of one set of images, and what may be said of several scores."""

from harness.scoring.honest import corrected_interval, corrected_standard_error
from harness.scoring.metrics import METRICS, Metric, confusion_matrix, score, softmax

__all__ = [
    "METRICS",
    "Metric",
    "confusion_matrix",
    "corrected_interval",
    "corrected_standard_error",
    "score",
    "softmax",
]
