"""Areas under curves of one class against all others, of images that were drawn any number of times each.

A curve is made of weights, (resamples, n): how often each image was drawn. So one sorting serves a thousand resamples.
"""

from collections.abc import Callable

import numpy as np

Area = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def roc_area(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability that an image of the class scores above another one, ties counting half: (resamples,).

    positive: bool (n,), which images are of the class.   scores: (n,).   weights: (resamples, n).
    NaN where no image of the class, or no other one, was drawn.   Source: Mann and Whitney 1947.
    """
    hits, others = _found(positive, scores, weights)
    pairs = hits[:, -1] * others[:, -1]
    above = (hits + _before(hits)) / 2
    return _divided((np.diff(others, prepend=0) * above).sum(1), pairs)


def precision_area(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision, the mean over the images of the class of the precision among those that score as much or more.

    Arguments and result as of `roc_area`; NaN where no image of the class was drawn. It is the sum over thresholds that
    scikit-learn has, without interpolation.
    """
    hits, others = _found(positive, scores, weights)
    precision = hits / np.maximum(hits + others, 1)
    return _divided((np.diff(hits, prepend=0) * precision).sum(1), hits[:, -1])


def mean_over_classes(
    area: Area, labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, *, default: float
) -> np.ndarray:
    """Mean of an area over the classes for which there is one: (resamples,).   default: where there is none for any.

    labels: int64 (n,).   probabilities: (n, classes).   weights: (resamples, n).
    """
    total, count = np.zeros(len(weights)), np.zeros(len(weights))
    for label in np.unique(labels):
        values = area(labels == label, probabilities[:, label], weights)
        there = ~np.isnan(values)
        total[there] += values[there]
        count += there
    return np.where(count > 0, total / np.maximum(count, 1), default)


def _found(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of the class, and others, that score at least each score there is, highest first: (resamples, scores)."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)  # NaN: the last one ends, too
    drawn = weights[:, order].astype(np.float64)
    everything = drawn.cumsum(1)[:, ends]
    hits = (drawn * positive[order]).cumsum(1)[:, ends]
    return hits, everything - hits


def _before(counts: np.ndarray) -> np.ndarray:
    return np.pad(counts[:, :-1], ((0, 0), (1, 0)))


def _divided(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and NaN where there is nothing."""
    divided: np.ndarray = np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
    return divided
