"""Folds as jobs of a Slurm cluster: the same interface as worker processes, and the same bits.

The store and the images lie on a file system that all nodes share. A job trains one fold into the store and
returns its record or failure; its epochs are not reported. A job that is lost is submitted again and goes on from the
fold's checkpoint; one that is preempted, or whose time is over, queues itself again. Submitit talks to Slurm.
"""

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import submitit

from harness import errors
from harness.environment import SAFE_PATH, environment
from harness.errors import HarnessError, StoreError, UsageError
from harness.folds.executor import Answer, Cluster, Executor
from harness.folds.executor_options import ExecutorOptions
from harness.folds.fold import FoldTask
from harness.folds.worker import FoldFailure, Report, Workplace, run_fold
from harness.store.store import Store

logger = logging.getLogger(__name__)
MOST_LOSSES = 3  # of a fold's job, after each of which it is submitted again
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class FoldJob(submitit.helpers.Checkpointable):  # type: ignore[misc]
    """What a node runs; when its time is over, submitit queues it again, for the fold's checkpoint is in the store."""

    task: FoldTask
    workplace: Workplace

    def __call__(self) -> Report | HarnessError:
        return answered(lambda: list(run_fold(self.task, *self.workplace.open()))[-1])


@dataclass
class SlurmExecutor(Executor):
    """One job per fold.   options: of sbatch, like `partition=gpu`; of these, `time` is in minutes (120).

    cluster: or "local": processes of this machine, for tests.
    Raises UsageError where an option is wrong, StoreError where Slurm takes no job.
    """

    workplace: Workplace
    num_slots: int
    compute: Mapping[str, Any]
    options: Sequence[str] = ()
    cluster: str = "slurm"
    _jobs: dict[str, tuple[Any, FoldTask, int]] = field(default_factory=dict)  # by key, each with its losses

    def __post_init__(self) -> None:
        self._queue = _queue(self.workplace.home, self.cluster, parameters(self.options, self.compute))

    def submit(self, task: FoldTask, losses: int = 0) -> None:
        self._jobs[task.key()] = _submitted(self._queue, FoldJob(task, self.workplace)), task, losses

    def next(self) -> tuple[str, Report]:
        while not (done := [key for key, (job, *_) in self._jobs.items() if job.done()]):
            time.sleep(POLL_SECONDS)
        job, task, losses = self._jobs.pop(done[0])
        try:
            outcome: Report | HarnessError = job.result()
        except RuntimeError as error:  # the job was lost, perhaps after it had stored the fold
            failure = FoldFailure(f"its job was lost too often; see {job.paths.stderr}", "crash")
            outcome = Store(self.workplace.home).find_fold(task.key()) or failure
            if outcome is failure and losses < MOST_LOSSES:
                logger.warning("%s; its fold goes on from the last epoch", str(error).splitlines()[0])
                self.submit(task, losses + 1)
                return self.next()
        if isinstance(outcome, HarnessError):
            raise outcome
        return done[0], outcome

    def close(self) -> None:
        for job, *_ in self._jobs.values():
            job.cancel(check=False)


class SlurmCluster(Cluster):
    """The Slurm cluster that this machine is a login node of.   queue: "local" for processes of this machine, in tests.

    Raises UsageError where there is no Slurm or an option of sbatch is wrong.
    """

    def __init__(self, options: ExecutorOptions, home: Path, queue: str = "slurm"):
        if queue == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise UsageError("--executor slurm: sbatch is not found; run it on a login node of the cluster")
        parameters(options.slurm, {"device": "cpu", "threads": 1})
        self.options, self.shared_folder, self._cluster = options, home, queue

    def executor(
        self, workplace: Workplace, compute: Mapping[str, Any], *, most_useful: int
    ) -> SlurmExecutor:
        slots = min(self.options.workers or most_useful, most_useful)
        return SlurmExecutor(workplace, slots, compute, self.options.slurm, self._cluster)

    def call(self, compute: Mapping[str, Any], function: Callable[..., Answer], *arguments: Any) -> Answer:
        """As a job, which may wait for its turn; where a study's device is "auto", with a GPU if Slurm gives one."""
        job = self._asked(compute, function, *arguments)
        logger.info("job %s is to say what the cluster computes on; waiting for it", job.job_id)
        try:
            while not job.done():
                time.sleep(POLL_SECONDS)
        except BaseException:  # Ctrl-C, say: nobody waits for it any more
            job.cancel(check=False)
            raise
        try:
            answer: Answer | HarnessError = job.result()
        except RuntimeError:
            raise StoreError(f"Slurm has lost job {job.job_id}; see {job.paths.stderr}") from None
        if isinstance(answer, HarnessError):
            raise answer
        return answer

    def _asked(self, compute: Mapping[str, Any], function: Callable[..., Any], *arguments: Any) -> Any:
        devices = ["cuda", "cpu"] if compute["device"] == "auto" else [compute["device"]]
        for device in devices:
            asked = parameters(self.options.slurm, {**compute, "device": device})
            assert self.shared_folder is not None
            try:
                queue = _queue(self.shared_folder, self._cluster, asked)
                return _submitted(queue, answered, function, *arguments)
            except StoreError:
                if device == devices[-1]:
                    raise
        raise AssertionError("there is a last device")


def answered(function: Callable[..., Answer], *arguments: Any) -> Answer | HarnessError:
    """What the function returns, or the error for whoever asked to raise; not every one can be pickled as it is."""
    try:
        return function(*arguments)
    except HarnessError as error:
        return getattr(errors, type(error).__name__)(str(error))  # type: ignore[no-any-return]


def _queue(home: Path, cluster: str, asked: Mapping[str, Any]) -> Any:
    queue = submitit.AutoExecutor(home / "slurm", cluster=cluster)
    queue.update_parameters(**asked)
    return queue


def _submitted(queue: Any, *call: Any) -> Any:
    try:
        with environment(SAFE_PATH):  # which the job has, too
            return queue.submit(*call)
    except RuntimeError as error:  # what submitit raises for all that goes wrong
        raise StoreError(f"Slurm takes no job: {str(error).splitlines()[-1]}") from None


def parameters(options: Sequence[str], compute: Mapping[str, Any]) -> dict[str, Any]:
    """What to ask Slurm for: a processor per thread and, where one is used, a GPU, unless the options say it."""
    named = {key: value for key, _, value in (option.partition("=") for option in options)}
    chosen = {"job-name": "harness", "time": "120"} | named
    if compute["device"] == "cuda" and not any("gpu" in key or key == "gres" for key in named):
        chosen["gpus-per-node"] = "1"
    if not all(chosen.values()) or not (minutes := chosen.pop("time")).isdecimal():
        raise UsageError(f"--slurm must be KEY=VALUE, time in minutes (got {', '.join(options)})")
    asked = {"timeout_min": int(minutes), "cpus_per_task": compute["threads"]}
    return {**asked, "slurm_additional_parameters": chosen}
