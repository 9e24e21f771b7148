"""The corrected error and its interval, against hand computations and their use in a t-test."""

import math

import pytest
from scipy import stats

from harness.scoring import corrected_interval, corrected_standard_error

SCORES = [0.80, 0.82, 0.78, 0.84, 0.76]  # mean 0.80, sample variance 0.001


def test_the_corrected_standard_error_by_hand():
    expected = math.sqrt((1 / 5 + 1 / 4) * 0.001)
    assert corrected_standard_error(SCORES, test_fraction=0.25) == pytest.approx(expected)


def test_without_overlap_it_is_the_ordinary_standard_error():
    assert corrected_standard_error(SCORES, test_fraction=0.0) == pytest.approx(stats.sem(SCORES))


def test_at_five_folds_the_ordinary_error_is_one_and_a_half_times_too_small():
    assert corrected_standard_error(SCORES, test_fraction=0.25) / stats.sem(SCORES) == pytest.approx(1.5)


def test_the_interval_by_hand():
    low, high = corrected_interval(SCORES, test_fraction=0.25)
    half = 2.776445105 * math.sqrt(0.45 * 0.001)  # t quantile 0.975 with 4 degrees of freedom, from a table
    assert (low, high) == pytest.approx((0.80 - half, 0.80 + half))


def test_without_overlap_the_interval_is_students():
    found = corrected_interval(SCORES, test_fraction=0.0, confidence=0.9)
    assert found == pytest.approx(stats.t.interval(0.9, df=4, loc=0.8, scale=stats.sem(SCORES)))


@pytest.mark.parametrize("scores", [[], [0.5]])
def test_fewer_than_two_scores_are_refused(scores):
    with pytest.raises(ValueError, match="at least 2 scores"):
        corrected_standard_error(scores, test_fraction=0.25)
