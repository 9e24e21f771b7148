"""The lock of a study on this machine: one driver at a time, and anybody may look whether there is one.

HOME/studies/<name>/lock           locked while a process drives the study
HOME/studies/<name>/holder.json    which process that is
"""

import errno
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import RecordError, StoreError
from harness.files import read_json, telling_disk_trouble, write_json

LOOK_SECONDS = 0.5  # for which somebody may hold a study's lock, only to see whether it is free


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """Hold the study of this folder, which is made. Raises StoreError that names the holder."""
    lock, holder = FileLock(folder / "lock"), folder / "holder.json"
    with telling_disk_trouble(folder / "lock", 0):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=LOOK_SECONDS)
        except Timeout:
            raise StoreError(f"study {folder.name} is already being driven by {_holder(holder)}") from None
    try:
        try:
            write_json(holder, _this_process())
        except StoreError:  # a full disk keeps nobody from making room
            holder.unlink(missing_ok=True)
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def is_driven(folder: Path) -> bool:
    """Whether a process is driving the study of this folder right now; nothing is written, nor need it be allowed.

    Where the lock may not even be read, the word of the last holder counts, which takes it back at its end.
    """
    try:
        return _is_locked(folder / "lock")
    except FileNotFoundError:
        return False
    except OSError:
        return (folder / "holder.json").exists()


def _is_locked(path: Path) -> bool:
    if os.name != "posix":
        return _is_locked_for_writing(path)
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return True
        raise
    finally:
        os.close(descriptor)  # which ends the lock
    return False


def _is_locked_for_writing(path: Path) -> bool:
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _holder(path: Path) -> str:
    try:
        holder = read_json(path)
    except (OSError, RecordError, StoreError):
        return "another process"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
