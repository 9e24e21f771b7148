"""Who trains the folds of a study: this process, worker processes, or a Ray cluster; and how many at a time."""

import os
from collections.abc import Mapping
from typing import Any, Literal

from harness.errors import UsageError
from harness.study.executors import Executor, InlineExecutor, ProcessExecutor
from harness.study.worker import Workplace

Kind = Literal["process", "ray"]


def num_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def assemble(
    kind: Kind,
    workplace: Workplace,
    compute: Mapping[str, Any],
    *,
    workers: int | None,
    most_useful: int,
    address: str = "",
    gpus: float = 0.0,
) -> Executor:
    """The executor of a study.

    workers: folds at a time, or None for as many as there is room for, but no more than are useful.
    address, gpus: of a Ray cluster, and what part of a GPU each of its workers takes.
    Raises UsageError for what cannot be, StoreError for a cluster that cannot be reached.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1 (got {workers})")
    threads = int(compute["threads"])
    if kind == "ray":
        _require_ray()
        from harness.study.ray_executor import RayExecutor

        gpus = gpus or float(compute["device"] == "cuda")
        return RayExecutor(workplace, min(workers or most_useful, most_useful), address, float(threads), gpus)
    if workers is None:
        room = max(1, num_processors() // threads) if compute["device"] == "cpu" else 1
        workers = min(room, most_useful)
    return InlineExecutor(workplace) if workers == 1 else ProcessExecutor(workplace, workers)


def _require_ray() -> None:
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise UsageError("--executor ray needs the extra: pip install 'harness[ray]'")
