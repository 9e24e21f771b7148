"""`search.patience`: a search that brings no gain any more begins no further trial, and goes on when it is told to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import run
from harness.records import TrialRecord
from harness.search.patience import has_come_to_rest, last_improvement
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

STUDY = """\
# Does it work?
data: {name: digits, test_fraction: 0.8}
model: {name: resnet, depth: 1, width: 4}
train: {epochs: 1, batch_size: 128, lr: {low: 0.000001, high: 0.000002}, augment: none}
cv: {folds: 2}
search: {trials: 9, sampler: random, racing: none, batch: 2, patience: 3}
tracker: none
"""


def trials(*means: float | None, error: float = 0.03) -> list[TrialRecord]:
    """Complete ones; None for a failed one."""
    complete = TrialRecord(0, "complete", {}, {}, standard_error=error)
    return [
        replace(complete, number=number, mean=mean, state="complete" if mean is not None else "failed")
        for number, mean in enumerate(means)
    ]


@pytest.mark.parametrize(
    ("means", "last"),
    [
        ((0.5, 0.5, 0.5), 0),
        ((0.5, 0.509, 0.5), 0),  # less than a third of 0.03
        ((0.5, 0.511, 0.5), 1),
        ((0.5, 0.506, 0.511, 0.5), 2),  # in small steps, measured from the first
        ((None, 0.4, None, 0.3), 1),
        ((None, None), 0),
    ],
)
def test_the_last_gain_that_is_worth_it(means: tuple[float | None, ...], last: int) -> None:
    found = trials(*means)
    assert last_improvement(found, "maximize") == last
    lower = [replace(one, mean=None if one.mean is None else -one.mean) for one in found]
    assert last_improvement(lower, "minimize") == last


def test_it_rests_after_so_many_trials_without_one() -> None:
    found = trials(0.5, 0.6, 0.6, 0.6, 0.6)
    assert has_come_to_rest(found, "maximize", patience=3)
    assert not has_come_to_rest(found, "maximize", patience=4)
    assert not has_come_to_rest(found[:1], "maximize", patience=1)
    assert not has_come_to_rest([], "maximize", patience=1)


def test_a_stopped_trial_is_no_gain_whatever_its_folds_were() -> None:
    found = [*trials(0.5, 0.5), replace(trials(0.9)[0], number=2, state="stopped")]
    assert last_improvement(found, "maximize") == 0


@pytest.fixture
def tuned_until_rest(tmp_path: Path) -> Callable[..., int]:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    arguments = [
        "tune",
        "--study",
        str(tmp_path / "study.yaml"),
        "--workers",
        "1",
        "--home",
        str(tmp_path / "home"),
    ]
    return lambda *more: run([*arguments, *more])


def test_the_study_is_finished_with_fewer_trials_and_goes_on_when_it_is_told_to(
    tuned_until_rest: Callable[..., int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A network that hardly trains is as good with every learning rate."""
    for _ in range(2):  # the same command once more changes nothing
        assert tuned_until_rest() == 0
        assert (
            "no trial after trial 0 has gained a third of its standard error, so 5 of 9 trials" in caplog.text
        )
        caplog.clear()
        study = LoadedStudy.open(Store(tmp_path / "home"), "study")
        assert len(study.trials) == study.record.num_trials == 4 and study.is_finished
    before = study.trials
    assert tuned_until_rest("--set", "search.patience=null") == 0
    study = LoadedStudy.open(Store(tmp_path / "home"), "study")
    assert study.trials[:4] == before and len(study.trials) == 9 and study.is_finished
