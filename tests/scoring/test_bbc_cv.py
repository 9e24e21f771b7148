"""The corrected score of the best trial, against plain computations and simulations whose truth is known."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from harness.scoring import METRICS, softmax
from harness.scoring.bbc_cv import corrected_best
from harness.scoring.resampling import bootstrap_weights, resampled
from tests.benchmarks.statistics import World, winner


def study(
    num_trials: int, num_images: int = 150, num_classes: int = 4
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels, of which the last class has few images, and somewhat alike predictions of each trial."""
    generator = np.random.default_rng(num_trials)
    labels = generator.choice(num_classes, num_images, p=[0.4, 0.3, 0.29, 0.01])
    shared = generator.normal(size=(num_images, num_classes)) + np.eye(num_classes)[labels]
    return labels, [softmax(shared + generator.normal(size=shared.shape)) for _ in range(num_trials)]


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_of_weights_is_the_metric_of_the_images_drawn(name):
    labels, trials = study(3)
    weights = next(bootstrap_weights(np.arange(len(labels)), 5, seed=1))
    for row, found in zip(
        weights, resampled(name, labels, trials, [np.arange(len(labels))])(weights), strict=True
    ):
        drawn = np.repeat(np.arange(len(labels)), row.astype(int))
        assert found == pytest.approx(
            [METRICS[name](labels[drawn], rows[drawn]) for rows in trials], abs=1e-6
        )


@pytest.mark.parametrize("name", ["accuracy", "log_loss"])
def test_bias_correction_as_the_paper_writes_it_down(name):
    """Draw images, take the trial that is best on them, score it on those not drawn; the mean over the repeats."""
    labels, trials = study(6)
    metric, sign = METRICS[name], 1 if METRICS[name].higher_is_better else -1
    scores = []
    generator = np.random.default_rng(7)
    for _ in range(40):
        drawn = generator.integers(len(labels), size=len(labels))
        left = np.setdiff1d(np.arange(len(labels)), drawn)
        best = max(trials, key=lambda rows: sign * metric(labels[drawn], rows[drawn]))
        scores.append(metric(labels[left], best[left]))
    found = corrected_best(name, labels, trials, eligible=[True] * 6, repeats=40, seed=7)
    assert found.corrected == pytest.approx(np.mean(scores), abs=1e-6)
    assert found.naive == pytest.approx(sign * max(sign * metric(labels, rows) for rows in trials))
    assert sign * found.corrected < sign * found.naive and found.low < found.corrected < found.high


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_what_ranks_images_is_compared_within_each_network_s_fold(name):
    """Networks that each favour a class rank images of different folds badly, and those of their own no worse."""
    labels, trials = study(3, num_images=600)
    fold_of = np.arange(600) % 3
    biased = [softmax(np.log(rows) + 1.5 * np.eye(4)[fold_of]) for rows in trials]
    expected = max(
        np.mean([METRICS[name](labels[fold_of == fold], rows[fold_of == fold]) for fold in range(3)])
        for rows in biased
    )
    found, pooled = (
        corrected_best(name, labels, biased, eligible=[True] * 3, fold_of=folds) for folds in (fold_of, None)
    )
    assert found.naive == pytest.approx(expected, abs=1e-9) and found.low < found.naive < found.high
    assert pooled.naive < found.naive - 0.02 and pooled.corrected < found.corrected - 0.02


def test_rows_of_a_stopped_trial_come_from_one_network_where_images_are_ranked(monkeypatch):
    labels, trials = study(4)
    fold_of, seen = np.arange(150) % 3, {}
    trials[3][fold_of == 1] = np.nan
    monkeypatch.setattr(
        "harness.scoring.bbc_cv.resampled", lambda *given: seen.update(trials=given[2]) or resampled(*given)
    )
    corrected_best("roc_auc", labels, trials, eligible=[True] * 3 + [False], repeats=3, fold_of=fold_of)
    filled = seen["trials"][3][fold_of == 1]
    assert any(np.array_equal(filled, rows[fold_of == 1]) for rows in trials[:3])


@pytest.mark.parametrize("name", ["average_precision", "calibration_error", "roc_auc", "quadratic_kappa"])
def test_a_metric_that_changes_with_the_number_of_images_is_not_corrected_for_that(name):
    """The best of two trials that are one: nothing was chosen, so nothing is to be corrected."""
    labels, (rows,) = study(1, num_images=120)
    once, twice = (corrected_best(name, labels, [rows] * times, eligible=[True] * times) for times in (1, 2))
    assert once.low < once.naive < once.high
    assert twice.corrected == pytest.approx(once.naive, abs=1e-6) and twice.low < once.naive < twice.high


