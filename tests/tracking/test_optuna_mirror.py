"""What Optuna's store shows of a study: the same best trial, each trial once, and nothing of others touched."""

import warnings
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config.study_file import Study, load_study_file
from harness.records import TrialRecord, best_of
from harness.tracking.optuna_mirror import mirror, remove
from tests.conftest import STUDY

NUMBERS = count()
SCORES = st.sampled_from([0.25, 0.5, 0.75])


@st.composite
def trial_lists(draw: st.DrawFn) -> list[TrialRecord]:
    """Complete, stopped and failed trials, with equal means and stopped ones that look better."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        state = draw(st.sampled_from(["complete", "stopped", "failed"]))
        scores = tuple(draw(st.lists(SCORES, min_size=1, max_size=2)))
        scores = (scores * 3)[:3] if state == "complete" else () if state == "failed" else scores
        found.append(trial(number, state, scores, rung_score=draw(st.none() | SCORES)))
    return found


def trial(number: int, state: Any, scores: Sequence[float] = (), **more: Any) -> TrialRecord:
    mean = sum(scores) / len(scores) if scores else None
    params = {"model.dropout": 0.125, "train.batch_size": 256, "train.lr": 0.1}
    return TrialRecord(number, state, params, {}, scores=tuple(scores), mean=mean, started=1.0, **more)


@pytest.fixture
def study(study_file: Path) -> Study:
    return load_study_file(str(study_file))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of many studies: making one takes longer than filling it. The study file lies beside it."""
    folder = tmp_path_factory.mktemp("optuna")
    (folder / "small.yaml").write_text(STUDY, encoding="utf-8")
    return folder / "optuna.db"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def shown(url: str, name: str = "small") -> Any:
    """Optuna's study, as whoever looks at it loads it."""
    storage = optuna.storages.RDBStorage(url)
    try:
        found = optuna.load_study(study_name=name, storage=storage)
        memory = optuna.create_study(directions=found.directions)
        memory.add_trials(found.trials)
        if found.metric_names:
            with warnings.catch_warnings(action="ignore"):  # it calls itself experimental
                memory.set_metric_names(found.metric_names)
        return memory
    finally:
        storage.remove_session()
        storage.engine.dispose()


def added(url: str, name: str, *values: float) -> None:
    """Trials of somebody else."""
    storage = optuna.storages.RDBStorage(url)
    there = optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)
    for value in values:
        there.add_trial(optuna.trial.create_trial(value=value))
    storage.remove_session()
    storage.engine.dispose()


def best_number(found: Any) -> int | None:
    try:
        number: int = found.best_trial.user_attrs["harness.trial"]
    except ValueError:
        return None
    return number


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(trials=trial_lists())
def test_the_best_trial_is_harness_s(trials: list[TrialRecord], database: Path) -> None:
    name = f"small {next(NUMBERS)}"
    study = load_study_file(str(database.with_name("small.yaml")))
    mirror(f"sqlite:///{database}", name, study, trials, study_id=name)
    found, best = shown(f"sqlite:///{database}", name), best_of(trials, "maximize")
    assert best_number(found) == (None if best is None else best.number)
    assert [one.user_attrs["harness.trial"] for one in found.trials] == [one.number for one in trials]


def test_a_stopped_trial_is_pruned_with_each_score_it_got(study: Study, url: str) -> None:
    trials = [
        trial(0, "stopped", (0.75,)),
        trial(1, "stopped", rung_score=0.875),
        trial(2, "complete", (0.25, 0.5, 0.75), rung_score=0.125),
        trial(3, "failed", reason="no memory"),
    ]
    mirror(url, "small", study, trials, study_id="a")
    found = shown(url)
    assert [one.state.name for one in found.trials] == ["PRUNED", "PRUNED", "COMPLETE", "FAIL"]
    steps = [one.intermediate_values for one in found.trials]
    assert steps == [{1: 0.75}, {0: 0.875}, {0: 0.125, 1: 0.25, 2: 0.5, 3: 0.75}, {}]
    assert found.best_trial.number == 2 and found.best_value == 0.5


