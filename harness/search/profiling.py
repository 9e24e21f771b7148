"""Where the time of a study's processes went: a table, and a trace for chrome://tracing or ui.perfetto.dev."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from harness import profiler
from harness.documents import plain_json
from harness.files import write_file
from harness.profiler import ProcessTimes

ORDER = (
    "start-up", "preparation", "data", "forward", "backward", "forward and backward", "optimiser", "evaluation",
    "writing",
)  # fmt: skip
BESIDE = "bookkeeping"  # has a thread of its own
MICROSECONDS = 1e6


@dataclass(frozen=True)
class PhaseTime:
    """share: of the time of all workers."""

    phase: str
    seconds: float
    share: float


@dataclass(frozen=True)
class TimeTable:
    """Seconds of the workers by phase, which add up to workers × wall_seconds, and the bookkeeping's beside them."""

    workers: int
    wall_seconds: float
    phases: tuple[PhaseTime, ...]
    bookkeeping_seconds: float


@dataclass(frozen=True)
class Profile(TimeTable):
    """trace: the file that has the phases one by one."""

    trace: Path


class Profiling:
    """Times a run of a study from its making on. folder: of the study, where profile.json is left in the end."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._began = monotonic()
        shutil.rmtree(self.parts, ignore_errors=True)
        profiler.start(self.parts)

    @property
    def parts(self) -> Path:
        """Where every process leaves its own."""
        return self._folder / "profile"

    def end(self, num_workers: int) -> Profile | None:
        """Write profile.json and return its table; None if nothing was trained."""
        profiler.stop()
        wall = monotonic() - self._began
        processes = profiler.read(self.parts)
        shutil.rmtree(self.parts)
        table = tabulate(processes, began=self._began, wall=wall, num_workers=num_workers)
        if table is None:
            return None
        document = {"traceEvents": trace(processes), "displayTimeUnit": "ms", "harness": plain_json(table)}
        path = self._folder / "profile.json"
        write_file(path, json.dumps(document).encode())
        return Profile(table.workers, table.wall_seconds, table.phases, table.bookkeeping_seconds, path)


def tabulate(
    processes: Sequence[ProcessTimes], *, began: float, wall: float, num_workers: int
) -> TimeTable | None:
    """Of what the processes were timed at; None if nothing was trained.   began: on the monotonic clock."""
    driver = os.getpid()
    totals: dict[str, float] = {}
    starts: list[float] = []
    beside = 0.0
    for process in processes:
        for own in process.threads.values():
            beside += own.get(BESIDE, 0.0)
            for name, seconds in own.items():
                if name != BESIDE:
                    totals[name] = totals.get(name, 0.0) + seconds
        events = [event for event in process.events if event[1] != BESIDE]
        if events and (num_workers == 1 or process.pid != driver):
            starts.append(min(event[2] for event in events) - began)
        if process.pid != driver:  # since its last fold
            totals["waiting"] = totals.get("waiting", 0.0) + began + wall - process.until
    if not set(totals) - {"waiting"}:
        return None
    totals["start-up"] = sum(sorted(starts)[:num_workers])
    whole = num_workers * wall
    rest = whole - sum(totals.values())
    rows = {name: totals[name] for name in ORDER if name in totals}
    rows |= {"waiting": totals.get("waiting", 0.0), "other": rest}
    phases = tuple(PhaseTime(name, seconds, seconds / whole) for name, seconds in rows.items())
    return TimeTable(num_workers, wall, phases, beside)


def trace(processes: Sequence[ProcessTimes]) -> list[dict[str, Any]]:
    """Chrome's trace events: a complete event a phase, a track a thread."""
    found: list[dict[str, Any]] = []
    for process in processes:
        threads = {name: number for number, name in enumerate(process.threads)}
        kind = "driver" if process.pid == os.getpid() else "worker"
        common = {"pid": process.pid, "tid": 0}
        found.append({"ph": "M", "name": "process_name", **common, "args": {"name": kind}})
        for name, tid in threads.items():
            found.append({"ph": "M", "name": "thread_name", **common, "tid": tid, "args": {"name": name}})
        found += [
            {
                "ph": "X", "name": name, "pid": process.pid, "tid": threads[thread],
                "ts": start * MICROSECONDS, "dur": seconds * MICROSECONDS,
            }
            for thread, name, start, seconds in process.events
        ]  # fmt: skip
    return found