@cache
def simulated(rule: str) -> dict[str, Any]:
    return winner(World(500, rule=rule), runs=30, repeats=100)


@pytest.mark.parametrize("rule", ["none", "forgiving"])
def test_the_best_of_fifty_equal_trials_is_corrected_to_what_it_is_worth(rule):
    assert simulated(rule)["naive"] > 0.025
    assert abs(simulated(rule)["corrected"]) <= 0.005
    assert simulated(rule)["coverage"] >= 0.92


def test_leaving_stopped_trials_out_would_undercorrect():
    assert simulated("forgiving")["without_stopped"] > simulated("forgiving")["corrected"] + 0.002


def test_one_trial_keeps_its_score_and_has_the_interval_of_the_plainbootstrap_weights():
    labels, (rows,) = study(1, num_images=400)
    found = corrected_best("accuracy", labels, [rows], eligible=[True])
    share = METRICS["accuracy"](labels, rows)
    assert found.naive == found.corrected == pytest.approx(share)
    half = 1.96 * np.sqrt(share * (1 - share) / 400)
    assert (found.low, found.high) == pytest.approx((share - half, share + half), abs=0.006)
    assert found.num_trials == 1


def test_the_same_trial_twice_is_as_good_as_once_and_as_sure():
    labels, (rows,) = study(1, num_images=400)
    once = corrected_best("accuracy", labels, [rows], eligible=[True])
    twice = corrected_best("accuracy", labels, [rows, rows], eligible=[True, True])
    assert twice.corrected == pytest.approx(once.naive, abs=0.003)
    assert twice.high - twice.low == pytest.approx(once.high - once.low, rel=0.12)


def test_whole_groups_are_drawn():
    groups = np.repeat(np.arange(30), 4)
    weights = next(bootstrap_weights(groups, 20, seed=0)).reshape(20, 30, 4)
    assert (weights == weights[:, :, :1]).all()
    assert (weights[:, :, 0].sum(1) == 30).all()


def test_copies_of_images_widen_the_interval_if_they_are_groups():
    labels, trials = study(5)
    labels, trials = np.repeat(labels, 4), [np.repeat(rows, 4, axis=0) for rows in trials]
    wide, narrow = (
        corrected_best("accuracy", labels, trials, eligible=[True] * 5, groups=groups)
        for groups in (np.repeat(np.arange(150), 4), None)
    )
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(2, rel=0.15)


def test_it_does_not_depend_on_how_many_resamples_are_held_at_a_time(monkeypatch):
    labels, trials = study(4)
    trials[2][30:] = np.nan
    found = []
    for numbers in (4_000_000, 1):
        monkeypatch.setattr("harness.scoring.resampling.CHUNK_NUMBERS", numbers)
        found.append(
            corrected_best("accuracy", labels, trials, eligible=[True, True, False, True], repeats=50)
        )
    assert (found[0].corrected, found[0].low) == pytest.approx((found[1].corrected, found[1].low), abs=1e-6)


def test_a_trial_without_predictions_does_not_count_and_its_input_is_left_alone():
    labels, trials = study(3)
    nothing, part = np.full_like(trials[0], np.nan), trials[1].copy()
    part[50:] = np.nan
    before = part.copy()
    found = corrected_best("accuracy", labels, [trials[0], nothing, part], eligible=[True, False, False])
    assert found.num_trials == 2
    assert found.naive == METRICS["accuracy"](labels, trials[0])
    np.testing.assert_array_equal(part, before)


def test_no_complete_trial_and_a_gap_in_an_eligible_one_are_refused():
    labels, trials = study(2)
    with pytest.raises(ValueError, match="no trial is complete"):
        corrected_best("accuracy", labels, trials, eligible=[False, False])
    trials[1][3] = np.nan
    with pytest.raises(ValueError, match="trial 1 is eligible but lacks 1 predictions"):
        corrected_best("accuracy", labels, trials, eligible=[True, True])


def test_a_metric_without_a_short_form_is_resampled_fewer_times(monkeypatch):
    monkeypatch.setattr("harness.scoring.bbc_cv.SLOW_REPEATS", 10)
    labels, trials = study(3, num_images=60)
    found = corrected_best("calibration_error", labels, trials, eligible=[True] * 3)
    assert found == corrected_best("calibration_error", labels, trials, eligible=[True] * 3, repeats=10)
    assert found.naive == min(METRICS["calibration_error"](labels, rows) for rows in trials)


def test_two_images_are_enough_to_run():
    found = corrected_best("accuracy", np.array([0, 1]), [np.eye(2), np.eye(2)[::-1]], eligible=[True, True])
    assert found.naive == 1.0 and 0 <= found.corrected <= 1
