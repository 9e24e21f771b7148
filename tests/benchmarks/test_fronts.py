"""The made-up accuracy of the benchmark of fronts, and its hypervolume."""

import math

import pytest

from tests.benchmarks.fronts import (
    DEPTHS,
    WIDTHS,
    accuracy,
    best_accuracy,
    best_hypervolume,
    hypervolume,
    parameters,
    rows,
)

BEST = {"model.width": 64, "model.depth": 4, "model.dropout": 0.2, "train.lr": 10**-1.5}
LARGEST = parameters(WIDTHS[1], DEPTHS[1])


def test_a_larger_network_can_do_better_and_other_values_cost_accuracy() -> None:
    sizes = [parameters(width, 1) for width in range(*WIDTHS)]
    assert sorted(sizes) == sizes and sorted(map(best_accuracy, sizes)) == list(map(best_accuracy, sizes))
    assert accuracy(BEST) == pytest.approx(best_accuracy(LARGEST))
    assert accuracy({**BEST, "train.lr": 0.3}) < accuracy(BEST) > accuracy({**BEST, "model.dropout": 0.5})


def test_the_hypervolume_is_that_of_the_steps() -> None:
    assert hypervolume([(0.7, LARGEST / 10)]) == pytest.approx(0.2)
    steps = [(0.7, LARGEST / 10), (0.6, LARGEST / 100), (0.65, LARGEST / 10), (0.4, 1)]
    assert hypervolume(steps) == pytest.approx(0.1 * 2 + 0.1 * 1)
    assert hypervolume([(0.9, LARGEST)]) == 0 and math.isfinite(best_hypervolume())


def test_every_sampler_is_measured_the_same_way_each_time() -> None:
    first, again = rows(2, 4), rows(2, 4)
    assert first == again and [row["sampler"] for row in first] == ["tpe", "narrow tpe", "random"]
    assert all(0 < row["share"] <= 1 for row in first)
