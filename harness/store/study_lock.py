"""One driver of a study at a time: a lock on this machine, and one in the team's PostgreSQL, where there is one.

HOME/studies/<name>/lock           locked while a process drives the study, which exists from then on
HOME/studies/<name>/holder.json    which process that is
HOME/users/<pid>.<…>.lock          locked while a process trains beside drivers, to confirm say
HOME/store.lock                    locked while any of these is taken, and while somebody clears away

Whoever looks at what there is and then changes it (gc, import, bundle) takes the store's lock first, then the studies':
so nothing begins in between. Anybody may look whether a study is driven here. The database's lock is for other
machines.
"""

import errno
import hashlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from harness.errors import RecordError, StoreError, UsageError
from harness.files import read_json, telling_disk_trouble, write_json
from harness.os_errors import explaining
from harness.redaction import redacted
from harness.store.postgres import limit_waiting

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.5  # for which somebody may hold a study's lock, only to see whether it is free
TOLD_SECONDS, MOST_SECONDS = 2.0, 3600.0  # to wait for the store before that is told, and in all
CONNECT_SECONDS = 5
USERS = "users"
HOLDER = """
select application_name, backend_start from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory' and granted and ((classid::bigint << 32) | objid::bigint) = :key
"""


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the store: meanwhile no driver begins, and nobody else looks at what to clear away. Raises StoreError."""
    lock = FileLock(home / "store.lock")
    with telling_disk_trouble(home / "store.lock", 0):
        try:
            home.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UsageError(
                f"{home}: a link that leads nowhere is in its place; choose another --home"
            ) from None
        try:
            lock.acquire(timeout=TOLD_SECONDS)
        except Timeout:
            logger.warning("%s: another command holds the store; this one goes on when it has ended", home)
            try:
                lock.acquire(timeout=MOST_SECONDS)
            except Timeout:
                raise StoreError(
                    f"{home / 'store.lock'}: another command has held the store for {MOST_SECONDS / 60:.0f} minutes"
                ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def using(home: Path) -> Iterator[None]:
    """Say that this process trains beside drivers: until it is over nobody clears away. Hold the store to begin."""
    path = home / USERS / f"{os.getpid()}.{uuid4().hex[:8]}.lock"
    with telling_disk_trouble(path, 0):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # whoever clears away next finds that nobody holds it
            path.unlink(missing_ok=True)
        lock.release()


def require_unused(home: Path) -> None:
    """Raise StoreError where a process trains beside drivers. Hold the store meanwhile."""
    for path in sorted((home / USERS).glob("*.lock")):
        lock = FileLock(path)
        with explaining(path):
            try:
                lock.acquire(timeout=LOOK_SECONDS)
            except Timeout:
                pid = path.name.partition(".")[0]
                raise StoreError(
                    f"{home}: process {pid} trains there, to confirm or audit a study say"
                ) from None
        path.unlink(missing_ok=True)  # of a process that was killed
        lock.release()


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """Hold the study of this folder, which is made, and the store for that. Raises StoreError that names the holder."""
    lock, holder = FileLock(folder / "lock"), folder / "holder.json"
    with telling_disk_trouble(folder / "lock", 0):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=LOOK_SECONDS)
        except Timeout:
            raise _driven(folder) from None
    try:
        with suppress(StoreError):  # a full disk keeps nobody from making room
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            write_json(holder, {"pid": os.getpid(), "host": platform.node(), "since": since})
        yield
    finally:
        with suppress(OSError):  # which it may be for longer than its holder drives
            holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def staying(folder: Path) -> Iterator[None]:
    """Keep the study of this folder from being driven or deleted while it is read; nothing is written.

    Where its lock may not even be read, or the system knows no locks for readers, it is read all the same.
    Raises StoreError where somebody drives or deletes it.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(folder / "lock", os.O_RDONLY)
            stack.callback(os.close, descriptor)  # which ends the lock
            if os.name == "posix" and not _locked_for_reading(descriptor):
                raise StoreError(
                    f"study {folder.name} is being driven or deleted by {_holder(folder / 'holder.json')}"
                )
        yield


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


def require_free(folder: Path) -> None:
    """Raise StoreError that names who drives the study of this folder; nothing is written."""
    if is_driven(folder):
        raise _driven(folder)


@contextmanager
def driving_alone(storage_url: str, study: str) -> Iterator[None]:
    """Hold the study in the database of `storage_url`; with another kind of database this does nothing.

    The lock goes with the connection, so a driver that dies or loses its machine leaves none behind. If the database
    cannot be asked, the study is run all the same: its records are safe without it.
    Raises StoreError that names the holder.
    """
    if not storage_url.startswith("postgresql"):
        yield
        return
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    key, holder = {"key": _key(study)}, ""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(_connected(storage_url))
            if not connection.execute(text("select pg_try_advisory_lock(:key)"), key).scalar():
                holder = _holder_in_database(connection, text(HOLDER), key)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            logger.warning(
                "whether another machine runs this study cannot be asked (%s); it is run all the same",
                _first_line(error, storage_url),
            )
        else:
            if holder:
                raise StoreError(f"study {study} is already being driven by {holder}")
            stack.callback(_unlock, connection, text("select pg_advisory_unlock(:key)"), key)
        yield


def _connected(storage_url: str) -> Any:
    """A connection of its own to the database, which is closed when its context is left."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    limit_waiting(storage_url)
    engine = create_engine(
        storage_url, poolclass=NullPool, isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": _application_name()},
    )  # fmt: skip
    return engine.connect()


def _unlock(connection: Any, query: Any, key: dict[str, int]) -> None:
    """Give the lock back now: the server notices the end of a connection only some time after it."""
    from sqlalchemy.exc import SQLAlchemyError

    with suppress(SQLAlchemyError):  # a connection that broke takes its lock along
        connection.execute(query, key)


def _is_locked(path: Path) -> bool:
    if os.name != "posix":
        return _is_locked_for_writing(path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return not _locked_for_reading(descriptor)
    finally:
        os.close(descriptor)  # which ends the lock


def _locked_for_reading(descriptor: int) -> bool:
    """Whether a lock of which there may be several was taken; False where somebody has the other kind."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


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


def _driven(folder: Path) -> StoreError:
    holder = folder / "holder.json"
    who = _holder(holder) if holder.exists() else "another process, which bundles it say"
    return StoreError(f"study {folder.name} is already being driven by {who}")


def _holder(path: Path) -> str:
    try:
        holder = read_json(path)
    except (OSError, RecordError, StoreError):
        return "another process"
    return f"process {holder['pid']} on {holder['host']} since {holder['since']}"


def _key(study: str) -> int:
    """The lock's number: a signed integer of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"harness study {study}".encode()).digest()[:8], "big", signed=True)


def _application_name() -> str:
    """PostgreSQL keeps 63 bytes of it."""
    return f"process {os.getpid()} on {platform.node()}".encode()[:63].decode(errors="ignore")


def _holder_in_database(connection: Any, query: Any, key: dict[str, int]) -> str:
    row = connection.execute(query, key).first()
    return f"{row[0]} since {row[1]:%Y-%m-%d %H:%M:%S}" if row else "another process"


def _first_line(error: BaseException, storage_url: str) -> str:
    if isinstance(error, ValueError):  # its words may hold a part of the password
        return "its address cannot be read"
    return redacted(next(iter(str(error).strip().splitlines()), type(error).__name__), storage_url)
