"""Recording trials in MLflow: straightforward client code, and harness; trials a second of processor time.

Each trial has 5 folds of 20 epochs with 6 curves, a confusion matrix a fold and 5 models, in an SQLite database
that is there already. `as tutorials do` opens a nested run per trial and fold and logs each epoch's metrics in
a call, a figure of the matrix, and the model with mlflow.pytorch.log_model, without its requirements and with
them. `harness, all models` delivers the same from its records (a model holds the five folds' weights), with three
pictures of every trial; `harness` is the default: the best trial's model, and pictures of the trials that are looked
at, both when the study ends; `harness, stopped trials` is what racing makes of most: two folds.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from harness.tracking.mlflow_tracker import MlflowTracker
from tests.benchmarks.interleave import Contenders, Run
from tests.tracking.fake_study import FakeStudy

FOLDS, EPOCHS = 5, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--tutorial-trials", type=int, default=2, help="seconds for each")


def contenders(options: argparse.Namespace) -> Contenders:
    return {
        "as tutorials do": partial(tutorial, 1, requirements=None),
        "the same, requirements given": partial(tutorial, options.tutorial_trials, requirements=["torch"]),
        "harness, all models": partial(ours, options.trials, keep_models="all", with_all_pictures=True),
        "harness": partial(ours, options.trials, keep_models="best"),
        "harness, stopped trials": partial(ours, options.trials, keep_models="best", folds=2),
    }


def ours(num_trials: int, *, keep_models: str, folds: int = FOLDS, with_all_pictures: bool = False) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        study = FakeStudy(home, num_folds=FOLDS, num_epochs=EPOCHS, images_per_fold=200)
        for number in range(num_trials + 1):
            first = number == 0
            study.add_trial(
                "complete" if first or folds == FOLDS else "stopped",
                FOLDS if first else folds,
                **{"train.keep_models": keep_models},
            )
            if keep_models == "best" and not first:  # a loser: its weights are not kept
                for key in study.trials[-1].folds:
                    (study.folds[key].folder / "weights.safetensors").unlink()
        tracker = MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home)
        tracker.deliver(study.loaded.with_trials(study.trials[:1]), final=False)
        started = time.process_time(), time.perf_counter()
        tracker.deliver(study.loaded, final=False)
        tracker.deliver(study.loaded, final=True, with_all_pictures=with_all_pictures)
        return _result(num_trials, *started)


def tutorial(num_trials: int, *, requirements: list[str] | None) -> Run:
    import mlflow
    import torch

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        study = FakeStudy(home, num_folds=FOLDS, num_epochs=EPOCHS, images_per_fold=200)
        for _ in range(num_trials + 1):
            study.add_trial("complete")
        mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
        mlflow.set_experiment("tutorial")
        started = 0.0, 0.0
        for trial in study.trials:
            if trial.number == 1:  # the first one also imports what logging needs
                started = time.process_time(), time.perf_counter()
            with mlflow.start_run(run_name=f"trial {trial.number}"):
                mlflow.log_params(trial.values)
                for number, key in enumerate(trial.folds):
                    fold = study.folds[key]
                    with mlflow.start_run(run_name=f"fold {number}", nested=True):
                        for epoch in fold.epochs:
                            curves = {
                                "train_loss": epoch.train_loss,
                                "train_accuracy": epoch.train_accuracy,
                                "validation_loss": epoch.validation_loss,
                                "validation_accuracy": epoch.validation_accuracy,
                                "learning_rate": epoch.learning_rate,
                                "images_per_second": epoch.images_per_second,
                            }
                            mlflow.log_metrics(curves, step=epoch.epoch)
                        mlflow.log_figure(_figure(np.array(fold.confusion)), "confusion.png")
                        mlflow.pytorch.log_model(
                            torch.nn.Linear(64, 10),
                            name="model",
                            serialization_format="pickle",
                            pip_requirements=requirements,
                        )
                mlflow.log_metric("accuracy", trial.mean)
        return _result(num_trials, *started)


def _figure(matrix: np.ndarray) -> object:
    from sklearn.metrics import ConfusionMatrixDisplay

    return ConfusionMatrixDisplay(matrix).plot().figure_


def _result(num_trials: int, process_time: float, wall: float) -> Run:
    cpu = (time.process_time() - process_time) / num_trials
    wall = (time.perf_counter() - wall) / num_trials
    return Run(1 / cpu, "trials/s of processor time", f"{cpu:.2f} s of processor, {wall:.2f} s a trial")
