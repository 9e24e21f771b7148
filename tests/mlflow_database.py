"""An empty MLflow database, made once: creating one takes 6 to 7 seconds."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

_made: list[bytes] = []  # the first SQLite database that this process has made


def migrate_once() -> None:
    """Have MLflow's migrations run for the first SQLite file of this process; later ones are filled with a copy."""
    from harness.tracking import mlflow_store

    create = mlflow_store._create_whole

    def create_quickly(path: Path) -> None:
        from mlflow.store.db import utils

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(utils, "_initialize_tables", partial(_initialize, utils._initialize_tables))
            create(path)

    mlflow_store._create_whole = create_quickly


def _initialize(migrate: Callable[[Any], None], engine: Any) -> None:
    if not _made:
        migrate(engine)
    with closing(engine.raw_connection()) as connection:
        file = connection.driver_connection
        if not _made:
            _made.append(file.serialize())
            return
        with closing(sqlite3.connect(":memory:")) as copy:
            copy.deserialize(_made[0])
            copy.backup(file)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from harness.tracking.mlflow_tracker import MlflowTracker

    home = tmp_path_factory.mktemp("empty")
    MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home)
    return home / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_database: Path) -> Path:
    """A store with an empty MLflow database, in a folder with a space and non-ASCII letters."""
    return _home(tmp_path / "mein Büro", empty_database)


@pytest.fixture
def new_home(tmp_path: Path, empty_database: Path) -> Callable[[str], Path]:
    """The same by name, for tests that need several."""
    return lambda name: _home(tmp_path / name, empty_database)


def _home(folder: Path, empty_database: Path) -> Path:
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder
