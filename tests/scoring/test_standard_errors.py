"""The corrected error and its interval, against hand computations and their use in a t-test."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.scoring import corrected_interval, corrected_standard_error
from harness.scoring.standard_errors import epoch_choice

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


def test_final_chosen_and_best_epochs_by_hand():
    found = epoch_choice([[0.1, 0.5, 0.4], [0.2, 0.3]], [3, 1])
    assert (found.final, found.chosen, found.oracle) == pytest.approx((0.35, 0.3, 0.4))
    assert found.inflation == pytest.approx(0.1)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=5), st.data())
def test_the_best_epoch_never_looks_worse_than_the_chosen_one(curves, data):
    chosen = [data.draw(st.integers(1, len(curve))) for curve in curves]
    assert epoch_choice(curves, chosen).inflation >= -1e-12


@pytest.mark.parametrize("epoch", [0, 4])
def test_an_epoch_that_is_not_there_is_refused(epoch):
    with pytest.raises(ValueError, match=f"epoch {epoch} is not one of 3"):
        epoch_choice([[0.1, 0.2, 0.3]], [epoch])
