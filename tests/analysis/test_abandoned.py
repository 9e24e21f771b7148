"""A study whose process was killed is not shown as running for ever: the next command of the store sees to it."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from harness.charts import png
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking import deliver
from harness.tracking.mlflow_tracker import MlflowTracker
from tests.campaigns.victim import shown
from tests.tuned_study import STUDY


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "save", lambda spec, path, **_: path.write_bytes(b"a picture"))


def abandoned(store: Store, empty_database: Path) -> str:
    """MLflow's address, after it has seen the study run and not end."""
    shutil.copy(empty_database, store.home / "mlflow.db")
    uri = deliver.default_tracking_uri(store.home)
    MlflowTracker(uri, home=store.home).deliver(LoadedStudy.open(store, "small"), final=False)
    assert "RUNNING" in states(store)
    return uri


def synced(store: Store, name: str, tracking_uri: str, storage_url: str) -> str:
    """What went wrong when it was delivered."""
    return deliver.sync(LoadedStudy.open(store, name), tracking_uri=tracking_uri, storage_url=storage_url)


def states(store: Store) -> set[str]:
    return {state for _, state, _ in shown(store.home / "mlflow.db", store.read_study("small"))["runs"]}


@pytest.mark.slow
def test_the_next_command_closes_its_runs(tuned: Store, empty_database: Path) -> None:
    uri = abandoned(tuned, empty_database)
    deliver.close_abandoned(tuned, tracking_uri=uri)
    assert states(tuned) == {"FINISHED"}
    assert not deliver.is_pending(LoadedStudy.open(tuned, "small"))


def test_a_study_that_somebody_works_on_is_left_alone(tuned: Store, empty_database: Path) -> None:
    uri = abandoned(tuned, empty_database)
    with tuned.driving("small"):
        deliver.close_abandoned(tuned, tracking_uri=uri)
    assert "RUNNING" in states(tuned)


@pytest.mark.slow
def test_any_command_that_delivers_sees_to_it(
    tuned: Store, empty_database: Path, tuning_of: Callable[..., Store], tmp_path: Path
) -> None:
    uri = abandoned(tuned, empty_database)
    (tmp_path / "other.yaml").write_text(STUDY.replace("dropout: [0.0, 0.3]", "dropout: [0.1]"))
    tuning_of(tmp_path / "other.yaml", tuned.home)
    assert (
        deliver.sync(
            LoadedStudy.open(tuned, "other"), tracking_uri=uri, storage_url=f"sqlite:///{tmp_path}/o.db"
        )
        == ""
    )
    assert states(tuned) == {"FINISHED"}


def test_a_study_that_cannot_be_shown_is_not_in_the_others_way(tuned: Store, empty_database: Path) -> None:
    uri = abandoned(tuned, empty_database)
    shutil.copytree(tuned.study_folder("small"), tuned.study_folder("broken"))
    (tuned.study_folder("broken") / "study.json").write_text("{}")
    deliver.close_abandoned(tuned, tracking_uri=uri)
    assert states(tuned) == {"FINISHED"}


@pytest.mark.slow
def test_what_the_server_has_lost_is_delivered_again(
    tuned: Store, empty_database: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.db"
    shutil.copy(empty_database, new)
    storage_url = f"sqlite:///{tmp_path}/o.db"
    for uri in (abandoned(tuned, empty_database), f"sqlite:///{new}", f"sqlite:///{new}"):
        assert synced(tuned, "small", uri, storage_url) == ""
    assert len(shown(new, tuned.read_study("small"))["runs"]) == 7
    with closing(sqlite3.connect(new)) as connection, connection:
        for table in ("metrics", "latest_metrics", "params", "tags", "inputs", "input_tags"):
            connection.execute(f"delete from {table}")
        connection.execute("delete from runs")
    assert (
        deliver.sync(
            LoadedStudy.open(tuned, "small"), tracking_uri=f"sqlite:///{new}", storage_url=storage_url
        )
        == ""
    )
    assert len(shown(new, tuned.read_study("small"))["runs"]) == 7
