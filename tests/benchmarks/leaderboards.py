"""Leaderboards over many tracked folds: `harness status`, from start to exit, and MLflow's own search; folds a second.

The store holds one study of made-up trials of 5 folds, its fold records on disk. `status, the first time` also
corrects the winner's score, from the predictions of all folds, which a study does when it ends. MLflow's client
reads the runs of fewer folds, page by page, from its SQLite file, imports not counted.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from harness.data.folds import make_folds
from harness.data.split import Manifest
from harness.records import FoldRecord, TrialRecord
from harness.store.store import Store
from tests.benchmarks.interleave import Contenders, Run
from tests.tracking.fake_study import CLASSES, FakeStudy

FOLDS, IMAGES_PER_FOLD = 5, 40
SMALL = ("--folds", "2000")  # in a run of all benchmarks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folds", type=int, default=10_000)
    parser.add_argument("--mlflow-folds", type=int, default=250)


def contenders(options: argparse.Namespace) -> Contenders:
    return {
        "status, the first time": partial(ours, options.folds, times=1),
        "status": partial(ours, options.folds, times=2),
        "MLflow's search_runs": partial(mlflows, options.mlflow_folds),
    }


def ours(num_folds: int, *, times: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        fill(Store(Path(folder)), num_folds // FOLDS)
        program = Path(sys.executable).with_name("harness")
        seconds = 0.0
        for _ in range(times):
            started = time.perf_counter()
            subprocess.run(
                [program, "status", "made up", "--home", folder, "--json"],
                check=True, stdout=subprocess.DEVNULL, env={**os.environ, "HARNESS_HOME": folder},
            )  # fmt: skip
            seconds = time.perf_counter() - started
    return Run(num_folds / seconds, "folds/s", figures={"seconds": seconds})


def fill(store: Store, num_trials: int) -> None:
    """A finished study whose trials share a few distinct sets of predictions."""
    with tempfile.TemporaryDirectory() as folder:
        model = FakeStudy(Path(folder), name="made up", num_folds=FOLDS, images_per_fold=IMAGES_PER_FOLD)
        model.add_trial()
        trial = model.trials[0]
        num_images = FOLDS * IMAGES_PER_FOLD
        labels = np.arange(num_images) % len(CLASSES)
        fold_of = make_folds(labels, num_folds=FOLDS, seed=0, groups=None)
        write_split(store, labels, fold_of)
        store.write_study(replace(model.record, num_trials=num_trials))
        random = np.random.default_rng(0)
        for number in range(num_trials):
            records = [
                write_fold(store, model.folds[trial.folds[fold]], number, fold, labels, fold_of, random)
                for fold in range(FOLDS)
            ]
            scores = tuple(record.metrics["accuracy"] for record in records)
            store.write_trial("made up", finished(trial, number, records, scores))


def finished(
    trial: TrialRecord, number: int, records: list[FoldRecord], scores: tuple[float, ...]
) -> TrialRecord:
    keys = tuple(record.key for record in records)
    return replace(trial, number=number, folds=keys, scores=scores, mean=sum(scores) / len(scores))


def write_fold(
    store: Store,
    record: FoldRecord,
    number: int,
    fold: int,
    labels: np.ndarray,
    fold_of: np.ndarray,
    random: np.random.Generator,
) -> FoldRecord:
    held_out = np.flatnonzero(fold_of == fold)
    probabilities = random.dirichlet(np.ones(len(CLASSES)), len(held_out)).astype(np.float32)
    accuracy = float((probabilities.argmax(1) == labels[held_out]).mean())
    named = replace(record, key=f"{number:036d}{fold:04d}", metrics={**record.metrics, "accuracy": accuracy})
    predictions = {"indices": held_out, "labels": labels[held_out], "probabilities": probabilities}
    return store.write_fold(named, predictions, {"weight": np.zeros(1, np.float32)})


def write_split(store: Store, labels: np.ndarray, fold_of: np.ndarray) -> None:
    from harness.data.images import Images

    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    images = Images(pixels, labels.astype(np.int64), tuple(CLASSES))
    groups = np.arange(len(labels))
    split = Manifest.make(images, fold_of, groups, num_folds=FOLDS, seed=0)
    split.save(store.study_folder("made up") / "split.npz")


def mlflows(num_folds: int) -> Run:
    from harness.tracking.mlflow_tracker import MlflowTracker

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        study = FakeStudy(home, num_folds=FOLDS, num_epochs=5, images_per_fold=IMAGES_PER_FOLD)
        for _ in range(num_folds // FOLDS):
            study.add_trial("stopped")
        tracker = MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home)
        tracker.deliver(study.loaded, final=False)
        started = time.perf_counter()
        tracker.count_runs(study.name)
        seconds = time.perf_counter() - started
    return Run(num_folds / seconds, "folds/s", figures={"seconds": seconds})
