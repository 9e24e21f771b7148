"""Intervals against scipy's, and against the truth of a simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from harness.scoring.intervals import grouped_share_interval, score_interval, share_interval


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


@pytest.mark.parametrize(("num_groups", "likeness"), [(12, 0.0), (12, 0.3), (40, 0.3), (40, 0.8)])
def test_the_interval_of_groups_covers_the_truth_where_that_of_images_does_not(
    num_groups: int, likeness: float
) -> None:
    """Groups of 5 to 14 images whose shares differ between groups: likeness is their correlation."""
    random = np.random.default_rng(0)
    truth, covered, naively = 0.8, 0, 0
    for _ in range(400):
        groups = np.repeat(np.arange(num_groups), random.integers(5, 15, num_groups))
        shares = np.full(num_groups, truth)
        if likeness:
            scale = 1 / likeness - 1
            shares = random.beta(truth * scale, (1 - truth) * scale, num_groups)
        right = random.random(len(groups)) < shares[groups]
        low, high = grouped_share_interval(right, groups)
        covered += low <= truth <= high
        low, high = share_interval(int(right.sum()), len(right))
        naively += low <= truth <= high
    assert covered >= 0.93 * 400
    assert likeness == 0 or naively < 0.85 * 400


def test_groups_of_one_image_have_the_interval_of_images() -> None:
    right = np.arange(200) % 5 > 0
    low, high = grouped_share_interval(right, np.arange(200))
    assert (low, high) == pytest.approx(share_interval(160, 200), abs=2e-3)
    assert grouped_share_interval(np.ones(30, bool), np.arange(30) // 3) == share_interval(10, 10)
    assert grouped_share_interval(np.zeros(30, bool), np.arange(30) // 3) == share_interval(0, 10)
    assert grouped_share_interval(right, np.zeros(200, int)) == (0.0, 1.0)


def test_the_bootstrap_draws_whole_groups() -> None:
    random = np.random.default_rng(0)
    groups = np.arange(400) // 10
    labels = random.integers(0, 2, 400)
    right = (random.random(40) < 0.7)[groups]  # all of a group, or none
    probabilities = np.eye(2)[np.where(right, labels, 1 - labels)]
    low, high = score_interval("balanced_accuracy", labels, probabilities, groups=groups)
    inner = score_interval("balanced_accuracy", labels, probabilities)
    assert high - low > 2 * (inner[1] - inner[0])
    assert low < right.mean() < high
