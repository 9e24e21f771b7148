"""How much of this machine those who ask may use."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_ADDRESSES = 1024


@dataclass(frozen=True)
class Limits:
    """body_bytes: of a request.   receive_seconds, send_seconds: for all of a request, and of its answer.

    at_once: images that are worked on; others wait for wait_seconds.   connections: others are turned away.
    burst, per_second: requests of one address, at once and in the long run.
    """

    body_bytes: int = 10_000_000
    receive_seconds: float = 20.0
    send_seconds: float = 20.0
    at_once: int = 4
    wait_seconds: float = 10.0
    connections: int = 32
    burst: int = 40
    per_second: float = 10.0


class RateLimit:
    """A token bucket for each address: it holds `burst` tokens and gets `per_second` new ones."""

    def __init__(self, burst: int, per_second: float, *, clock: Callable[[], float] = time.monotonic):
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted

    def wait(self, address: str) -> float:
        """Takes a token and returns 0, or returns the seconds until there is one."""
        with self._lock:
            now = self._clock()
            tokens, counted = self._buckets.pop(address, (float(self._burst), now))
            tokens = min(self._burst, tokens + (now - counted) * self._per_second)
            allowed = tokens >= 1
            self._buckets[address] = (tokens - 1 if allowed else tokens), now  # the latest is last
            while len(self._buckets) > MOST_ADDRESSES:
                del self._buckets[next(iter(self._buckets))]
            return 0.0 if allowed else (1 - tokens) / self._per_second
