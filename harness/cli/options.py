"""Options that several commands share, and what they have in common before they start."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.completion import started_studies
from harness.config.settings import expanded
from harness.errors import UsageError
from harness.os_errors import explaining


def _absolute(home: Path) -> Path:
    """The store's place. Raises UsageError for one that can be none, StoreError where that may not be looked at."""
    home = expanded(home).absolute()
    with explaining(Path(f"--home {str(home)[:80]}")):
        existing = next(folder for folder in (home, *home.parents) if folder.exists())
        if not existing.is_dir():
            raise UsageError(f"--home {home}: {existing} is a file, not a folder")
    return home


Home = Annotated[
    Path,
    typer.Option(
        "--home",
        callback=_absolute,
        envvar="HARNESS_HOME",
        help="The store: records, MLflow's and Optuna's databases, artifacts.",
    ),
]
DEFAULT_HOME = Path("mlruns")
Study = Annotated[
    str, typer.Argument(help="A study that has been started.", autocompletion=started_studies)
]  # of a command about what is recorded
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="A.B=VALUE",
        help="Change the study: a value, a list, or '{low: 1, high: 3}'. Repeatable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Workers = Annotated[
    str, typer.Option("--workers", metavar="N", help="Processes that train; auto takes all processors.")
]


def num_workers(text: str) -> int | None:
    """The number behind --workers; None for auto."""
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(f"--workers must be auto or a number >= 1 (got {text!r})")
    return int(text)


def require_folder(option: str, path: Path) -> None:
    """Raises UsageError unless the folder that the file is to lie in is there."""
    try:
        there = path.absolute().parent.is_dir()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise UsageError(f"{option} {path}: there is no folder {path.parent}")


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=1, ensure_ascii=False))
