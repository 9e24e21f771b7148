"""Metrics of class probabilities: one function each, and its name in METRICS.

Every metric takes labels, int64 (n,), and probabilities, (n, classes) with rows that sum to 1; n >= 1.
The predicted class is the likeliest; of equals the first.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.scoring.ranking import mean_over_classes, precision_area, roc_area

CALIBRATION_BINS = 15


Scored = Callable[[np.ndarray, np.ndarray], np.ndarray]
Counted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Weighted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A metric, and where there is one its short form, by which resampling many times is quick (`resampling.py`).

    per_image: the (n,) numbers of which it is the mean.   of_counts: the same metric from images of each class
    found, there, and called so, (…, classes) each -> (…).   of_weights: the same metric from labels, probabilities and
    how often each image was drawn, (resamples, n) -> (resamples,).   limits: the least and the largest it can be, where
    that is known; math.inf for one that has no end.
    """

    function: Callable[[np.ndarray, np.ndarray], float]
    higher_is_better: bool
    per_image: Scored | None = None
    of_counts: Counted | None = None
    of_weights: Weighted | None = None
    limits: tuple[float, float] | None = None

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


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance between probabilities and the truth: 0 is perfect, 2 the worst.

    The sum over all classes, as Brier has it; of two classes it is twice what is often reported.
    Source: Brier 1950, Monthly Weather Review 78.
    """
    return float(np.mean(_distance(labels, probabilities)))


def cohen_kappa(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Agreement beyond what chance would have with as many images of each class and called so; 0 where that is all.

    Source: Cohen 1960, Educational and Psychological Measurement 20.
    """
    return float(_kappa(*_counts(labels, probabilities)))


def quadratic_kappa(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Cohen's kappa that weighs an error by the square of how many classes it is off, in the order of their names.

    For grades, which the names of the classes have to sort by.   Source: Cohen 1968, Psychological Bulletin 70.
    """
    return float(_weighted_kappa(labels, probabilities, _each_once(labels))[0])


def matthews_correlation(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Correlation of the classes that images have and are called; 0 where all have, or are called, the same.

    Source: Gorodkin 2004, Computational Biology and Chemistry 28, which for two classes is Matthews 1975.
    """
    return float(_correlation(*_counts(labels, probabilities)))


def roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes of the area under the ROC curve of the class against all others; 0.5 is chance.

    Classes without images are left out, and 0.5 is said where all are of one class. Of two classes it is the area of
    the second, which is that of the first. Pooled over folds, it compares probabilities of different networks.
    Source: Hand and Till 2001, Machine Learning 45, who compare pairs of classes; one against all others is
    scikit-learn's `multi_class="ovr"`.
    """
    return float(_roc_auc(labels, probabilities, _each_once(labels))[0])


def average_precision(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over the classes that have images of the average precision of the class against all others.

    Pooled over folds, it compares probabilities of different networks.
    """
    return float(_average_precision(labels, probabilities, _each_once(labels))[0])


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


# What METRICS names below: per image, from the counts of each class, and from how often each image was drawn.


def _right(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    right: np.ndarray = probabilities.argmax(1) == labels
    return right


def _loss(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    right = probabilities[np.arange(len(labels)), labels]
    smallest = np.finfo(right.dtype).eps
    loss: np.ndarray = -np.log(np.maximum(right.astype(np.float64), smallest))
    return loss


def _distance(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    right = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    distance: np.ndarray = np.square(probabilities.astype(np.float64)).sum(1) - 2 * right + 1
    return distance


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


def _kappa(hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    images, chance = _sums(actual, predicted)
    return _share(hits.sum(-1, dtype=np.float64) * images - chance, images**2 - chance)


def _correlation(hits: np.ndarray, actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    images, chance = _sums(actual, predicted)
    spread = [images**2 - np.square(one, dtype=np.float64).sum(-1) for one in (actual, predicted)]
    return _share(hits.sum(-1, dtype=np.float64) * images - chance, np.sqrt(spread[0] * spread[1]))


def _weighted_kappa(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    called = probabilities.argmax(1)
    powers = np.stack([labels, called, labels**2, called**2, (labels - called) ** 2], axis=1).astype(
        np.float64
    )
    images = weights.sum(1, dtype=np.float64)
    actual, predicted, actual2, predicted2, off = (weights.astype(np.float64) @ powers).T
    chance = images * (actual2 + predicted2) - 2 * actual * predicted
    return _share(chance - images * off, chance)


def _roc_auc(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    if probabilities.shape[1] == 2:
        area = roc_area(labels == 1, probabilities[:, 1], weights)
        return np.where(np.isnan(area), 0.5, area)
    return mean_over_classes(roc_area, labels, probabilities, weights, default=0.5)


def _average_precision(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return mean_over_classes(precision_area, labels, probabilities, weights, default=0.0)


UNIT = (0.0, 1.0)
METRICS: dict[str, Metric] = {
    "accuracy": Metric(accuracy, higher_is_better=True, per_image=_right, limits=UNIT),
    "balanced_accuracy": Metric(balanced_accuracy, higher_is_better=True, of_counts=_balanced, limits=UNIT),
    "macro_precision": Metric(macro_precision, higher_is_better=True, of_counts=_precision, limits=UNIT),
    "macro_recall": Metric(macro_recall, higher_is_better=True, of_counts=_recall, limits=UNIT),
    "macro_f1": Metric(macro_f1, higher_is_better=True, of_counts=_f1, limits=UNIT),
    "cohen_kappa": Metric(cohen_kappa, higher_is_better=True, of_counts=_kappa, limits=(-1.0, 1.0)),
    "quadratic_kappa": Metric(
        quadratic_kappa, higher_is_better=True, of_weights=_weighted_kappa, limits=(-1.0, 1.0)
    ),
    "matthews_correlation": Metric(
        matthews_correlation, higher_is_better=True, of_counts=_correlation, limits=(-1.0, 1.0)
    ),
    "roc_auc": Metric(roc_auc, higher_is_better=True, of_weights=_roc_auc, limits=UNIT),
    "average_precision": Metric(
        average_precision, higher_is_better=True, of_weights=_average_precision, limits=UNIT
    ),
    "log_loss": Metric(log_loss, higher_is_better=False, per_image=_loss, limits=(0.0, math.inf)),
    "brier_score": Metric(brier_score, higher_is_better=False, per_image=_distance, limits=(0.0, 2.0)),
    "top3_accuracy": Metric(top3_accuracy, higher_is_better=True, per_image=_in_top3, limits=UNIT),
    "calibration_error": Metric(calibration_error, higher_is_better=False, limits=UNIT),
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


def _each_once(labels: np.ndarray) -> np.ndarray:
    return np.ones((1, len(labels)))


def _sums(actual: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of images, and the sum over the classes of images there times images called so."""
    images: np.ndarray = actual.sum(-1, dtype=np.float64)
    chance: np.ndarray = (actual.astype(np.float64) * predicted).sum(-1)
    return images, chance


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where the whole is none."""
    share: np.ndarray = np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0.0)
    return share


def _class_mean(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mean over the classes that count; at least one does."""
    mean: np.ndarray = (values * counted).sum(-1) / counted.sum(-1)
    return mean


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where there is nothing."""
    ratio: np.ndarray = part / np.maximum(whole, 1)
    return ratio
