"""What goes wrong in MLflow's store is told once, in one line."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.tracking.mlflow_store import connect, telling_store_errors


def test_a_database_that_refuses_is_told_in_one_line_and_not_by_mlflow_as_well(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    client = connect(uri)
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        database.execute("drop table experiments")
    logger = logging.getLogger("mlflow.store.db.utils")  # MLflow's do not reach the root's handlers
    logger.addHandler(caplog.handler)
    try:
        with pytest.raises(StoreError, match="no such table: experiments") as told, telling_store_errors(uri):
            client.get_experiment("0")
    finally:
        logger.removeHandler(caplog.handler)
    assert "\n" not in str(told.value)
    assert not caplog.text and not logger.disabled
