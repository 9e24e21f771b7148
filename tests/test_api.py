"""A study in Python: the frames hold what the records hold, and the page of examples runs."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.config import plugins
from harness.errors import DataError, StudyError, UsageError
from harness.folds.train_folds import images_of
from harness.store.store import Store
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture
PAGE = Path(__file__).parents[1] / "studies" / "python.md"


def test_importing_harness_imports_nothing_else() -> None:
    code = "import sys, harness; print([name for name in sys.modules if name.startswith('harness.')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_there_is_nothing_else_in_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tun'"):
        _ = harness.tun


def test_frames_hold_the_records(tuned: Store) -> None:
    study = harness.load_study("small", tuned.home)
    trials = tuned.read_trials("small")
    assert list(study.trials.index) == [0, 1]
    assert list(study.trials["mean"]) == [trial.mean for trial in trials]
    assert list(study.trials["model.dropout"]) == [trial.params["model.dropout"] for trial in trials]
    assert study.folds.index.names == ["trial", "fold"] and len(study.folds) == 4
    for trial in trials:
        assert tuple(study.folds.loc[trial.number, "accuracy"]) == trial.scores
    assert study.epochs.index.names == ["trial", "fold", "epoch"] and len(study.epochs) == 4
    assert study.best is not None and study.best.mean == study.trials["mean"].max()
    assert study.status["best"]["number"] == study.best.number
    assert (
        repr(study) == f"<study small: 2 of 2 trials, best {study.best.mean:.4f} (trial {study.best.number})>"
    )


def test_predictions_agree_with_the_scores(tuned: Store) -> None:
    study = harness.load_study("small", tuned.home)
    for number in (0, 1):
        predictions = study.predictions(number)
        assert len(predictions) == study.record.data["num_images"]
        scores = predictions["correct"].groupby(predictions["fold"]).mean()
        np.testing.assert_allclose(scores, study.folds.loc[number, "accuracy"])
        assert np.allclose(predictions.filter(like="p(").sum(axis=1), 1, atol=1e-5)
        called = predictions.filter(like="p(").idxmax(axis=1).str[2:-1]
        assert (called == predictions["predicted"].astype(str)).all()
    assert study.best is not None and study.predictions().equals(study.predictions(study.best.number))


def test_what_is_not_there_is_said(tuned: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'small'"):
        harness.load_study("smal", tuned.home)
    with pytest.raises(UsageError, match=r"no complete trial 7 \(0, 1\)"):
        harness.load_study("small", tuned.home).predictions(7)
    with pytest.raises(UsageError, match="needs a name"):
        harness.tune({"data": {"name": "digits"}, "model": {"name": "resnet"}}, home=tmp_path)
    with pytest.raises(StudyError, match="did you mean 'dropout'"):
        harness.tune(
            {"data": {"name": "digits"}, "model": {"name": "resnet", "droput": 0.1}}, name="x", home=tmp_path
        )


def test_a_study_without_trials_has_empty_frames(tuned: Store) -> None:
    for path in (tuned.study_folder("small") / "trials").iterdir():
        path.unlink()
    study = harness.load_study("small", tuned.home)
    assert study.best is None and study.trials.empty and study.folds.empty and study.epochs.empty


@pytest.mark.slow
def test_the_page_of_examples_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 7
    script = tmp_path / "page.py"
    script.write_text(
        "\n".join([*blocks, "assert len(predictions) == 1438", "print(events[-1])"]), encoding="utf-8"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("StudyEnded("), done.stderr
    assert (tmp_path / "mlruns" / "mlflow.db").exists() and (tmp_path / "from_python.html").exists()


def test_a_study_says_what_was_taken_for_what_and_names_its_images(
    tuned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = harness.load_study("small", tuned.home)
    confusion, predictions = study.confusion(1), study.predictions(1)
    assert confusion.index.name == "label" and confusion.columns.name == "predicted"
    assert (
        confusion.loc["3", "8"] == ((predictions["label"] == "3") & (predictions["predicted"] == "8")).sum()
    )
    assert confusion.to_numpy().sum() == len(predictions)
    assert "name" not in predictions and study.source() == {}
    named = replace(images_of(study.study.store, study.record), names=tuple(map(str, predictions.index)))
    monkeypatch.setattr("harness.api.images_of", lambda *_: named)
    again = harness.load_study("small", tuned.home).predictions(1)
    assert list(again["name"]) == [str(number) for number in predictions.index]


def test_the_model_of_a_study_predicts_arrays_files_and_tensors_alike(tuned: Store, tmp_path: Path) -> None:
    study = harness.load_study("small", tuned.home)
    pixels = images_of(study.study.store, study.record).pixels[:5]
    model = study.model()
    with torch.no_grad():
        chances = model(torch.from_numpy(pixels.copy()))
        torch.testing.assert_close(chances, model(torch.from_numpy(pixels / np.float32(255))))
    assert not model.training and chances.shape == (5, 10)
    frame = study.predict(pixels)
    np.testing.assert_allclose(frame.filter(like="p("), chances, atol=5e-3)  # in fp32, not as it was trained
    assert (frame.filter(like="p(").idxmax(axis=1).str[2:-1] == frame["label"]).all()
    assert frame["probability"].tolist() == pytest.approx(frame.filter(like="p(").max(axis=1), abs=1e-6)
    for number, image in enumerate(pixels):
        Image.fromarray(image[0]).save(tmp_path / f"{number}.png")
    (tmp_path / "9.png").write_bytes(b"no image")
    by_file = study.predict(tmp_path)
    assert list(by_file.index) == [str(tmp_path / f"{number}.png") for number in (0, 1, 2, 3, 4, 9)]
    np.testing.assert_allclose(by_file.filter(like="p(")[:5], frame.filter(like="p("), atol=5e-3)
    assert by_file["error"].isna().tolist() == [True] * 5 + [False]
    assert list(study.predict([tmp_path / "0.png"]).index) == [str(tmp_path / "0.png")]
    with pytest.raises(DataError, match=r"takes uint8 images of N×1×8×8"):
        study.predict(np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(ValueError, match=r"takes images \(N, 1, 8, 8\), not \(2, 1, 9, 9\)"):
        model(torch.zeros(2, 1, 9, 9))


def test_a_report_is_written_where_it_is_wanted(tuned: Store, tmp_path: Path) -> None:
    study = harness.load_study("small", tuned.home)
    assert study.report(tmp_path / "small.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert study.report(tmp_path / "small.md").read_text(encoding="utf-8").startswith("#")


NET = '''"""A linear classifier."""
from torch import nn
from sizes import FACTOR


class Net(nn.Module):
    def __init__(self, in_channels, image_size, num_classes, width: int = 4):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(in_channels * image_size**2, width * FACTOR), nn.Linear(width * FACTOR, num_classes)
        )

    def forward(self, x):
        return self.body(x)


def error(y_true, y_pred):
    return (y_true != y_pred).mean()


error.higher_is_better = False
'''
SMALL = {
    "model": {"width": (2, np.int64(3))},
    "train": {"epochs": 1, "augment": "none", "batch_size": 16, "lr": np.float32(0.1)},
    "cv": {"folds": 2, "duplicates": "ignore"},
    "search": {"trials": 2, "sampler": "grid", "racing": "none"},
}


@pytest.mark.slow
def test_code_of_a_file_and_images_in_memory_are_tuned_and_an_edit_is_seen(project: Path) -> None:
    write(project, "nets.py", NET)
    write(project, "sizes.py", "FACTOR = 1\n")
    sys.path.insert(0, str(project))
    import nets  # type: ignore[import-not-found]

    def tune(name: str, **more: Any) -> Any:
        rng = np.random.default_rng(0)
        data = rng.random((40, 6, 6)), np.arange(40) % 2
        return harness.tune(
            SMALL,
            model=nets.Net,
            metric=nets.error,
            data=data,
            name=name,
            offline=True,
            progress=False,
            **more,
        )

    study = tune("first")
    assert study.record.definition["model"] == {"name": "nets:Net", "width": [2, 3]}
    assert (study.record.objective, study.record.direction) == ("nets:error", "minimize")
    assert set(study.source()) == {"nets.py", "sizes.py"} and study.source()["sizes.py"] == "FACTOR = 1\n"
    assert study.model().portable.networks[0].body[1].out_features in (2, 3)
    assert plugins.project() == project
    assert list(tune("again", workers=2).folds["key"]) == list(study.folds["key"])
    write(project, "sizes.py", "FACTOR = 2\n")
    with pytest.raises(UsageError, match=r"sizes\.py: what stands outside of functions changed"):
        tune("first")
    edited = tune("edited")
    assert edited.model().portable.networks[0].body[1].out_features in (4, 6)
    assert not set(edited.folds["key"]) & set(study.folds["key"])
    assert harness.load_study("first").model().portable.networks[0].body[1].out_features in (2, 3)
    assert plugins.project() == project / "mlruns/studies/first/sources"
    assert tune("edited").trials["mean"].equals(edited.trials["mean"]) and plugins.project() == project


def test_settings_of_a_run_are_those_of_the_command(project: Path) -> None:
    for wrong, why in [({"gpus": 2.0}, "--gpus must be"), ({"address": "a:1"}, "is for --executor ray")]:
        with pytest.raises(UsageError, match=why):
            harness.tune("quickstart", **wrong)
    with pytest.raises(UsageError, match=r"model=… goes with a study that is a map"):
        harness.tune("quickstart", model=torch.nn.Linear)


def test_an_argument_of_a_model_that_nobody_gives_is_told(project: Path) -> None:
    write(project, "wide_nets.py", "class Wide:\n    def __init__(self, num_classes, config): ...\n")
    sys.path.insert(0, str(project))
    from wide_nets import Wide  # type: ignore[import-not-found]

    with pytest.raises(
        StudyError, match=r"wide_nets\.py:Wide wants config, which has no default; harness giv"
    ):
        harness.tune({"data": {"name": "digits"}}, model=Wide, name="wide")
