"""The addresses of files in a store's own MLflow database, which follow the store to where it was moved or copied.

    HOME/mlflow.db             has an absolute address of each experiment, run, model and version
    HOME/artifacts/<study>     where its studies' files are

So a copy never writes into the original, and a moved store does not make its old place again.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness.errors import StoreError
from harness.tracking.local_database import url_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

logger = logging.getLogger(__name__)


def follow(path: Path, home: Path) -> None:
    """Have MLflow's database name the artifacts in `home`, where those of its studies lie that it has elsewhere.

    It was made where the store was before; what somebody else keeps elsewhere stays there.
    path: of the database, or of a copy of it.   Raises StoreError where it cannot be written.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(url_of(path))
    try:
        moved = {old: home / "artifacts" / old.name for old in _places(engine) if _has_moved(old, home)}
        if moved:
            _rewrite(engine, moved)
            logger.info("%s: its artifacts are in %s now", path, home / "artifacts")
    except SQLAlchemyError as error:
        first = str(error).splitlines()[0]
        raise StoreError(f"{path}: the store has moved, and the database cannot follow: {first}") from None
    finally:
        engine.dispose()


def address_in(home: Path, address: str) -> str:
    """The address of a file as it is in this store, whose database may name another place and not be written to."""
    path = _path_of_file(address)
    parts = () if path is None else path.parts
    for number, part in enumerate(parts):
        here = home.joinpath(*parts[number:])
        if part == "artifacts" and here.exists():
            return here.as_uri()
    return address


def _places(engine: "Engine") -> list[Path]:
    """The folders of artifacts of all experiments that have one as harness gives them one."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment
    from sqlalchemy import select

    with engine.connect() as connection:
        found: Sequence[str | None] = connection.scalars(select(SqlExperiment.artifact_location)).all()
    paths = (_path_of_file(address) for address in found)
    return [path for path in paths if path is not None and path.parent.name == "artifacts"]


def _path_of_file(address: str | None) -> Path | None:
    """The path of a file:// address of this machine."""
    parts = urlsplit(address or "")
    is_here = parts.scheme == "file" and parts.netloc in ("", "localhost")
    return Path(url2pathname(parts.path)) if is_here else None


def _has_moved(old: Path, home: Path) -> bool:
    """Whether the artifacts of an experiment are no longer those at this place: they came here with the store."""
    new = home / "artifacts" / old.name
    if old == new or (_exists(new) and os.path.realpath(old) == os.path.realpath(new)):
        return False
    return _exists(new) or not _exists(old)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # somebody else's, whom we may not ask
        return False


def _rewrite(engine: "Engine", moved: dict[Path, Path]) -> None:
    """Replace the beginning of every address that is in one of these folders."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun
    from sqlalchemy import func, literal, update

    columns = {
        SqlExperiment: ("artifact_location",),
        SqlRun: ("artifact_uri",),
        SqlLoggedModel: ("artifact_location",),
        SqlModelVersion: ("source", "storage_location"),
    }
    with engine.begin() as connection:
        for old, new in moved.items():
            before, after = old.as_uri(), new.as_uri()
            for table, names in columns.items():
                for name in names:
                    column = getattr(table, name)
                    is_below = func.substr(column, 1, len(before) + 1).in_((before, f"{before}/"))
                    rest = literal(after).concat(func.substr(column, len(before) + 1))
                    connection.execute(update(table).where(is_below).values({name: rest}))
