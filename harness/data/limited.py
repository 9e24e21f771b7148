"""Decodes image files that may take long, or much memory, in processes of their own, which end at their limits.

`is_quick` tells them from the others by counting what a decoder's time grows with. A thread cannot be stopped, and to
send every file to another process would cost more than to decode it.
"""

import atexit
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from math import prod
from queue import Empty, LifoQueue
from typing import IO, Any, NamedTuple

import numpy as np

from harness.data.file_facts import Facts
from harness.data.policy import Policy, of_changes

SECONDS = 20  # of processor time for one file
DEADLINE_SECONDS = (
    120.0  # by the clock: of systems that do not limit the former, and of machines that are busy
)
MEMORY_GIB = 4  # of addresses of one process
MAX_PROCESSES = min(4, os.cpu_count() or 1)
SMALL_BYTES, PLAIN_BYTES = 2**18, 2**16
MAX_PARTS = 5000  # chunks of a PNG, segments of a JPEG
MAX_SCANS, MAX_SCANNED = 100, 2**24  # of a JPEG, of which encoders make about 10; pixels of one with several


class Stopped(Exception):
    """Why the file was not decoded, in a few words."""


class Bounds(NamedTuple):
    """Of one file.   seconds: of processor time.   deadline_seconds: by the clock.   memory_gib: of addresses."""

    seconds: int
    deadline_seconds: float
    memory_gib: float


def is_quick(content: bytes) -> bool:
    """Whether the time that decoding takes is known to be short but for the number of pixels.

    Measured: plain PNM takes 0.8 s/MB, and with comments 30; a JPEG of 0.5 MB in 30,000 scans 30 s; segments of a JPEG
    cost 0.9 s/MB where they are tiny, chunks of a PNG 0.5, extensions of a GIF and strips of a TIFF more than 1.
    """
    if content[:2] == b"\xff\xd8":
        return _is_quick_jpeg(content)
    if content[:2] in (b"P1", b"P2", b"P3"):
        return len(content) <= PLAIN_BYTES
    if content[4:8] == b"ftyp":
        return False  # HEIC and AVIF, whose decoders are large and young
    return len(content) <= SMALL_BYTES or (content[:4] == b"\x89PNG" and _has_few_chunks(content))


def decode(
    content: bytes, *, sizes: Sequence[tuple[int, int]], policy: Policy, bounds: Bounds | None = None
) -> tuple[list[np.ndarray], Facts]:
    """As `decoding.decode_with_facts`. Raises Stopped where that would raise UnreadableError, or a limit is reached.

    bounds: at most as wide as the ordinary ones, which None stands for.
    """
    with _free:
        worker = _idle_worker() or _Worker()
        _busy.add(worker)
        try:
            result = worker.decode(content, sizes, policy, bounds or _ordinary())
        finally:
            _busy.discard(worker)
        _idle.put(worker)
    if isinstance(result, str):
        raise Stopped(result)
    return result


def end_all() -> None:
    """Stop what is being decoded, which raises Stopped there: for a program that ends."""
    for worker in tuple(_busy):
        worker.process.kill()


class _Worker:
    """A process that decodes one file after the other."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(MEMORY_GIB)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONSAFEPATH": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        except OSError as error:
            raise Stopped(f"no process to decode it can be started: {error.strerror}") from None
        self._is_late = False

    def decode(
        self, content: bytes, sizes: Sequence[tuple[int, int]], policy: Policy, bounds: Bounds
    ) -> tuple[list[np.ndarray], Facts] | str:
        """What the process answers, or why the file is unreadable. Raises Stopped where it ended."""
        timer = threading.Timer(bounds.deadline_seconds, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            return self._asked(content, sizes, policy, bounds)
        except (
            OSError,
            EOFError,
            ValueError,
            TypeError,
        ):  # whatever a process writes that a file has taken over
            raise Stopped(self._why_ended(bounds)) from None
        except BaseException:  # its answer to this file is not to be taken for one to the next
            self.end()
            raise
        finally:
            timer.cancel()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _end_late(self) -> None:
        self._is_late = True
        self.process.kill()

    def _why_ended(self, bounds: Bounds) -> str:
        import signal

        self.end()
        code = self.process.returncode
        if self._is_late:
            return f"takes more than {bounds.deadline_seconds:.0f} seconds to decode"
        if code == -getattr(signal, "SIGXCPU", 0):
            return f"takes more than {bounds.seconds} seconds of processor time to decode"
        return f"ended the process that decoded it (exit code {code})"

    def _asked(
        self, content: bytes, sizes: Sequence[tuple[int, int]], policy: Policy, bounds: Bounds
    ) -> tuple[list[np.ndarray], Facts] | str:
        assert self.process.stdin is not None and self.process.stdout is not None
        head = {"sizes": list(sizes), "policy": policy.changed(), "bytes": len(content), **bounds._asdict()}
        _write(self.process.stdin, head, content)
        answer = _read_head(self.process.stdout)
        if "problem" in answer:
            return str(answer["problem"])
        shapes = [(channels, size, size) for size, channels in sizes]
        arrays = [
            np.frombuffer(bytearray(_read(self.process.stdout, prod(shape))), np.uint8).reshape(shape)
            for shape in shapes
        ]
        return arrays, Facts(*answer["facts"])


def _idle_worker() -> _Worker | None:
    """One that waits; a forked process has no use for its parent's."""
    with suppress(Empty):
        while True:
            worker = _idle.get_nowait()
            if worker.parent == os.getpid():
                if worker.process.poll() is None:
                    return worker
                worker.end()
    return None


