"""Decoded copies of data sets, so that a second start neither decodes nor imports what does."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.data.images import Images
from harness.errors import DataError, StoreError

logger = logging.getLogger(__name__)


def cached(folder: Path, make: Callable[[Path], None], *, lock: str) -> Images:
    """The images saved in `folder`; the first time, or where they are damaged, `make(folder)` saves them.

    lock: a file name beside the folder; processes with the same one make images one after the other.
    """
    images = opened(folder)
    if images is None:
        with _alone(folder.parent / lock):
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
def _alone(path: Path) -> Iterator[None]:
    from filelock import FileLock

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise StoreError(
            f"{path.parent}: cannot keep decoded images there: {error.strerror or error}; "
            "set HARNESS_DATA to a folder of yours"
        ) from None
    try:
        yield
    finally:
        lock.release()
