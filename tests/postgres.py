"""A real PostgreSQL server on this machine, for tests; skipped where none is installed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.campaigns.server import free_port

START_SECONDS = 60.0


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The address of a new server's database `postgres`, without a password. folder: one that does not exist yet."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    folder.mkdir()
    port, user = free_port(), _user(folder)
    subprocess.run(
        [binaries / "initdb", "--pgdata", folder / "data", "--username=postgres", "--auth=trust", "--no-sync"],
        check=True, stdout=subprocess.DEVNULL, **user,
    )  # fmt: skip
    command = [
        binaries / "postgres", "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1",
        "-c", f"unix_socket_directories={folder}", "-c", "fsync=off",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, **user)
    try:
        _wait(binaries / "pg_isready", port)
        yield f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for clients
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _binaries() -> Path | None:
    """The folder of the newest release's programs: Debian does not put them all on the path."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    releases = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return releases[-1].parent if releases else None


def _user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, "postgres", "postgres")
    for parent in folder.parents:  # pytest's temporary folders are root's alone
        if not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    return {"user": "postgres", "group": "postgres", "cwd": folder}


def _wait(is_ready: Path, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while subprocess.run([is_ready, "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError("PostgreSQL has not started")
        time.sleep(0.1)
