"""What MLflow shows of a study, however often its delivery is cut short; on the real MLflow and SQLite."""

import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import ViewType

from harness.charts import png
from harness.errors import StoreError
from harness.records import Objective, TrialRecord
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import HALF_WIDTH, means
from harness.tracking import views
from harness.tracking.experiment_view import TABLE, experiment_tags
from harness.tracking.mlflow_deletion import delete_study
from harness.tracking.mlflow_store import telling_store_errors
from harness.tracking.mlflow_tracker import NOTHING, MlflowTracker
from harness.tracking.study_findings import StudyFindings
from harness.tracking.ui import serve
from tests.made_up_findings import CORRECTED
from tests.tracking.fake_study import FakeStudy, fake_study
from tests.tracking.shown import shown


def open_tracker(home: Path) -> MlflowTracker:
    return MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home)


def deliver(
    tracker: MlflowTracker, study: FakeStudy, *, final: bool = True, findings: StudyFindings = NOTHING
) -> None:
    tracker.deliver(study.loaded, final=final, importances={"train.lr": 0.8}, findings=findings)


def runs_by_name(tracker: MlflowTracker) -> dict[str, Any]:
    found = tracker._client.search_runs([tracker._experiment_id], max_results=1000)
    return {run.info.run_name.partition(":")[0]: run for run in found}


@pytest.fixture(scope="module")
def delivered(tmp_path_factory, empty_database) -> tuple[FakeStudy, MlflowTracker]:
    """A study that has been delivered, for tests that only look."""
    home = tmp_path_factory.mktemp("mein Büro")
    shutil.copy(empty_database, home / "mlflow.db")
    study, tracker = fake_study(home), open_tracker(home)
    deliver(tracker, study)
    return study, tracker


class Killed(BaseException):
    pass


class KilledAfterNewWrite:
    """A client that never comes back from a write that no earlier life has done; a batch is even cut in two.

    done: the writes of earlier lives; they may be done again.
    """

    def __init__(self, client: Any, done: set[str]):
        self._client, self._done = client, done

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("search_", "get_")):
            return getattr(self._client, name)
        return self._log_batch if name == "log_batch" else partial(self._write, name)

    def _log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        self._client.log_batch(run_id, metrics, params)
        self._die_once(f"half of a batch {run_id}")
        self._client.log_batch(run_id, metrics, params, tags)
        self._die_once(f"a batch {run_id} {metrics} {params} {tags}")

    def _write(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        result = getattr(self._client, name)(*arguments, **options)
        self._die_once(f"{name} {arguments[0]} {options.get('run_name')}")
        return result

    def _die_once(self, write: str) -> None:
        if write not in self._done:
            self._done.add(write)
            raise Killed


def deliver_killed_after_every_write(home: Path, study: FakeStudy) -> int:
    """Deliver with a fresh tracker after every write; returns how many lives it took."""
    done: set[str] = set()
    for lives in range(1, 200):
        tracker = open_tracker(home)
        tracker._client = KilledAfterNewWrite(tracker._client, done)
        try:
            deliver(tracker, study)
        except Killed:
            continue
        return lives
    raise AssertionError("it never ends")


@pytest.mark.slow
def test_a_delivery_killed_after_every_write_ends_like_an_undisturbed_one(new_home, monkeypatch):
    monkeypatch.setattr(png, "save", lambda spec, path, **_: path.write_bytes(b"a picture"))
    undisturbed, killed = new_home("undisturbed"), new_home("killed")
    deliver(open_tracker(undisturbed), fake_study(undisturbed, num_folds=2, num_epochs=2))
    assert deliver_killed_after_every_write(killed, fake_study(killed, num_folds=2, num_epochs=2)) > 40
    found = shown(killed)
    for part, rows in shown(undisturbed).items():
        assert found[part] == rows, part


def test_delivering_again_changes_nothing(delivered):
    study, tracker = delivered
    before = shown(study.folder)
    deliver(tracker, study)
    deliver(open_tracker(study.folder), study)
    assert shown(study.folder) == before


@pytest.mark.slow
def test_delivering_after_every_fold_ends_like_delivering_once(new_home, monkeypatch):
    monkeypatch.setattr(png, "save", lambda spec, path, **_: path.write_bytes(b"a picture"))
    once, often = new_home("once"), new_home("often")
    findings = StudyFindings(corrected=CORRECTED)  # such as a damaged store may have from an earlier run
    deliver(open_tracker(once), fake_study(once), findings=findings)
    study, tracker = fake_study(often), open_tracker(often)
    complete = study.trials
    for number, trial in enumerate(complete):
        for num_folds in range(len(trial.folds)):
            part = replace(
                trial, state="running", folds=trial.folds[:num_folds], scores=trial.scores[:num_folds]
            )
            study.trials = [*complete[:number], part]
            # Interrupted after each first fold, and taken up again.
            deliver(tracker, study, final=num_folds == 1, findings=findings)
    study.trials = complete
    deliver(tracker, study, findings=findings)
    expected, found = shown(once), shown(often)
    for part in ("runs", "tags", "params", "metrics", "latest"):
        assert found[part] == expected[part], part
    assert {*expected["models"]} < {*found["models"]}  # and the best one's at the interruption


def test_runs_have_three_levels_and_the_right_states(delivered):
    study, tracker = delivered
    runs = runs_by_name(tracker)
    assert len(runs) == 1 + 4 + 3 + 2 + 3
    levels = {name: run.data.tags["harness.level"] for name, run in runs.items()}
    assert (levels[study.name], levels["trial 3"], levels["trial 3 fold 0"]) == ("study", "trial", "fold")
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in runs.items()}
    assert parents["trial 3 fold 0"] == runs["trial 3"].info.run_id
    assert parents["trial 3"] == runs[study.name].info.run_id
    ends = {name: (run.info.status, run.data.tags["harness.state"]) for name, run in runs.items()}
    assert ends["trial 0"] == ("FINISHED", "complete")
    assert ends["trial 1"] == ("KILLED", "stopped")
    assert ends["trial 2"] == ("FAILED", "failed")
    assert ends[study.name] == ("FINISHED", "finished")
    assert runs["trial 2"].data.tags["harness.reason"].startswith("non-finite loss")
    assert tracker.run_ids()[1]["3"] == runs["trial 3"].info.run_id


