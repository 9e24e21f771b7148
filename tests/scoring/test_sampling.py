"""What the images being a sample does to scores, and errors of means that are never below it."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, nct, t

from harness.errors import HarnessError
from harness.records import TrialRecord
from harness.scoring import sampling
from harness.scoring.intervals import share_interval
from harness.scoring.paired import against_best, corrected_t_test, mcnemar, smallest_difference
from harness.scoring.sampling import deviations
from harness.scoring.standard_errors import MeanError, corrected_standard_error, mean_error, with_half_width

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, size=300)
NETWORKS = [RANDOM.dirichlet(np.ones(3), size=300) + np.eye(3)[LABELS] * lead for lead in (0.2, 0.4)]
NETWORKS = [(rows / rows.sum(1, keepdims=True)).astype(np.float32) for rows in NETWORKS]


def variance(found: np.ndarray) -> float:
    return float(np.square(found).sum())


def test_the_variance_of_a_mean_over_images_is_exact_and_that_of_a_difference_is_paired() -> None:
    found = deviations("accuracy", LABELS, NETWORKS)
    right = np.stack([rows.argmax(1) == LABELS for rows in NETWORKS], axis=1).astype(float)
    for network in (0, 1):
        assert variance(found[:, network]) == pytest.approx(right[:, network].var(ddof=1) / 300)
    apart = right[:, 0] - right[:, 1]
    assert variance(found[:, 0] - found[:, 1]) == pytest.approx(apart.var(ddof=1) / 300)


def test_groups_are_the_units() -> None:
    """Five times the same image is one image."""
    labels, rows, groups = (np.repeat(array, 5, axis=0) for array in (LABELS, NETWORKS[0], np.arange(300)))
    alone = variance(deviations("accuracy", LABELS, NETWORKS[:1]))
    assert variance(deviations("accuracy", labels, [rows], groups + 7)) == pytest.approx(alone)
    assert variance(deviations("accuracy", labels, [rows])) == pytest.approx(alone / 5, rel=0.01)
    drawn = variance(deviations("macro_f1", labels, [rows], groups))
    assert drawn == pytest.approx(variance(deviations("macro_f1", LABELS, NETWORKS[:1])), rel=0.35)


@pytest.mark.parametrize("metric", ["macro_f1", "matthews_correlation", "roc_auc", "log_loss"])
def test_other_metrics_vary_as_resampled_images_do(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.scoring.find_metric import find_metric

    monkeypatch.setattr(sampling, "RESAMPLES", 400)
    monkeypatch.setattr(sampling, "SLOW_RESAMPLES", 400)
    score, random = find_metric(metric), np.random.default_rng(1)
    drawn = (random.integers(300, size=300) for _ in range(400))
    expected = np.std([score(LABELS[rows], NETWORKS[0][rows]) for rows in drawn])
    assert math.sqrt(variance(deviations(metric, LABELS, NETWORKS[:1]))) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_what_no_image_changes_has_the_error_of_a_share(metric: str) -> None:
    perfect = np.eye(3, dtype=np.float32)[LABELS]
    low, high = share_interval(300, 300)
    found = deviations(metric, LABELS, [perfect, NETWORKS[0]])
    assert math.sqrt(variance(found[:, 0])) == pytest.approx((high - low) / 3.92, rel=1e-3)
    one_group = deviations("accuracy", LABELS, [perfect], np.zeros(300, int))
    assert math.sqrt(variance(one_group)) == pytest.approx(1 / 3.92, rel=1e-3)  # which tells nothing


def test_a_metric_without_a_value_for_a_resample_has_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "resampled", lambda *_: lambda weights: np.full((len(weights), 1), np.nan))
    with pytest.raises(HarnessError, match="macro_f1: has no value"):
        deviations("macro_f1", LABELS, NETWORKS[:1])


def test_an_error_is_never_below_what_the_images_allow_and_no_t_is_infinite() -> None:
    error = mean_error([0.8, 0.8], num_folds=2, sampling=0.0004)
    assert error is not None and error.freedom == 7
    assert error.standard_error == pytest.approx(math.sqrt(1.5 * 0.0004))
    t_value, p = corrected_t_test([0.1, 0.1], test_fraction=1.0, sampling=0.0004)
    assert t_value == pytest.approx(0.1 / error.standard_error) and p == pytest.approx(error.p_of(0.1))
    assert p == pytest.approx(2 * t.sf(t_value, 7))


def test_the_variance_of_few_folds_is_drawn_to_that_of_the_images() -> None:
    scores = [0.70, 0.80, 0.75, 0.85, 0.72]
    found = mean_error(scores, num_folds=5, sampling=0.001)
    seen = np.var(scores, ddof=1)
    assert found is not None and seen > 0.001
    assert found.standard_error == pytest.approx(math.sqrt(0.45 * (6 * 0.001 + 4 * seen) / 10))
    assert found.half_width == pytest.approx(t.ppf(0.975, 10) * found.standard_error)
    plain = mean_error(scores, num_folds=5)
    assert plain is not None and plain.freedom == 4
    assert plain.standard_error == pytest.approx(corrected_standard_error(scores, test_fraction=0.25))
    assert mean_error([0.7], num_folds=5) is None
    assert mean_error([0.7], num_folds=5, sampling=0.0001) == MeanError(pytest.approx(0.01), math.inf)
    assert MeanError(0.01, math.inf).half_width == pytest.approx(0.0196, abs=1e-5)


def test_a_trial_of_an_earlier_release_has_the_interval_of_its_error() -> None:
    old = TrialRecord(0, "complete", {}, {}, scores=(0.8, 0.9, 0.85), mean=0.85, standard_error=0.02)
    assert with_half_width(old).half_width == pytest.approx(0.02 * t.ppf(0.975, 2))
    new = replace(old, half_width=0.05)
    assert with_half_width(new) is new


def test_mcnemar_by_groups_is_the_sign_test_of_their_surpluses() -> None:
    right, other = (rows.argmax(1) == LABELS for rows in NETWORKS)
    only, also, p = mcnemar(right, other, np.arange(300))
    assert p == pytest.approx(binomtest(only, only + also).pvalue, abs=1e-9)
    groups = np.arange(300) % 12
    surplus = np.bincount(groups, right.astype(int) - other.astype(int)).astype(int)
    seen = abs(surplus.sum())
    exact = np.mean([abs(np.dot(signs, surplus)) >= seen for signs in product((-1, 1), repeat=12)])
    assert mcnemar(right, other, groups)[2] == pytest.approx(exact, abs=1e-9)
    assert mcnemar(right, right, groups) == (0, 0, 1.0)


def test_copies_of_images_tell_no_more_than_the_images() -> None:
    right, other = (rows.argmax(1) == LABELS for rows in NETWORKS)
    once = mcnemar(right, other, np.arange(300))[2]
    many = [np.repeat(array, 5) for array in (right, other, np.arange(300))]
    assert mcnemar(*many)[2] == pytest.approx(once, abs=1e-9)
    assert mcnemar(*many[:2])[2] < once / 10


def test_trials_are_told_apart_by_the_images_that_they_differ_in() -> None:
    scores = np.array([[0.80, 0.80, 0.80], [0.79, 0.79, 0.79]])  # a difference without any spread
    assert against_best(scores, test_fraction=0.5)[1] == 0.0
    spread = np.array([[0.03, 0.0], [0.0, 0.03]])
    found = against_best(scores, test_fraction=0.5, deviations=spread)[1]
    expected = corrected_t_test([0.01] * 3, test_fraction=0.5, sampling=0.0018)[1]
    assert found == pytest.approx(expected) and found > 0.5


def test_the_smallest_difference_is_found_four_times_out_of_five() -> None:
    error = MeanError(0.02, 8)
    shift = smallest_difference(error) / error.standard_error
    critical = t.ppf(0.975, 8)
    assert nct.sf(critical, 8, shift) + nct.cdf(-critical, 8, shift) == pytest.approx(0.8, abs=1e-4)
