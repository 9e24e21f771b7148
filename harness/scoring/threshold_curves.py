"""How a class is told from all others at every threshold of its probability: ROC and precision-recall curves."""

from dataclasses import dataclass

import numpy as np

MOST_POINTS = 60


@dataclass(frozen=True)
class ThresholdCurve:
    """By falling threshold: what is called the class has at least that probability.

    recall is the rate of true positives.   precision is of those called the class.
    """

    threshold: tuple[float, ...]
    false_positive_rate: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]


def threshold_curve(
    positive: np.ndarray, scores: np.ndarray, most: int = MOST_POINTS
) -> ThresholdCurve | None:
    """At most so many points, evenly along the ROC curve; None where there are no images of the class, or no others.

    positive: bool (n,), images of the class.   scores: (n,) their probability of it.
    """
    images, others = int(positive.sum()), int((~positive).sum())
    if not images or not others:
        return None
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(scores) - 1)  # equal scores are one threshold
    hits = np.cumsum(positive[order])[ends]
    recall, false = hits / images, (ends + 1 - hits) / others
    length = np.cumsum(np.hypot(np.diff(recall, prepend=0.0), np.diff(false, prepend=0.0)))
    wanted = np.searchsorted(length, np.linspace(length[0], length[-1] - 1e-12, most))
    chosen = np.unique(wanted) if len(ends) > most else np.arange(len(ends))
    columns = falling[ends], false, recall, hits / (ends + 1)
    return ThresholdCurve(*(tuple(column[chosen].round(5).tolist()) for column in columns))
