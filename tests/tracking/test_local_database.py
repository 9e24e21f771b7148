"""A store's own databases: opened wherever they lie, followed when they move, renewed when they are damaged."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.tracking.deliver import default_storage_url, default_tracking_uri
from harness.tracking.local_database import is_damaged, makes_anew, path_of, put_aside_if_damaged, url_of
from harness.tracking.mlflow_addresses import address_in
from harness.tracking.mlflow_store import connect
from harness.tracking.mlflow_tracker import MlflowTracker
from tests.tracking.fake_study import fake_study

ODD = ["a%2Fb", "what?", "h#[x]", "a%20b", "Büro", "with space", "%s", "x:y", "{brace}", "a&b=c", "quote'"]


@pytest.mark.parametrize("name", ODD)
def test_an_address_names_just_this_file(tmp_path: Path, name: str) -> None:
    from sqlalchemy import create_engine, text

    path = tmp_path / name / "mlflow.db"
    path.parent.mkdir()
    assert path_of(url_of(path)) == path
    engine = create_engine(url_of(path))
    with engine.begin() as connection:
        connection.execute(text("create table here (x)"))
    engine.dispose()
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1:5000", "postgresql://u@h/d", "sqlite://", "mlruns", "sqlite:///:memory:"]
)
def test_other_addresses_are_of_no_file(url: str) -> None:
    assert path_of(url) is None


def test_what_makes_a_damaged_database_anew_is_a_command_for_its_store(tmp_path: Path) -> None:
    for name in ("mlflow.db", "optuna.db"):
        assert f"harness sync --home {tmp_path} makes" in makes_anew(tmp_path / name)
    assert "harness sync makes" in makes_anew(tmp_path / "somebody's.db")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a%2Fb", "what?", "h#[x]"])
def test_mlflow_and_optuna_open_nothing_outside_of_an_oddly_named_store(
    tmp_path: Path, empty_database: Path, name: str
) -> None:
    import optuna

    home = tmp_path / name / "mlruns"
    home.mkdir(parents=True)
    shutil.copy(empty_database, home / "mlflow.db")
    MlflowTracker(default_tracking_uri(home), home=home).deliver(
        fake_study(tmp_path / name).loaded, final=True
    )
    storage = optuna.storages.RDBStorage(default_storage_url(home))
    storage.engine.dispose()
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert not any("%" in one.name for one in tmp_path.rglob("*") if one.is_dir() and one.name != name)
    assert (home / "optuna.db").exists() and any((home / "artifacts").rglob("*.png"))


def addresses(database: Path) -> list[str]:
    columns = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
    }
    with closing(sqlite3.connect(database)) as connection:
        found = [connection.execute(f"select {column} from {table}") for table, column in columns.items()]
        return [str(row[0]) for rows in found for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["copy", "mein Büro %2F?"])
def test_a_copy_of_a_store_writes_into_itself_alone(home: Path, tmp_path: Path, name: str) -> None:
    study = fake_study(tmp_path / "records")
    MlflowTracker(default_tracking_uri(home), home=home).deliver(study.loaded, final=False)
    (home / "folds").mkdir(exist_ok=True)
    copy = tmp_path / name
    shutil.copytree(home, copy)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    there = addresses(home / "mlflow.db")
    MlflowTracker(default_tracking_uri(copy), home=copy).deliver(study.loaded, final=True)
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert addresses(home / "mlflow.db") == there
    here = addresses(copy / "mlflow.db")
    assert all(
        address.startswith(f"{copy.as_uri()}/artifacts/") for address in here if "artifacts/0" not in address
    )
    assert len(here) > len(there)


def test_what_others_keep_elsewhere_stays_there(home: Path, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "elsewhere" / "artifacts" / "theirs").as_uri()
    (tmp_path / "elsewhere" / "artifacts" / "theirs").mkdir(parents=True)
    (home / "folds").mkdir()
    client = connect(default_tracking_uri(home))
    client.create_experiment("theirs", artifact_location=elsewhere)
    client.create_experiment("cloud", artifact_location="s3://bucket/artifacts/x")
    connect(default_tracking_uri(home))
    found = addresses(home / "mlflow.db")
    assert elsewhere in found and "s3://bucket/artifacts/x" in found


@pytest.mark.parametrize("what", ["garbage", "empty", "cut", "folder"])
def test_a_damaged_database_is_put_aside(home: Path, what: str) -> None:
    path = home / "mlflow.db"
    assert not put_aside_if_damaged(path)
    content = path.read_bytes()
    if what == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"garbage": b"x" * 5000, "empty": b"", "cut": content[: len(content) // 2]}[what])
    assert is_damaged(path) and put_aside_if_damaged(path)
    assert [one.name for one in home.iterdir()] == ["mlflow.db.damaged"]


def test_a_store_that_was_moved_and_may_not_be_written_to_has_its_own_files(tmp_path: Path) -> None:
    file = tmp_path / "new %2F?" / "artifacts" / "s" / "models" / "m-1" / "artifacts" / "MLmodel"
    file.parent.mkdir(parents=True)
    file.touch()
    old = (tmp_path / "artifacts" / "old" / "artifacts" / "s" / "models" / "m-1" / "artifacts").as_uri()
    assert address_in(tmp_path / "new %2F?", old) == file.parent.as_uri()
    for other in ("s3://bucket/artifacts/s", (tmp_path / "artifacts" / "t").as_uri(), "models:/m-1"):
        assert address_in(tmp_path / "new %2F?", other) == other