def test_a_trial_shows_values_means_and_corrected_errors(delivered):
    study, tracker = delivered
    data, trial = runs_by_name(tracker)["trial 3"].data, study.trials[3]
    assert data.params["model.dropout"] == repr(trial.params["model.dropout"])
    assert data.metrics["value/model.dropout"] == trial.params["model.dropout"]
    assert {*data.params} == {*trial.params}
    assert data.metrics["cv/accuracy"] == pytest.approx(trial.mean)
    assert data.metrics["cv/accuracy_error"] == pytest.approx(trial.standard_error)
    assert data.metrics["cv/accuracy_half_width"] == pytest.approx(trial.half_width)
    assert data.metrics["time/seconds"] == trial.seconds
    history = tracker._client.get_metric_history(tracker.run_ids()[1]["3"], "fold/accuracy")
    assert [(point.step, point.value) for point in history] == list(enumerate(trial.scores))


def test_a_mean_over_some_folds_has_a_name_of_its_own(delivered):
    study, tracker = delivered
    stopped, data = study.trials[1], runs_by_name(tracker)["trial 1"].data
    assert stopped.state == "stopped" and data.metrics["partial/accuracy"] == pytest.approx(stopped.mean)
    assert not [name for name in data.metrics if name.startswith(("cv/", "cv_other/"))]
    by_score = tracker._client.search_runs(
        [tracker._experiment_id], "tags.`harness.level` = 'trial'", order_by=["metrics.`cv/accuracy` DESC"]
    )
    assert by_score[0].data.tags["harness.trial"] == str(study.loaded.best.number)


def test_a_trial_is_called_by_its_searched_values():
    trial = TrialRecord(7, "running", {"model.depth": 2, "train.lr": 0.0123456, "train.loss.gamma": 2.0}, {})
    assert views.trial_name(trial) == "trial 7: depth 2, lr 0.0123, gamma 2"
    alike = replace(trial, params={"resnet.width": 8, "vgg.width": 16, "model.name": "resnet"})
    assert views.trial_name(alike) == "trial 7: resnet.width 8, vgg.width 16, name resnet"
    assert views.trial_name(replace(trial, params={})) == "trial 7"
    many = replace(trial, params={f"a.b{number}": number for number in range(99)})
    assert len(views.trial_name(many)) <= 120


