"""An address at which no tracker can ever be is refused before a study begins; one that is away is not."""

from pathlib import Path

import pytest

from harness.cli import run
from harness.errors import UsageError
from harness.tracking.addresses import require_possible_mlflow, require_possible_storage

IMPOSSIBLE = {
    "mlruns": "no stores in plain folders", "./mlruns": "no stores in plain folders", "file:///tmp/x": "plain folders",
    "ftp://x/y": "must begin with", "htp://localhost:5000": "must begin with", "localhost:5000": "must begin with",
    "http://": "host or port", "http:///x": "host or port", "http://exa mple:5000": "host or port",
    "http://localhost:port": "host or port", "http://localhost:99999": "host or port", "http://[::1": "host or port",
    "http://h:0": "host or port", "oracle://u@h/d": "must begin with", "mysql+nosuch://u@h/d": "cannot be read",
    "mysql://u:secret@h/d": "driver is not installed", "postgresql+pg8000://u:secret@h/d": "driver is not installed",
    "postgresql://u:secret@h:port/d": "cannot be read", "sqlite://": "in memory", "sqlite:///:memory:": "in memory",
    "sqlite:///.": "is a folder", "s3://bucket/x": "must begin with",
}  # fmt: skip
POSSIBLE = (
    "http://127.0.0.1:1", "https://u:p@tracking.example.org/mlflow?x=1", "http://no-such-host.invalid:5000",
    "databricks", "databricks://profile", "postgresql+psycopg2://u@localhost:1/db", "sqlite:///new/mlflow.db", "http://[::1]:5000",
)  # fmt: skip


@pytest.mark.parametrize("uri", IMPOSSIBLE)
def test_an_address_of_nothing_is_told_with_what_helps(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=IMPOSSIBLE[uri]) as told:
        require_possible_mlflow(uri, tmp_path)
    assert "secret" not in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("uri", POSSIBLE)
def test_who_is_merely_away_is_no_mistake(uri: str, tmp_path: Path) -> None:
    require_possible_mlflow(uri, tmp_path)


def test_the_stores_own_database_may_have_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    require_possible_mlflow(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    with pytest.raises(UsageError, match="is a folder"):
        require_possible_mlflow(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "other")


@pytest.mark.parametrize("url", ["http://localhost", "optuna.db", "sqlite:///.", "mysql://u@h/d"])
def test_optunas_store_is_a_database(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="HARNESS_STORAGE is"):
        require_possible_storage(url, tmp_path)


def test_a_study_does_not_begin(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "htp://localhost:5000")
    assert run(["tune", "--study", str(study_file), "--home", str(tmp_path / "home")]) == 2
    assert "must begin with one of http://" in capsys.readouterr().err and not (tmp_path / "home").exists()
