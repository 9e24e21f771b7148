"""What a store need not keep: folds and indexes that nothing names, left-overs of killed processes, whole studies.

Nothing that a study needs to be resumed, reproduced or shown is ever among it: a fold stays while any record of any
study names it, or while a trial that has not ended may still come to it.
"""

import shutil
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import time

from harness.analysis.bundle_contents import FOLD_KEY
from harness.errors import RecordError, StoreError
from harness.files import DAMAGED, files_below
from harness.folds.fold import FoldTask, halved
from harness.folds.tasks import fold_tasks, shortened
from harness.inference import index
from harness.inference.find_model import is_gone
from harness.os_errors import explaining
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

OLD_SECONDS = 24 * 3600.0  # a temporary file of this age belongs to nobody any more
YOUNG_SECONDS = 600.0  # images and code that `harness.tune` is given are kept before their study begins


@dataclass(frozen=True)
class Leftover:
    """path: a file or a folder.   what: why it can go.   bytes: on disk."""

    path: Path
    what: str
    bytes: int


@dataclass(frozen=True)
class Garbage:
    """deleted: whether it has gone.   bytes: of all that was found."""

    deleted: bool
    bytes: int
    found: tuple[Leftover, ...]


def leftovers(
    store: Store,
    removed: Sequence[LoadedStudy] = (),
    *,
    held: bool = False,
    images: AbstractSet[str] = frozenset(),
) -> list[Leftover]:
    """What can go, the studies `removed` with all that only they need.

    held: this process holds the store, `at_rest`: nobody else drives a study.
    images: hashes of those that a deleted study had.
    """
    names = [study.name for study in removed]
    begun = [
        name
        for name in store.study_folders()
        if not store.has_study(name) and (held or not store.is_driven(name))
    ]
    kept = {name: LoadedStudy.find(store, name) for name in store.studies() if name not in names}
    needed = set[str]().union(*(named_folds(store.study_folder(name)) for name in kept))
    needed = needed.union(*(_possible(study) for study in kept.values() if study))
    found = [_leftover(store.study_folder(name), f"study {name}") for name in names]
    found += [_leftover(store.study_folder(name), "study that has trained nothing") for name in begun]
    found += _folds(store, needed)
    hashes = {study.record.data["hash"] for study in kept.values() if study}
    known = images | {study.record.data["hash"] for study in removed}
    for folder, what in (("data", "images of no study"), ("duplicates", "duplicates of no study's images")):
        for path in sorted((store.home / folder).glob("*")):
            content = path.name.partition(".")[0]
            if content not in hashes and (content in known or _age(path) > YOUNG_SECONDS):
                found.append(_leftover(path, what))
    for path in sorted((store.home / "objects").glob("*")):
        if _age(path) > YOUNG_SECONDS:
            found.append(_leftover(path, "code of a notebook, which each study has kept for itself"))
    for pattern in (f"*{DAMAGED}", f"studies/*/*{DAMAGED}", f"studies/*/trials/*{DAMAGED}"):
        found += [
            _leftover(path, "damaged, and made anew since") for path in sorted(store.home.glob(pattern))
        ]
    return [*found, *_indexes(store, needed), *_temporary(store)]


@contextmanager
def at_rest(store: Store) -> Iterator[None]:
    """Hold the store while nobody trains there, to look at what can go and delete it. Raises StoreError."""
    with ExitStack() as stack:
        try:
            stack.enter_context(store.unused())
        except StoreError as error:
            is_busy = "driven by" in str(error) or "trains there" in str(error)
            raise StoreError(f"{error}{'; clean up when it has ended' * is_busy}") from None
        yield


def remove(store: Store, found: Sequence[Leftover]) -> None:
    """Delete them, at rest: newest folds have no record yet."""
    for leftover in found:
        with explaining(leftover.path), suppress(FileNotFoundError):
            if leftover.path.is_dir():
                shutil.rmtree(leftover.path)
            else:
                leftover.path.unlink()
        if leftover.path.parent == store.home / "similar":
            leftover.path.with_suffix(".lock").unlink(missing_ok=True)


def named_folds(folder: Path) -> set[str]:
    """The keys of all folds that any record in a study's folder names, damaged ones too."""
    keys: set[str] = set()
    for path in files_below(folder):
        if path.suffix == ".json":
            with explaining(path):
                keys.update(FOLD_KEY.findall(path.read_text(encoding="utf-8", errors="replace")))
    return keys


def _possible(study: LoadedStudy) -> set[str]:
    """The keys of the folds that the open trials of a study may come to."""
    rung = study.record.definition["search"].get("rung")
    possible: list[FoldTask] = []
    for trial in study.trials:
        if trial.state == "running":
            tasks = fold_tasks(study.record, trial)
            possible += tasks.values()
            if rung is not None:
                possible.append(replace(tasks[0], values=shortened(tasks[0].values, rung)))
    return {task.key() for whole in possible for task in (whole, halved(whole))}


def _folds(store: Store, needed: set[str]) -> Iterator[Leftover]:
    for path in sorted((store.home / "folds").glob("*")):
        key = path.name.partition(".")[0]
        if not FOLD_KEY.fullmatch(key):
            continue
        if path.suffix == ".checkpoint":
            if key not in needed or store.fold_folder(key).exists():
                yield _leftover(path, "checkpoint of a fold that nothing waits for")
        elif path.suffix == ".substitute":
            if not {key, store.substitute(key)} & needed:
                yield _leftover(path, "name of a fold with halved batches that no study needs")
        elif key not in needed:
            yield _leftover(path, "fold that no study's trials need")


def _indexes(store: Store, needed: set[str]) -> Iterator[Leftover]:
    """Of a visual search that cannot be made any more. One that names no model stays while its folder is there."""
    for path in sorted((store.home / "similar").glob(f"*/{index.DOCUMENT}")):
        try:
            folder, models = index.origins(path.parent)
        except RecordError:  # made anew, or by whoever wrote it, when it is asked for
            continue
        if not folder.is_dir():
            yield _leftover(path.parent, "index of a folder that is gone")
        elif models and all(is_gone(store, model, needed) for model in models):
            yield _leftover(path.parent, "index by a model that is gone")


def _temporary(store: Store) -> Iterator[Leftover]:
    for pattern in (".*.tmp", "*/.*.tmp", "*/*/.*.tmp", ".import-*"):
        for path in sorted(store.home.glob(pattern)):
            if _age(path) > OLD_SECONDS:
                yield _leftover(path, "left by a process that was killed")


def _age(path: Path) -> float:
    """Seconds since something was written there."""
    return time() - path.stat().st_mtime


def _leftover(path: Path, what: str) -> Leftover:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Leftover(path, what, sum(file.stat().st_size for file in files))