def test_the_objective_is_the_first_metric_of_a_run(delivered):
    runs = runs_by_name(delivered[1])
    firsts = {name: min(runs[name].data.metrics) for name in ("digits depth", "trial 0", "trial 0 fold 1")}
    assert firsts == {
        "digits depth": "best/accuracy", "trial 0": "cv/accuracy", "trial 0 fold 1": "fold/accuracy"
    }  # fmt: skip


def test_a_trial_has_all_its_values_and_scores_as_files(delivered):
    study, tracker = delivered
    ids = tracker.run_ids()[1]
    values = json.loads(_artifact(tracker, ids["3"], "values.json"))
    assert values == study.trials[3].values and values["train.clip_norm"] is None
    scores = json.loads(_artifact(tracker, ids["3"], "scores.json"))
    assert scores["means"]["accuracy"] == pytest.approx(study.trials[3].mean)
    assert scores["standard_errors"]["accuracy"] == pytest.approx(study.trials[3].standard_error)
    assert scores["half_widths"]["accuracy"] == pytest.approx(study.trials[3].half_width)
    assert {*scores["half_widths"]} == {*scores["standard_errors"]} <= {*scores["means"]}
    assert {*scores["pooled"]} == {*scores["means"]} and scores["folds"] == 3
    stopped = json.loads(_artifact(tracker, ids["1"], "scores.json"))
    assert stopped["folds"] == 2 and "pooled" not in stopped
    failed = {file.path for file in tracker._client.list_artifacts(ids["2"])}
    assert failed == {"values.json"}


def _artifact(tracker: MlflowTracker, run_id: str, path: str) -> str:
    return Path(tracker._client.download_artifacts(run_id, path)).read_text(encoding="utf-8")


PICTURES = {"confusion.png", "learning_curves.png", "calibration.png"}


def test_trials_that_are_looked_at_have_pictures_once_the_study_has_finished(home, monkeypatch):
    monkeypatch.setattr(png, "save", lambda spec, path, **_: path.write_bytes(b"a picture"))
    study, tracker = FakeStudy(home, num_folds=2, num_epochs=2), open_tracker(home)
    for _ in range(7):
        study.add_trial("complete")

    def pictured() -> dict[int, set[str]]:
        found = {}
        for number, run_id in tracker.run_ids()[1].items():
            files = {file.path for file in tracker._client.list_artifacts(run_id)}
            assert {"values.json", "scores.json", "confusion.json", "confusion.csv", "per_class.csv"} <= files
            found[int(number)] = files & PICTURES
        return found

    deliver(tracker, study, final=False)
    assert not any(pictured().values())
    deliver(tracker, study)
    ranked = sorted(study.trials, key=lambda trial: -trial.mean)
    looked_at = {0, *(trial.number for trial in ranked[:3])}
    assert pictured() == {trial.number: PICTURES if trial.number in looked_at else set() for trial in ranked}
    tracker.deliver(study.loaded, final=True, with_all_pictures=True)
    assert pictured() == dict.fromkeys(range(7), PICTURES)
    before = shown(home)
    deliver(tracker, study)  # who has more than is asked for is left alone
    assert shown(home) == before


def test_a_trial_has_the_data_as_its_input(delivered):
    study, tracker = delivered
    (found,) = tracker._client.get_run(tracker.run_ids()[1]["0"]).inputs.dataset_inputs
    assert json.loads(found.dataset.source) == {"name": "digits"}
    assert json.loads(found.dataset.profile)["images"] == study.record.data["num_images"]
    tensor = json.loads(found.dataset.schema)["mlflow_tensorspec"]["features"][0]["tensor-spec"]
    assert tensor == {"dtype": "uint8", "shape": [-1, 1, 8, 8]}


