"""The scripts that whole_study runs beside harness still run, and tune what harness tunes."""

import argparse
import json
from pathlib import Path

import optuna
import pytest

from harness import models
from harness.config.settings import Choice, Range
from harness.config.study_file import load_study_file
from tests.benchmarks import whole_study
from tests.benchmarks.peers import Task, network, read, stock


def test_images_to_tune_on_and_apart_are_balanced_and_different(tmp_path: Path) -> None:
    whole_study.copy_images(None, tmp_path / "images", 100, seed=1)
    found = {
        part: {file.name for file in (tmp_path / "images" / part).rglob("*.png")}
        for part in ("train", "test")
    }
    assert len(found["train"]) == len(found["test"]) == 100 and not found["train"] & found["test"]
    pixels, labels = read(tmp_path / "images" / "train")
    assert pixels.shape == (100, 3, 32, 32) and (labels == sorted(labels)).all()
    assert [int((labels == label).sum()) for label in range(10)] == [10] * 10


def test_harness_is_given_the_space_and_the_network_of_the_others(tmp_path: Path) -> None:
    task = Task(str(tmp_path), trials=3, epochs=2, folds=2, seed=4)
    (tmp_path / "study.yaml").write_text(json.dumps(whole_study.study_file(task, None)))
    study = load_study_file(str(tmp_path / "study.yaml"))
    searched = {name for name, setting in study.settings().items() if isinstance(setting, Choice | Range)}
    trial = optuna.trial.FixedTrial({"width": 8, "dropout": 0.1, "lr": 0.1, "batch_size": 64})
    params = stock.suggest(trial)
    assert {name.partition(".")[2] for name in searched} == set(params)
    options = {**study.model, "width": 8, "dropout": 0.1}
    ours = models.build(str(options.pop("name")), 3, 32, 10, options)
    shapes = [tuple(part.shape) for part in network(params, 10).parameters()]
    assert shapes == [tuple(part.shape) for part in ours.parameters()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stock script", "harness"])
def test_a_contender_runs_from_start_to_end(name: str) -> None:
    options = argparse.Namespace(
        root=None, images=60, trials=2, epochs=1, folds=2, rung=None, round=0, peer_trials=1
    )
    found = whole_study.run(name, options)
    assert found.rate > 0 and found.figures["folds"] == (4 if name == "harness" else 2)
    assert 0 <= found.figures["best"] <= 1 and 0 <= found.figures["apart"] <= 1
