"""Trains folds, here or in a worker process, and reports their epochs, then a record or a failure."""

import faulthandler
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from harness import errors, messages, profiler
from harness.config import plugins
from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import HarnessError, TrialError
from harness.files import clear_way
from harness.folds import code
from harness.folds.fold import FoldTask, halved, train_fold
from harness.folds.gpus import see_only
from harness.os_errors import explained, is_of_the_place
from harness.profiler import phase
from harness.records import Epoch, FoldRecord
from harness.redaction import redacted
from harness.store.store import Store

logger = logging.getLogger(__name__)
SIGN_OF_LIFE = None
BEAT_SECONDS = 5.0
MOST_TRACEBACK = 20_000  # characters


@dataclass(frozen=True)
class FoldFailure:
    """A fold that cannot be trained; its trial fails with this reason.   kind: one of errors.FAILURES.

    traceback: of the error, without secrets; "" where there is none, as of a process that was killed.
    """

    reason: str
    kind: str = "exception"
    traceback: str = field(default="", compare=False)


Report = Epoch | FoldRecord | FoldFailure


@dataclass(frozen=True)
class Workplace:
    """What a worker needs besides tasks: where images, split and store lie.

    profile: a folder where workers say where their time went, or None.
    project, objects: the folders that the user's own code is found in.
    """

    images: Path
    split: Path
    home: Path
    profile: Path | None = None
    project: Path = field(default_factory=plugins.project)
    objects: Path | None = field(default_factory=plugins.objects)

    def open(self) -> tuple[Images, Manifest, Store]:
        code.use_project(self.project, self.objects)
        return Images.open(self.images), Manifest.load(self.split), Store(self.home)


def run_fold(
    task: FoldTask,
    images: Images,
    split: Manifest,
    store: Store,
    before_step: Callable[[], None] = lambda: None,
) -> Iterator[Report]:
    """Train a fold and store it: its epochs, then its record or why there is none.

    If memory does not suffice, the task with every batch in two parts is trained in its place and stored under its own
    key; the store remembers that, so that whoever goes on does not run out of memory again first.
    An error of the study as a whole (store full, data changed) is raised; anything else is the trial's.
    """
    attempts = [task, halved(task)] if task.compute.get("micro_batches", 1) == 1 else [task]
    if store.substitute(task.key()):
        attempts = attempts[1:]
    trained = failure = None
    for attempt in attempts:
        if attempt is not task and (known := store.read_fold(attempt.key())):
            yield known
            return
        clear_way(store.checkpoint(attempt.key()))
        try:
            trained = yield from train_fold(
                attempt, images, split, checkpoint=store.checkpoint(attempt.key()),
                features=store.home / "features", before_step=before_step,
            )  # fmt: skip
            break
        except TrialError as error:
            failure = FoldFailure(redacted(str(error)), error.kind, traceback_of(error))
        except HarnessError:
            raise
        except (Exception, SystemExit) as error:  # of the user's own code it may be
            if isinstance(error, OSError) and is_of_the_place(error) and (trouble := explained(error)):
                raise trouble from None
            logger.debug("fold %s of %s failed", task.fold, task.values, exc_info=True)
            line = plugins.line_of(error, plugins.project())
            reason = redacted(f"{line}{type(error).__name__}: {error}".strip().splitlines()[0])
            failure = FoldFailure(reason, traceback=traceback_of(error))
        if failure.kind != "memory" or attempt is attempts[-1]:
            break
        store.write_substitute(task.key(), attempts[-1].key())
        store.checkpoint(task.key()).unlink(missing_ok=True)
        logger.warning(
            "fold %d: %s; it is tried again with its batches in two parts", task.fold, failure.reason
        )
    if trained is None:
        assert failure is not None
        yield failure
        return
    with phase("writing"):
        record = store.write_fold(trained.record, trained.predictions, trained.weights)
    if running := profiler.current():
        running.write()
    yield record


def traceback_of(error: BaseException) -> str:
    """An error's traceback without secrets and without the name of the user's folder; of a long one the end."""
    text = "".join(traceback.format_exception(error)).replace(str(Path.home()), "~")
    return redacted(text)[-MOST_TRACEBACK:]


def work(pipe: Any, workplace: Workplace, gpu: str | None = None) -> None:
    """A worker process: take tasks until the driver is gone.   gpu: the only one that it sees."""
    see_only(gpu)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the driver decides
    _end_with_driver()
    messages.to_stderr()
    if hasattr(signal, "SIGUSR1"):  # the driver asks a worker that hangs where it is
        faulthandler.register(signal.SIGUSR1, file=sys.stderr)
    beat = _Beat(pipe)
    if workplace.profile is not None:
        profiler.start(workplace.profile)
    images, split, store = workplace.open()
    while True:
        try:
            with phase("waiting"):
                task = pipe.recv()
            for report in run_fold(task, images, split, store, beat):
                pipe.send(report)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except HarnessError as error:
            pipe.send(getattr(errors, type(error).__name__)(str(error)))


class _Beat:
    """Sends a sign of life now and then."""

    def __init__(self, pipe: Any):
        self._pipe, self._sent = pipe, monotonic()

    def __call__(self) -> None:
        if monotonic() - self._sent > BEAT_SECONDS:
            self._sent = monotonic()
            self._pipe.send(SIGN_OF_LIFE)


def _end_with_driver() -> None:
    """Have this process end when the driver does, even by SIGKILL."""
    driver = parent_process()
    assert driver is not None

    def watch() -> None:
        driver.join()
        os._exit(1)

    Thread(target=watch, name="harness-watch", daemon=True).start()