def test_the_time_of_a_trial_is_that_of_its_folds_added_up(delivered):
    study, tracker = delivered
    info = runs_by_name(tracker)["trial 3"].info
    assert info.end_time - info.start_time == round(1000 * study.trials[3].seconds)


def running(study: FakeStudy, num_folds: int) -> None:
    """Have the last trial be one that has so many folds by now."""
    last = study.trials[-1]
    study.trials[-1] = replace(last, state="running", folds=last.folds[:num_folds])


def test_epochs_are_shown_while_their_fold_is_trained(home):
    study, tracker = FakeStudy(home), open_tracker(home)
    whole = study.add_trial()
    fold = study.folds[whole.folds[1]]
    running(study, 1)

    def show(tracker: MlflowTracker, num_epochs: int) -> list[tuple[int, float]]:
        curve = views.Curve(fold.started + 0.2, list(fold.epochs[:num_epochs]))
        tracker.deliver(study.loaded, final=False, live={(0, 1): curve})
        run = runs_by_name(tracker)["trial 0 fold 1"]
        assert (run.info.status, run.data.params["model.dropout"]) == (
            "RUNNING", repr(whole.params["model.dropout"])
        )  # fmt: skip
        return [(p.step, p.value) for p in tracker._client.get_metric_history(run.info.run_id, "val/loss")]

    expected = [(epoch.epoch, epoch.validation_loss) for epoch in fold.epochs]
    assert show(tracker, 1) == expected[:1] and show(tracker, 3) == expected[:3]
    tracker.deliver(study.loaded, final=True)
    assert runs_by_name(tracker)["trial 0 fold 1"].info.status == "KILLED"
    tracker = open_tracker(home)
    assert show(tracker, 4) == expected
    study.trials[-1] = whole
    deliver(tracker, study)
    run = runs_by_name(tracker)["trial 0 fold 1"]
    history = tracker._client.get_metric_history(run.info.run_id, "val/loss")
    assert [(point.step, point.value) for point in history] == expected
    assert (run.info.status, run.data.tags["harness.state"]) == ("FINISHED", "complete")
    runs = runs_by_name(tracker)
    lasted = {name: run.info.end_time - run.info.start_time for name, run in runs.items()}
    assert len(runs) == 1 + 1 + 3 and lasted["trial 0 fold 1"] == 8500 and lasted["trial 0"] == 3 * 8500


def test_a_fold_that_is_shown_and_then_not_needed_goes(home):
    study, tracker = FakeStudy(home), open_tracker(home)
    whole = study.add_trial()
    running(study, 1)
    curve = views.Curve(1.0, list(study.folds[whole.folds[1]].epochs))
    tracker.deliver(study.loaded, final=False, live={(0, 1): curve})
    study.trials[0] = replace(study.trials[0], state="stopped")
    deliver(tracker, study)
    assert {*runs_by_name(tracker)} == {study.name, "trial 0", "trial 0 fold 0"}


def test_a_fold_that_was_trained_again_in_another_way_shows_that_alone(home):
    study, tracker = FakeStudy(home), open_tracker(home)
    whole = study.add_trial()
    running(study, 0)
    epochs = study.folds[whole.folds[0]].epochs
    other = [replace(epoch, validation_loss=9.0) for epoch in epochs[:2]]
    tracker.deliver(study.loaded, final=False, live={(0, 0): views.Curve(1.0, other)})
    study.trials[0] = whole
    deliver(tracker, study)
    run = runs_by_name(tracker)["trial 0 fold 0"]
    history = tracker._client.get_metric_history(run.info.run_id, "val/loss")
    assert [point.value for point in history] == [epoch.validation_loss for epoch in epochs]


@pytest.mark.slow
def test_runs_of_an_earlier_release_are_made_anew_and_keep_what_people_wrote(home, monkeypatch):
    study = fake_study(home)
    with monkeypatch.context() as earlier:
        earlier.setattr(views, "VERSION", "4")
        tracker = open_tracker(home)
        deliver(tracker, study)
        before = runs_by_name(tracker)
        tracker._client.set_tag(before["trial 3"].info.run_id, "paper", "table 2")
    tracker = open_tracker(home)
    deliver(tracker, study)
    after = runs_by_name(tracker)
    assert {*after} == {*before}
    assert not {run.info.run_id for run in after.values()} & {run.info.run_id for run in before.values()}
    assert after["trial 3"].data.tags["paper"] == "table 2"
    (model,) = tracker._client.search_logged_models([tracker._experiment_id])
    assert model.source_run_id == after["trial 3"].info.run_id


