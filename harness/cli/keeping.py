"""bundle, sync, gc: the commands that hand on, deliver and clear away what is recorded."""

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.layout import size_in_words
from harness.cli.life import print_leftovers, require_told, views_of
from harness.cli.options import (
    DEFAULT_HOME,
    Document,
    Form,
    Home,
    advised,
    opened,
    printed,
    require_folder,
    started_studies,
)
from harness.errors import StoreError, UsageError
from harness.messages import to_stderr


@dataclass(frozen=True)
class Synced:
    """delivered: whether MLflow shows all of the study.   said: or why not."""

    study: str
    delivered: bool
    said: str


@dataclass(frozen=True)
class Delivered:
    """What `harness sync --json` prints."""

    studies: tuple[Synced, ...]


def bundle(
    study: Annotated[
        str | None, typer.Argument(help="A study that has been started.", autocompletion=started_studies)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="By default STUDY.zip here.")
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="With the images that were trained on.")] = False,
    source: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Take a bundle into the store.")
    ] = None,
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Import it under that name.")
    ] = None,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Show the code that the study brings, and let it be run.")
    ] = False,
    form: Document = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a study into one file, or import such a file.

    Records, split, weights, findings and the study file; imported elsewhere the leaderboard is the same, and
    reproduce works wherever the images are, or were put in with --images. A model, loss or metric of the study's own is
    in it as source text; where one is imported it is never run before somebody has looked at it: --trust-code.
    """
    to_stderr()
    from harness.analysis import bundle as bundling
    from harness.store.store import Store

    store = Store(home)
    if trust_code and source is None:
        raise UsageError("--trust-code is for --import FILE: what you bundle yourself is yours already")
    if (study is None) == (source is None):
        raise UsageError("name a study to bundle, or a file with --import")
    if source is not None:
        record = bundling.read(store, source, name=as_name, trust_code=trust_code)
        said = f"study {record.name} is in {store.home}: {advised(home, 'status', record.name)}"
        sources = bundling.sources(store, record.name)
        if sources and trust_code:
            said = "\n".join(
                [*(f"# {name}\n{text}" for name, text in sources.items()), "this code may run now", said]
            )
        elif sources:
            said += (
                f"\nit came with code, {', '.join(sources)}, which is not run; look at it in "
                f"{store.study_folder(record.name) / 'sources'}, and import it again with --trust-code if you trust it"
            )
        if not printed(bundling.Imported(record.name, store.home), form):
            print(said)
        return
    assert study is not None
    target = (output or Path(f"{study}.zip")).absolute()
    require_folder("--output", target)
    written = bundling.write(opened(home, study), target, with_images=images)
    said = f"{written.path}: {written.files:,} files, {size_in_words(written.bytes)}"
    if not printed(written, form):
        print(said)


def sync(
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY]...", help="All studies if omitted.", autocompletion=started_studies),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw those of every complete trial, not of the best alone.")
    ] = False,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Deliver to MLflow what it has not been shown yet.

    A server that was away while a study ran has missed nothing for good: the records are in the store. What MLflow
    has already is not sent again, and a study that was deleted meanwhile is taken out there. A study whose tracker is
    not MLflow is delivered if it is named.
    """
    to_stderr()
    from harness.analysis import deletion
    from harness.config.kinds import MLFLOW
    from harness.store.loaded_study import nothing_started, started_study
    from harness.store.store import Store
    from harness.tracking import deliver
    from harness.tuning import Settings

    store, settings = Store(home), Settings(home)
    deleted = [name for name in deletion.unfinished(store) if not studies or name in studies]
    untold = deletion.finish(store, views_of(home), deleted) if deleted else ()
    names = studies or store.studies()
    names = [name for name in names if store.has_study(name) or name not in deleted]
    for name in names:
        started_study(store, name)
    if not names and not deleted:
        print(nothing_started(store.home), file=sys.stderr)
    synced = list[Synced]()

    def tell(name: str, said: str, *, delivered: bool = True) -> None:
        synced.append(Synced(name, delivered, said))
        if form == "text":
            print(f"{name}: {said}")

    for name in deleted:
        if name not in deletion.unfinished(store):
            tell(name, "was deleted; MLflow and Optuna's store show it no more")
    problems, refused = [*untold], list[str]()
    for name in names:
        study = opened(home, name)
        if study.is_driven:
            tell(name, "running; it delivers by itself", delivered=False)
            continue
        if not studies and MLFLOW not in study.delivery.trackers:
            command = advised(home, "sync", name)
            tell(name, f"its tracker is not MLflow; {command} shows it there, too", delivered=False)
            continue
        if not os.access(store.study_folder(name), os.W_OK) and not deliver.is_pending(study):
            tell(
                name, "MLflow was shown all of it; whether it still has it is looked up by who may write here"
            )
            continue
        try:
            problem = deliver.sync(
                study,
                tracking_uri=settings.tracking_uri,
                storage_url=settings.storage_url,
                with_all_pictures=pictures,
            )
        except StoreError as error:  # the store refuses, and says what helps
            tell(name, str(error), delivered=False)
            refused.append(f"{name}: {error}")
            continue
        tell(name, problem or "MLflow shows all of it", delivered=not problem)
        problems += [f"{name}: {problem}"] if problem else []
    printed(Delivered(tuple(synced)), form, "studies")
    if problems:
        raise StoreError(f"{'; '.join(problems)}; nothing is lost: run {advised(home, 'sync')} again")
    if refused:
        raise StoreError("; ".join(refused))


def gc(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY]...",
            help="Studies to delete, too, as harness delete does.",
            autocompletion=started_studies,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it nothing is.")] = False,
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Say what the store need not keep, and delete it with --yes.

    Folds that no study needs, indexes whose model or folder is gone, checkpoints and files of killed processes. What a
    study needs to go on, to be shown or reproduced stays. Whole studies are deleted by harness delete STUDY.
    """
    to_stderr()
    from harness.analysis import deletion, garbage
    from harness.store.loaded_study import nothing_started
    from harness.store.store import Store

    store = Store(home)
    if not store.home.exists():
        print(nothing_started(store.home), file=sys.stderr)
    problems: tuple[str, ...] = ()
    with garbage.at_rest(store) if yes and store.home.exists() else nullcontext():
        left = deletion.unfinished(store)
        named = [name for name in studies or [] if store.has_study(name) or name not in left]
        removed = [opened(home, name) for name in named]
        deletion.require_no_champion(
            removed, f"it stays, unless {advised(home, 'delete', 'STUDY')} takes it out"
        )
        found = garbage.leftovers(store, removed, held=yes, images=deletion.images(store))
        if yes:
            deletion.bury(store, removed)
            garbage.remove(store, found)
            problems = deletion.finish(store, views_of(home), studies or [])
    total = sum(leftover.bytes for leftover in found)
    if not printed(garbage.Garbage(yes, total, tuple(found)), form, "found"):
        print_leftovers(found)
        command = advised(home, "gc", *(studies or []), "--yes")
        said = "deleted" if yes else f"could go; {command} deletes them" if found else "nothing to delete"
        print(f"{size_in_words(total)} {said}")
    require_told(problems, home)
