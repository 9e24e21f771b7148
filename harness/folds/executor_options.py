"""What a user may say of who trains; without torch and NumPy, for the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from harness.errors import UsageError

ExecutorKind = Literal["process", "ray", "slurm"]


@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """Who trains, as the command line says it. Nothing here changes a result.

    workers: folds at a time, or None for as many as there is room for.   address: of the Ray cluster.
    gpus: the part of a GPU that each worker takes, 0 for a whole one where the study computes on some.
    slurm: options of sbatch, like `partition=gpu`.
    Raises UsageError for a value that cannot be, and for an option of an executor that is not the chosen one.
    """

    executor: ExecutorKind = "process"
    workers: int | None = None
    address: str = ""
    gpus: float = 0.0
    slurm: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers must be at least 1 (got {self.workers})")
        for option, given, kind in (("--address", self.address, "ray"), ("--slurm", self.slurm, "slurm")):
            if given and self.executor != kind:
                raise UsageError(f"{option} is for --executor {kind}: add that, or leave {option} out")
        if self.gpus and self.executor == "slurm":
            raise UsageError(
                "--gpus is not for --executor slurm: say what a job gets with --slurm gpus-per-node=1, or leave it out"
            )
        if not 0 <= self.gpus <= 1:
            raise UsageError(
                f"--gpus must be from 0 to 1, a worker's part of a GPU, for no fold uses two (got {self.gpus:g})"
            )

    def require_used(self, compute: Mapping[str, Any]) -> None:
        """Raise UsageError where the study computes so that a given option would say nothing."""
        if self.gpus and compute["device"] != "cuda":
            raise UsageError(
                f"--gpus {self.gpus:g}: the study computes on {compute['device']}, not on a GPU; leave --gpus out"
            )


def require_installed(executor: ExecutorKind) -> None:
    """Raise UsageError where an executor needs an extra that is not installed."""
    needed = {"process": None, "ray": "ray", "slurm": "submitit"}[executor]
    if needed and find_spec(needed) is None:
        raise UsageError(f"--executor {executor} needs the extra: pip install 'harness-cv[{executor}]'")