def means_of_then(study: LoadedStudy, trial: TrialRecord) -> dict[str, float]:
    return {name: value for name, value in means(study, trial).items() if not name.endswith(HALF_WIDTH)}


def test_complete_trials_of_an_earlier_release_are_given_what_is_new_in_the_same_runs(home, monkeypatch):
    """And the table its columns; what an earlier release has written, and others may ask for, stays."""
    study, key = fake_study(home), f"mlflow.sharedViewState.{TABLE}"
    with monkeypatch.context() as earlier:
        earlier.setattr(views, "WHOLE", "1")
        earlier.setattr(views, "means", means_of_then)
        tracker = open_tracker(home)
        deliver(tracker, study)
        before = runs_by_name(tracker)
        tracker._client.set_experiment_tag(tracker._experiment_id, key, '{"selectedColumns": []}')
    assert "cv/accuracy_half_width" not in before["trial 3"].data.metrics
    tracker = open_tracker(home)
    deliver(tracker, study)
    after = runs_by_name(tracker)
    assert {name: run.info.run_id for name, run in after.items()} == {
        name: run.info.run_id for name, run in before.items()
    }
    metrics = after["trial 3"].data.metrics
    half_width = study.trials[3].half_width
    assert metrics == before["trial 3"].data.metrics | {"cv/accuracy_half_width": half_width}
    assert after["trial 1"].data.metrics == before["trial 1"].data.metrics
    table = json.loads(tracker._client.get_experiment(tracker._experiment_id).tags[key])
    assert "metrics.`cv/accuracy_half_width`" in table["selectedColumns"]


def test_no_column_of_a_score_is_called_as_another_one_begins(tmp_path: Path) -> None:
    """A column shows about a letter for 7 pixels, and its head is cut where it is narrower."""
    record = fake_study(tmp_path).record
    others = (Objective("macro_f1", "maximize"), Objective("parameters", "minimize"))
    for study in (record, replace(record, objective="balanced_accuracy", others=others)):
        table = json.loads(experiment_tags(study)[f"mlflow.sharedViewState.{TABLE}"])
        scores = [column for column in table["selectedColumns"] if column.startswith("metrics.")]
        assert scores[:2] == [f"metrics.`cv/{study.objective}{end}`" for end in ("", "_half_width")]
        assert not [column for column in scores if column.endswith("_error`")]
        for column in scores:
            assert table["columnWidths"][column] >= 7 * len(column.removeprefix("metrics.").strip("`")) + 12


def test_a_fold_shows_its_curves_once(delivered):
    study, tracker = delivered
    run = runs_by_name(tracker)["trial 0 fold 1"]
    epochs = study.folds[study.trials[0].folds[1]].epochs
    history = tracker._client.get_metric_history(run.info.run_id, "val/loss")
    assert [(point.step, point.value) for point in history] == [(e.epoch, e.validation_loss) for e in epochs]


def test_the_study_shows_the_best_so_far_and_its_files(delivered):
    study, tracker = delivered
    run_id = tracker.run_ids()[0]
    history = tracker._client.get_metric_history(run_id, "best/accuracy")
    bests = [max(t.mean for t in study.trials[: n + 1] if t.state == "complete") for n in (0, 1, 3)]
    assert [(point.step, point.value) for point in history] == list(zip((0, 1, 3), bests, strict=True))
    files = {file.path for file in tracker._client.list_artifacts(run_id)}
    assert files == {
        "study.yaml",
        "environment.json",
        "uncommitted.diff",
        "history.png",
        "importances.png",
        "importances.json",
    }
    note = tracker._client.get_run(run_id).data.tags["mlflow.note.content"]
    assert "Does depth help" in note and "Trial 3" in note and "harness reproduce" in note


