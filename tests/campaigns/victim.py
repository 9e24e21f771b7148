"""A small study to attack, and what it looks like when nobody does."""

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness.study.store import Store

STUDY = """\
# Does it survive?
data: {name: digits}
model: {name: resnet, depth: 1, width: 4, dropout: {low: 0.0, high: 0.5}}
train: {epochs: 3, batch_size: 128, lr: {low: 0.01, high: 0.5, log: true}, augment: none}
cv: {folds: 2}
search: {trials: 3, batch: 2, sampler: random, racing: none}
objective: accuracy
"""
PRELOADED = ["harness.study.preload", "tests.campaigns.preload"]
Before = Callable[[], None]


@dataclass
class Victim:
    """folder: for the study file, an empty MLflow database, and the stores of all attempts."""

    folder: Path
    expected: dict[str, Any] = field(init=False)
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        self.path = self.folder / "victim.yaml"
        self.path.write_text(STUDY, encoding="utf-8")
        (self.folder / "empty").mkdir()
        home = self.folder / "undisturbed"
        self.finish(home)
        shutil.copy(home / "mlflow.db", self.folder / "used.db")
        started = time.monotonic()
        again = self.home("again")
        self.finish(again)
        self.seconds = time.monotonic() - started
        self.expected = self.outcome(home)
        assert self.outcome(again) == self.expected, "two undisturbed runs differ"

    def home(self, name: str) -> Path:
        """A new store for an attempt, named so."""
        home = self.folder / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        return home

    def start(self, home: Path, *, workers: int = 1, before: Before | None = None) -> BaseProcess:
        """Run the study in a process of its own. before: called in it first."""
        process = self.context.Process(target=_run, args=(self.path, home, workers, before))
        process.start()
        return process

    def finish(self, home: Path, *, workers: int = 1) -> int:
        """Run the study to its end; its exit code."""
        process = self.start(home, workers=workers)
        process.join(300)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
            return -9
        return code

    def outcome(self, home: Path) -> dict[str, Any]:
        """All that should be the same, whatever has happened."""
        store = Store(home)
        trials = store.read_trials("victim")
        folds = {key: store.read_fold(key) for trial in trials for key in trial.folds}
        return {
            "trials": [(one.number, one.state, one.params, one.scores, one.folds) for one in trials],
            "hashes": {key: fold and fold.hashes for key, fold in folds.items()},
            "mlflow": shown(home),
        }

    def compare(self, home: Path) -> str:
        """What is not as it should be, or ""."""
        found = self.outcome(home)
        return "; ".join(f"{part} differ" for part, value in found.items() if value != self.expected[part])


def shown(home: Path) -> dict[str, Any]:
    """MLflow's runs by name: state, parameters, and how many points each metric has."""
    import sqlite3

    with sqlite3.connect(home / "mlflow.db") as database:
        runs = database.execute(
            "select run_uuid, name, status from runs where lifecycle_stage = 'active' order by name"
        ).fetchall()
        counts = {
            run: database.execute(
                "select key, count(*) from metrics where run_uuid = ? group by key order by key", (run,)
            ).fetchall()
            for run, _, _ in runs
        }
    return {"runs": [(name, status, counts[run]) for run, name, status in runs]}


def _run(path: Path, home: Path, workers: int, before: Before | None) -> None:
    """In the child: the command, without its display."""
    import logging
    import os
    import sys

    from harness.errors import HarnessError

    logging.disable(logging.CRITICAL)
    if before is not None:
        before()
    from harness import config
    from harness.study import tuning

    try:
        for _ in tuning.tune(config.load(str(path)), tuning.Settings(home, workers=workers, offline=True)):
            pass
    except HarnessError as error:
        (home.parent / f"{home.name}.error").write_text(json.dumps([type(error).__name__, str(error)]))
        os._exit(error.exit_code)
    sys.stdout.flush()
    os._exit(0)
