"""Where folds are trained: in this process, or in long-lived worker processes. The same interface at two costs.

An executor takes fold tasks and gives back, one at a time, what happens to them. Finished folds are in the store
before they are reported, so a fold outlives the driver that asked for it.
"""

import logging
import signal
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness import errors, messages, phases
from harness.datasets.images import Images
from harness.errors import HarnessError, TrialError
from harness.phases import phase
from harness.records import Epoch, FoldRecord
from harness.splits.manifest import Manifest
from harness.study.fold import FoldTask, train_fold
from harness.study.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldFailure:
    """A fold that cannot be trained; its trial fails with this reason."""

    reason: str


Report = Epoch | FoldRecord | FoldFailure


@dataclass(frozen=True)
class Workplace:
    """What a worker needs besides tasks: where images, split and store lie.

    profile: a folder where workers say where their time went, or None.
    """

    images: Path
    split: Path
    home: Path
    profile: Path | None = None

    def open(self) -> tuple[Images, Manifest, Store]:
        return Images.open(self.images), Manifest.load(self.split), Store(self.home)


class Executor(ABC):
    """Trains folds. `num_slots` of them at a time; use it as a context manager."""

    num_slots: int

    @abstractmethod
    def submit(self, task: FoldTask) -> None:
        """Begin a fold; call it only while fewer than `num_slots` are under way."""

    @abstractmethod
    def next(self) -> tuple[str, Report]:
        """Wait for the next report: the fold's key, and its epoch, its record or its failure."""

    @abstractmethod
    def close(self) -> None:
        """Give up what is under way (its checkpoints stay) and leave nothing running."""

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class InlineExecutor(Executor):
    """One fold at a time, in this process."""

    num_slots = 1

    def __init__(self, workplace: Workplace):
        self._images, self._split, self._store = workplace.open()
        self._key = ""
        self._reports: Iterator[Report] = iter(())

    def submit(self, task: FoldTask) -> None:
        self._key = task.key()
        self._reports = run_fold(task, self._images, self._split, self._store)

    def next(self) -> tuple[str, Report]:
        return self._key, next(self._reports)

    def close(self) -> None:
        if hasattr(self._reports, "close"):
            self._reports.close()


def run_fold(task: FoldTask, images: Images, split: Manifest, store: Store) -> Iterator[Report]:
    """Train a fold and store it: its epochs, then its record or why there is none.

    An error of the study as a whole (store full, data changed) is raised; anything else is the trial's.
    """
    try:
        trained = yield from train_fold(
            task, images, split, checkpoint=store.checkpoint(task.key()), features=store.home / "features"
        )
    except TrialError as error:
        yield FoldFailure(str(error))
        return
    except HarnessError:
        raise
    except Exception as error:
        logger.debug("fold %s of %s failed", task.fold, task.values, exc_info=True)
        yield FoldFailure(f"{type(error).__name__}: {error}".strip().splitlines()[0])
        return
    with phase("writing"):
        record = store.write_fold(trained.record, trained.predictions, trained.weights)
    if profiler := phases.current():
        profiler.write()
    yield record


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Any  # Connection
    task: FoldTask | None = None


@dataclass
class ProcessExecutor(Executor):
    """Worker processes that map the images from one file, started when needed, living as long as the study."""

    workplace: Workplace
    num_slots: int
    _workers: list[_Worker] = field(default_factory=list)
    _retried: set[str] = field(default_factory=set)
    _waiting: deque[tuple[str, Report]] = field(default_factory=deque)

    def submit(self, task: FoldTask) -> None:
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = self._start()
            self._workers.append(worker)
        worker.task = task
        worker.pipe.send(task)

    def next(self) -> tuple[str, Report]:
        while not self._waiting:
            busy = [worker for worker in self._workers if worker.task is not None]
            assert busy, "nothing is under way"
            ready = connection.wait([worker.pipe for worker in busy])
            for worker in busy:
                if worker.pipe in ready:
                    self._receive(worker)
        return self._waiting.popleft()

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []

    def _start(self) -> _Worker:
        context = worker_context()
        ours, theirs = context.Pipe()
        process = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(theirs, self.workplace), name="harness-worker", daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _receive(self, worker: _Worker) -> None:
        task = worker.task
        assert task is not None
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker, task)
            return
        if isinstance(message, HarnessError):
            raise message
        if not isinstance(message, Epoch):
            worker.task = None
        self._waiting.append((task.key(), message))

    def _bury(self, worker: _Worker, task: FoldTask) -> None:
        """A worker died: start another, and give it the fold once more, from its checkpoint."""
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        fresh = self._start()
        worker.process, worker.pipe, worker.task = fresh.process, fresh.pipe, None
        if task.key() in self._retried:
            self._waiting.append((task.key(), FoldFailure(f"its worker process died twice ({how})")))
            return
        logger.warning("a worker process died (%s); its fold goes on from the last epoch", how)
        self._retried.add(task.key())
        worker.task = task
        worker.pipe.send(task)


def begin_imports() -> None:
    """Have the process that workers are forked from import what they need, while this one prepares the study."""
    if (context := worker_context()).get_start_method() == "forkserver":
        from multiprocessing import forkserver

        context.set_forkserver_preload(["harness.study.worker"])
        forkserver.ensure_running()


def worker_context() -> BaseContext:
    """Workers are forked from a process that has done nothing but import; elsewhere each starts anew and imports."""
    return get_context("forkserver" if sys.platform == "linux" else "spawn")


def _work(pipe: Any, workplace: Workplace) -> None:
    """A worker process: take tasks until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    _die_with_driver()
    messages.to_stderr()
    if workplace.profile is not None:
        phases.start(workplace.profile)
    images, split, store = workplace.open()
    while True:
        try:
            with phase("waiting"):
                task = pipe.recv()
            for report in run_fold(task, images, split, store):
                pipe.send(report)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except HarnessError as error:
            pipe.send(getattr(errors, type(error).__name__)(str(error)))


def _die_with_driver() -> None:
    """Have the system end this process when the driver ends, even by SIGKILL. Elsewhere the pipe's end does.

    The driver's end ends the process that this one was forked from, and that ends this one.
    """
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        driver = parent_process()
        if driver is None or not driver.is_alive():
            sys.exit(0)
