"""Folds on this machine: in this process, or in long-lived worker processes. The same interface at two costs."""

import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from time import monotonic, sleep
from types import ModuleType
from typing import Any

from harness.config.own_code import HARNESS
from harness.environment import SAFE_PATH, environment
from harness.errors import HarnessError
from harness.folds.executor import Executor
from harness.folds.fold import FoldTask
from harness.folds.gpus import gpu_of
from harness.folds.worker import SIGN_OF_LIFE, FoldFailure, Report, Workplace, run_fold, work
from harness.records import Epoch

logger = logging.getLogger(__name__)
STACK_SECONDS = 1.0  # that a hanging worker has to say where it is


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


@dataclass
class _Worker:
    """gpu: the one that it sees.   heard: when it last gave a sign of life, on the monotonic clock."""

    process: BaseProcess
    pipe: Any  # Connection
    gpu: str | None = None
    task: FoldTask | None = None
    heard: float = 0.0


@dataclass
class ProcessExecutor(Executor):
    """Worker processes that map the images from one file, started when needed, living as long as the study.

    patience: seconds without a step, after which a worker hangs: it says where, is killed, and its fold tried again.
    gpus: dealt out to the workers in turn; one that replaces another sees the GPU of that.
    """

    workplace: Workplace
    num_slots: int
    patience: float = 1800.0
    gpus: Sequence[str] = ()
    _workers: list[_Worker] = field(default_factory=list)
    _retried: set[str] = field(default_factory=set)
    _waiting: deque[tuple[str, Report]] = field(default_factory=deque)

    def submit(self, task: FoldTask) -> None:
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            worker = self._start(gpu_of(len(self._workers), self.gpus))
            self._workers.append(worker)
        self._hand_over(worker, task)

    def next(self) -> tuple[str, Report]:
        while not self._waiting:
            busy = [worker for worker in self._workers if worker.task is not None]
            assert busy, "nothing is under way"
            asked = monotonic()
            ready = connection.wait([worker.pipe for worker in busy], timeout=self.patience / 10)
            paused = (
                monotonic() - asked > self.patience / 5
            )  # this process itself: it cannot blame its workers
            for worker in busy:
                if worker.pipe in ready:
                    self._receive(worker)
                elif paused:
                    worker.heard = monotonic()
                elif monotonic() - worker.heard > self.patience and not _may_be_silent(worker):
                    self._give_up(worker)
        return self._waiting.popleft()

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []

    def _start(self, gpu: str | None) -> _Worker:
        context = worker_context()
        ours, theirs = context.Pipe()
        process = context.Process(  # type: ignore[attr-defined]
            target=work, args=(theirs, self.workplace, gpu), name="harness-worker", daemon=True
        )
        with without_main(), environment(SAFE_PATH):
            process.start()
        theirs.close()
        return _Worker(process, ours, gpu)

    def _receive(self, worker: _Worker) -> None:
        task = worker.task
        assert task is not None
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker, task)
            return
        worker.heard = monotonic()
        if message is SIGN_OF_LIFE:
            return
        if isinstance(message, HarnessError):
            raise message
        if not isinstance(message, Epoch):
            worker.task = None
        self._waiting.append((task.key(), message))

    def _hand_over(self, worker: _Worker, task: FoldTask) -> None:
        worker.task, worker.heard = task, monotonic()
        worker.pipe.send(task)

    def _give_up(self, worker: _Worker) -> None:
        """A worker hangs: have it say on stderr where it is, and end it."""
        task = worker.task
        assert task is not None and worker.process.pid is not None
        if hasattr(signal, "SIGUSR1"):
            os.kill(worker.process.pid, signal.SIGUSR1)
            sleep(STACK_SECONDS)
        worker.process.kill()
        how = f"no step for {self.patience:.0f} s; its stack is on stderr"
        self._bury(worker, task, kind="hang", how=how)

    def _bury(self, worker: _Worker, task: FoldTask, *, kind: str = "crash", how: str = "") -> None:
        """A worker died: start another, and give it the fold once more, from its checkpoint."""
        worker.process.join()
        code = worker.process.exitcode or 0
        how = how or (f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")
        fresh = self._start(worker.gpu)
        worker.process, worker.pipe, worker.task = fresh.process, fresh.pipe, None
        if task.key() in self._retried:
            said = "hung twice" if kind == "hang" else "died twice"
            self._waiting.append((task.key(), FoldFailure(f"its worker process {said} ({how})", kind)))
            return
        logger.warning("a worker process was lost (%s); its fold goes on from the last epoch", how)
        self._retried.add(task.key())
        self._hand_over(worker, task)


def _may_be_silent(worker: _Worker) -> bool:
    """Whether it trains by a loop of the user's own, which gives no sign of life."""
    return worker.task is not None and worker.task.values.get("train.loop", HARNESS) != HARNESS


def begin_imports() -> None:
    """Have the process that workers are forked from import what they need, while this one prepares the study."""
    if (context := worker_context()).get_start_method() == "forkserver":
        from multiprocessing import forkserver

        context.set_forkserver_preload(["harness.folds.preload"])
        with environment({"HARNESS_DRIVER": str(os.getpid()), **SAFE_PATH}):  # see folds/preload.py
            forkserver.ensure_running()


@contextmanager
def without_main() -> Iterator[None]:
    """Start processes that do not run the user's script once more: it may have no `if __name__ == "__main__":`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def worker_context() -> BaseContext:
    """Workers are forked from a process that has only imported; elsewhere each is started and imports by itself."""
    return get_context("forkserver" if sys.platform == "linux" else "spawn")
