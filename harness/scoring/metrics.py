"""Metrics of class probabilities: one function each, and its name in METRICS.

Every metric takes labels, int64 (n,), and probabilities, (n, classes) with rows that sum to 1; n >= 1.
The predicted class is the likeliest; of equals the first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Metric:
    function: Callable[[np.ndarray, np.ndarray], float]
    higher_is_better: bool

    def __call__(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        return self.function(labels, probabilities)


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Fraction of images whose likeliest class is the right one."""
    return float(np.mean(probabilities.argmax(1) == labels))


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes that have images of the fraction of their images found."""
    matrix = _confusion(labels, probabilities)
    has_images = matrix.sum(1) > 0
    return float(np.mean((matrix.diagonal() / np.maximum(matrix.sum(1), 1))[has_images]))


def macro_precision(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes of the fraction of right ones among the images called so."""
    return _macro(labels, probabilities, lambda hits, actual, predicted: _ratio(hits, predicted))


def macro_recall(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes of the fraction of their images found; 0 for a class called but never there."""
    return _macro(labels, probabilities, lambda hits, actual, predicted: _ratio(hits, actual))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes of the harmonic mean of precision and recall."""
    return _macro(labels, probabilities, lambda hits, actual, predicted: _ratio(2 * hits, actual + predicted))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative logarithm of the right class's probability, in nats.

    A probability of 0 counts as the smallest step of its floating-point type, so the loss stays finite.
    """
    right = probabilities[np.arange(len(labels)), labels]
    smallest = np.finfo(right.dtype).eps
    return float(-np.mean(np.log(np.maximum(right.astype(np.float64), smallest))))


def top3_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Fraction of images whose right class is among the three likeliest."""
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
    return float(np.mean((likeliest == labels[:, None]).any(1)))


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error: mean distance of confidence from accuracy, over 15 bins of confidence.

    Each bin (low, high] weighs as much as it has images.   Source: Guo et al. 2017, arXiv 1706.04599.
    """
    confidence = probabilities.max(1).astype(np.float64)
    right = probabilities.argmax(1) == labels
    inner_edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
    bins = np.digitize(confidence, inner_edges, right=True)
    gaps = np.bincount(bins, weights=right - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, higher_is_better=True),
    "balanced_accuracy": Metric(balanced_accuracy, higher_is_better=True),
    "macro_precision": Metric(macro_precision, higher_is_better=True),
    "macro_recall": Metric(macro_recall, higher_is_better=True),
    "macro_f1": Metric(macro_f1, higher_is_better=True),
    "log_loss": Metric(log_loss, higher_is_better=False),
    "top3_accuracy": Metric(top3_accuracy, higher_is_better=True),
    "calibration_error": Metric(calibration_error, higher_is_better=False),
}


def score(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Every metric of METRICS by name."""
    return {name: metric(labels, probabilities) for name, metric in METRICS.items()}


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 (classes, classes) counts of images; rows are true classes, columns predicted ones."""
    cells = labels * num_classes + predictions
    matrix: np.ndarray = np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
    return matrix


def softmax(logits: np.ndarray) -> np.ndarray:
    """Float32 probabilities of (n, classes) logits, computed in double precision."""
    exponentials: np.ndarray = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    probabilities: np.ndarray = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities.astype(np.float32)


def _confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])


def _macro(
    labels: np.ndarray,
    probabilities: np.ndarray,
    per_class: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> float:
    """Mean over the classes that occur among labels or predictions."""
    matrix = _confusion(labels, probabilities)
    hits, actual, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    occurs = actual + predicted > 0
    return float(np.mean(per_class(hits[occurs], actual[occurs], predicted[occurs])))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where there is nothing."""
    ratio: np.ndarray = part / np.maximum(whole, 1)
    return ratio
