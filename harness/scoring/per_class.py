"""How well each class is found, from out-of-fold predictions."""

from dataclasses import dataclass

import numpy as np

from harness.scoring.metrics import confusion_matrix


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
    """Probability that a positive scores above a negative, ties counting half (Mann and Whitney 1947)."""
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    if not num_positive or not num_negative:
        return None
    _, place, ties = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (ties.cumsum() - (ties - 1) / 2)[
        place
    ]  # as scipy.stats.rankdata, whose import takes longer than all this
    excess = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(excess / (num_positive * num_negative))
