"""Intervals for scores of one fixed network on images that it was not chosen by."""

import numpy as np

from harness.errors import HarnessError
from harness.scoring.find_metric import find_metric

BOOTSTRAPS = 1000


def share_interval(count: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for the probability of an event that was seen `count` times in `total`.

    Exact: it covers the truth at least so often.   Source: Clopper and Pearson 1934, Biometrika 26.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def score_interval(
    metric: str, labels: np.ndarray, probabilities: np.ndarray, *, seed: int = 0
) -> tuple[float, float]:
    """95 % interval for a metric, as `find_metric` knows it, on other images like these.

    labels: int64 (n,).   probabilities: (n, classes).
    For accuracy the exact one of a share, else by the percentiles of the bootstrap over images; resamples for which a
    metric of the user's own has no value are left out. Raises HarnessError where it has none for any.
    """
    if metric == "accuracy":
        return share_interval(int((probabilities.argmax(1) == labels).sum()), len(labels))
    random = np.random.default_rng(seed)
    samples = (random.integers(len(labels), size=len(labels)) for _ in range(BOOTSTRAPS))
    score = find_metric(metric)
    scores = []
    for sample in samples:
        try:
            scores.append(score(labels[sample], probabilities[sample]))
        except HarnessError as error:
            trouble = error
    if not scores:
        raise trouble
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)
