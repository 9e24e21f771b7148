"""delete, rename: the commands that end a study, or give it another name."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.layout import size_in_words
from harness.cli.options import DEFAULT_HOME, Document, Home, advised, opened, printed, started_studies
from harness.errors import StoreError, UsageError
from harness.messages import to_stderr

if TYPE_CHECKING:
    from harness.analysis.deletion import Deletion, StudyToDelete, Views
    from harness.analysis.garbage import Leftover
    from harness.analysis.renaming import Renamed


def delete(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", help="Studies to delete.", autocompletion=started_studies),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    models: Annotated[
        bool,
        typer.Option("--models", help="Versions of registered models in MLflow, too, which stay otherwise."),
    ] = False,
    form: Document = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Delete studies: here, in MLflow and in Optuna's store. Says first what goes, and asks.

    Trials, pages, and folds and images that no other study needs; the name is free then. Lines in the ledger of looks
    at test images stay. So do registered models, and what they need in MLflow, unless --models says otherwise. A study
    with a final model goes only with --yes. Where MLflow is away, harness sync takes the study out of it later.
    """
    to_stderr()
    from harness.analysis import deletion
    from harness.store.store import Store

    store, names, views = Store(home), list(dict.fromkeys(studies)), views_of(home)
    plan = deletion.look(store, names, views)
    if form == "text":
        _print_plan(plan, home, with_registered=models)
    agreed = yes or (form == "text" and _agreed(plan, names, models, home))
    if agreed:
        plan = deletion.delete(store, names, plan, views, with_registered=models)
    if not printed(plan, form) and agreed:
        _print_outcome(plan)
    require_told(plan.unfinished, home)


def views_of(home: Path) -> "Views":
    """Where the store's studies are shown."""
    from harness.analysis.deletion import Views
    from harness.tuning import Settings

    settings = Settings(home)
    return Views(settings.tracking_uri, settings.storage_url)


def print_leftovers(found: Sequence["Leftover"]) -> None:
    """A line for each kind, with how many and how large."""
    for what in dict.fromkeys(one.what for one in found):
        sizes = [one.bytes for one in found if one.what == what]
        print(f"{what}: {len(sizes):,}, {size_in_words(sum(sizes))}")


def require_told(problems: Sequence[str], home: Path) -> None:
    """Raises StoreError where MLflow or Optuna's store does not know what has become of studies."""
    if problems:
        command = advised(home, "sync")
        raise StoreError(f"{'; '.join(problems)}; {command} finishes it when that answers")


def _print_plan(plan: "Deletion", home: Path, *, with_registered: bool) -> None:
    print_leftovers(plan.found)
    for study in plan.studies:
        _print_views(study, with_registered=with_registered)
        if study.looks:
            said = "its look" if study.looks == 1 else f"its {study.looks} looks"
            print(
                f"study {study.study}: {said} at test images stays in the ledger: images that were seen stay seen"
            )
        for other in study.extended_by:
            print(f"study {other} extends {study.study}: it goes on, without knowing what that has looked at")
    if plan.kept_for:
        gc = advised(home, "gc")
        print(f"folds stay while {', '.join(plan.kept_for)} is driven; {gc} finds them afterwards")


def _print_views(study: "StudyToDelete", *, with_registered: bool) -> None:
    found = study.in_mlflow
    if found is None:
        return
    said = f"{found.runs:,} runs, {found.models:,} models, {size_in_words(found.bytes)}, whose space mlflow gc frees"
    print(f"study {study.study} in MLflow: {said}" if found.runs else f"study {study.study}: not in MLflow")
    if found.registered:
        fate = (
            "go, too"
            if with_registered
            else "stay, with what they need in MLflow; --models deletes them, too"
        )
        print(f"registered models {', '.join(found.registered)}: {fate}")


def _agreed(plan: "Deletion", names: Sequence[str], models: bool, home: Path) -> bool:
    """Whether the user says yes. Raises UsageError where nobody can be asked, or a word is not enough."""
    command = advised(home, "delete", *names, *["--models"] * models, "--yes")
    finals = [study.study for study in plan.studies if study.has_final]
    if finals:
        raise UsageError(
            f"{', '.join(finals)} has a final model, which may be in use as MLflow's champion: nothing was deleted; "
            f"{command} deletes it"
        )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"nothing was deleted: {command} deletes it")
    if typer.confirm("Delete that?", default=False, err=True):
        return True
    print("nothing was deleted")
    return False


def _print_outcome(plan: "Deletion") -> None:
    names = ", ".join(study.study for study in plan.studies)
    print(f"{size_in_words(plan.bytes)} deleted" + f"; {names} is free again" * bool(names))


def rename(
    old: Annotated[
        str, typer.Argument(metavar="OLD", help="The study's name.", autocompletion=started_studies)
    ],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    form: Document = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Give a study another name, in MLflow and Optuna's store, too.

    Records, runs, models and the registered model keep what they are, and nothing is trained again: tune --study FILE
    --as NEW goes on. Lines in the ledger of looks at test images keep the old name, and count as this study's. Where
    MLflow is away, harness sync has it follow later.
    """
    to_stderr()
    from harness.analysis import renaming
    from harness.store.store import Store

    store = Store(home)
    done = renaming.rename(store, old, new, views_of(home))
    if not printed(done, form):
        _print_renamed(done, home)
    _renew_pages(home, done)
    if done.unfinished:
        command = advised(home, "sync", new)
        raise StoreError(
            f"{new}: renamed here, and not yet elsewhere ({done.unfinished}); {command} finishes it"
        )


def _print_renamed(done: "Renamed", home: Path) -> None:
    print(f"study {done.study}, which was {done.before}: {done.trials} trials")
    for other in done.extended_by:
        print(f"study {other} extends it, and names it {done.study} now")
    print(f"{advised(home, 'tune', 'FILE', '--as', done.study)} goes on with it")


def _renew_pages(home: Path, done: "Renamed") -> None:
    """Have the study's own page and its model card say the name; of a gallery it is told how that comes."""
    from harness.analysis.model_card import publish
    from harness.cli.finishing import remake_page
    from harness.store.findings import FinalTest
    from harness.store.loaded_study import intact

    study = opened(home, done.study)
    remake_page(study)
    if (study.store.study_folder(study.name) / "gallery.html").exists():
        command = advised(home, "gallery", study.name)
        print(f"the gallery has the old name in it: {command} makes it again", file=sys.stderr)
    final = intact(study, FinalTest)
    if final is not None and not done.unfinished:
        publish(study, final)
