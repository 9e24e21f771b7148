"""Where the time goes: phases of the work, timed in every process and thread while somebody profiles, free otherwise.

A phase inside another interrupts it, so the times of all phases of a thread add up. Clocks are monotonic and the same
for all processes of a machine.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import TypeVar

from harness.files import read_json, write_json

MOST_EVENTS = 10_000  # of a process that the trace shows one by one; all are added up
_NOTHING: AbstractContextManager[None] = nullcontext()
_profiler: "Profiler | None" = None
Item = TypeVar("Item")


@dataclass(frozen=True)
class ProcessTimes:
    """What one process was timed at.   until: when that was written, on the monotonic clock.

    threads: by name, seconds by phase.   events: (thread, phase, start, seconds), the first MOST_EVENTS.
    """

    pid: int
    until: float
    threads: dict[str, dict[str, float]]
    events: list[tuple[str, str, float, float]]


@dataclass
class Profiler:
    """The phases of this process, as `ProcessTimes` has them.

    synchronise: waits for a device that works on its own, such as a GPU.
    """

    folder: Path
    synchronise: Callable[[], None] = lambda: None
    threads: dict[str, dict[str, float]] = field(default_factory=dict)
    events: list[tuple[str, str, float, float]] = field(default_factory=list)
    _local: threading.local = field(default_factory=threading.local)

    def enter(self) -> None:
        self.synchronise()
        stack = self._local.__dict__.setdefault("stack", [])
        stack.append((monotonic(), [0.0]))

    def leave(self, name: str) -> None:
        self.synchronise()
        stack, thread = self._local.stack, threading.current_thread().name
        started, inner = stack.pop()
        seconds = monotonic() - started
        if stack:
            stack[-1][1][0] += seconds
        own = self.threads.setdefault(thread, {})
        own[name] = own.get(name, 0.0) + seconds - inner[0]
        if len(self.events) < MOST_EVENTS:
            self.events.append((thread, name, started, seconds))

    def write(self) -> None:
        """Keep what there is so far: a worker may be killed at any moment."""
        threads = {name: dict(phases) for name, phases in list(self.threads.items())}
        times = ProcessTimes(os.getpid(), monotonic(), threads, list(self.events))
        write_json(self.folder / f"{os.getpid()}.json", asdict(times))


class _Phase:
    def __init__(self, profiler: Profiler, name: str):
        self._profiler, self._name = profiler, name

    def __enter__(self) -> None:
        self._profiler.enter()

    def __exit__(self, *_: object) -> None:
        self._profiler.leave(self._name)


def phase(name: str) -> AbstractContextManager[None]:
    """Time what is done within as that phase."""
    return _NOTHING if _profiler is None else _Phase(_profiler, name)


def timed(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """The items, the making of each timed as that phase."""
    if _profiler is None:
        yield from items
        return
    iterator = iter(items)
    while True:
        with phase(name):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def start(folder: Path) -> Profiler:
    """Begin to time this process's phases."""
    global _profiler
    folder.mkdir(parents=True, exist_ok=True)
    _profiler = Profiler(folder)
    return _profiler


def stop() -> None:
    """Write down what was timed, and time no more."""
    global _profiler
    if _profiler is not None:
        _profiler.write()
    _profiler = None


def current() -> Profiler | None:
    return _profiler


def read(folder: Path) -> list[ProcessTimes]:
    """What the processes wrote."""
    return [ProcessTimes(**read_json(path)) for path in sorted(folder.glob("*.json"))]
