"""A small study to attack, and what it looks like when nobody does."""

import json
import multiprocessing
import random
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness.records import StudyRecord
from harness.store.store import Store
from harness.tracking.experiment_view import study_id
from tests.campaigns.server import FaultProxy, TrackingServer

STUDY = """\
# Does it survive?
data: {name: digits}
model: {name: resnet, depth: 1, width: 4, dropout: {low: 0.0, high: 0.5}}
train: {epochs: 3, batch_size: 128, lr: {low: 0.01, high: 0.5, log: true}, augment: none}
cv: {folds: 2}
search: {trials: 3, batch: 2, sampler: random, racing: none}
objective: accuracy
"""
STUDY_NAME = "victim"
PRELOADED = ["harness.folds.preload", "tests.campaigns.preload"]
Before = Callable[[], None]


@dataclass
class Victim:
    """folder: for the study file, an MLflow database, and the stores of all attempts.

    empty_database: of MLflow, with which most stores begin; or else each makes its own, which takes seconds.
    expected: what comes of the study if nobody harms it, and how many seconds that takes.
    """

    folder: Path
    empty_database: Path | None = None
    expected: dict[str, Any] = field(init=False)
    seconds: float = field(init=False)
    notes: list[str] = field(default_factory=list)  # what an attack measured, for the campaign's report

    def __post_init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        self.path = self.folder / f"{STUDY_NAME}.yaml"
        self.path.write_text(STUDY, encoding="utf-8")
        home = self.folder / "undisturbed"
        self.finish(home)
        started = time.monotonic()
        again = self.home("again")
        self.finish(again)
        self.seconds = time.monotonic() - started
        self.expected = self.outcome(home)
        assert self.outcome(again) == self.expected, "two undisturbed runs differ"

    def home(self, name: str, *, empty: bool = False) -> Path:
        """A new store for an attempt, named so.   empty: without a database, whatever there is."""
        home = self.folder / name
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        if self.empty_database and not empty:
            shutil.copy(self.empty_database, home / "mlflow.db")
        return home

    @cached_property
    def server(self) -> TrackingServer:
        """An MLflow server, started when an attack first needs one."""
        return TrackingServer(self.folder / "server")

    @cached_property
    def proxy(self) -> FaultProxy:
        return FaultProxy(self.server.port, random.Random(0))

    def close(self) -> None:
        if "proxy" in self.__dict__:
            self.proxy.close()
        if "server" in self.__dict__:
            self.server.close()

    def start(
        self,
        home: Path,
        *,
        workers: int = 1,
        before: Before | None = None,
        uri: str = "",
        name: str = STUDY_NAME,
    ) -> BaseProcess:
        """Run the study in a process of its own. before: called in it first.   uri: of the tracking server."""
        process = self.context.Process(target=_run, args=(self.path, home, name, workers, before, uri))
        process.start()
        return process

    def finish(self, home: Path, *, workers: int = 1, uri: str = "") -> int:
        """Run the study to its end; its exit code."""
        process = self.start(home, workers=workers, uri=uri)
        process.join(300)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
            return -9
        return code

    def told(self, home: Path, name: str = STUDY_NAME) -> str:
        """What the last run of the study there said when it gave up, or ""."""
        path = _beside(home, name, "error")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def outcome(self, home: Path, *, served: bool = False, name: str = STUDY_NAME) -> dict[str, Any]:
        """All that should be the same, whatever has happened. served: what the server shows, not the local MLflow."""
        store = Store(home)
        trials = store.read_trials(name)
        folds = {key: store.read_fold(key) for trial in trials for key in trial.folds}
        return {
            "trials": [(one.number, one.state, one.params, one.scores, one.folds) for one in trials],
            "hashes": {key: fold and fold.hashes for key, fold in folds.items()},
            "mlflow": shown(self.server.database if served else home / "mlflow.db", store.read_study(name)),
        }

    def compare(self, home: Path, *, served: bool = False, name: str = STUDY_NAME) -> str:
        """What is not as it should be, or ""."""
        found = self.outcome(home, served=served, name=name)
        return "; ".join(f"{part} differ" for part, value in found.items() if value != self.expected[part])


def shown(database: Path, study: StudyRecord | None) -> dict[str, Any]:
    """MLflow's runs of the study by name: state, and how many points each metric has."""
    import sqlite3

    mine = study_id(study) if study else ""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        runs = connection.execute(
            "select r.run_uuid, r.name, r.status from runs r join tags t on t.run_uuid = r.run_uuid "
            "where r.lifecycle_stage = 'active' and t.key = 'harness.study_id' and t.value = ? order by r.name",
            (mine,),
        ).fetchall()
        counts = {
            run: connection.execute(
                "select key, count(*) from metrics where run_uuid = ? group by key order by key", (run,)
            ).fetchall()
            for run, _, _ in runs
        }
    own = study.name if study else ""
    return {"runs": [(name.replace(own, "study"), status, counts[run]) for run, name, status in runs]}


def _beside(home: Path, name: str, suffix: str) -> Path:
    """A file about a run, outside of its store."""
    return home.parent / f"{home.name}.{name}.{suffix}"


def _run(path: Path, home: Path, name: str, workers: int, before: Before | None, uri: str) -> None:
    """In the child: the command, without its display."""
    import logging
    import os
    import sys

    from harness.errors import HarnessError
    from harness.os_errors import explained_to_user

    logging.disable(logging.CRITICAL)
    if uri:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    _beside(home, name, "error").unlink(missing_ok=True)
    if before is not None:
        before()
    from harness import tuning
    from harness.config.study_file import load_study_file

    try:
        settings = tuning.Settings(home, workers=workers, offline=not uri, name=name)
        began = time.monotonic()
        for event in tuning.tune(load_study_file(str(path)), settings):
            if not isinstance(event, tuning.StudyEnded):
                trained = time.monotonic()
        document = {"training": trained - began, "leaving": time.monotonic() - trained}
        _beside(home, name, "seconds").write_text(json.dumps(document))
    except (HarnessError, OSError) as error:
        known = error if isinstance(error, HarnessError) else explained_to_user(error, [])
        if known is None:
            raise
        _beside(home, name, "error").write_text(f"{type(known).__name__}: {known}", encoding="utf-8")
        os._exit(known.exit_code)
    sys.stdout.flush()
    os._exit(0)
