"""audit: whether a study's score can be believed."""

from collections.abc import Callable
from typing import Annotated

import typer

from harness.cli.finishing import remake_page, show_in_mlflow, told
from harness.cli.options import (
    DEFAULT_HOME,
    Address,
    AsJson,
    Executor,
    Gpus,
    Home,
    Kind,
    Slurm,
    Study,
    Workers,
    connected,
    print_json,
)
from harness.messages import to_stderr


def audit(
    study: Study,
    trial: Annotated[str, typer.Option(help="Which trial: best, or its number.")] = "best",
    stopped: Annotated[
        int,
        typer.Option(min=0, metavar="K", help="Finish K of the stopped trials: were they stopped rightly?"),
    ] = 0,
    workers: Workers = "auto",
    executor: Executor = Kind.process,
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Probe a study for leaks.

    Trains its best trial on permuted labels and on noise, looks for duplicates across folds and test images, for
    labels in texts, names and margins, for scores that are too good. Exit code 3 if the score cannot be believed.
    """
    to_stderr()
    from harness.analysis import audit as auditing
    from harness.cli import verdicts
    from harness.documents import to_json
    from harness.store.loaded_study import LoadedStudy
    from harness.store.store import Store

    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        opened = LoadedStudy.open(Store(home), study)
        found = told(auditing.audit(opened, trial=trial, stopped=stopped, cluster=cluster))
    print_json(to_json(found)) if as_json else verdicts.audit(found)
    opened = LoadedStudy.open(opened.store, study)  # with what was found, and what has come since
    remake_page(opened)
    show_in_mlflow(opened)
    auditing.require_passed(found)


COMMANDS: list[Callable[..., None]] = [audit]
