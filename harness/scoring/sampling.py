"""How far scores may be off because the held-out images are a sample: the error that no further training takes away."""

from collections.abc import Sequence

import numpy as np

from harness.errors import HarnessError
from harness.scoring.find_metric import find_metric
from harness.scoring.intervals import grouped_share_interval, share_interval
from harness.scoring.learning_curve import NORMAL
from harness.scoring.resampling import bootstrap_weights, resampled

RESAMPLES = 200
SLOW_RESAMPLES = (
    40  # of a metric that is not made of counts, each of which takes its time at the end of every fold
)


def deviations(
    metric: str, labels: np.ndarray, probabilities: Sequence[np.ndarray], groups: np.ndarray | None = None
) -> np.ndarray:
    """What the sample of images does to the scores of some networks: float64 (rows, networks).

    The squared length of a column is the variance of that network's score for its images being a sample; that of the
    difference of two columns is the variance of the difference of their scores, on the same images.

    labels: int64 (n,).   probabilities: (n, classes) of each network.   groups: int64 (n,); whole groups were drawn.
    Exact for a metric that is a mean over images, else by the bootstrap. Where resampling changes nothing, because
    all images are right say, as the exact interval of a share has it: no column is 0.
    Raises HarnessError where a metric of the user's own has no value for some resample.
    """
    units = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    entry = find_metric(metric)
    if entry.per_image is not None:
        values = np.stack([entry.per_image(labels, rows) for rows in probabilities], axis=1).astype(
            np.float64
        )
        residuals, num_units = values - values.mean(0), int(units.max()) + 1
        sums = np.stack([np.bincount(units, column, num_units) for column in residuals.T], axis=1)
        found = sums / len(labels) * np.sqrt(num_units / max(num_units - 1, 1))
    else:
        repeats = RESAMPLES if entry.of_counts is not None else SLOW_RESAMPLES
        resamples = bootstrap_weights(units, repeats, seed=0)
        evaluate = resampled(metric, labels, probabilities, [np.arange(len(labels))])
        scores = np.concatenate([evaluate(weights) for weights in resamples]).astype(np.float64)
        found = (scores - scores.mean(0)) / np.sqrt(len(scores) - 1)
        if not np.isfinite(found).all():
            raise HarnessError(f"{metric}: has no value for some resampled images")
    least = np.zeros(len(probabilities))
    for network in map(int, np.flatnonzero(np.abs(found).max(0) < 1e-12)):
        right = probabilities[network].argmax(1) == labels
        low, high = grouped_share_interval(right, units)
        if len(right) == found.shape[0]:
            low, high = share_interval(int(right.sum()), len(right))
        least[network] = (high - low) / (2 * NORMAL)
    return np.vstack([found, least])
