"""Who trains the folds of a study: this process, worker processes, Ray or Slurm; and how many at a time."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from harness.errors import UsageError
from harness.folds.gpus import gpus_here, num_places
from harness.folds.processes import Executor, InlineExecutor, ProcessExecutor
from harness.folds.worker import Workplace

logger = logging.getLogger(__name__)
Kind = Literal["process", "ray", "slurm"]


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usual_workers(compute: Mapping[str, Any]) -> int:
    """Worker processes that this machine has room for, as `tune` takes them where nobody names a number."""
    return _room(compute, gpus_here() if compute["device"] == "cuda" else ())


def assemble(
    kind: Kind,
    workplace: Workplace,
    compute: Mapping[str, Any],
    *,
    workers: int | None,
    most_useful: int,
    address: str = "",
    gpus: float = 0.0,
    slurm: Sequence[str] = (),
) -> Executor:
    """The executor of a study.

    workers: folds at a time, or None for as many as there is room for, but no more than are useful.
    address: of a Ray cluster.   gpus: what part of a GPU each worker takes, or 0 for a whole one where one is used.
    slurm: options of sbatch, like `partition=gpu`.
    Raises UsageError for what cannot be, StoreError for a cluster that cannot be reached.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1 (got {workers})")
    threads = int(compute["threads"])
    if kind == "ray":
        _require("ray", kind)
        from harness.folds.ray import RayExecutor

        gpus = gpus or float(compute["device"] == "cuda")
        return RayExecutor(workplace, min(workers or most_useful, most_useful), address, float(threads), gpus)
    if kind == "slurm":
        _require("submitit", kind)
        from harness.folds.slurm import SlurmExecutor

        return SlurmExecutor(workplace, min(workers or most_useful, most_useful), compute, slurm)
    return _of_this_machine(workplace, compute, workers, most_useful, gpus)


def _of_this_machine(
    workplace: Workplace, compute: Mapping[str, Any], workers: int | None, most_useful: int, gpus: float
) -> Executor:
    """This process, or worker processes: on a CPU as many as there are processors, on GPUs as these have places."""
    device = compute["device"]
    found = gpus_here() if device == "cuda" and workers != 1 else ()
    if gpus and device != "cuda":
        logger.warning("--gpus %g is ignored, for the study computes on %s", gpus, device)
    room = _room(compute, found, gpus)
    workers = workers or min(room, most_useful)
    return InlineExecutor(workplace) if workers == 1 else ProcessExecutor(workplace, workers, gpus=found)


def _room(compute: Mapping[str, Any], found: Sequence[str], gpus: float = 0.0) -> int:
    """Folds that this machine trains at a time, on these GPUs where the computation is on some."""
    if compute["device"] == "cuda":
        return max(1, num_places(len(found), gpus))
    return max(1, num_processors() // int(compute["threads"])) if compute["device"] == "cpu" else 1


def _require(module: str, kind: Kind) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise UsageError(f"--executor {kind} needs the extra: pip install 'harness[{kind}]'")
