"""What trains folds: an executor takes tasks and reports on them; a cluster is where executors have their machines.

Where a command is typed need not be where folds are trained, so it is the cluster that is asked what it computes on.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from harness.folds.executor_options import ExecutorOptions
from harness.folds.fold import FoldTask
from harness.folds.worker import Report, Workplace

Answer = TypeVar("Answer")


class Executor(ABC):
    """Trains folds. `num_slots` of them at a time; use it as a context manager.

    Finished folds are in the store before they are reported, so a fold outlives the driver that asked for it.
    """

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Cluster(ABC):
    """Machines that train folds, or this one alone; reached when it is first needed. Use it as a context manager.

    shared_folder: below which files must lie for the machines to find them, or None where files need not.
    has_files: whether what this machine has on disk can be read there.
    """

    options: ExecutorOptions
    shared_folder: Path | None = None
    has_files = True

    @abstractmethod
    def executor(self, workplace: Workplace, compute: Mapping[str, Any], *, most_useful: int) -> Executor:
        """An executor for folds that compute so.   most_useful: folds at a time, beyond which more do not help.

        Raises UsageError for options that do not fit how the study computes, StoreError for a cluster that cannot be
        reached, HarnessError for one that has no place for such a fold.
        """

    @abstractmethod
    def call(self, compute: Mapping[str, Any], function: Callable[..., Answer], *arguments: Any) -> Answer:
        """What a function answers where a fold that computes so is trained, with the processors and GPU of a fold.

        compute: its device may be "auto".   function: of a module; it and the arguments can be pickled.
        Raises what the function raises as a HarnessError, and what `executor` does.
        """

    def num_processors(self, compute: Mapping[str, Any]) -> int:
        """Processors that such a call may use: a fold has as many as it has threads."""
        return int(compute["threads"])

    def close(self) -> None:  # noqa: B027 most have nothing to leave
        """Leave the cluster; one that was started for this command is ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
