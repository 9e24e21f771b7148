"""Opens an MLflow store: its settings, its database's creation, its errors in one line; finds a study in it."""

import glob
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from filelock import FileLock, Timeout

from harness.errors import StoreError
from harness.os_errors import explained
from harness.records import StudyRecord
from harness.redaction import redacted, shown
from harness.store.postgres import limit_waiting
from harness.tracking.addresses import HOST
from harness.tracking.experiment_view import study_id
from harness.tracking.local_database import MLFLOW, is_damaged, makes_anew, path_of, url_of
from harness.tracking.mlflow_addresses import follow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

CONNECT_SECONDS = 4.0
PORTS_OF_SERVERS = {"http": 80, "https": 443}
PORTS_OF_DATABASES = {"postgresql": 5432, "mysql": 3306}
LOCK_SECONDS = 120.0  # to wait for another process that creates the database, which takes it 6 to 7 s


def connect(uri: str) -> "MlflowClient":
    """A client of the store, which is created if it is a new SQLite file. Raises StoreError.

    The addresses in a store's own database follow it to where it was moved or copied.
    Call it with environment.MLFLOW set, as every command and every Recorder does: without, MLflow waits for minutes.
    """
    path = path_of(uri)
    limit_waiting(uri)
    with telling_store_errors(uri), _sole_creator(path):
        _require_answer(uri)
        from mlflow import MlflowClient
        from mlflow.tracking._tracking_service import utils

        # It keeps for the whole process where a run's files go, by the run's id, which a copy of a store has, too.
        utils._artifact_repos_cache.clear()
        try:
            if path is not None:
                _create_whole(path)
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)  # opens the store
        except ValueError:  # whose words may hold a part of the password
            raise StoreError(f"MLflow at {shown(uri)}: its address cannot be read") from None
        except ImportError as error:
            raise StoreError(f"MLflow at {shown(uri)}: {error}, which its database needs") from None
        is_of_store = path is not None and path.name == MLFLOW and (path.parent / "folds").is_dir()
        if path is not None and is_of_store and os.access(path, os.W_OK):
            follow(path, path.parent)
    return client


def _create_whole(path: Path) -> None:
    """A new SQLite file, under another name until it is complete: MLflow cannot open one that it has half made."""
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left in path.parent.glob(f".{glob.escape(path.name)}.*.new*"):  # of a process that was killed
        left.unlink(missing_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    store = SqlAlchemyStore(url_of(new), (path.parent / "artifacts").as_uri())  # type: ignore[no-untyped-call]
    store.engine.dispose()
    new.replace(path)


@contextmanager
def _sole_creator(path: Path | None) -> Iterator[None]:
    """Two processes that create one SQLite database at the same time both fail: one after the other."""
    if path is None or path.exists():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise StoreError(f"{path}: another process has been creating it for {LOCK_SECONDS:.0f} s") from None


def _require_answer(uri: str) -> None:
    """Find out quickly that nobody listens; MLflow's own timeouts are made for slow answers."""
    scheme = urlsplit(uri).scheme
    if scheme in PORTS_OF_SERVERS and not getproxies():
        parts = urlsplit(uri)
        try:
            host, port = parts.hostname, parts.port or PORTS_OF_SERVERS[scheme]
        except ValueError:
            raise OSError("its address cannot be read") from None
    elif scheme.partition("+")[0] in PORTS_OF_DATABASES:
        from sqlalchemy import make_url

        try:
            found = make_url(uri)
        except ValueError:
            raise OSError("its address cannot be read") from None
        host, port = found.host, found.port or PORTS_OF_DATABASES[scheme.partition("+")[0]]
        if not host or not HOST.fullmatch(host):  # a socket, several hosts, or a password with an @
            return
    else:
        return
    socket.create_connection((host or "localhost", port), timeout=CONNECT_SECONDS).close()


@contextmanager
def telling_store_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database and the network raise into one line. No password is shown."""
    told_twice = logging.getLogger("mlflow.store.db.utils")  # which logs the traceback of what it raises
    was_disabled, told_twice.disabled = told_twice.disabled, True
    try:
        yield
    except OSError as error:
        known = explained(error)
        raise StoreError(f"MLflow at {shown(uri)}: {redacted(str(known or error), uri)}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("mlflow", "sqlalchemy", "requests", "sqlite3"):
            raise
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        first = re.sub(r" failed with exception .*Caused by (.*)\)$", r" failed: \1", first)
        path = path_of(uri)
        advice = f"; {makes_anew(path)}" if path is not None and is_damaged(path) else ""
        raise StoreError(f"MLflow at {shown(uri)}: {redacted(first, uri)}{advice}") from None
    finally:
        told_twice.disabled = was_disabled


def pages(search: Callable[..., Any], experiment_ids: list[str], filter_string: str) -> Iterator[Any]:
    """Everything that a search finds."""
    token = None
    while True:
        page = search(experiment_ids, filter_string=filter_string, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def experiments_of(client: "MlflowClient", study: StudyRecord) -> list["Experiment"]:
    """The experiment of the study's name, and the one made for it where somebody has renamed that; deleted ones too."""
    from mlflow.entities import ViewType

    named = client.get_experiment_by_name(study.name)
    tagged = client.search_experiments(ViewType.ALL, max_results=1, filter_string=runs_of(study))
    found = [*([] if named is None else [named]), *tagged, *_shared(client, study)]
    return list({experiment.experiment_id: experiment for experiment in found}.values())


def active_experiment(client: "MlflowClient", study: StudyRecord) -> "Experiment | None":
    """The first of `experiments_of` that is not deleted."""
    return next((one for one in experiments_of(client, study) if one.lifecycle_stage == "active"), None)


def _shared(client: "MlflowClient", study: StudyRecord) -> Iterator["Experiment"]:
    """Experiments of a name that the study had, of somebody else, which it is in all the same."""
    for name in study.names:
        there = client.get_experiment_by_name(name)
        if there is None or there.lifecycle_stage != "active":
            continue
        if client.search_runs([there.experiment_id], runs_of(study), max_results=1):
            yield there


def delete_experiment(client: "MlflowClient", experiment: "Experiment") -> None:
    """Delete it under another name: MLflow keeps the names of deleted ones, and its name is to be free again."""
    suffix = f" (deleted {experiment.experiment_id})"
    if not experiment.name.endswith(suffix):
        client.rename_experiment(experiment.experiment_id, experiment.name + suffix)
    client.delete_experiment(experiment.experiment_id)


def runs_of(study: StudyRecord) -> str:
    """The filter of MLflow's that finds what is this study's."""
    return f"tags.`harness.study_id` = '{study_id(study)}'"
