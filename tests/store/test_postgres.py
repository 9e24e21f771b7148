"""A PostgreSQL that has stopped answering raises, wherever harness, MLflow or Optuna waits for it."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.store import postgres as limits
from harness.store.study_lock import driving_alone
from harness.tracking import optuna_mirror
from tests.campaigns.processes import descendants
from tests.postgres import postgres

MOST_SECONDS = 10.0  # for what should take less than one


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from psycopg2 import extensions

    monkeypatch.setattr(limits, "ANSWER_SECONDS", 0.3)
    before = extensions.get_wait_callback()
    extensions.set_wait_callback(None)
    yield
    extensions.set_wait_callback(before)


def _lock(url: str) -> None:
    with driving_alone(url, "s"):
        pass


def _mirror(url: str) -> None:
    with pytest.raises(StoreError, match="has not answered"):
        optuna_mirror.remove(url, "nobody")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("use", [_lock, _mirror])
def test_a_server_that_accepts_and_never_answers_is_not_waited_for(use: Callable[[str], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        use(f"postgresql+psycopg2://me@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=0")
        assert time.monotonic() - began < MOST_SECONDS


def test_a_function_of_somebody_elses_stays() -> None:
    from psycopg2 import extensions, extras

    extensions.set_wait_callback(extras.wait_select)
    limits.limit_waiting("postgresql+psycopg2://h/x")
    assert extensions.get_wait_callback() is extras.wait_select


def test_other_databases_change_nothing() -> None:
    from psycopg2 import extensions

    limits.limit_waiting("sqlite:////tmp/optuna.db")
    assert extensions.get_wait_callback() is None


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_study_ends_though_its_database_was_paused_meanwhile(tmp_path: Path) -> None:
    with postgres(tmp_path / "server") as url:
        server = int((tmp_path / "server" / "data" / "postmaster.pid").read_text().split()[0])
        try:
            with driving_alone(url, "s"):
                paused = [server, *descendants(server)]
                for pid in paused:
                    os.kill(pid, signal.SIGSTOP)
                began = time.monotonic()
            assert time.monotonic() - began < MOST_SECONDS
            _mirror(url)
        finally:
            for pid in paused:
                os.kill(pid, signal.SIGCONT)
        _lock(url)  # whose connection is a new one
