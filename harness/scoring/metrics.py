"""Metrics of class probabilities: one function each, and its name in METRICS.

Every metric takes labels, int64 (n,), and probabilities, (n, classes) with rows that sum to 1; n >= 1.
The predicted class is the likeliest; of equals the first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

CALIBRATION_BINS = 15


Scored = Callable[[np.ndarray, np.ndarray], np.ndarray]
Counted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A metric, and where there is one its short form, by which resampling many times is quick (`bbc_cv.py`).

    per_image: the (n,) numbers of which it is the mean.   of_counts: the same metric from images of each class
    found, there, and called so, (…, classes) each -> (…).
    """

    function: Callable[[np.ndarray, np.ndarray], float]
    higher_is_better: bool
    per_image: Scored | None = None
    of_counts: Counted | None = None

    def __call__(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        return self.function(labels, probabilities)


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Fraction of images whose likeliest class is the right one."""
    return float(np.mean(_right(labels, probabilities)))


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes that have images of the fraction of their images found."""
    return float(_balanced(*_counts(labels, probabilities)))


def macro_precision(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes of the fraction of right ones among the images called so."""
    return float(_precision(*_counts(labels, probabilities)))


def macro_recall(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes of the fraction of their images found; 0 for a class called but never there."""
    return float(_recall(*_counts(labels, probabilities)))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes of the harmonic mean of precision and recall."""
    return float(_f1(*_counts(labels, probabilities)))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative logarithm of the right class's probability, in nats.

    A probability of 0 counts as the smallest step of its floating-point type, so the loss stays finite.
    """
    return float(np.mean(_loss(labels, probabilities)))


def top3_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Fraction of images whose right class is among the three likeliest."""
    return float(np.mean(_in_top3(labels, probabilities)))


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error: mean distance of confidence from accuracy, over 15 bins of confidence.

    Each bin (low, high] weighs as much as it has images.   Source: Guo et al. 2017, arXiv 1706.04599.
    """
    confidence, bins = confidence_bins(probabilities, CALIBRATION_BINS)
    gaps = np.bincount(bins, weights=_right(labels, probabilities) - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def confidence_bins(probabilities: np.ndarray, num_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Each image's confidence, its largest probability, and the number of its bin (low, high] among equal ones."""
    confidence = probabilities.max(1).astype(np.float64)
    inner_edges = np.linspace(0, 1, num_bins + 1)[1:-1]
    return confidence, np.digitize(confidence, inner_edges, right=True)


# What METRICS names below: per image, and from the counts of each class.


def _right(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    right: np.ndarray = probabilities.argmax(1) == labels
    return right


def _loss(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    right = probabilities[np.arange(len(labels)), labels]
    smallest = np.finfo(right.dtype).eps
    loss: np.ndarray = -np.log(np.maximum(right.astype(np.float64), smallest))
    return loss


def _in_top3(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
    found: np.ndarray = (likeliest == labels[:, None]).any(1)
    return found


def _balanced(hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _class_mean(_ratio(hits, actual), actual > 0)


def _precision(hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _class_mean(_ratio(hits, predicted), actual + predicted > 0)


def _recall(hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _class_mean(_ratio(hits, actual), actual + predicted > 0)


def _f1(hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _class_mean(_ratio(2 * hits, actual + predicted), actual + predicted > 0)


METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, higher_is_better=True, per_image=_right),
    "balanced_accuracy": Metric(balanced_accuracy, higher_is_better=True, of_counts=_balanced),
    "macro_precision": Metric(macro_precision, higher_is_better=True, of_counts=_precision),
    "macro_recall": Metric(macro_recall, higher_is_better=True, of_counts=_recall),
    "macro_f1": Metric(macro_f1, higher_is_better=True, of_counts=_f1),
    "log_loss": Metric(log_loss, higher_is_better=False, per_image=_loss),
    "top3_accuracy": Metric(top3_accuracy, higher_is_better=True, per_image=_in_top3),
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


def _counts(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of each class that were found, are there, and were called so: (classes,) each."""
    matrix = confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])
    return matrix.diagonal(), matrix.sum(1), matrix.sum(0)


def _class_mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean over the classes that count; at least one does."""
    mean: np.ndarray = (values * counted).sum(-1) / counted.sum(-1)
    return mean


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where there is nothing."""
    ratio: np.ndarray = part / np.maximum(whole, 1)
    return ratio
