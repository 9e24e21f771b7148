"""A team's PostgreSQL: one driver of a study at a time on all machines, and both stores in it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import NullPool

from harness.errors import StoreError
from harness.store.study_lock import driving_alone
from harness.tracking import deliver
from harness.tuning import Settings
from tests.campaigns.server import TrackingServer, free_port
from tests.postgres import postgres

HOLD = """
import sys, time
from harness.store.study_lock import driving_alone
with driving_alone(sys.argv[1], "mein Büro"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres") / "server") as url:
        yield url


def test_other_databases_have_no_such_lock(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    with driving_alone(url, "s"), driving_alone(url, "s"):
        assert not list(tmp_path.iterdir())


def test_a_database_that_is_away_does_not_stop_the_study(caplog: pytest.LogCaptureFixture) -> None:
    ran = False
    with driving_alone(f"postgresql+psycopg2://me:canary@127.0.0.1:{free_port()}/x", "s"):
        ran = True
    assert ran and "run all the same" in caplog.text and "canary" not in caplog.text


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://me:p@h/x?a=b", "postgresql+psycopg2://me:p@h/x?a=b"),
        ("postgres://h/x", "postgresql+psycopg2://h/x"),
        ("postgresql+psycopg://h/x", "postgresql+psycopg://h/x"),
        ("sqlite:///postgresql://x", "sqlite:///postgresql://x"),
        ("http://h:5000", "http://h:5000"),
        ("postgresql", "postgresql"),
    ],
)
def test_an_address_without_a_driver_gets_that_of_the_extra(
    address: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_STORAGE", address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert (Settings(tmp_path).storage_url, Settings(tmp_path).tracking_uri) == (expected, expected)


@pytest.mark.parametrize(
    ("there", "expected"),
    [(("psycopg",), "psycopg"), ((), "psycopg2"), (("psycopg", "psycopg2"), "psycopg2")],
)
def test_where_only_the_newer_driver_is_installed_it_is_taken(
    there: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "find_spec", lambda name: name in there or None)
    assert deliver.with_driver("postgresql://h/x") == f"postgresql+{expected}://h/x"


@pytest.mark.slow
def test_a_database_whose_address_names_no_driver_can_be_used(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_STORAGE", database.replace("+psycopg2", ""))
    url = Settings(tmp_path).storage_url
    with (
        driving_alone(url, "p"),
        pytest.raises(StoreError, match="already being driven"),
        driving_alone(url, "p"),
    ):
        pass


@pytest.mark.slow
def test_a_second_driver_is_told_who_the_first_is(database: str) -> None:
    with driving_alone(database, "a"):
        with driving_alone(database, "b"):
            pass
        with (
            pytest.raises(StoreError, match=r"study a is already being driven by process \d+ on .+ since 20"),
            driving_alone(database, "a"),
        ):
            pass


@pytest.mark.slow
def test_the_lock_is_given_back_before_the_connection_ends(database: str) -> None:
    held: list[int] = []

    def look(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from pg_locks where locktype = 'advisory' and granted")
            held.append(cursor.fetchone()[0])

    event.listen(NullPool, "checkin", look)
    try:
        with driving_alone(database, "again"):
            assert not held
    finally:
        event.remove(NullPool, "checkin", look)
    assert held == [0]


@pytest.mark.slow
def test_a_driver_that_is_killed_leaves_no_lock(database: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, database], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with (
            pytest.raises(StoreError, match=f"process {process.pid} on"),
            driving_alone(database, "mein Büro"),
        ):
            pass
    finally:
        process.kill()
        process.communicate()
    deadline = time.monotonic() + 10
    while True:
        try:
            with driving_alone(database, "mein Büro"):
                return
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.slow
def test_a_study_in_a_teams_stores(
    database: str,
    tmp_path: Path,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from harness.cli import run

    root = database.rpartition("/")[0]
    engine = create_engine(database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("create database mlflow"))
        connection.execute(text("create database optuna"))
    server = TrackingServer(tmp_path / "server", backend=f"{root}/mlflow")
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        monkeypatch.setenv("HARNESS_STORAGE", f"{root}/optuna")
        words = ["tune", "--study", str(study_file), "--home", str(tmp_path / "home"), "--workers", "1"]
        assert run(words) == 0
        with driving_alone(f"{root}/optuna", "small"):
            capsys.readouterr()
            assert run([*words[:-4], "--home", str(tmp_path / "another"), "--workers", "1"]) == 4
            assert "already being driven by process" in capsys.readouterr().err
    finally:
        server.close()
    counted = {}
    for name, table in (("mlflow", "runs"), ("mlflow", "logged_models"), ("optuna", "trials")):
        other = create_engine(f"{root}/{name}")
        with other.connect() as connection:
            counted[table] = connection.execute(text(f"select count(*) from {table}")).scalar()
        other.dispose()
    engine.dispose()
    assert counted == {"runs": 1 + 4 + 12, "logged_models": 1, "trials": 4}
    assert not (tmp_path / "home" / "mlflow.db").exists() and not (tmp_path / "home" / "optuna.db").exists()
