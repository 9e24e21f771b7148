"""Intervals against scipy's, and against the truth of a simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from harness.scoring.intervals import score_interval, share_interval


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (3, 10), (970, 1000), (1, 1)])
def test_a_share_has_scipys_exact_interval(count: int, total: int) -> None:
    exact = binomtest(count, total).proportion_ci(0.95, method="exact")
    assert share_interval(count, total) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_accuracy_takes_the_exact_interval_and_other_metrics_the_bootstrap() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 400)
    probabilities = random.dirichlet(np.ones(3), 400) + 0.3 * np.eye(3)[labels]
    probabilities /= probabilities.sum(1, keepdims=True)
    right = int((probabilities.argmax(1) == labels).sum())
    assert score_interval("accuracy", labels, probabilities) == share_interval(right, 400)
    losses = -np.log(probabilities[np.arange(400), labels])
    error = losses.std() / 20
    low, high = score_interval("log_loss", labels, probabilities)
    assert low == pytest.approx(losses.mean() - 1.96 * error, abs=0.3 * error)
    assert high == pytest.approx(losses.mean() + 1.96 * error, abs=0.3 * error)