def test_the_study_says_its_snapshot_what_it_extends_and_what_was_told_before_it_began(home):
    study = fake_study(home)
    told = ["7 pairs, a_1.png and b_2.png, say", "<b>cat</b> has 990 images"]
    data = {
        **study.record.data,
        "snapshot": "5" * 64,
        "extends": "older",
        "test": {"hash": "e", "num_images": 1234},
    }
    study.record = replace(study.record, data=data, provenance={**study.record.provenance, "warnings": told})
    tracker = open_tracker(home)
    deliver(tracker, study)
    tags = tracker._client.get_run(tracker.run_ids()[0]).data.tags
    assert (tags["harness.snapshot"], tags["harness.extends"]) == ("5" * 64, "older")
    note = tags["mlflow.note.content"]
    assert "and 1,234 sealed; snapshot `555555555555`, which extends that of study older" in note
    assert "**Told before it began.**" in note and "- 7 pairs, a\\_1.png" in note and "<b>" not in note


def test_values_that_mlflow_cannot_hold_are_named_in_tags(home):
    study, tracker = FakeStudy(home), open_tracker(home)
    odd = {"model.path": "x" * 9000, "model.odd(name)": math.inf}
    trial = study.add_trial(**odd)
    study.trials[0] = replace(trial, params={**trial.params, **odd})
    key = study.trials[0].folds[0]
    study.folds[key] = replace(study.folds[key], metrics={**study.folds[key].metrics, "log_loss": math.inf})
    deliver(tracker, study)
    runs = runs_by_name(tracker)
    fold, trial = runs["trial 0 fold 0"].data, runs["trial 0"].data
    assert "fold_other/log_loss" not in fold.metrics
    assert fold.tags["harness.not_finite"] == "fold_other/log_loss[4]=inf"
    assert "cv_other/log_loss" not in trial.metrics
    assert len(trial.params["model.path"]) == 6000 and trial.params["model.path"].endswith(
        "[9,000 characters]"
    )
    assert trial.params["model.odd_name_"] == "Infinity"


def test_more_points_than_a_call_takes_arrive_whole(home):
    study, tracker = FakeStudy(home, num_folds=2, num_epochs=300), open_tracker(home)
    study.add_trial()
    deliver(tracker, study)
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        counts = database.execute("SELECT count(*) FROM metrics WHERE key = 'train/loss'").fetchone()
    assert counts == (600,)


def test_a_deleted_experiment_is_told_in_one_line(home):
    study, tracker = FakeStudy(home), open_tracker(home)
    deliver(tracker, study)
    tracker._client.delete_experiment(tracker._experiment_id)
    with pytest.raises(StoreError, match="has been deleted in MLflow; restore it with"):
        deliver(open_tracker(home), study)


@pytest.mark.parametrize("by", ["harness", "a user"])
def test_the_name_of_a_deleted_study_is_free_again(home, by):
    first, second = FakeStudy(home / "first"), FakeStudy(home / "second")
    second.record = replace(second.record, created=second.record.created + 1)
    deliver(tracker := open_tracker(home), first)
    if by == "harness":
        for _ in range(2):  # also where it was killed on the way
            delete_study(f"sqlite:///{home / 'mlflow.db'}", first.record)
    else:
        tracker._client.delete_experiment(tracker._experiment_id)
    for study in (second, second):
        deliver(open_tracker(home), study)
    assert sorted(row[-1] for row in shown(home)["runs"]) == ["active", "deleted"]
    kept = tracker._client.search_experiments(ViewType.DELETED_ONLY)
    assert [experiment.name for experiment in kept] == [
        f"{first.record.name} (deleted {kept[0].experiment_id})"
    ]


def test_a_deletion_that_was_killed_after_the_renaming_goes_on(home):
    study = FakeStudy(home)
    deliver(tracker := open_tracker(home), study)
    tracker._client.rename_experiment(
        tracker._experiment_id, f"{study.record.name} (deleted {tracker._experiment_id})"
    )
    delete_study(f"sqlite:///{home / 'mlflow.db'}", study.record)
    (kept,) = tracker._client.search_experiments(ViewType.DELETED_ONLY)
    assert kept.name.count("deleted") == 1


