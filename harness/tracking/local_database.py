"""The databases that lie in a store, of MLflow and of Optuna: where they are, and damaged ones.

`HOME/mlflow.db` and `HOME/optuna.db` are views of the records: a damaged one is put aside and made anew.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from harness import invocation
from harness.errors import UsageError
from harness.files import DAMAGED, put_aside
from harness.os_errors import explaining

MLFLOW, OPTUNA = "mlflow.db", "optuna.db"
JOURNALS = ("-journal", "-wal", "-shm")
# What a check of SQLite's says of a database that is whole, if against its own rules: no damage.
RULES = ("NULL value in", "CHECK constraint failed")


def makes_anew(path: Path) -> str:
    """What to do about a damaged database; one that lies in no store is taken for that of the store in this folder."""
    home = path.parent if path.name in (MLFLOW, OPTUNA) else None
    return f"it is damaged: rename it, and {invocation.command('sync', home=home)} makes a new one"


def url_of(path: Path) -> str:
    """The address of an SQLite file, wherever it lies: with `%`, `?` or `#` in its path, say.

    Raises UsageError for a path that is no text in UTF-8.
    """
    from sqlalchemy import URL

    plain = URL.create("sqlite", database=str(path.absolute()))
    try:
        text = plain.render_as_string(hide_password=False)
    except UnicodeEncodeError:
        raise UsageError(f"--home {path.parent}: the path of a store must be text in UTF-8") from None
    # MLflow makes the folder that the text of an address beginning with sqlite:/// names, as if nothing were escaped.
    return plain.set(drivername="sqlite+pysqlite").render_as_string() if "%" in text else text


def path_of(url: str) -> Path | None:
    """The file of an SQLite address; None of any other, and of what is no address."""
    if not url.startswith("sqlite"):
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        return None
    is_file = found.database and found.database != ":memory:" and "uri" not in found.query
    return Path(str(found.database)).absolute() if is_file else None


def is_damaged(path: Path) -> bool:
    """Whether something is there that is no SQLite database, or one that is not whole. An empty file is none."""
    if path.is_dir():
        return True
    if not path.exists():
        return False
    if path.stat().st_size == 0:
        return True
    try:
        with closing(sqlite3.connect(path)) as database:
            said = [str(row[0]) for row in database.execute("pragma quick_check")]
    except sqlite3.OperationalError:  # locked, or nobody may read it
        return False
    except sqlite3.DatabaseError:
        return True
    return any(line != "ok" and not _is_about_a_rule(line) for line in said)


def _is_about_a_rule(line: str) -> bool:
    return line.startswith(RULES)


def put_aside_if_damaged(path: Path) -> bool:
    """Put a damaged database of a store aside, with what SQLite keeps beside it; whether it was one.

    Raises StoreError where it cannot be renamed.
    """
    with explaining(path):
        if not is_damaged(path):
            return False
    aside = put_aside(path)
    for end in JOURNALS:
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(f"{aside.with_suffix('')}{end}{DAMAGED}")
    return True
