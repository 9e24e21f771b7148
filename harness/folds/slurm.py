"""Folds as jobs of a Slurm cluster: the same interface as worker processes, and the same bits.

The store and the images lie on a file system that all nodes share. A job trains one fold into the store and says what
became of it; its epochs are not told. A job that is lost is submitted again and goes on from the fold's checkpoint; one
that is preempted, or whose time is over, queues itself again. Submitit talks to Slurm.
"""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import submitit

from harness import errors
from harness.errors import HarnessError, StoreError, UsageError
from harness.folds.fold import FoldTask
from harness.folds.processes import Executor
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
        try:
            return list(run_fold(self.task, *self.workplace.open()))[-1]
        except HarnessError as error:  # for the driver to raise; not every one can be pickled as it is
            return getattr(errors, type(error).__name__)(str(error))  # type: ignore[no-any-return]


@dataclass
class SlurmExecutor(Executor):
    """One job per fold.   options: of sbatch, like `partition=gpu`; of these, `time` is in minutes (120).

    cluster: or "local": processes of this machine, for tests.
    Raises UsageError where there is no Slurm or an option is wrong, StoreError where it takes no job.
    """

    workplace: Workplace
    num_slots: int
    compute: Mapping[str, Any]
    options: Sequence[str] = ()
    cluster: str = "slurm"
    _jobs: dict[str, tuple[Any, FoldTask, int]] = field(default_factory=dict)  # by key, each with its losses

    def __post_init__(self) -> None:
        if self.cluster == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise UsageError("--executor slurm: sbatch is not found; run it on a login node of the cluster")
        self._queue = submitit.AutoExecutor(self.workplace.home / "slurm", cluster=self.cluster)
        self._queue.update_parameters(**parameters(self.options, self.compute))

    def submit(self, task: FoldTask, losses: int = 0) -> None:
        try:
            self._jobs[task.key()] = self._queue.submit(FoldJob(task, self.workplace)), task, losses
        except RuntimeError as error:  # what submitit raises for all that goes wrong
            raise StoreError(f"Slurm takes no job: {str(error).splitlines()[-1]}") from None

    def next(self) -> tuple[str, Report]:
        while not (done := [key for key, (job, *_) in self._jobs.items() if job.done()]):
            time.sleep(POLL_SECONDS)
        job, task, losses = self._jobs.pop(done[0])
        try:
            outcome: Report | HarnessError = job.result()
        except RuntimeError as error:  # the job was lost, perhaps after it had stored the fold
            failure = FoldFailure(f"its job was lost too often; see {job.paths.stderr}", "crash")
            outcome = Store(self.workplace.home).read_fold(task.key()) or failure
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
