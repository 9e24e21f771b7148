"""The made-up score of the benchmark of conditions."""

import pytest

from tests.benchmarks.conditions import FOUND, WIDTHS, rows, score

PEAK = {
    "model.name": "simple_cnn", "model.dropout": 0.4, "train.lr": 10**-2.5, "train.optimizer": "adamw"
}  # fmt: skip


@pytest.mark.parametrize("peak", sorted(WIDTHS))
def test_the_best_lies_in_one_branch_alone(peak: str) -> None:
    assert score(PEAK, peak) == pytest.approx(0.9)
    assert score({**PEAK, "train.optimizer": "sgd"}, peak) < FOUND
    others = [
        score({**PEAK, "model.name": "resnet", "train.lr": 10**-exponent}, peak) for exponent in range(5)
    ]
    assert max(others) <= 0.7


def test_every_sampler_is_measured_the_same_way_each_time() -> None:
    first, again = rows(2, 4, "gradual"), rows(2, 4, "gradual")
    assert first == again and [row["sampler"] for row in first] == ["tpe", "ungrouped", "random"]
