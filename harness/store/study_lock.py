"""One driver per study also across machines: an advisory lock in the team's PostgreSQL, where there is one."""

import hashlib
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import StoreError
from harness.redaction import redacted

logger = logging.getLogger(__name__)
CONNECT_SECONDS = 5
HOLDER = """
select application_name, backend_start from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory' and granted and ((classid::bigint << 32) | objid::bigint) = :key
"""


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
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(
            storage_url, poolclass=NullPool, isolation_level="AUTOCOMMIT",
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": _this_process()},
        )  # fmt: skip
        connection = engine.connect()
    except (SQLAlchemyError, ImportError, ValueError) as error:
        logger.warning(
            "whether another machine runs this study cannot be asked (%s); it is run all the same",
            _first_line(error, storage_url),
        )
        yield
        return
    with connection:
        key = {"key": _key(study)}
        if not connection.execute(text("select pg_try_advisory_lock(:key)"), key).scalar():
            raise StoreError(
                f"study {study} is already being driven by {_holder(connection, text(HOLDER), key)}"
            )
        yield


def _key(study: str) -> int:
    """The lock's number: a signed integer of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"harness study {study}".encode()).digest()[:8], "big", signed=True)


def _this_process() -> str:
    """PostgreSQL keeps 63 bytes of it."""
    return f"process {os.getpid()} on {platform.node()}".encode()[:63].decode(errors="ignore")


def _holder(connection: Any, query: Any, key: dict[str, int]) -> str:
    row = connection.execute(query, key).first()
    return f"{row[0]} since {row[1]:%Y-%m-%d %H:%M:%S}" if row else "another process"


def _first_line(error: BaseException, storage_url: str) -> str:
    if isinstance(error, ValueError):  # its words may hold a part of the password
        return "its address cannot be read"
    return redacted(next(iter(str(error).strip().splitlines()), type(error).__name__), storage_url)
