"""What a tracking server that was away is told afterwards: points a second, over HTTP, from nothing to all.

The study is made up: trials of 5 folds of 50 epochs with their curves, pictures of complete trials, and the best
trial's model; `stopped trials` has all but one stopped after two folds, as racing leaves most. The server is a real
`mlflow server` over SQLite on this machine.
"""

import argparse
import sqlite3
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path

from harness.tracking.mlflow_tracker import MlflowTracker
from tests.benchmarks.interleave import Contenders, Run
from tests.campaigns.server import TrackingServer
from tests.tracking.fake_study import FakeStudy

FOLDS, EPOCHS = 5, 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--points", type=int, default=10_000)


def contenders(options: argparse.Namespace) -> Contenders:
    return {
        "complete trials": partial(caught_up, options.points, folds=FOLDS),
        "stopped trials": partial(caught_up, options.points, folds=2),
    }


def caught_up(num_points: int, *, folds: int) -> Run:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        server = TrackingServer(home / "server")
        try:
            study = FakeStudy(home, num_folds=FOLDS, num_epochs=EPOCHS, images_per_fold=200)
            study.add_trial()
            while _count(study) < num_points:
                study.add_trial("complete" if folds == FOLDS else "stopped", folds)
                for key in study.trials[-1].folds:  # a loser: its weights are not kept
                    (study.folds[key].folder / "weights.safetensors").unlink()
            tracker = MlflowTracker(server.uri, home=home)
            started = time.perf_counter()
            tracker.deliver(study.loaded, final=True)
            seconds = time.perf_counter() - started
            with closing(sqlite3.connect(server.database)) as connection:
                (points,) = connection.execute("select count(*) from metrics").fetchone()
        finally:
            server.close()
    return Run(points / seconds, "points/s", figures={"seconds": seconds, "points": points})


def _count(study: FakeStudy) -> int:
    from harness.tracking import views

    return sum(
        len(views.fold_view(study.record, trial, study.folds[key], files=None).points)
        for trial in study.trials
        for key in trial.folds
    )
