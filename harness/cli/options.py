"""Options that several commands share, what a shell offers for them after a TAB, and what commands begin and end with.

`harness --install-completion` sets a shell up.
"""

import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from harness import invocation
from harness.config import catalog
from harness.config.settings import expanded
from harness.documents import to_json
from harness.errors import StoreError, UsageError
from harness.folds.executor_options import ExecutorKind, ExecutorOptions
from harness.os_errors import explaining

if TYPE_CHECKING:
    from harness.folds.executor import Cluster
    from harness.inference.find_model import Found
    from harness.store.loaded_study import LoadedStudy


def study_files(incomplete: str) -> list[str]:
    """Studies that lie here or come with harness."""
    return [name for name in sorted(catalog.studies()) if name.startswith(incomplete)]


def started_studies(context: typer.Context, incomplete: str) -> list[str]:
    """Studies of the store that the command line names so far."""
    home = Path(context.params.get("home") or os.environ.get("HARNESS_HOME") or "mlruns")
    names: list[str] = []
    with suppress(OSError):  # nothing to offer, where that may not be read
        names = sorted(path.parent.name for path in (home / "studies").glob("*/study.json"))
    return [name for name in names if name.startswith(incomplete)]


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
DEFAULT_HOME = invocation.DEFAULT_HOME
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
Printed = Literal["text", "json", "csv"]
Form = Annotated[
    Printed, typer.Option("--format", help="Tables to read, one JSON document, or the main table as CSV.")
]
Document = Annotated[
    Literal["text", "json"], typer.Option("--format", help="Lines to read, or one JSON document.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a line.")]

# Of commands that use a finished study's model.
Model = Annotated[
    str, typer.Argument(help="STUDY, STUDY:7 for trial 7, models:/NAME@champion, or a model's folder.")
]
Ensemble = Annotated[
    bool,
    typer.Option("--ensemble", help="The mean of the fold models, also where final trained one network."),
]
IndexOf = Annotated[
    Path | None,
    typer.Option(
        "--index", metavar="FOLDER", help="Search the images of FOLDER; what is new in it is embedded first."
    ),
]


# Of every command that trains; `executor_options` reads them.
Workers = Annotated[
    str,
    typer.Option(
        "--workers", metavar="N", help="Folds trained at a time; auto: as many as there is room for."
    ),
]
Executor = Annotated[
    ExecutorKind,
    typer.Option(
        "--executor", help="Who trains: processes of this machine, a Ray cluster, or a Slurm cluster's jobs."
    ),
]
Address = Annotated[
    str,
    typer.Option("--address", metavar="HOST:PORT", help="The Ray cluster; without it, one on this machine."),
]
Gpus = Annotated[
    float,
    typer.Option("--gpus", metavar="PART", help="Of a GPU, that each worker takes: 0.5 puts two on one."),
]
Slurm = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE",
        help="An option of sbatch: partition=gpu, time=240 (minutes). Repeatable.",
    ),
]


def executor_options(
    executor: ExecutorKind, workers: str, address: str, gpus: float, slurm: list[str] | None
) -> dict[str, Any]:
    """The arguments of `ExecutorOptions`."""
    if workers != "auto" and not (workers.isdecimal() and int(workers) >= 1):
        raise typer.BadParameter(f"--workers must be auto or a number >= 1 (got {workers!r})")
    return {
        "executor": executor,
        "workers": None if workers == "auto" else int(workers),
        "address": address,
        "gpus": gpus,
        "slurm": tuple(slurm or ()),
    }


def connected(home: Path, *given: Any) -> "Cluster":
    """What trains folds, by the options of `executor_options`."""
    from harness.folds.cluster import connect

    return connect(ExecutorOptions(**executor_options(*given)), home)


def opened(home: Path, study: str) -> "LoadedStudy":
    """The study as the store has it now. Raises UsageError for one that has not been started."""
    from harness.store.loaded_study import LoadedStudy
    from harness.store.store import Store

    return LoadedStudy.open(Store(home), study)


def found_model(home: Path, model: str, *, ensemble: bool) -> "Found":
    """The model that a command is to use; where it is from is told on stderr."""
    from harness.inference.find_model import find_model
    from harness.store.store import Store
    from harness.tuning import Settings

    found = find_model(Store(home), model, Settings(home).tracking_uri, ensemble=ensemble)
    print(found.source, file=sys.stderr)
    return found


def advised(home: Path, *words: str) -> str:
    """A command that somebody is advised to give, for this store."""
    return invocation.command(*words, home=home)


def require_folder(option: str, path: Path) -> None:
    """Raises UsageError unless the folder that the file is to lie in is there, and nothing but a file in its place."""
    from harness.files import require_replaceable

    try:
        there = path.absolute().parent.is_dir()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise UsageError(f"{option} {path}: there is no folder {path.parent}")
    require_replaceable(path)


def require_place(output: Path | None, home: Path, study: str) -> None:
    """Raises UsageError, StoreError unless a page can be written: as `output`, or else into the study's folder."""
    from harness.store.store import Store

    folder = Store(home).study_folder(study)
    if output is not None:
        require_folder("--output", output)
    elif folder.is_dir() and not os.access(folder, os.W_OK):
        raise StoreError(f"{folder}: cannot be written to; say where the page is to be: -o FILE")


@dataclass(frozen=True)
class Listening:
    """A server that answers from now on, until it is ended."""

    url: str


def printed(document: Any, form: str, rows: str = "") -> bool:
    """Whether the form is one for programs, in which the document has then been printed.

    rows: the name of that list in it, or of a mapping to rows, that CSV has.
    """
    match form:
        case "json":
            print_json(document)
        case "csv":
            plain = to_json(document) if is_dataclass(document) else document
            print_csv(plain[rows])
        case _:
            return False
    return True


def listens(url: str, form: str) -> None:
    """Say where a server answers, and how it is ended."""
    printed(Listening(url), form)
    sys.stdout.flush()  # for a program that waits for it
    print(*([url] if form == "text" else []), "Ctrl-C ends it", sep="\n", file=sys.stderr, flush=True)


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """A line for each; what is nested has dotted names, what has no end of columns is JSON in one."""
    flat = [dict(_flat(row)) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    table = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    table.writeheader()
    table.writerows(flat)


def _flat(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def print_json(document: Any) -> None:
    """document: a dictionary, or a dataclass of `documents`."""
    document = to_json(document) if is_dataclass(document) else document
    print(json.dumps(document, indent=1, ensure_ascii=False))
