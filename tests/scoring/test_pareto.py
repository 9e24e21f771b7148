"""The front of trials with several objectives, against its definition tried on all pairs."""

import math

import numpy as np
import pytest

from harness.records import Objective, TrialRecord, TrialState
from harness.scoring.pareto import front, values_of

ACCURACY, SIZE, LOSS = (
    Objective("accuracy", "maximize"),
    Objective("parameters", "minimize"),
    Objective("log_loss", "minimize"),
)


def trial(
    number: int, accuracy: float | None, size: float | None, *losses: float, state: TrialState = "complete"
) -> TrialRecord:
    others = ({} if size is None else {"parameters": (size,)}) | ({"log_loss": losses} if losses else {})
    return TrialRecord(number, state, {}, {}, mean=accuracy, others=others)


def numbers(trials: list[TrialRecord], *objectives: Objective) -> list[int]:
    return [one.number for one in front(trials, objectives)]


def test_trials_that_another_dominates_are_not_on_the_front_and_the_best_of_the_first_objective_leads() -> (
    None
):
    trials = [trial(0, 0.8, 10), trial(1, 0.9, 20), trial(2, 0.8, 15), trial(3, 0.85, 20), trial(4, 0.7, 1)]
    assert numbers(trials, ACCURACY, SIZE) == [1, 0, 4]


@pytest.mark.parametrize("seed", range(10))
def test_the_front_is_what_no_pair_rules_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 6, (40, 3)).astype(float)  # with ties
    trials = [trial(number, a, b, c) for number, (a, b, c) in enumerate(points.tolist())]
    better = points * [-1, 1, 1]
    expected = {
        i
        for i, one in enumerate(better)
        if not any(
            (other <= one).all() and ((other < one).any() or j < i)  # of equals the earliest stays
            for j, other in enumerate(better)
            if j != i
        )
    }
    found = numbers(trials, ACCURACY, SIZE, LOSS)
    assert set(found) == expected and found == sorted(found, key=lambda n: -points[n, 0])


def test_only_complete_trials_with_all_objectives_and_finite_ones_are_on_it() -> None:
    trials = [
        trial(0, 0.5, 10), trial(1, 0.9, 5, state="stopped"), trial(2, 0.9, None), trial(3, None, 1),
        trial(4, 0.9, math.nan), trial(5, math.inf, 1),
    ]  # fmt: skip
    assert numbers(trials, ACCURACY, SIZE) == [0]
    assert numbers([], ACCURACY, SIZE) == []


def test_a_metric_is_its_mean_over_the_folds_and_a_size_is_exact() -> None:
    assert values_of(trial(0, 0.5, 12_345_678, 0.25, 0.5), [SIZE, LOSS]) == (0.5, 12_345_678.0, 0.375)
    assert values_of(trial(0, 0.5, None, 0.25), [SIZE, LOSS]) is None
    assert values_of(trial(0, 0.5, None), []) == (0.5,)
