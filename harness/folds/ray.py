"""Folds on the machines of a Ray cluster: the same interface as worker processes, and the same bits.

Images travel once to each node, through Ray's object store, and all actors of a node read them there. An actor
trains a fold in a folder of its own and streams its epochs; the finished fold comes back as arrays and is stored
by the driver, so nodes need no common disk. A node that is lost costs the folds it was training: they begin again
elsewhere. Nodes may come and go; `num_slots` follows what the cluster has.
"""

import logging
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray

from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import HarnessError, StoreError
from harness.folds.executor import Answer, Cluster, Executor
from harness.folds.executor_options import ExecutorOptions
from harness.folds.fold import FoldTask, TrainedFold
from harness.folds.project import packed, use_packed
from harness.folds.worker import SIGN_OF_LIFE, FoldFailure, Report, Workplace, run_fold
from harness.records import Epoch
from harness.redaction import redacted
from harness.store.predictions import read_predictions
from harness.store.store import WEIGHTS, Store

logger = logging.getLogger(__name__)
MOST_LOSSES = 3  # of one fold with its node or process, before its trial fails
REFRESH_SECONDS = 2.0  # between two looks at what the cluster has
NODE_SECONDS = 300.0  # that a cluster which grows by itself has to start a node with room for a fold
HEAD_SECONDS = 20.0  # that a lost head has to come back; after 60 s Ray ends the process itself
AGAIN = "start the cluster again, and then the same command: it goes on"
PLACE_SECONDS = 60.0  # after which an actor that has not begun is taken for one without a place


@dataclass(frozen=True)
class Shared:
    """What every actor of a node reads from the object store."""

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None
    split: bytes
    soft_labels: np.ndarray | None = None


class FoldWorker:
    """An actor: imports once, then trains fold after fold."""

    def __init__(self, shared: Shared):
        self._folder = Path(tempfile.mkdtemp(prefix="harness-ray-"))
        (self._folder / "split.npz").write_bytes(shared.split)
        self._images = Images(
            shared.pixels, shared.labels, shared.classes, groups=shared.groups, soft_labels=shared.soft_labels
        )
        self._split = Manifest.load(self._folder / "split.npz")

    def train(
        self, task: FoldTask, sources: dict[str, bytes]
    ) -> Generator[Epoch | FoldFailure | TrainedFold | None, None, None]:
        """sources: of the user's own code that trains it, by place in a project."""
        from safetensors.numpy import load_file

        yield SIGN_OF_LIFE
        use_packed(sources, self._folder / "project")
        store = Store(self._folder)
        for report in run_fold(task, self._images, self._split, store):
            if isinstance(report, Epoch | FoldFailure):
                yield report
                continue
            weights = load_file(report.folder / WEIGHTS)
            predictions = read_predictions(report)
            shutil.rmtree(report.folder)
            yield TrainedFold(report, predictions, weights)


@dataclass
class _Running:
    """A fold on its way. reports: Ray's generator of references to them.   losses: how often it was lost.

    heard: whether its actor has begun; until then it may have no place on the cluster.   since: when it was submitted.
    """

    task: FoldTask
    actor: Any
    reports: Any
    losses: int = 0
    heard: bool = False
    since: float = field(default_factory=time.monotonic)