def test_the_axis_is_called_as_the_objective_is(study: Study, url: str) -> None:
    mirror(url, "small", study, [trial(0, "complete", (0.5,) * 3)], study_id="a")
    assert shown(url).metric_names == [study.objective]


def test_what_is_shown_again_is_there_once_and_as_it_is_now(study: Study, url: str) -> None:
    first, second = trial(0, "complete", (0.5, 0.5, 0.5)), trial(1, "failed")
    mirror(url, "small", study, [first, second], study_id="a")
    again = trial(1, "complete", (0.75, 0.75, 0.75))
    for trials in ([first, again], [first, again, trial(2, "stopped", (0.25,))]):
        for _ in range(2):
            mirror(url, "small", study, trials, study_id="a")
            assert [one.state.name for one in shown(url).trials] == [
                {"complete": "COMPLETE", "stopped": "PRUNED"}[one.state] for one in trials
            ]
    assert best_number(shown(url)) == 1


def test_trials_of_others_stay_and_are_told(study: Study, url: str, caplog: pytest.LogCaptureFixture) -> None:
    ours = [trial(number, "complete", (0.5, 0.5, 0.5)) for number in range(3)]
    mirror(url, "small", study, ours[:1], study_id="a")
    added(url, "small", 0.875)
    changed = [trial(0, "stopped", (0.5,)), *ours[1:]]
    for trials in (ours, changed):  # the second has the copy made anew
        caplog.clear()
        mirror(url, "small", study, trials, study_id="a")
        found = shown(url).trials
        assert sorted(one.user_attrs.get("harness.trial", -1) for one in found) == [-1, 0, 1, 2]
        assert [one.value for one in found if not one.user_attrs] == [0.875]
        assert "has 1 trial that harness does not know" in caplog.text


def test_studies_of_one_name_have_a_copy_each(
    study: Study, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    added(url, "small", 0.875)  # somebody's own
    ids = ("a" * 16, "b" * 16)
    for _ in range(2):
        for many, study_id in enumerate(ids, 1):
            trials = [trial(number, "complete", (0.5, 0.5, 0.5)) for number in range(many)]
            mirror(url, "small", study, trials, study_id=study_id)
    assert len(shown(url).trials) == 1
    assert [len(shown(url, f"small {study_id[:8]}").trials) for study_id in ids] == [1, 2]
    assert caplog.text.count("another study called small") == 2


def test_the_copy_of_an_earlier_release_is_made_anew(study: Study, url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    older = optuna.create_study(study_name="small", storage=storage, direction="maximize")
    attributes = {"state": "stopped", "reason": "", "standard_error": None}
    older.add_trial(optuna.trial.create_trial(value=0.875, user_attrs=attributes))
    storage.remove_session()
    storage.engine.dispose()
    mirror(url, "small", study, [trial(0, "stopped", (0.875,))], study_id="a")
    (found,) = shown(url).trials
    assert found.state.name == "PRUNED"


def test_a_study_that_is_removed_frees_its_name(study: Study, url: str) -> None:
    remove(url, "a")
    assert not Path(url.removeprefix("sqlite:///")).exists()
    added(url, "other", 0.875)
    mirror(url, "small", study, [trial(0, "complete", (0.75, 0.75, 0.75))], study_id="a")
    remove(url, "a")
    mirror(url, "small", study, [trial(0, "failed")], study_id="b")
    assert [one.state.name for one in shown(url).trials] == ["FAIL"]
    assert len(shown(url, "other").trials) == 1


def test_a_renamed_study_takes_along_what_somebody_has_added(url: str, study: Study) -> None:
    trials = [trial(0, "complete", (0.5, 0.5, 0.5))]
    mirror(url, "small", study, trials, study_id="a")
    added(url, "small", 0.75)
    for _ in range(2):
        mirror(url, "better name", study, trials, study_id="a")
    assert [len(shown(url, "better name").trials), shown(url, "better name").best_value] == [2, 0.75]
    with pytest.raises(KeyError):
        shown(url, "small")
