"""An empty MLflow database, made once: creating one takes 6 to 7 seconds."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


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
