"""A study over several models with conditions, trained for real, and all that shows or repeats it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.analysis.leaderboard import status
from harness.cli import run
from harness.config.study_file import load_study_file
from harness.report.collect import collect
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking.experiment_view import TABLE, experiment_tags
from harness.tracking.optuna_mirror import mirror
from harness.tuning import Settings, tune

MODELS = "[{name: resnet, depth: [1, 2], width: 4}, {name: simple_cnn, depth: 1, width: [4, 8], dense: 16}]"
STUDY = """\
# Which network, and by which optimiser?
data: {name: digits, test_fraction: 0.8}
model: MODELS
train:
  epochs: 1
  batch_size: 128
  augment: none
  optimizer: [sgd, adamw]
  momentum: {low: 0.8, high: 0.99, when: {optimizer: sgd}}
  lr: 0.05
cv: {folds: 2}
search: {trials: 9, racing: none, startup_trials: 3}
""".replace("MODELS", MODELS)


@pytest.mark.slow
def test_a_study_over_two_models_is_tuned_shown_and_reproduced(
    tuning_of: Callable[..., Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(STUDY, encoding="utf-8")
    store = tuning_of(path, tmp_path / "home", "search.trials=5")
    before = store.read_trials("both")
    tuning_of(path, store.home)  # goes on
    study = LoadedStudy.open(store, "both")
    assert study.record.models == ("resnet", "simple_cnn") and study.trials[:5] == tuple(before)
    assert {trial.state for trial in study.trials} == {"complete"}
    assert {trial.values["model.name"] for trial in study.trials} == {"resnet", "simple_cnn"}
    for trial in study.trials:
        assert ("train.momentum" in trial.params) == (trial.values["train.optimizer"] == "sgd")
        assert trial.values["train.optimizer"] == "sgd" or trial.values["train.momentum"] == 0.9

    other = next(trial for trial in study.trials if trial.values["model.name"] == "simple_cnn")
    values = {f"{name}={value}" for name, value in other.params.items() if name != "model.name"}
    path.with_name("alone.yaml").write_text(
        STUDY.replace(MODELS, "{name: simple_cnn, depth: 1, dense: 16}"), "utf-8"
    )
    tuning_of(path.with_name("alone.yaml"), store.home, *sorted(values))
    (found,) = store.read_trials("alone")
    assert found.folds == other.folds and found.scores == other.scores

    (report,) = collect([study], images=0).studies
    searched = {option.path for option in report.searched}
    assert searched == {"model.name", "model.depth", "model.width", "train.optimizer", "train.momentum"}
    assert not report.absent and set(report.importances) == {"model.name", "train.optimizer"}
    assert "params.`model.depth`" in experiment_tags(study.record)[f"mlflow.sharedViewState.{TABLE}"]
    mirror(
        f"sqlite:///{tmp_path / 'optuna.db'}", "both", load_study_file(str(path)), study.ended, study_id="a"
    )
    assert len(status(study).trials) == 9
    for command in (
        ["status", "both"],
        ["show", "both", "1"],
        ["reproduce", "both", "--trial", str(other.number)],
    ):
        assert run([*command, "--home", str(store.home)]) == 0
    assert "BITWISE" in capsys.readouterr().out


@pytest.mark.slow
def test_a_network_over_the_limit_is_not_trained_and_another_wins(tmp_path: Path) -> None:
    path, home = tmp_path / "limited.yaml", tmp_path / "home"
    path.write_text(STUDY.replace(MODELS, "{name: resnet, depth: 1, width: [4, 64]}"), "utf-8")
    limits = ["search.constraints.parameters=2000", "search.sampler=grid", "train.optimizer=adamw"]
    limits += ["search.first=[{model.width: 64}]", "train.momentum=0.9"]
    text = path.read_text("utf-8").replace(", startup_trials: 3", "")
    path.write_text(text, "utf-8")
    for _ in range(2):  # also again, from the records
        *_, ended = tune(load_study_file(str(path), limits), Settings(home, workers=1, offline=True))
        small, large = ended.trials
        assert (small.state, large.state, large.folds) == ("complete", "stopped", ())
        assert (
            large.params["model.width"] == 64
            and "more than search.constraints.parameters = 2,000" in large.reason
        )
        assert ended.best == small and ended.state == "finished" and not ended.pending