def _end_idle() -> None:
    while worker := _idle_worker():
        worker.end()


def _write(file: IO[bytes], head: dict[str, Any], *contents: bytes) -> None:
    text = json.dumps(head).encode()
    file.write(struct.pack(">I", len(text)) + text)
    for content in contents:
        file.write(content)
    file.flush()


def _read_head(file: IO[bytes]) -> dict[str, Any]:
    (length,) = struct.unpack(">I", _read(file, 4))
    head: dict[str, Any] = json.loads(_read(file, length))
    return head


def _read(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _is_quick_jpeg(content: bytes) -> bool:
    """Whether it has few segments before its pixels; and few scans of not too many, if it has several."""
    place, pixels, components = 2, 0, 0
    for _ in range(MAX_PARTS):
        if place + 10 > len(content) or content[place] != 0xFF:
            return True  # damaged, which is soon found
        marker, (length,) = content[place + 1], struct.unpack_from(">H", content, place + 2)
        if marker in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack_from(">HH", content, place + 5)
            pixels, components = width * height, 0 if marker == 0xC2 else content[place + 9]
        if marker == 0xDA:
            is_all = (
                content[place + 4] == components
            )  # or several follow; all are kept, unpacked, until the last
            return is_all or (pixels <= MAX_SCANNED and content.count(b"\xff\xda") <= MAX_SCANS)
        place += 2 + length if marker != 0xFF else 1
    return False


def _has_few_chunks(content: bytes) -> bool:
    place = 8
    for _ in range(MAX_PARTS):
        if place + 8 > len(content):
            return True
        place += 12 + struct.unpack_from(">I", content, place)[0]
    return False


_idle: LifoQueue[_Worker] = LifoQueue()
_busy: set[_Worker] = set()
atexit.register(_end_idle)
_free = threading.BoundedSemaphore(MAX_PROCESSES)


def _ordinary() -> Bounds:
    return Bounds(SECONDS, DEADLINE_SECONDS, MEMORY_GIB)


def _serve(asked: IO[bytes], answers: IO[bytes], memory_gib: float) -> None:
    """Decode what is asked for until there is no more, each within the limits."""
    from PIL import Image

    from harness.data.decoding import MAX_BYTES, decode_here
    from harness.standalone.image_pixels import UnreadableError

    Image.MAX_IMAGE_PIXELS = None  # what is decoded is limited by its bytes, after JPEG's shrinking
    while True:
        try:
            head = _read_head(asked)
        except EOFError:
            return
        content = _read(asked, head["bytes"])
        _limit_seconds(head["seconds"])
        _limit_memory(head["memory_gib"], memory_gib)
        sizes = [(size, channels) for size, channels in head["sizes"]]
        try:
            arrays, facts = decode_here(content, sizes, of_changes(head["policy"]), most=MAX_BYTES)
        except UnreadableError as error:
            _write(answers, {"problem": str(error)})
        else:
            _write(answers, {"facts": facts}, *(array.tobytes() for array in arrays))


def _limit_memory(gib: float, most_gib: float) -> None:
    """most_gib: what may be allowed later, too."""
    with suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (int(gib * 2**30), int(most_gib * 2**30)))


def _limit_seconds(seconds: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        until = int(used.ru_utime + used.ru_stime) + 1 + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _main() -> None:
    import signal
    import warnings

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it, by closing its input
    warnings.simplefilter("ignore")  # Pillow doubts files that it reads all the same
    memory_gib = float(sys.argv[1])
    _limit_memory(memory_gib, memory_gib)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    _serve(sys.stdin.buffer, answers, memory_gib)


if __name__ == "__main__":
    _main()
