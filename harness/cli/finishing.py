"""audit, confirm, final: the commands that say what a finished study is worth."""

import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

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

if TYPE_CHECKING:
    from harness.store.loaded_study import LoadedStudy

logger = logging.getLogger(__name__)
Found = TypeVar("Found")
Top = Annotated[int, typer.Option(min=1, help="How many of the best trials; trial 0 is always among them.")]


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


def confirm(
    study: Study,
    top: Top = 3,
    repeats: Annotated[
        int, typer.Option(min=1, help="New splits; from 2 on, the spread is told apart by its causes.")
    ] = 1,
    workers: Workers = "auto",
    executor: Executor = Kind.process,
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Train the best trials again with fresh seeds and new folds.

    Says how much of each score was luck, and whether the order held.
    """
    to_stderr()
    from harness.analysis.confirm import confirm as confirming
    from harness.cli import verdicts
    from harness.documents import to_json
    from harness.store.loaded_study import LoadedStudy
    from harness.store.store import Store

    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        opened = LoadedStudy.open(Store(home), study)
        found = told(confirming(opened, top=top, repeats=repeats, cluster=cluster))
    print_json(to_json(found)) if as_json else verdicts.confirmation(found)
    opened = LoadedStudy.open(opened.store, study)  # with what was found, and what has come since
    remake_page(opened)
    show_in_mlflow(opened)


def final(
    study: Study,
    top: Top = 3,
    i_checked: Annotated[
        str, typer.Option(metavar="REASON", help="Why a failed audit is no reason to stop.")
    ] = "",
    again: Annotated[
        str, typer.Option(metavar="REASON", help="Why the test images are opened once more.")
    ] = "",
    workers: Workers = "auto",
    executor: Executor = Kind.process,
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Open the sealed test images, once, for the confirmed winner.

    Audits and confirms the study if that has not been done, trains the winner on all training images, scores it,
    writes the look down in the ledger, and registers the network in MLflow as the champion.
    """
    to_stderr()
    from harness.analysis import final as finishing
    from harness.analysis.champion import publish
    from harness.cli import verdicts
    from harness.documents import to_json
    from harness.store.loaded_study import LoadedStudy
    from harness.store.store import Store

    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        opened = LoadedStudy.open(Store(home), study)
        request = finishing.Request(top=top, cluster=cluster, checked=i_checked, again=again)
        found = told(finishing.final(opened, request))
    print_json(to_json(found)) if as_json else verdicts.final(found)
    opened = LoadedStudy.open(opened.store, study)  # with what was found, and what has come since
    remake_page(opened)
    publish(opened, found)
    show_in_mlflow(opened)


def told(steps: Iterator[str | Found]) -> Found:
    """Print the lines of progress on stderr; the finding that ends them."""
    for step in steps:
        if not isinstance(step, str):
            return step
        print(step, file=sys.stderr, flush=True)
    raise AssertionError("the steps end with a finding")


def remake_page(study: "LoadedStudy") -> None:
    """Have the study's report, if there is one, say what was found; a fault in it is told, and no reason to fail."""
    from harness.report.kept import place, remake

    path = place(study.store, study.name)
    try:
        if remake(study):
            print(f"{path}: made again, with this in it", file=sys.stderr)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        logger.warning("%s lacks this (%s); harness report %s makes it again", path, said, study.name)


def show_in_mlflow(study: "LoadedStudy") -> None:
    """Have MLflow's pages say what was found; without MLflow it is kept, and shown later."""
    from harness.tracking.deliver import redeliver
    from harness.tuning import Settings

    redeliver(study, tracking_uri=Settings(study.store.home).tracking_uri)


COMMANDS: list[Callable[..., None]] = [audit, confirm, final]
