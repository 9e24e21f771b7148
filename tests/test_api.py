"""A study in Python: the frames hold what the records hold, and the page of examples runs."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.errors import StudyError, UsageError
from harness.store.store import Store

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
def test_the_page_of_examples_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert len(names["predictions"]) == 1438 and (tmp_path / "mlruns" / "mlflow.db").exists()  # type: ignore[arg-type]
