"""How well each class is found, from out-of-fold predictions."""

from dataclasses import dataclass

import numpy as np

from harness.scoring.metrics import confusion_matrix
from harness.scoring.ranking import roc_area


@dataclass(frozen=True)
class ClassScores:
    """Precision is 0 for a class that nothing was called, recall for one without images; f1 is their harmonic mean.

    support: images of the class.   roc_auc: of this class against all others; None if it has no images, or all.
    """

    precision: float
    recall: float
    f1: float
    support: int
    roc_auc: float | None


def per_class(labels: np.ndarray, probabilities: np.ndarray) -> list[ClassScores]:
    """The scores of each class, in their order.   labels: int64 (n,).   probabilities: (n, classes)."""
    matrix = confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1])
    scores = []
    for index, (hits, actual, predicted) in enumerate(
        zip(matrix.diagonal(), matrix.sum(1), matrix.sum(0), strict=True)
    ):
        scores.append(
            ClassScores(
                precision=float(hits / max(predicted, 1)),
                recall=float(hits / max(actual, 1)),
                f1=float(2 * hits / max(actual + predicted, 1)),
                support=int(actual),
                roc_auc=_roc_auc(labels == index, probabilities[:, index]),
            )
        )
    return scores


def _roc_auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
    area = float(roc_area(positive, scores, np.ones((1, len(scores))))[0])
    return None if np.isnan(area) else area
