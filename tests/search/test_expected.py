"""What the sampler is told of a stopped trial."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config.study_file import load_study_file
from harness.records import TrialRecord
from harness.search.expected import expected_means
from harness.search.sampling import Asker

HARD = np.array([0.2, 0.0, -0.1, -0.1])  # by how much each fold is easier than the mean one


def trial(number: int, level: float, *, folds: int = 4, rung: float | None = None) -> TrialRecord:
    scores = tuple((level + HARD)[:folds].tolist())
    state: Any = "complete" if folds == 4 else "stopped"
    mean = float(np.mean(scores)) if scores else None
    return TrialRecord(number, state, {}, {}, scores=scores, mean=mean, rung_score=rung)


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_how_hard_its_folds_were_is_left_out(folds: int) -> None:
    earlier = [trial(0, 0.5), trial(1, 0.2, folds=1), trial(2, 0.6)]
    (expected,) = expected_means(trial(3, 0.3, folds=folds), earlier) or ()
    assert expected == pytest.approx(0.3)
    assert trial(3, 0.3, folds=1).mean == pytest.approx(0.5)  # which is what the best trial has


def test_a_short_training_is_told_as_what_whole_ones_come_to() -> None:
    earlier = [trial(n, level, rung=level / 2) for n, level in enumerate([0.5, 0.3, 0.4])]
    (expected,) = expected_means(trial(3, 0.1, folds=0, rung=0.05), earlier) or ()
    assert expected == pytest.approx(0.1)


def test_without_anything_to_compare_with_it_is_told_as_it_is() -> None:
    assert expected_means(trial(0, 0.3, folds=2), []) == pytest.approx((0.4,))
    assert expected_means(trial(0, 0.3, folds=0, rung=0.1), [trial(0, 0.5, rung=0.2)]) == (0.1,)
    assert expected_means(trial(0, 0.3, folds=0), [trial(0, 0.5)]) is None


@pytest.mark.parametrize(("stopped_as", "told"), [("expected", 0.3), ("so_far", 0.5)])
def test_the_sampler_is_told_what_the_study_asks_for(study_file: Path, stopped_as: str, told: float) -> None:
    asker = Asker(load_study_file(str(study_file), [f"search.stopped_as={stopped_as}", "cv.folds=4"]))
    for record in (trial(0, 0.5), trial(1, 0.3, folds=1)):
        asker.ask(record.number)
        asker.tell(record)
    assert asker.optuna.trials[1].value == pytest.approx(told)
