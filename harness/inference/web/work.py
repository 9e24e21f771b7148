"""Images of many requests at once: decoded by threads, given to the network together, described by threads.

The event loop only hands over. What waits while the network is at work is its next forward pass, so that a single
image waits for nobody, and many clients share a pass.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Generic, TypeVar

import numpy as np

from harness.data.decoding import SlowError, TooLargeError
from harness.inference.web.documents import Prediction
from harness.inference.web.limits import Limits
from harness.inference.web.metrics import Metrics
from harness.inference.web.refusal import Refusal
from harness.inference.web.service import Asked, Seen, Service, Wanted
from harness.standalone.image_pixels import UnreadableError

CHUNK_IMAGES = 32  # of a batch, that a thread decodes in one go; others get their turn in between
CHUNKS_AT_ONCE = 2

A = TypeVar("A")
B = TypeVar("B")


class Places:
    """Of requests that are worked on at once."""

    def __init__(self, limits: Limits):
        self._free, self._wait_seconds = asyncio.Semaphore(limits.at_once), limits.wait_seconds

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raises Refusal where none becomes free in time."""
        await _taken(self._free, self._wait_seconds, "too many images at once")
        try:
            yield
        finally:
            self._free.release()


async def _taken(free: asyncio.Semaphore, seconds: float, why: str) -> None:
    try:
        await asyncio.wait_for(free.acquire(), seconds)
    except TimeoutError:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, retry_seconds=1) from None


class Batcher(Generic[A, B]):
    """Gathers lists that wait into one call of at most so many, made by one thread, one call at a time."""

    def __init__(self, call: Callable[[Sequence[A]], Sequence[B]], most: int):
        self._call, self._most = call, most
        self._waiting: deque[tuple[Sequence[A], asyncio.Future[Sequence[B]]]] = deque()
        self._thread = ThreadPoolExecutor(1, "network")
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, items: Sequence[A]) -> Sequence[B]:
        """What the call returns for each of these. Raises what it raises."""
        future: asyncio.Future[Sequence[B]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft()]
            count = len(taken[0][0])
            while self._waiting and count + len(self._waiting[0][0]) <= self._most:
                count += len(self._waiting[0][0])
                taken.append(self._waiting.popleft())
            together = [item for items, _ in taken for item in items]
            try:
                found = await asyncio.get_running_loop().run_in_executor(self._thread, self._call, together)
            except Exception as error:
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)
                continue
            start = 0
            for items, future in taken:
                if not future.done():  # who asked may have gone
                    future.set_result(found[start : start + len(items)])
                start += len(items)


class Work:
    """What a service says about images, within limits. For one event loop."""

    def __init__(self, service: Service, limits: Limits, metrics: Metrics):
        self._service, self._limits, self._metrics = service, limits, metrics
        self._threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "images")
        self._apart = {  # so that neither large nor slow images keep others waiting
            SlowError: (asyncio.Semaphore(1), ThreadPoolExecutor(1, "slow")),
            TooLargeError: (asyncio.Semaphore(1), ThreadPoolExecutor(1, "large")),
        }
        self._look = Batcher(self._counted_look, limits.forward_images)

    async def predictions(
        self, contents: Sequence[bytes], wanted: Wanted
    ) -> list[Prediction | UnreadableError]:
        """Of every image, or why it is unreadable. Raises Refusal where there is no room."""
        chunks = [contents[start : start + CHUNK_IMAGES] for start in range(0, len(contents), CHUNK_IMAGES)]
        places = asyncio.Semaphore(CHUNKS_AT_ONCE)

        async def one(chunk: Sequence[bytes]) -> list[Prediction | UnreadableError]:
            async with places:
                return await self._chunk(chunk, wanted)

        try:
            async with asyncio.timeout(self._limits.work_seconds):
                return [found for part in await asyncio.gather(*map(one, chunks)) for found in part]
        except TimeoutError:
            why = f"takes more than {self._limits.work_seconds:.0f} s; send fewer images at once"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why) from None

    async def _chunk(self, contents: Sequence[bytes], wanted: Wanted) -> list[Prediction | UnreadableError]:
        run = asyncio.get_running_loop().run_in_executor
        decoded = await run(self._threads, self._decoded, contents)
        for place, found in enumerate(decoded):
            if isinstance(found, SlowError | TooLargeError):
                decoded[place] = await self._decoded_apart(contents[place], type(found))
        asked = [Asked(found, wanted) for found in decoded if isinstance(found, np.ndarray)]
        seen = await self._look(asked) if asked else []
        described = await run(self._threads, lambda: list(map(self._service.describe, asked, seen)))
        self._metrics.images(len(described), len(decoded) - len(described))
        rest = iter(described)
        return [found if isinstance(found, UnreadableError) else next(rest) for found in decoded]

    def _decoded(self, contents: Sequence[bytes]) -> list[np.ndarray | SlowError | UnreadableError]:
        found: list[np.ndarray | SlowError | UnreadableError] = []
        for content in contents:
            try:
                if len(content) > self._limits.body_bytes:
                    raise UnreadableError(f"a file may have {self._limits.body_bytes:,} bytes")
                found.append(self._service.decode(content, most=self._limits.light_bytes))
            except (SlowError, UnreadableError) as error:
                found.append(error)
        return found

    async def _decoded_apart(
        self, content: bytes, why: type[SlowError | TooLargeError]
    ) -> np.ndarray | UnreadableError:
        free, thread = self._apart[why]
        await _taken(free, self._limits.wait_seconds, "too many images at once that are large or take long")
        try:
            return await asyncio.get_running_loop().run_in_executor(
                thread, self._service.decode_apart, content, self._limits.apart
            )
        except UnreadableError as error:
            return error
        finally:
            free.release()

    def _counted_look(self, images: Sequence[Asked]) -> Sequence[Seen]:
        self._metrics.forward(len(images))
        return self._service.look(images)
