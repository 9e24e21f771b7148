"""Intervals for scores of one fixed network on images that it was not chosen by."""

import numpy as np

from harness.errors import HarnessError
from harness.scoring.find_metric import find_metric

BOOTSTRAPS = 1000
AT_ONCE = 50  # resamples in memory


def share_interval(count: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval for the probability of an event that was seen `count` times in `total`.

    Exact: it covers the truth at least so often.   Source: Clopper and Pearson 1934, Biometrika 26.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def grouped_share_interval(
    right: np.ndarray, groups: np.ndarray, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for a share of images, where whole groups of images were drawn, those of one patient say.

    right: bool (n,).   groups: int (n,), 0..G-1, each with an image.
    The exact interval of as many single images as tell what these groups do; of a share of 0 or 1, as there are groups.
    Source: Korn and Graubard 1998, Survey Methodology 24.
    """
    from scipy.special import betaincinv
    from scipy.stats import t

    sizes = np.bincount(groups)
    total, num_groups, share = len(right), len(sizes), float(np.mean(right))
    if num_groups < 2:
        return 0.0, 1.0
    effective = float(num_groups)
    if 0 < share < 1:
        residuals = np.bincount(groups, weights=right) - share * sizes
        variance = num_groups / (num_groups - 1) * float(np.square(residuals).sum()) / total**2
        effective = min(share * (1 - share) / variance, total) if variance > 0 else float(total)
        quantiles = [float(t.ppf((1 + confidence) / 2, df)) for df in (total - 1, num_groups - 1)]
        effective *= (quantiles[0] / quantiles[1]) ** 2
    count, tail = share * effective, (1 - confidence) / 2
    low = 0.0 if share == 0 else float(betaincinv(count, effective - count + 1, tail))
    high = 1.0 if share == 1 else float(betaincinv(count + 1, effective - count, 1 - tail))
    return low, high


def score_interval(
    metric: str,
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval for a metric, as `find_metric` knows it, on other images like these.

    labels: int64 (n,).   probabilities: (n, classes).   groups: int (n,), 0..G-1, images that belong together: other
    groups like these, then.
    For accuracy the exact one of a share, else by the percentiles of the bootstrap over images, or groups; resamples
    for which a metric of the user's own has no value are left out. Raises HarnessError where it has none for any.
    """
    if metric == "accuracy":
        right = probabilities.argmax(1) == labels
        if groups is not None:
            return grouped_share_interval(right, groups)
        return share_interval(int(right.sum()), len(labels))
    random = np.random.default_rng(seed)
    members = [] if groups is None else [np.flatnonzero(groups == group) for group in np.unique(groups)]

    def sample() -> np.ndarray:
        if groups is None:
            return random.integers(len(labels), size=len(labels))
        return np.concatenate([members[unit] for unit in random.integers(len(members), size=len(members))])

    score = find_metric(metric)
    if score.of_weights is not None:
        values = [
            score.of_weights(
                labels,
                probabilities,
                np.stack([np.bincount(sample(), minlength=len(labels)) for _ in range(AT_ONCE)]),
            )
            for _ in range(BOOTSTRAPS // AT_ONCE)
        ]
        low, high = np.quantile(values, [0.025, 0.975])
        return float(low), float(high)
    scores = []
    for drawn in (sample() for _ in range(BOOTSTRAPS)):
        try:
            scores.append(score(labels[drawn], probabilities[drawn]))
        except HarnessError as error:
            trouble = error
    if not scores:
        raise trouble
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)
