"""audit, confirm, final: the commands that say what a finished study is worth."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.comparing import show_in_mlflow
from harness.cli.options import (
    DEFAULT_HOME,
    Address,
    Document,
    Executor,
    Form,
    Gpus,
    Home,
    Slurm,
    Study,
    Workers,
    advised,
    connected,
    opened,
    printed,
)
from harness.config.binding import probe_options
from harness.messages import to_stderr

if TYPE_CHECKING:
    from harness.store.findings import FinalTest
    from harness.store.loaded_study import LoadedStudy

logger = logging.getLogger(__name__)
Top = Annotated[int, typer.Option(min=1, help="How many of the best trials; trial 0 is always among them.")]


def audit(
    study: Study,
    trial: Annotated[str, typer.Option(help="Which trial: best, or its number.")] = "best",
    stopped: Annotated[
        int,
        typer.Option(min=0, metavar="K", help="Finish K of the stopped trials: were they stopped rightly?"),
    ] = 0,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PROBE.OPTION=VALUE",
            help="An option of a probe, as harness list probes has them. Repeatable.",
        ),
    ] = None,
    workers: Workers = "auto",
    executor: Executor = "process",
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Probe a study for leaks.

    Trains its best trial on permuted labels and on noise, looks for duplicates across folds and test images, for
    labels in texts, marks in the pixels, classes that their files or names tell, scores that are too good. Exit code 3
    if the score cannot be believed.
    """
    to_stderr()
    from harness.analysis import audit as auditing
    from harness.cli import finding_tables
    from harness.cli.progress import follow

    options = probe_options(changes or [])
    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        steps = auditing.audit(
            opened(home, study), trial=trial, stopped=stopped, options=options, cluster=cluster
        )
        found = follow(steps, f"audit {study}")
    if not printed(found, form, "findings"):
        finding_tables.audit(found)
    _update_views(home, study)
    auditing.require_passed(found)


def confirm(
    study: Study,
    top: Top = 3,
    repeats: Annotated[
        int, typer.Option(min=1, help="New splits; from 2 on, the spread is told apart by its causes.")
    ] = 1,
    workers: Workers = "auto",
    executor: Executor = "process",
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Train the best trials again with fresh seeds and new folds.

    Says how much of each score was luck, and whether the order held.
    """
    to_stderr()
    from harness.analysis.confirm import confirm as confirming
    from harness.cli import finding_tables, tables
    from harness.cli.progress import follow

    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        found = follow(
            confirming(opened(home, study), top=top, repeats=repeats, cluster=cluster), f"confirm {study}"
        )
    if not printed(found, form, "trials"):
        finding_tables.confirmation(found)
        tables.then(home, study, _next_after_confirm(opened(home, study)))
    _update_views(home, study)


def final(
    study: Study,
    top: Top = 3,
    i_checked: Annotated[
        str, typer.Option(metavar="REASON", help="Why a failed audit is no reason to stop.")
    ] = "",
    again: Annotated[
        str, typer.Option(metavar="REASON", help="Why the test images are opened once more.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="On a terminal, open them without asking.")] = False,
    workers: Workers = "auto",
    executor: Executor = "process",
    address: Address = "",
    gpus: Gpus = 0.0,
    slurm: Slurm = None,
    form: Document = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Open the sealed test images, once, for the confirmed winner.

    Audits and confirms the study if that has not been done, trains the winner on all training images, scores it,
    writes the look down in the ledger, and registers the network in MLflow as the champion.
    """
    to_stderr()
    from harness.analysis import final as finishing
    from harness.analysis.readiness import Request
    from harness.cli import finding_tables, tables
    from harness.cli.progress import follow

    with connected(home, executor, workers, address, gpus, slurm) as cluster:
        if not (yes or _agreed(opened(home, study), again)):
            return
        request = Request(top=top, cluster=cluster, checked=i_checked, again=again)
        found = follow(finishing.final(opened(home, study), request), f"final {study}")
    if not printed(found, form):
        finding_tables.final(found)
        tables.then(
            home, study, {"use its network": ["predict", "photo.jpg"], "take it elsewhere": ["export"]}
        )
    _update_views(home, study, champion=found)


def _next_after_confirm(study: "LoadedStudy") -> dict[str, list[str]]:
    """What one does next, of what has not been done."""
    from harness.store.findings import Audit, FinalTest

    steps: dict[str, tuple[type[Audit] | type[FinalTest], list[str]]] = {
        "look for leaks": (Audit, ["audit"]),
        "open the sealed test, as the last step": (FinalTest, ["final"]),
    }
    return {why: words for why, (kind, words) in steps.items() if study.finding(kind) is None}


def _agreed(study: "LoadedStudy", again: str) -> bool:
    """Whether whoever sits at the terminal wants the test images opened; without one, the command says so itself."""
    from harness.analysis.test_set_ledger import Ledger
    from harness.store.findings import FinalTest

    if study.finding(FinalTest) and not again:
        return True  # which opens nothing
    num_images = int(study.record.data.get("test", {}).get("num_images", 0))
    said = f"final opens the {num_images:,} sealed test images of study {study.name}"
    print(f"{said}: make it the last step, for what is chosen later is chosen knowing them", file=sys.stderr)
    if looks := Ledger(study.store.home).looks(study.record.data.get("test", {}).get("hash", "")):
        was, times = looks[0].study, "once" if len(looks) == 1 else f"{len(looks)} times"
        print(
            f"they have been opened {times} before, first for study {was}: this score may be too good",
            file=sys.stderr,
        )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    if typer.confirm("Audit, confirm, and open them?", default=False, err=True):
        return True
    print("nothing was opened", file=sys.stderr)
    return False


def _update_views(home: Path, study: str, *, champion: "FinalTest | None" = None) -> None:
    """Have the study's page and MLflow say what was found, and MLflow offer the network of a final test."""
    from harness.analysis.model_card import publish

    loaded = opened(home, study)  # with what was found, and what has come since
    remake_page(loaded)
    if champion is not None:
        publish(loaded, champion)
    show_in_mlflow(loaded)


def remake_page(study: "LoadedStudy") -> None:
    """Have the study's report, if there is one, say what was found; a fault in it is told, and no reason to fail."""
    from harness.report import html

    path = html.own_page(study.store, study.name)
    try:
        if html.renew_own_page(study):
            print(f"{path}: made again, with this in it", file=sys.stderr)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        logger.warning(
            "%s lacks this (%s); %s makes it again",
            path,
            said,
            advised(study.store.home, "report", study.name),
        )
