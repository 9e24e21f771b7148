"""A metric of several networks on resampled images, many times at once."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from harness.scoring.find_metric import find_metric
from harness.scoring.metrics import Counted

CHUNK_NUMBERS = 4_000_000  # of resampling weights in memory at a time

# (resamples, images) how often each was drawn -> (resamples, trials) the metric on what was drawn.
Resampled = Callable[[np.ndarray], np.ndarray]


def bootstrap_weights(groups: np.ndarray, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image was drawn, float32 (some resamples, N), when groups are drawn with replacement."""
    generator = np.random.default_rng(seed)
    names, member = np.unique(groups, return_inverse=True)
    at_once = max(1, CHUNK_NUMBERS // len(member))
    for first in range(0, repeats, at_once):
        drawn = [
            np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
            for _ in range(first, min(first + at_once, repeats))
        ]
        yield np.array(drawn, dtype=np.float32)[:, member]


def resampled(
    metric: str, labels: np.ndarray, trials: Sequence[np.ndarray], networks: Sequence[np.ndarray]
) -> Resampled:
    """The metric of each trial as a function of how often each image was drawn.

    networks: the rows of each, over which a metric is averaged that has only `of_weights`.
    """
    entry = find_metric(metric)
    if entry.per_image is not None:
        columns = np.stack([entry.per_image(labels, rows) for rows in trials], axis=1).astype(np.float32)
        return lambda weights: (weights @ columns) / weights.sum(1, keepdims=True)
    if entry.of_counts is not None:
        return _from_counts(entry.of_counts, labels, trials)
    if (of_weights := entry.of_weights) is not None:
        return lambda weights: (
            np.mean(
                [
                    [of_weights(labels[part], rows[part], weights[:, part]) for rows in trials]
                    for part in networks
                ],
                axis=0,
            ).T
        )

    def one_by_one(weights: np.ndarray) -> np.ndarray:
        draws = [np.repeat(np.arange(len(labels)), row.astype(np.int64)) for row in weights]
        return np.array([[entry(labels[drawn], rows[drawn]) for rows in trials] for drawn in draws])

    return one_by_one


def _from_counts(of_counts: Counted, labels: np.ndarray, trials: Sequence[np.ndarray]) -> Resampled:
    """Counts of the images drawn by class called and right or wrong, as one sparse product for all trials."""
    from scipy.sparse import csr_array

    num_trials, num_classes = len(trials), trials[0].shape[1]
    called = np.stack([rows.argmax(1) for rows in trials], axis=1)
    cells = (np.arange(num_trials) * 2 + (called == labels[:, None])) * num_classes + called
    shape = (num_trials * 2 * num_classes, len(labels))
    images = np.repeat(np.arange(len(labels)), num_trials)
    membership = csr_array((np.ones(cells.size, np.float32), (cells.ravel(), images)), shape=shape)
    classes = np.eye(num_classes, dtype=np.float32)[labels]

    def counted(weights: np.ndarray) -> np.ndarray:
        wrong_right = (membership @ weights.T).T.reshape(len(weights), num_trials, 2, num_classes)
        actual = (weights @ classes)[:, None, :]
        return of_counts(wrong_right[:, :, 1], actual, wrong_right.sum(2))

    return counted
