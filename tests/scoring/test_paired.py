"""Paired comparisons, against scipy, brute force and simulations whose truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.scoring.paired import (
    against_best,
    cheapest_within_one_error,
    corrected_t_test,
    correlated_bayes,
    holm,
    indistinguishable,
    mcnemar,
    smallest_difference,
)
from harness.scoring.standard_errors import MeanError
from tests.benchmarks.statistics import best_of_ten, false_alarms, interval, power, stump

DIFFERENCES = [0.02, -0.01, 0.03, 0.015, 0.005]


def test_without_overlap_the_corrected_t_test_is_students():
    expected = stats.ttest_1samp(DIFFERENCES, 0)
    found = corrected_t_test(DIFFERENCES, test_fraction=0.0)
    assert found == pytest.approx((expected.statistic, expected.pvalue))


def test_at_five_folds_the_statistic_is_one_and_a_half_times_smaller():
    t, p = corrected_t_test(DIFFERENCES, test_fraction=0.25)
    assert t == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).statistic / 1.5)
    assert p == pytest.approx(2 * stats.t.sf(t, 4))


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.0] * 3, (0.0, 1.0)), ([0.5] * 3, (math.inf, 0.0)), ([-0.5] * 3, (-math.inf, 0.0))],
)
def test_equal_differences_are_certain(differences, expected):
    assert corrected_t_test(differences, test_fraction=0.25) == expected


def test_mcnemar_is_the_exact_binomial_test_of_the_images_that_only_one_has_right():
    right_a, right_b = np.random.default_rng(0).random((2, 200)) < [[0.8], [0.7]]
    b, c, p = mcnemar(right_a, right_b)
    assert b - c == right_a.sum() - right_b.sum()
    assert p == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue)
    assert mcnemar(right_b, right_a) == (c, b, pytest.approx(p))


def test_mcnemar_of_equal_trials_finds_nothing():
    right = np.array([True, False])
    assert mcnemar(right, right) == (0, 0, 1.0)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_its_step_down_procedure_rejects(p_values):
    """From the smallest p on, reject while p <= alpha / (number of those left)."""
    adjusted = holm(p_values)
    for alpha in (0.01, 0.05, 0.2):
        order = sorted(range(len(p_values)), key=lambda i: p_values[i])
        rejected = set()
        for step, index in enumerate(order):
            if p_values[index] * (len(order) - step) > alpha:
                break
            rejected.add(index)
        assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))


def test_the_bayesian_test_is_the_t_test_turned_around_where_nothing_is_equivalent():
    worse, equivalent, better = correlated_bayes(DIFFERENCES, test_fraction=0.25, rope=0.0)
    _, p = corrected_t_test(DIFFERENCES, test_fraction=0.25)
    assert (worse, equivalent, better) == pytest.approx((p / 2, 0.0, 1 - p / 2))


def test_the_bayesian_test_agrees_with_drawing_from_the_posterior():
    """Corani and Benavoli: t about the mean, scale sqrt((1/k + rho / (1 - rho)) s²) with rho = 1/5 at five folds."""
    scale = np.sqrt((1 / 5 + 0.2 / 0.8) * np.var(DIFFERENCES, ddof=1))
    draws = np.mean(DIFFERENCES) + scale * np.random.default_rng(0).standard_t(4, size=200_000)
    expected = [(draws < -0.01).mean(), (np.abs(draws) <= 0.01).mean(), (draws > 0.01).mean()]
    assert correlated_bayes(DIFFERENCES, test_fraction=0.25, rope=0.01) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(("value", "expected"), [(0.0, (0, 1, 0)), (0.1, (0, 0, 1)), (-0.1, (1, 0, 0))])
def test_the_bayesian_test_of_equal_differences_is_certain(value, expected):
    assert correlated_bayes([value] * 5, test_fraction=0.25, rope=0.01) == expected


@pytest.mark.parametrize(("num_folds", "wanted"), [(3, 0.5), (5, 0.8), (10, 0.95)])
def test_the_smallest_difference_has_its_power_by_the_noncentral_t(num_folds, wanted):
    found = smallest_difference(MeanError(0.02, num_folds - 1), power=wanted)
    shift = found / 0.02
    critical = stats.t.ppf(0.975, num_folds - 1)
    assert stats.nct.sf(critical, num_folds - 1, shift) + stats.nct.cdf(
        -critical, num_folds - 1, shift
    ) == pytest.approx(wanted, abs=1e-4)


def test_the_set_is_the_best_trial_and_those_that_its_t_test_leaves_after_holm_over_all_pairs():
    scores = np.array([[0.80, 0.82, 0.81, 0.83, 0.80], [0.50, 0.51, 0.52, 0.50, 0.51]])
    scores = np.vstack([scores, scores[0] + [0.01, -0.005, 0.0, 0.01, 0.002]])
    raw = {
        (a, b): corrected_t_test(scores[a] - scores[b], test_fraction=0.25)[1]
        for a, b in [(0, 1), (0, 2), (1, 2)]
    }
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    found = against_best(scores, test_fraction=0.25)
    assert found == pytest.approx([adjusted[0, 2], adjusted[1, 2], 1.0])
    assert indistinguishable(scores, test_fraction=0.25) == [2, 0]
    assert indistinguishable(scores[:1], test_fraction=0.25) == [0]


def test_identical_trials_cannot_be_told_apart():
    assert indistinguishable(np.full((3, 5), 0.5), test_fraction=0.25) == [0, 1, 2]


def test_the_cheapest_within_one_error_of_the_best():
    means, errors = [0.90, 0.89, 0.885, 0.80], [0.01, 0.5, 0.5, 0.5]
    assert cheapest_within_one_error(means, errors, [10, 3, 2, 1]) == 1
    assert cheapest_within_one_error(means, errors, [3, 3, 2, 1]) == 0, "of equally cheap ones the better"
    assert cheapest_within_one_error([0.5], [0.0], [1.0]) == 0


def test_equal_learners_are_rarely_told_apart_where_the_plain_t_test_fails():
    row = false_alarms(stump, repeats=4, runs=150)
    assert row["naive"] > 0.2
    assert row["corrected"] <= 0.06


def test_none_of_ten_equal_learners_falls_out_of_the_set_of_the_best():
    row = best_of_ten(stump, repeats=2, runs=40)
    assert row["naive"] > 0.2
    assert row["corrected"] <= 0.06


def test_the_corrected_interval_covers_where_the_plain_one_does_not():
    row = interval(stump, repeats=4, runs=150)
    assert row["naive"] < 0.8
    assert row["corrected"] >= 0.92


def test_the_power_is_as_promised():
    row = power(num_folds=5, runs=1500)
    assert row["naive"] == pytest.approx(0.05, abs=0.02)
    assert row["corrected"] == pytest.approx(0.8, abs=0.035)
