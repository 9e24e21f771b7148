"""Wherever people look, the best trial of a study is the same, and a stopped one is never before it."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from harness import load_study
from harness.analysis.model_card import publish
from harness.charts import png
from harness.cli import run
from harness.config.study_file import parse_study_file
from harness.documents import to_json
from harness.files import sealed_json
from harness.report.collect import collect
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking.mlflow_tracker import MlflowTracker
from harness.tracking.optuna_mirror import mirror
from tests.conftest import STUDY
from tests.made_up_findings import confirmation, final_test
from tests.tracking.fake_study import FakeStudy
from tests.tracking.test_optuna_mirror import best_number, shown

NUMBERS = count()
SCORES = st.sampled_from([0.25, 0.5, 0.75])
OBJECTIVES = {"accuracy": "maximize", "log_loss": "minimize"}
PARAMS = {"model.dropout": 0.125, "train.batch_size": 256, "train.lr": 0.1}
Scored = list[tuple[str, tuple[float, ...]]]  # state and scores of each trial


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    """Trials that are complete, stopped, failed, with equal means, and stopped ones that look better."""
    found: Scored = []
    for _ in range(draw(st.integers(1, 5))):
        state = draw(st.sampled_from(["complete", "complete", "stopped", "failed"]))
        scores = tuple(draw(st.lists(SCORES, min_size=1, max_size=2)))
        found.append(
            (state, (scores * 3)[:3] if state == "complete" else () if state == "failed" else scores)
        )
    return found


def study_of(home: Path, trials: Scored, objective: str) -> LoadedStudy:
    """Made up, with its records in the store `home`."""
    number = next(NUMBERS)
    study = FakeStudy(home, name=f"one {number}", images_per_fold=20, num_epochs=1)
    study.record = replace(
        study.record, objective=objective, direction=OBJECTIVES[objective], num_trials=len(trials),
        created=study.record.created + number,
        data={**study.record.data, "test": {"hash": "e" * 64, "num_images": 100}},
    )  # fmt: skip
    store = Store(home)
    store.write_study(study.record)
    for state, scores in trials:
        trial = study.add_trial(state, num_folds=len(scores))
        for key, score in zip(trial.folds, scores, strict=True):
            fold = study.folds[key]
            study.folds[key] = replace(fold, metrics={**fold.metrics, objective: score})
            (fold.folder / "result.json").write_bytes(sealed_json(to_json(study.folds[key])))
        mean = sum(scores) / len(scores) if scores else None
        study.trials[-1] = replace(trial, scores=scores, mean=mean, params=PARAMS)
        store.write_trial(study.name, study.trials[-1])
    return study.loaded


def best_of(trials: Scored, sign: int) -> tuple[float, int] | None:
    """Mean and number of the best complete trial, the first of equals, computed once more."""
    means = [
        (sum(scores) / 3, number) for number, (state, scores) in enumerate(trials) if state == "complete"
    ]
    return min(means, key=lambda one: (-sign * one[0], one[1]), default=None)


def of_mlflow(database: Path, study: LoadedStudy) -> tuple[float | None, str | None]:
    """The score of the first trial in the order of a table in MLflow, and the trial that its study names."""
    uri = f"sqlite:///{database}"
    MlflowTracker(uri, home=study.store.home).deliver(study, final=True)
    client, metric = MlflowClient(uri), f"cv/{study.record.objective}"
    experiment = client.get_experiment_by_name(study.name)
    order = [f"metrics.`{metric}` {'DESC' if study.record.direction == 'maximize' else 'ASC'}"]
    places = [experiment.experiment_id]
    runs = client.search_runs(places, "tags.`harness.level` = 'trial'", order_by=order)
    (top,) = client.search_runs(places, "tags.`harness.level` = 'study'")
    return runs[0].data.metrics.get(metric), top.data.tags.get("harness.best_trial")


def of_optuna(database: Path, study: LoadedStudy) -> int | None:
    url, text = f"sqlite:///{database}", STUDY.replace("accuracy", study.record.objective)
    definition = parse_study_file(text.encode(), (), name=study.name, source="test")
    mirror(url, study.name, definition, study.trials, study_id=study.name)
    return best_number(shown(url, study.name))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A folder with the databases of many studies."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "mlflow.db").write_bytes(empty_database.read_bytes())
    return folder


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(trials=scored(), objective=st.sampled_from(sorted(OBJECTIVES)))
def test_the_best_of_all_views_is_one(trials: Scored, objective: str, shared: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "save", lambda spec, path, **_: path.write_bytes(b"a picture"))
        study = study_of(shared / str(next(NUMBERS)), trials, objective)
        sign = 1 if OBJECTIVES[objective] == "maximize" else -1
        mean, number = best_of(trials, sign) or (None, None)
        loaded = load_study(study.name, study.store.home)
        assert (loaded.best.number if loaded.best else None) == number
        table = loaded.trials["mean"]
        assert number is None or (table.idxmax() if sign > 0 else table.idxmin()) == number
        assert (loaded.status["best"] or {}).get("number") == number
        (page,) = collect([loaded.study], images=0).studies
        assert (page.best.number if page.best else None) == number
        named = None if number is None else str(number)
        assert of_mlflow(shared / "mlflow.db", study) == (
            None if mean is None else pytest.approx(mean),
            named,
        )
        assert of_optuna(shared / "optuna.db", study) == number


@pytest.mark.slow
def test_the_command_line_and_the_registry_say_the_same(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(png, "save", lambda spec, path, **_: path.write_bytes(b"a picture"))
    trials: Scored = [
        ("stopped", (0.9, 0.9)),
        ("complete", (0.5,) * 3),
        ("complete", (0.7,) * 3),
        ("failed", ()),
    ]
    study = study_of(home, trials, "accuracy")
    of_mlflow(home / "mlflow.db", study)
    assert run(["status", study.name, "--json", "--home", str(home)]) == 0
    assert json.loads(capsys.readouterr().out)["best"]["number"] == 2
    assert run(["status", study.name, "--home", str(home)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["2", "*"] in [row[:2] for row in rows]
    assert [row[0] for row in rows if row and row[0] in "0123"][:3] == ["2", "1", "0"]
    confirmed = replace(confirmation().trials[0], number=2)
    found = final_test(
        study=study.name,
        trial=2,
        refit=study.trials[2].folds[0],
        confirm=confirmation(trials=(confirmed,), winner=2),
        confusion=tuple(tuple(10 * (row == column) for column in range(10)) for row in range(10)),
    )
    version = publish(study, found)
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    champion: Any = client.get_model_version_by_alias(study.name, "champion")
    source = client.get_run(champion.run_id)
    assert str(champion.version) == version and source.info.run_name == "final, trial 2"
    assert source.data.metrics["test/accuracy"] == found.scores["accuracy"]
