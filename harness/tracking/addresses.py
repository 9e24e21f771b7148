"""Addresses of trackers that can never work are told before trial 0; one that is merely away gets all of it later."""

import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import UsageError
from harness.redaction import shown
from harness.tracking.local_database import MLFLOW, OPTUNA, path_of

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
OF_MLFLOW = ("databricks", "databricks-uc", "uc")
HOST = re.compile(r"[\w.-]+|[0-9a-f:.%]+", re.IGNORECASE)  # a name, or an address of version 6


def require_possible_mlflow(uri: str, home: Path) -> None:
    """Raise UsageError for what no MLflow can be at. Nothing is connected to, and MLflow is not loaded.

    home: the store, whose own database is made anew where something else is in its place.
    """
    if path_of(uri) == home.absolute() / MLFLOW:
        return
    scheme = _scheme(uri)
    if scheme in ("http", "https"):
        _require_host(uri)
    elif scheme.partition("+")[0] in DATABASES:
        _require_database(uri, "MLFLOW_TRACKING_URI")
    elif scheme in ("", "file"):
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            raise _impossible(
                uri,
                "MLflow has no stores in plain folders any more: leave it unset for the one in harness's store, "
                "or name a server, http://HOST:PORT, or a database, sqlite:///FILE",
            )
    elif scheme not in OF_MLFLOW and scheme not in _of_plugins():
        known = ", ".join(f"{name}://" for name in ("http", "https", *DATABASES))
        raise _impossible(uri, f"it must begin with one of {known}")


def require_possible_storage(url: str, home: Path) -> None:
    """Raise UsageError for what no store of Optuna can be at, as `require_possible_mlflow`."""
    if path_of(url) == home.absolute() / OPTUNA:
        return
    scheme = _scheme(url)
    if scheme.partition("+")[0] not in DATABASES:
        known = ", ".join(f"{name}://" for name in DATABASES)
        raise _impossible(url, f"it must be a database: {known}", "HARNESS_STORAGE")
    _require_database(url, "HARNESS_STORAGE")


def _scheme(uri: str) -> str:
    """What stands before the colon, in small letters; "" for a path. `localhost:5000` has the scheme `localhost`."""
    found = re.match(r"([A-Za-z][\w+.-]*):", uri)
    return found[1].lower() if found else uri if uri in OF_MLFLOW else ""


def _require_host(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _impossible(uri, "its host or port cannot be read") from None
    if not host or not HOST.fullmatch(host) or port == 0:
        raise _impossible(uri, "its host or port cannot be read")


def _require_database(url: str, variable: str) -> None:
    """A database's address, of which the driver is installed."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        found = make_url(url)
        dialect = found.get_dialect()
        dialect.import_dbapi()
    except ImportError as error:
        extra = "; pip install 'harness-cv[postgres]'" if url.startswith("postgresql") else ""
        raise _impossible(url, f"its driver is not installed ({error}){extra}", variable) from None
    except (ArgumentError, NoSuchModuleError, ValueError):  # whose words may hold a part of the password
        raise _impossible(url, "it cannot be read", variable) from None
    path = path_of(url)
    if dialect.name == "sqlite" and path is None:
        raise _impossible(url, "a database in memory keeps nothing: name a file, sqlite:///FILE", variable)
    if path is not None and path.is_dir():
        raise _impossible(url, f"{path} is a folder: name a file in it", variable)


def _impossible(uri: str, why: str, variable: str = "MLFLOW_TRACKING_URI") -> UsageError:
    return UsageError(f"{variable} is {shown(uri)!r}: {why}")


def _of_plugins() -> set[str]:
    """The schemes of stores that installed packages bring."""
    return {point.name for point in entry_points(group="mlflow.tracking_store")}
