"""Confirmation: fresh seeds, new folds, and what is said of the order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.confirm import _confirmation, confirm
from harness.data.split import Manifest
from harness.errors import UsageError
from harness.folds.train_folds import Training
from harness.records import StudyRecord, TrialRecord
from harness.store.findings import Confirmation
from harness.store.loaded_study import LoadedStudy, started_study
from harness.store.store import Store

STUDY = StudyRecord(
    name="s", question="", text="", definition={}, objective="accuracy", direction="maximize", num_folds=3,
    num_trials=4, seed=0, data={}, split_hash="", compute={}, provenance={}, created=0.0,
)  # fmt: skip


def trial(number: int, mean: float | None, state: Any = "complete") -> TrialRecord:
    return TrialRecord(number, state, {}, {}, mean=mean, standard_error=0.01)


def study(*trials: TrialRecord, direction: Any = "maximize") -> LoadedStudy:
    return LoadedStudy(Store(Path("nowhere")), replace(STUDY, direction=direction), trials)


def last(steps: Any) -> Confirmation:
    *_, found = steps
    assert isinstance(found, Confirmation)
    return found


def test_the_defaults_are_always_among_the_confirmed() -> None:
    trials = [trial(0, 0.5), trial(1, 0.9), trial(2, 0.7), trial(3, 0.95, "stopped"), trial(4, 0.8)]
    assert [one.number for one in study(*trials).top(2)] == [1, 4, 0]
    assert [one.number for one in study(*trials).top(9)] == [1, 4, 2, 0]
    assert [one.number for one in study(*trials, direction="minimize").top(1)] == [0]


def test_without_a_complete_trial_there_is_nothing_to_confirm() -> None:
    with pytest.raises(UsageError, match="no complete trial"):
        study(trial(0, 0.5, "stopped")).top(3)


def test_shrinkage_and_order() -> None:
    scores = np.array([[[[0.80, 0.82, 0.84]]], [[[0.85, 0.86, 0.87]]]])
    found = _confirmation(study(), [trial(3, 0.90), trial(1, 0.88)], scores)
    first, second = found.trials
    assert (first.confirmed, first.shrinkage) == (pytest.approx(0.82), pytest.approx(0.08))
    assert second.confirmed_standard_error == pytest.approx(0.01 * np.sqrt(1 / 3 + 1 / 2))
    assert found.tuned_order == (3, 1) and found.confirmed_order == (1, 3)
    assert (found.winner, found.winner_held) == (1, False)


def test_repeats_on_the_same_folds_make_no_more_folds() -> None:
    scores = np.full((1, 2, 2, 3), np.nan)
    scores[0, :, 0] = [[0.80, 0.82, 0.84], [0.82, 0.84, 0.86]]
    scores[0, 0, 1] = [0.81, 0.82, 0.83]
    found = _confirmation(study(), [trial(0, 0.9)], scores, has_same_folds=True)
    assert found.has_same_folds
    assert found.trials[0].confirmed_standard_error == pytest.approx(0.02 * np.sqrt(1 / 3 + 1 / 2))


def test_shrinkage_of_a_loss_is_positive_where_it_rose() -> None:
    found = _confirmation(study(direction="minimize"), [trial(0, 0.5)], np.full((1, 1, 1, 3), 0.6))
    assert found.trials[0].shrinkage == pytest.approx(0.1) and found.winner_held


def test_new_folds_and_new_seeds_and_nothing_of_the_study_changes(tuned: Store) -> None:
    before = tuned.read_trials("small")
    found = last(confirm(LoadedStudy.open(tuned, "small"), top=1))
    assert tuned.read_finding("small", Confirmation) == found
    assert tuned.read_trials("small") == before
    record = started_study(tuned, "small")
    old = Manifest.load(tuned.study_folder("small") / "split.npz")
    new = Manifest.load(tuned.study_folder("small") / "confirm" / "split0.npz")
    assert record.split_hash == old.hash != new.hash and (old.fold_of != new.fold_of).any()
    assert len(found.trials) in (1, 2) and found.variance is None
    best = found.trials[0]
    assert len(best.scores[0]) == 2 and best.confirmed == pytest.approx(np.mean(best.scores))


def test_an_interrupted_confirmation_goes_on_to_the_same_figures(tuned: Store) -> None:
    opened = LoadedStudy.open(tuned, "small")
    steps = confirm(opened, top=2)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    trained = set(tuned.home.glob("folds/*/result.json"))
    found = last(confirm(opened, top=2))
    assert trained < set(tuned.home.glob("folds/*/result.json"))
    assert last(confirm(opened, top=2)) == found


def test_repeats_tell_the_causes_of_the_spread_apart(tuned: Store) -> None:
    *steps, found = confirm(LoadedStudy.open(tuned, "small"), top=1, repeats=2)
    ended = [step for step in steps if isinstance(step, Training) and step.epoch is None]
    assert isinstance(found, Confirmation) and found.variance is not None
    trials = len(found.trials)
    trained = [
        line for line in map(str, ended) if " seed " in line
    ]  # beside the winner's folds on half of their images
    assert (
        len(trained) == trials * (2 + 1) * 2
    )  # two seeds on the first split, one on the second, two folds each
    assert len(ended) == len(trained) + 2
    shares = found.variance.components.share
    assert sum(share for share in shares.values() if share is not None) == pytest.approx(1.0)
    assert found.variance.what_pays.one_more_split.trainings == 6
