"""The smoke run: the whole way on embedded data in a folder of its own, saying of each promise whether it held."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import models, training, tuning
from harness.analysis import leaderboard
from harness.analysis.reproduce import Reproduction, reproduce
from harness.config.study_file import load_study_file
from harness.data import load_training
from harness.errors import HarnessError
from harness.search.driver import FoldEnded
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import read_predictions
from harness.store.store import Store

STUDY = "smoke"


@dataclass(frozen=True)
class SmokeCheck:
    """One promise: whether it held, and the figure that says so."""

    name: str
    held: bool
    detail: str
    seconds: float


@dataclass(frozen=True)
class SmokeRun:
    """held: whether every check did."""

    held: bool
    checks: tuple[SmokeCheck, ...]


class _BrokenError(HarnessError):
    """A promise that did not hold."""


def smoke() -> Iterator[SmokeCheck]:
    """Tune, interrupt, resume, reproduce, look; yields each check as soon as it is made."""
    with tempfile.TemporaryDirectory(prefix="harness-smoke-") as folder:
        home = Path(folder)
        steps: list[tuple[str, Callable[[Path], str]]] = [
            ("interrupt after one fold", _interrupt),
            ("resume to the end", _resume),
            ("folds disjoint and complete", _folds),
            ("held-out predictions cover each image once", _predictions),
            ("MLflow shows study, trials and folds", _mlflow),
            ("the best trial reproduces bit for bit", _reproduce),
            ("the model can learn: overfits one batch", _overfit),
        ]
        for name, step in steps:
            clock = time.monotonic()
            try:
                held, detail = True, step(home)
            except HarnessError as error:
                held, detail = False, str(error)
            yield SmokeCheck(name, held, detail, time.monotonic() - clock)


def _settings(home: Path) -> tuning.Settings:
    """Away from any server that the user's environment names: a smoke run leaves no trace."""
    return tuning.Settings(home=home, workers=1, offline=True)


def _interrupt(home: Path) -> str:
    events = tuning.tune(load_study_file(STUDY), _settings(home))
    for event in events:
        if isinstance(event, FoldEnded):
            events.close()
    state = leaderboard.status(_study(home)).state
    return _require(state == "interrupted", f"state {state}")


def _resume(home: Path) -> str:
    for event in tuning.tune(load_study_file(STUDY), _settings(home)):
        last = event
    assert isinstance(last, tuning.StudyEnded)
    _require(not last.pending, last.pending)
    status = leaderboard.status(_study(home))
    mean = (status.best.mean or 0.0) if status.best else 0.0
    done = f"{len(status.trials)} trials {status.state}, best accuracy {mean:.4f}"
    return _require(status.state == "finished" and mean > 0.3, done)  # chance is 0.1


def _folds(home: Path) -> str:
    split, labels = _study(home).split, _labels()
    folds = [set(split.held_out(fold).tolist()) for fold in range(split.num_folds)]
    together = set().union(*folds)
    overlap = sum(map(len, folds)) - len(together)
    leaks = sum(len(folds[f] & set(split.train_indices(f).tolist())) for f in range(split.num_folds))
    detail = f"{len(together)} of {len(labels)} images held out, {overlap} twice, {leaks} also trained on"
    return _require(len(together) == len(labels) and not overlap and not leaks, detail)


def _predictions(home: Path) -> str:
    study, labels = _study(home), _labels()
    times = np.zeros(len(labels), dtype=int)
    for record in study.all_folds(study.trials[0]):
        predictions = read_predictions(record)
        times[predictions["indices"]] += 1
        _require(bool((predictions["labels"] == labels[predictions["indices"]]).all()), "labels do not match")
    return _require(bool((times == 1).all()), f"{int((times == 1).sum())} of {len(labels)} exactly once")


def _mlflow(home: Path) -> str:
    from harness.tracking.mlflow_tracker import MlflowTracker  # loads mlflow

    counts = MlflowTracker(_settings(home).tracking_uri, home=home).count_runs(STUDY)
    detail = ", ".join(f"{count} {level} run(s)" for level, count in counts.items())
    return _require(counts == {"study": 1, "trial": 2, "fold": 4}, detail)


def _reproduce(home: Path) -> str:
    *_, found = reproduce(_study(home))
    assert isinstance(found, Reproduction)
    return _require(found.verdict == "BITWISE", found.verdict)


def _overfit(_home: Path) -> str:
    import torch

    images = load_training(load_study_file(STUDY).data)
    few = np.arange(32)
    data = training.FoldData(
        pixels=images.pixels[:32], labels=images.labels[:32], train=few, held_out=few, num_classes=10
    )
    compute = training.resolve(training.ComputeOptions())
    # Learned by heart after 26 to 37 epochs from ten seeds on a CPU in fp32: far from the end, where another machine's
    # rounding could decide.
    options = training.options_from(
        {
            "epochs": 80,
            "batch_size": 32,
            "lr": 0.1,
            "schedule": "constant",
            "weight_decay": 0.0,
            "augment": "none",
        }
    )
    with training.session(compute):
        torch.manual_seed(0)
        model = models.build("resnet", 1, 8, 10, {"depth": 2, "width": 8})
        for last in training.fit(model, data, options=options, compute=compute, seed=0):  # noqa: B007
            pass
    return _require(
        last.validation_accuracy == 1.0, f"accuracy {last.validation_accuracy:.3f} on its 32 images"
    )


def _require(held: bool, detail: str) -> str:
    if not held:
        raise _BrokenError(detail)
    return detail


def _study(home: Path) -> LoadedStudy:
    return LoadedStudy.open(Store(home), STUDY)


def _labels() -> np.ndarray:
    return load_training(load_study_file(STUDY).data).labels
