"""A study with several objectives, as those see it who read it: status, report, MLflow, Optuna's dashboard, Python."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

import harness
from harness import models
from harness.analysis import leaderboard
from harness.analysis.false_stops import false_stops
from harness.cli import pareto, run
from harness.config.study_file import Study, load_study_file
from harness.documents import to_json
from harness.errors import HarnessError
from harness.records import Objective, TrialRecord
from harness.report.collect import collect
from harness.report.html import page
from harness.report.markdown import markdown
from harness.search.objectives import other_objectives
from harness.store.findings import FalseStops
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import read_predictions
from harness.store.store import Store
from harness.tracking import views
from harness.tracking.optuna_mirror import mirror
from tests import tuned_study
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

STUDY = """\
data: {name: digits}
model: {name: resnet, depth: 1, width: [2, 8]}
train: {epochs: 5, batch_size: 64, lr: [0.1, 0.0001], schedule: one_cycle, augment: none, keep_models: none}
cv: {folds: 2}
search: {trials: 4, sampler: grid, racing: none}
objective: [accuracy, parameters, macro_f1]
"""
METRIC = '''"""Share of images of the digit one that are called so."""


def score(labels, predictions):
    return (predictions[labels == 1] == 1).mean()
'''


@pytest.fixture(scope="module")
def _several(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("several")
    path = folder / "several.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path, tuned_study.tune(path, folder / "home").home


@pytest.fixture
def study(_several: tuple[Path, Path]) -> LoadedStudy:
    return LoadedStudy.open(Store(_several[1]), "several")


@pytest.fixture
def definition(_several: tuple[Path, Path]) -> Study:
    return load_study_file(str(_several[0]))


def test_the_front_has_every_objective_with_the_error_of_metrics(study: LoadedStudy) -> None:
    found = leaderboard.pareto_front(study)
    assert [one.name for one in found.objectives] == ["accuracy", "parameters", "macro_f1"]
    assert [one.number for one in found.trials] == [one.number for one in study.front]
    assert found.num_complete == 4 and "so accuracy and macro_f1 are optimistic" in found.worth
    for shown in found.trials:
        trial = study.trials[shown.number]
        network = models.build("resnet", 1, 8, range(10), {"depth": 1, "width": trial.values["model.width"]})
        folds = study.folds(trial)
        accuracy, parameters, macro_f1 = shown.values
        assert (accuracy.value, accuracy.standard_error) == (trial.mean, trial.standard_error)
        assert parameters.value == sum(one.numel() for one in network.parameters())
        assert parameters.value == folds[0].num_parameters and parameters.standard_error is None
        scores = [fold.metrics["macro_f1"] for fold in folds]
        assert (
            macro_f1.value == sum(scores) / 2 and macro_f1.standard_error > study.error(scores).standard_error
        )
    means = [shown.values[0].value for shown in found.trials]
    assert means == sorted(means, reverse=True)


def test_a_study_with_one_objective_says_nothing_of_a_front(tuned: Store) -> None:
    loaded = LoadedStudy.open(tuned, "small")
    document = to_json(leaderboard.status(loaded))
    assert "pareto" not in document and "others" not in document["trials"][0] and loaded.front == ()
    assert 'id="s0-front"' not in page(collect([loaded], images=0))


def test_status_prints_a_table_of_the_front_and_its_document_has_it(
    study: LoadedStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(study.store.home)
    assert run(["status", "several", "--home", home]) == 0
    said = capsys.readouterr().out
    assert f"Pareto front  {len(study.front)} of 4 complete trials" in said
    assert "accuracy ↑ ± 95 %" in said and "parameters ↓" in said and "macro_f1 ↑ ± 95 %" in said
    assert run(["status", "several", "--home", home, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert {"schema": 1, **document["pareto"]} == to_json(leaderboard.pareto_front(study))
    assert run(["show", "several", "0", "--home", home]) == 0
    assert re.search(r"^parameters [\d,]+$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_table_fits_80_columns(
    study: LoadedStudy, count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = leaderboard.pareto_front(study)
    names = [found.objectives[place] for place in (0, 2, 1, 2)][:count]
    rows = tuple(
        replace(one, values=tuple(one.values[place] for place in (0, 2, 1, 2))[:count], params={
            "model.name": "simple_cnn", "model.width": 16, "train.lr": 0.0512341, "train.batch_size": 128
        })
        for one in found.trials
    )  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    pareto.front(replace(found, objectives=tuple(names), trials=rows), best=0)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    assert "simple_cnn" in "\n".join(lines)


def test_the_report_draws_the_front_and_lists_it(study: LoadedStudy) -> None:
    report = collect([study], images=0)
    charts = fronts(page(report))
    assert len(charts) == 2  # against each other objective
    for chart in charts:
        kinds = [row["kind"] for row in chart["data"]["values"]]
        assert kinds.count("on the front") == len(study.front)
        assert not has_line(chart)  # a step of three objectives would be no bound
    assert markdown(report).count("Pareto front: chosen among 4 trials") == 1
    two = replace(study.record, others=study.record.others[:1])
    (chart,) = fronts(page(collect([replace(study, record=two)], images=0)))
    assert has_line(chart)


def fronts(content: str) -> list[dict[str, Any]]:
    """The charts of the section."""
    section = content[content.index('id="s0-front"') : content.index('id="s0-history"')]
    data = re.search(r'class="data">(.*?)</script>', content)
    assert data
    charts = json.loads(data[1])["charts"]
    return [charts[key] for key in re.findall(r'data-chart="([^"]*)"', section)]


def has_line(chart: dict[str, Any]) -> bool:
    return any(layer["mark"]["type"] == "line" for layer in chart["layer"])


def test_mlflow_has_each_objective_and_a_tag_for_the_front(study: LoadedStudy) -> None:
    front = {trial.number for trial in study.front}
    assert 0 < len(front) < 4
    for trial in study.trials:
        shown = views.trial_view(study, trial, final=True, files=None)
        assert shown.tags["harness.pareto"] == ("front" if trial.number in front else "dominated")
        points = {point.key: point.value for point in shown.points}
        assert points["cv/parameters"] == trial.others["parameters"][0]
        assert points["cv/accuracy"] == trial.mean and "cv/macro_f1_error" in points
    # A better trial that comes later puts others off the front, which MLflow is then shown.
    best = TrialRecord(
        4, "complete", {}, {}, scores=(1.0, 1.0), mean=1.0, others={"parameters": (1.0,), "macro_f1": (1.0, 1.0)}
    )  # fmt: skip
    later = study.with_trials([*study.trials, best])
    for trial in study.trials:
        was, now = (views.trial_version(one, trial, final=True) for one in (study, later))
        assert (was != now) == (trial.number in front)


def test_optunas_store_has_the_directions_and_stopped_trials_as_pruned(
    study: LoadedStudy, definition: Study, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    one = definition.model_copy(update={"others": ()})
    mirror(url, "several", one, study.trials, study_id="a")
    stopped = replace(study.trials[3], state="stopped")
    mirror(
        url, "several", definition, [*study.trials[:3], stopped], study_id="a"
    )  # the study has begun again
    storage = optuna.storages.RDBStorage(url)
    shown = optuna.load_study(study_name="several", storage=storage)
    assert [way.name for way in shown.directions] == ["MAXIMIZE", "MINIMIZE", "MAXIMIZE"]
    assert [trial.state.name for trial in shown.trials] == ["COMPLETE"] * 3 + ["PRUNED"]
    left = study.with_trials(study.trials[:3])
    assert {trial.number for trial in shown.best_trials} == {trial.number for trial in left.front}
    storage.engine.dispose()


def test_python_has_the_front_and_each_objective_of_every_trial(study: LoadedStudy) -> None:
    loaded = harness.load_study("several", study.store.home)
    assert [trial.number for trial in loaded.front] == [trial.number for trial in study.front]
    assert list(loaded.trials["parameters"]) == [trial.others["parameters"][0] for trial in study.trials]


@pytest.mark.slow
def test_a_metric_of_the_users_own_may_come_second(project: Path) -> None:
    write(project, "metrics/ones.py", METRIC)
    path = write(
        project, "several.yaml", STUDY.replace("[accuracy, parameters, macro_f1]", "[accuracy, ones]")
    )
    store = tuned_study.tune(path, project / "home", "search.trials=2")
    loaded = LoadedStudy.open(store, "several")
    for trial in loaded.trials:
        folds = loaded.folds(trial)
        found = [read_predictions(fold) for fold in folds]
        expected = tuple(
            float((one["probabilities"].argmax(1)[one["labels"] == 1] == 1).mean()) for one in found
        )
        assert trial.others["ones"] == expected
        assert tuple(fold.metrics["ones"] for fold in folds) == expected
    (project / "metrics/ones.py").unlink()  # nothing of its code is needed to read the study
    assert len(leaderboard.pareto_front(LoadedStudy.open(store, "several")).trials) >= 1


def test_a_metric_that_cannot_be_tried_is_told_with_its_place(project: Path) -> None:
    write(project, "metrics/ones.py", "def score(labels):\n    return labels[10**9]\n")
    path = write(
        project, "several.yaml", STUDY.replace("[accuracy, parameters, macro_f1]", "[accuracy, ones]")
    )
    with pytest.raises(HarnessError, match=r"objective\[1\] +metric ones: metrics/ones\.py:2: IndexError"):
        tuned_study.tune(path, project / "home")


def test_another_second_objective_is_another_study(_several: tuple[Path, Path]) -> None:
    path, home = _several
    with pytest.raises(HarnessError, match="has changed since it began") as caught:
        tuned_study.tune(path, home, "objective=[accuracy, parameters]")
    assert '["accuracy", "parameters", "macro_f1"] -> ["accuracy", "parameters"]' in str(caught.value)


def test_only_seconds_are_warned_of(study: LoadedStudy, caplog: pytest.LogCaptureFixture) -> None:
    assert other_objectives(study.record) is not None and not caplog.records
    values = other_objectives(replace(study.record, others=(Objective("seconds_per_fold", "minimize"),)))
    assert "depends on the speed" in caplog.text and values is not None
    folds = study.folds(study.trials[0])
    assert values.of(study.trials[0].values, folds) == {"seconds_per_fold": tuple(f.seconds for f in folds)}


def test_a_stop_was_false_where_the_whole_trial_is_dominated_by_none(study: LoadedStudy) -> None:
    """The smallest good network is worse than a large one, and on the front."""
    small = study.front[-1]
    (lost,) = (
        one for one in study.trials if one.others["parameters"] == small.others["parameters"] and one != small
    )
    for trial, false in ((small, (small.number,)), (lost, ())):
        cut = {name: scores[:1] for name, scores in trial.others.items()}
        stopped = replace(trial, state="stopped", folds=trial.folds[:1], scores=trial.scores[:1], others=cut)
        trials = [stopped if one is trial else one for one in study.trials]
        *_, found = false_stops(study.with_trials(trials), sample=1)
        assert isinstance(found, FalseStops) and found.false == false
        assert found.means == {str(trial.number): trial.mean}
