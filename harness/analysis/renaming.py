"""Gives a study another name: here, and in MLflow and Optuna's store.

    HOME/studies/<old>   becomes   HOME/studies/<new>   in one step: a study is called as its folder is

The rest follows: the names in its records, and in those of studies that extend it, and what MLflow and Optuna show.
Each step looks for what is not yet done; so after a kill, or where a server was away, the same command goes on. A study
is told apart by the name that it began with, which its record keeps. Lines in the ledger of looks stay as they are.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from harness.analysis.deletion import Views
from harness.config.kinds import MLFLOW
from harness.errors import HarnessError, RecordError, StoreError, UsageError
from harness.files import remove, sync_folder
from harness.os_errors import explaining
from harness.records import StudyRecord
from harness.store import study_lock
from harness.store.findings import Audit, FinalTest
from harness.store.loaded_study import LoadedStudy, started_study
from harness.store.store import Store, valid_name
from harness.tracking import deliver, mlflow_renaming, optuna_mirror
from harness.tracking.experiment_view import study_id
from harness.tracking.renewal import definition_of


@dataclass(frozen=True)
class Renamed:
    """study: what it is called.   before: what it was.   extended_by: studies whose records name it, and were changed.

    unfinished: why MLflow or Optuna's store may still show the old name, or "".
    """

    study: str
    before: str
    trials: int
    extended_by: tuple[str, ...] = ()
    unfinished: str = ""


def rename(store: Store, old: str, new: str, views: Views) -> Renamed:
    """Rename a study, or finish what an earlier call began.

    Raises UsageError for a study that there is not, a name that cannot be one, or is taken here or in MLflow;
    StoreError where the study, or one that extends it, is driven. Nothing has changed then.
    """
    if not valid_name(new):
        raise UsageError(f"a study cannot be called {new!r}: letters, digits, space and _ . + - only")
    if _is_unfinished(store, old, new):
        record = started_study(store, new)
    else:
        record = started_study(store, old)
        _require_unused(store, new)
        study_lock.require_free(store.study_folder(old))
        with suppress(StoreError):  # where MLflow is away, it is told when it is told the name
            mlflow_renaming.require_free(views.tracking_uri, record, new)
    children = [other.name for other in _extending(store, old)]
    with store.resting([old, new, *children]):
        if not _is_unfinished(store, old, new):
            _require_unused(store, new)
            _move(store, old, new)
        record = started_study(store, new)
        store.write_study(record)
        _rename_in_findings(store, old, new)
        for other in _extending(store, old):
            store.write_study(replace(other, data={**other.data, "extends": new}))
    study = LoadedStudy.open(store, new)
    return Renamed(new, old, len(study.trials), tuple(children), _shown(study, views))


def _is_unfinished(store: Store, old: str, new: str) -> bool:
    """Whether the study has its new name, by an earlier call."""
    there = None if store.has_study(old) else store.read_study(new)
    return there is not None and old in there.names


def _require_unused(store: Store, name: str) -> None:
    """Raises UsageError where there is a study of that name, or one begins."""
    if store.has_study(name):
        raise UsageError(f"there is a study {name} in {store.home} already: choose another name")
    if store.is_driven(name):
        raise UsageError(f"a study {name} begins in {store.home}: choose another name")


def _move(store: Store, old: str, new: str) -> None:
    folder = store.study_folder(new)
    with explaining(folder):
        remove(folder)  # of one that had trained nothing
        store.study_folder(old).rename(folder)
        sync_folder(folder.parent)
        (folder / "holder.json").unlink(missing_ok=True)  # this process


def _extending(store: Store, name: str) -> Iterator[StudyRecord]:
    return (other for other in store.records() if other.data.get("extends") == name)


def _rename_in_findings(store: Store, old: str, new: str) -> None:
    for kind in (Audit, FinalTest):
        with suppress(RecordError):  # a damaged one is made anew by its command
            found = store.read_finding(new, kind)
            if isinstance(found, Audit | FinalTest) and found.study == old:
                store.write_finding(new, replace(found, study=new))


def _shown(study: LoadedStudy, views: Views) -> str:
    """Have MLflow and Optuna's store show the new name; why they do not, or ""."""
    try:
        if MLFLOW in study.delivery.trackers:
            return deliver.sync(study, tracking_uri=views.tracking_uri, storage_url=views.storage_url)
        identity = study_id(study.record)
        optuna_mirror.mirror(
            views.storage_url, study.name, definition_of(study), study.ended, study_id=identity
        )
    except HarnessError as error:  # the next run of tune tells them
        return str(error)
    return ""
