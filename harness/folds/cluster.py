"""Reaches what is to train folds: this machine, a Ray cluster, or a Slurm cluster."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.folds.executor import Answer, Cluster, Executor, num_processors
from harness.folds.executor_options import ExecutorOptions, require_installed
from harness.folds.gpus import gpus_here, num_places
from harness.folds.processes import InlineExecutor, ProcessExecutor
from harness.folds.worker import Workplace


def connect(options: ExecutorOptions, home: Path) -> Cluster:
    """What trains folds by these options.   home: the store.

    Raises UsageError for an extra that is not installed, or where there is no Slurm.
    """
    require_installed(options.executor)
    # Each extra is imported where it was asked for.
    if options.executor == "ray":
        from harness.folds.ray import RayCluster

        return RayCluster(options)
    if options.executor == "slurm":
        from harness.folds.slurm import SlurmCluster

        return SlurmCluster(options, home)
    return LocalCluster(options)


@dataclass(frozen=True)
class LocalCluster(Cluster):
    """This machine: worker processes, on a CPU as many as there are processors, on GPUs as these have places."""

    options: ExecutorOptions = field(default_factory=ExecutorOptions)

    def executor(self, workplace: Workplace, compute: Mapping[str, Any], *, most_useful: int) -> Executor:
        """One worker is this process itself."""
        self.options.require_used(compute)
        device, workers = compute["device"], self.options.workers
        gpus = gpus_here() if device == "cuda" and workers != 1 else ()
        if self.options.gpus and workers != 1 and not gpus:
            raise UsageError(f"--gpus {self.options.gpus:g}: this machine has no GPU that CUDA finds")
        if device == "cpu":
            room = num_processors() // int(compute["threads"])
        else:
            room = num_places(len(gpus), self.options.gpus)
        workers = min(workers or max(room, 1), most_useful)
        return InlineExecutor(workplace) if workers == 1 else ProcessExecutor(workplace, workers, gpus=gpus)

    def call(self, compute: Mapping[str, Any], function: Callable[..., Answer], *arguments: Any) -> Answer:
        """By this process: it computes on what the workers compute on."""
        return function(*arguments)

    def num_processors(self, compute: Mapping[str, Any]) -> int:
        """All of them, for a call has the machine to itself."""
        return num_processors()


THIS_PROCESS = LocalCluster(ExecutorOptions(workers=1))  # one fold after the other, without any other process