@dataclass
class RayExecutor(Executor):
    """Long-lived actors on a cluster that this process has joined.

    workers: how many folds at a time at most, or None for as many as the cluster's resources allow.
    cpus, gpus: what each takes of a node; parts of a GPU are allowed.
    """

    workplace: Workplace
    workers: int | None
    cpus: float = 1.0
    gpus: float = 0.0
    _idle: list[Any] = field(default_factory=list)
    _running: list[_Running] = field(default_factory=list)
    _slots: int = 0
    _looked: float = float("-inf")

    def __post_init__(self) -> None:
        images = Images.open(self.workplace.images)
        self._store = Store(self.workplace.home)
        split = self.workplace.split.read_bytes()
        pixels = np.ascontiguousarray(images.pixels)
        self._shared = ray.put(
            Shared(pixels, images.labels, images.classes, images.groups, split, images.soft_labels)
        )
        self._head: str = ray.get_runtime_context().gcs_address
        self._worker = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_concurrency=1)(FoldWorker)

    @property
    def num_slots(self) -> int:  # type: ignore[override]
        """Folds that the cluster has room for now; looked up again every now and then."""
        if time.monotonic() - self._looked > REFRESH_SECONDS:
            self._looked = time.monotonic()
            has = ray.cluster_resources()
            room = int(has.get("CPU", 0) // self.cpus) if self.cpus else len(ray.nodes())
            if self.gpus:
                room = min(room, int(has.get("GPU", 0) // self.gpus))
            self._slots = max(min(room, self.workers or room), 1)
        return self._slots

    def submit(self, task: FoldTask) -> None:
        self._running.append(self._begin(task))

    def next(self) -> tuple[str, Report]:
        while True:
            self._require_head()
            waited_for = [running.reports for running in self._running]
            ready, _ = ray.wait(waited_for, num_returns=1, timeout=REFRESH_SECONDS)
            running = next((one for one in self._running if ready and one.reports is ready[0]), None)
            report = self._receive(running) if running else None
            self._make_room()
            if running is not None and report is not None:
                return running.task.key(), report

    def close(self) -> None:
        for actor in [*self._idle, *(running.actor for running in self._running)]:
            ray.kill(actor)
        self._idle, self._running = [], []

    def _require_head(self) -> None:
        """Raise StoreError where the cluster's head is lost: every call of Ray's would wait for it, deaf to Ctrl-C."""
        deadline = time.monotonic() + HEAD_SECONDS
        while not _answers(self._head):
            if time.monotonic() > deadline:
                self._idle, self._running = [], []  # they are not to be ended: that would ask the head
                raise StoreError(f"the head of the Ray cluster, {self._head}, is lost; {AGAIN}")
            time.sleep(REFRESH_SECONDS)

    def _make_room(self) -> None:
        """Have idle actors train what waits for a place that they themselves hold, or leave.

        When nodes have gone, the actor of a lost fold may find none.
        """
        while self._idle:
            crowded = len(self._idle) + len(self._running) > self.num_slots
            waiting = next((one for one in reversed(self._running) if not one.heard), None)
            if waiting is None and crowded:
                ray.kill(self._idle.pop())
            elif waiting is not None and (crowded or time.monotonic() - waiting.since > PLACE_SECONDS):
                ray.kill(waiting.actor)
                self._running.remove(waiting)
                self._running.append(self._begin(waiting.task, waiting.losses))
            else:
                return

    def _begin(self, task: FoldTask, losses: int = 0) -> _Running:
        actor = self._idle.pop() if self._idle else self._worker.remote(self._shared)
        reports = actor.train.options(num_returns="streaming").remote(task, packed(task.values))
        return _Running(task, actor, reports, losses)

    def _receive(self, running: _Running) -> Report | None:
        """The fold's next report; None if it has begun again on another node."""
        try:
            report = ray.get(next(running.reports))
        except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError) as error:
            return self._lost(running, error)
        except StopIteration:
            return self._lost(running, "its reports ended early")
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, HarnessError) else error from None
        running.heard = True
        if report is SIGN_OF_LIFE or isinstance(report, Epoch):
            return report
        self._running.remove(running)
        self._idle.append(running.actor)
        if isinstance(report, FoldFailure):
            return report
        record = self._store.write_fold(report.record, report.predictions, report.weights)
        if record.key != running.task.key():  # written down by the actor too, in a folder of its own
            self._store.write_substitute(running.task.key(), record.key)
        return record

    def _lost(self, running: _Running, error: object) -> Report | None:
        self._running.remove(running)
        losses = running.losses + 1
        if losses >= MOST_LOSSES:
            return FoldFailure(f"its node or process was lost {losses} times")
        said = type(error).__name__ if isinstance(error, Exception) else error
        logger.warning("a node or process was lost (%s); its fold begins again elsewhere", said)
        self._running.append(self._begin(running.task, losses))
        return None


class RayCluster(Cluster):
    """A Ray cluster by its address, or one of this machine's processors, started and ended with the command."""

    has_files = False

    def __init__(self, options: ExecutorOptions):
        self.options = options
        self._joined = False

    def executor(self, workplace: Workplace, compute: Mapping[str, Any], *, most_useful: int) -> RayExecutor:
        self.options.require_used(compute)
        workers = min(self.options.workers or most_useful, most_useful)
        return RayExecutor(workplace, workers, *self._place(compute))

    def call(self, compute: Mapping[str, Any], function: Callable[..., Answer], *arguments: Any) -> Answer:
        """As a task on a node, which sends its answer; where a study's device is "auto", on one with a GPU if any."""
        cpus, gpus = self._place(compute)
        task = ray.remote(num_cpus=cpus, num_gpus=gpus)(_answer)
        try:
            return ray.get(task.remote(function, *arguments))  # type: ignore[no-any-return]
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, HarnessError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            raise StoreError(
                f"Ray has lost what it was asked: {str(error).strip().splitlines()[0]}"
            ) from None

    def close(self) -> None:
        if self._joined:
            ray.shutdown()
        self._joined = False

    def _place(self, compute: Mapping[str, Any]) -> tuple[float, float]:
        """The processors and GPUs of a fold, once there is a node that has them."""
        if not ray.is_initialized():
            _connect(self.options.address)
            self._joined = True
        cpus, device = float(compute["threads"]), compute["device"]
        on_gpu = device == "cuda" or (device == "auto" and ray.cluster_resources().get("GPU", 0) > 0)
        gpus = (self.options.gpus or 1.0) if on_gpu else 0.0
        lacks = f"no node of the Ray cluster has what a fold takes (CPU: {cpus:g}, GPU: {gpus:g})"
        began, told = time.monotonic(), False
        while not any(
            node["Resources"].get("CPU", 0) >= cpus and node["Resources"].get("GPU", 0) >= gpus
            for node in ray.nodes()
            if node["Alive"]
        ):
            if not self.options.address or time.monotonic() - began > NODE_SECONDS:
                raise HarnessError(lacks)
            if not told:
                logger.warning("%s yet; waiting for one", lacks)
                told = True
            time.sleep(REFRESH_SECONDS)
        return cpus, gpus


def _answers(address: str) -> bool:
    """Whether anybody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), REFRESH_SECONDS):
        return True
    return False


def _answer(function: Callable[..., Answer], *arguments: Any) -> Answer:
    return function(*arguments)  # a task of Ray's must be a plain function, which a built-in one is not


def _connect(address: str) -> None:
    """Join the cluster, or start one of this machine's processors that nobody else can reach."""
    own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(
            address or "local", log_to_driver=False, logging_level=logging.ERROR, **({} if address else own)
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise StoreError(redacted(f"Ray at {address or 'this machine'}: {first}", address)) from None
