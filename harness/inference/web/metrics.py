"""What the server has done since it began, in Prometheus's text format.

Source: https://prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

KIND = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
IMAGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Histogram:
    """Counts of values, each in the first bucket whose bound is not less."""

    def __init__(self, bounds: tuple[float, ...]):
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """labels: as they are written, like `path="/predict"`."""
        total, comma = 0, "," if labels else ""
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels}{comma}le="{bound}"}} {total}'
        for end, value in (("sum", self._sum), ("count", total)):
            yield f"{name}_{end}{{{labels}}} {value}"


class Metrics:
    """Of one server. The event loop alone changes them, but for `forward`, which one thread does.

    Paths are names of routes, and statuses numbers, so that no label needs escaping.
    """

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: dict[str, Histogram] = {}
        self._images: Counter[str] = Counter(answered=0, unreadable=0)
        self._forward = Histogram(IMAGES)
        self._in_progress = 0

    def begin(self) -> None:
        self._in_progress += 1

    def end(self, path: str, status: int, seconds: float) -> None:
        self._in_progress -= 1
        self._requests[path, status] += 1
        self._seconds.setdefault(path, Histogram(SECONDS)).observe(seconds)

    def images(self, answered: int, unreadable: int) -> None:
        self._images.update(answered=answered, unreadable=unreadable)

    def forward(self, count: int) -> None:
        """So many images are given to the network at once."""
        self._forward.observe(count)

    def text(self) -> str:
        requests = {
            f'path="{path}",status="{status}"': count for (path, status), count in self._requests.items()
        }
        images = {f'result="{result}"': count for result, count in self._images.items()}
        lines = [
            *_family("harness_requests_total", "counter", "Requests, by what they got.", requests),
            *_head("harness_request_seconds", "histogram", "From a request's head to the end of its answer."),
            *(
                line
                for path, found in self._seconds.items()
                for line in found.lines("harness_request_seconds", f'path="{path}"')
            ),
            *_family("harness_requests_in_progress", "gauge", "Not answered yet.", {"": self._in_progress}),
            *_family("harness_images_total", "counter", "Images, by what they got.", images),
            *_head("harness_forward_images", "histogram", "Images that the network was given at once."),
            *self._forward.lines("harness_forward_images"),
            *_family("process_cpu_seconds_total", "counter", "Processor time.", {"": time.process_time()}),
            *_memory(),
        ]
        return "\n".join([*lines, ""])


def _family(name: str, kind: str, means: str, values: Mapping[str, float]) -> list[str]:
    return [*_head(name, kind, means), *(f"{name}{{{labels}}} {value}" for labels, value in values.items())]


def _head(name: str, kind: str, means: str) -> tuple[str, str]:
    return f"# HELP {name} {means}", f"# TYPE {name} {kind}"


def _memory() -> list[str]:
    """Of this process, where the system says it as Linux does."""
    try:
        kilobytes = (
            Path("/proc/self/smaps_rollup").read_text(encoding="ascii").partition("Rss:")[2].split()[0]
        )
    except OSError:
        return []
    resident = {"": 1024 * int(kilobytes)}
    return _family("process_resident_memory_bytes", "gauge", "Without the processes that decode.", resident)