def test_a_renamed_experiment_is_found_again(home):
    study, tracker = FakeStudy(home), open_tracker(home)
    deliver(tracker, study)
    tracker._client.rename_experiment(tracker._experiment_id, "a better name")
    before = shown(home)
    deliver(open_tracker(home), study)
    assert shown(home) == before


def test_a_renamed_experiment_is_found_beside_a_deleted_one_of_the_study_s_name(home):
    first, second = FakeStudy(home / "first"), FakeStudy(home / "second")
    second.record = replace(second.record, created=second.record.created + 1)
    for study, name in ((first, "a better name"), (second, None)):
        deliver(tracker := open_tracker(home), study)
        if name:
            tracker._client.rename_experiment(tracker._experiment_id, name)
    tracker._client.delete_experiment(tracker._experiment_id)
    before = shown(home)
    deliver(open_tracker(home), first)
    assert shown(home) == before


def test_two_studies_of_one_name_share_an_experiment_and_nothing_else(home):
    first, second = FakeStudy(home / "first"), FakeStudy(home / "second")
    second.record = replace(second.record, created=second.record.created + 1)
    for study in (first, second):
        study.add_trial()
        deliver(open_tracker(home), study)
    runs = [row[0] for row in shown(home)["runs"]]
    assert len(runs) == 2 * 5 and runs.count(views.trial_name(first.trials[0])) == 2


def test_an_unreachable_server_is_told_quickly(tmp_path):
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"MLflow at http://\*\*\*@127\.0\.0\.1:9") as caught:
        MlflowTracker("http://ada:secret@127.0.0.1:9", home=tmp_path)
    assert time.monotonic() - started < 5
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_told_in_one_line(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database " * 1000)
    with pytest.raises(StoreError) as caught:
        open_tracker(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_tracking_uri_of_the_process_stays_as_it_is(delivered, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere.db")
    deliver(open_tracker(delivered[0].folder), delivered[0])
    assert os.environ["MLFLOW_TRACKING_URI"] == "sqlite:////elsewhere.db"


def test_the_database_keeps_a_rollback_journal(delivered):
    with closing(sqlite3.connect(delivered[0].folder / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.slow
def test_processes_that_create_one_database_at_once_all_succeed(tmp_path):
    program = (
        "import sys; from pathlib import Path; from harness.tracking.mlflow_tracker import MlflowTracker;"
        "home = Path(sys.argv[1]); MlflowTracker(f'sqlite:///{home}/mlflow.db', home=home)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    assert [(process.communicate(timeout=110)[1], process.returncode) for process in processes] == [
        (b"", 0)
    ] * 4


@pytest.mark.slow
def test_a_server_shows_the_same_and_its_death_is_told_quickly(new_home):
    local, served = new_home("local"), new_home("served")
    deliver(open_tracker(local), fake_study(local))
    study = fake_study(served)
    with serve(served, port=0) as server:
        tracker = MlflowTracker(server.url.partition("/#")[0], home=served)
        deliver(tracker, study)
    expected, found = shown(local), shown(served)
    for part in ("runs", "tags", "params", "metrics", "latest", "models", "links"):
        assert found[part] == expected[part], part
    study.add_trial()
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"MLflow at http://127\.0\.0\.1"):
        deliver(tracker, study)
    assert time.monotonic() - started < 5


def test_of_what_the_http_client_says_the_cause_is_told():
    from mlflow.exceptions import MlflowException

    said = (
        "API request to http://there/api/2.0/x failed with exception HTTPConnectionPool(host='there', port=80): "
        "Max retries exceeded with url: /api/2.0/x (Caused by ResponseError('too many 503 error responses'))"
    )
    with pytest.raises(StoreError) as told, telling_store_errors("http://me:canary@there"):
        raise MlflowException(said)
    assert str(told.value) == (
        "MLflow at http://***@there: API request to http://there/api/2.0/x failed: "
        "ResponseError('too many 503 error responses')"
    )


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.3, 0.8])
def test_a_process_that_is_killed_while_it_makes_the_database_leaves_none(tmp_path, delay):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = "import sys; from harness.tracking.mlflow_store import connect; connect(sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, uri], stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".mlflow.db.*.new")) and process.poll() is None:
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    assert process.wait() == -9
    MlflowTracker(uri, home=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.lock"}
