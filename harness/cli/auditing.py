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
    from harness.store.store import Store

    store = Store(home)
    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        document = told(auditing.audit(store, study, trial=trial, stopped=stopped, cluster=cluster))
    print_json(document) if as_json else verdicts.audit(document)
    remake_page(store, study)
    show_in_mlflow(store, study)
    auditing.require_passed(document)


COMMANDS: list[Callable[..., None]] = [audit]
