"""Published archives fetched, and decoded copies kept, so that a second start neither downloads nor decodes."""

import atexit
import logging
import socket
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from harness.data.images import Images
from harness.errors import DataError

logger = logging.getLogger(__name__)
TIMEOUT_SECONDS = 30.0  # for a server to go on


def cached(folder: Path, make: Callable[[Path], None], *, lock: Path) -> Images:
    """The images saved in `folder`; the first time, or where they are damaged, `make(folder)` saves them.

    lock: a file in a folder above; processes with the same one make images one after the other.
    """
    images = opened(folder)
    if images is not None:
        return images
    with _alone(lock) as may_write:
        if not may_write:
            folder = _temporary() / folder.relative_to(lock.parent)
        images = opened(folder)
        if images is None:
            make(folder)
            images = Images.open(folder)
    return images


def opened(folder: Path) -> Images | None:
    """The intact images saved in `folder`, or None."""
    if not folder.exists():
        return None
    try:
        return Images.open(folder).verified()
    except DataError as error:
        logger.warning("%s; it is made anew", error)
        return None


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold the lock, where one can be made; whether that is so."""
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        logger.warning(
            "%s: decoded images cannot be kept there (%s), so they are for this command alone; "
            "set HARNESS_DATA to a folder of yours",
            path.parent, error.strerror or error,
        )  # fmt: skip
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@cache
def _temporary() -> Path:
    """A folder that goes when this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="harness-data-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


@contextmanager
def fetching(name: str, files: str, folder: Path, url: str) -> Iterator[None]:
    """Around a download: no endless wait, nothing on stdout, and one clear line where it fails.

    files: what a user without a network has to put into `folder`.   url: where it is published.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (OSError, RuntimeError, EOFError, tarfile.TarError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{name}: no intact {files} in {folder}, and it cannot be downloaded ({reason}): "
            f"put it there, from {url}"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
