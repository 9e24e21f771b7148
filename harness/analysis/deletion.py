"""Deletes studies: here, with what only they need, and in MLflow and Optuna's store.

    HOME/studies/<name>   becomes   HOME/deleted/<name>.<id>   in one step: from then on there is no such study

What lies there is deleted when both stores have been told; so whatever ends the process in between, or a server that is
away, the next `harness delete` or `harness sync` goes on. Lines in the ledger of looks at test images stay.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.analysis import garbage
from harness.analysis.garbage import Leftover
from harness.analysis.test_set_ledger import Ledger, Look
from harness.config.kinds import MLFLOW
from harness.documents import from_json
from harness.errors import RecordError, StoreError, UsageError
from harness.files import entries, read_json, sync_folder, write_json
from harness.os_errors import explaining
from harness.records import StudyRecord, study_from_json
from harness.store import study_lock
from harness.store.findings import FinalTest
from harness.store.loaded_study import DELIVERY, Delivery, LoadedStudy
from harness.store.store import RECORD, RECORD_COPY, Store, valid_name
from harness.tracking import mlflow_deletion, optuna_mirror
from harness.tracking.experiment_view import study_id
from harness.tracking.mlflow_deletion import InMlflow

logger = logging.getLogger(__name__)
DELETED = "deleted"
CHOICE = "deletion.json"  # what is to go beside, in a deleted study's folder


@dataclass(frozen=True)
class StudyToDelete:
    """What is known of a study that is to go. trials: how many.   looks: of it, in the ledger.

    in_mlflow: None where MLflow cannot be asked, or is not this study's tracker.   has_final: a final model.
    extended_by: studies that go on from its images.
    """

    study: str
    trials: int
    has_final: bool
    looks: int
    extended_by: tuple[str, ...]
    in_mlflow: InMlflow | None


@dataclass(frozen=True)
class Deletion:
    """deleted: whether it has gone.   bytes: of `found` on disk.   unfinished: what a store was not told, and why.

    kept_for: studies that are driven; until they have ended, folds stay.
    """

    deleted: bool
    bytes: int
    studies: tuple[StudyToDelete, ...]
    found: tuple[Leftover, ...]
    kept_for: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()


@dataclass(frozen=True)
class Views:
    """Where studies are shown: the addresses of MLflow and of Optuna's store."""

    tracking_uri: str
    storage_url: str


@dataclass(frozen=True)
class _Grave:
    """What is left of a deleted study. record: None where all but that has been done."""

    name: str
    record: StudyRecord | None
    folder: Path


def look(store: Store, names: Sequence[str], views: Views) -> Deletion:
    """What would go; nothing does.

    Raises UsageError for a name of no study, nor of one that was half deleted; StoreError where one is driven.
    """
    left = unfinished(store)
    for name in filter(valid_name, names):
        study_lock.require_free(store.study_folder(name))
    studies = [LoadedStudy.open(store, name) for name in names if store.has_study(name) or name not in left]
    busy = [name for name in store.study_folders() if name not in names and store.is_driven(name)]
    found = _found(store, studies, names, busy, held=False)
    described = tuple(_described(study, views) for study in studies)
    return Deletion(False, _bytes(found), described, tuple(found), tuple(busy))


def delete(
    store: Store, names: Sequence[str], plan: Deletion, views: Views, *, with_registered: bool
) -> Deletion:
    """Delete studies, and finish what an earlier deletion of one of these names has left.

    plan: what `look` has said of these names.   with_registered: versions of registered models in MLflow, too.
    Raises StoreError, before anything is changed, where one is driven.
    """
    with store.resting(names) as busy:
        studies = [LoadedStudy.open(store, study.study) for study in plan.studies]
        found = _found(store, studies, names, busy, held=True)
        bury(store, studies, with_registered=with_registered)
        garbage.remove(store, found)
        problems = finish(store, views, names)
    return Deletion(True, _bytes(found), plan.studies, tuple(found), tuple(busy), problems)


def bury(store: Store, studies: Iterable[LoadedStudy], *, with_registered: bool = False) -> None:
    """Have the store forget these studies; hold it meanwhile. `finish` has MLflow and Optuna's store forget them."""
    for study in studies:
        grave = store.home / DELETED / f"{study.name}.{study_id(study.record)}"
        with explaining(grave):
            shutil.rmtree(grave, ignore_errors=True)  # of the same study, imported since
            grave.parent.mkdir(exist_ok=True)
            store.study_folder(study.name).rename(grave)
            sync_folder(grave.parent)
        write_json(grave / CHOICE, {"registered": with_registered})


def finish(store: Store, views: Views, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Have MLflow and Optuna's store forget deleted studies, of these names or all; a line for each that failed."""
    problems = []
    for grave in _graves(store):
        if names is not None and grave.name not in names:
            continue
        try:
            if grave.record is not None:
                _forget(grave.record, grave.folder, views)
        except StoreError as error:
            problems.append(f"{grave.name}: deleted here, and still shown elsewhere ({error})")
            continue
        with explaining(grave.folder):
            shutil.rmtree(grave.folder)
    if not entries(store.home / DELETED):
        shutil.rmtree(store.home / DELETED, ignore_errors=True)
    return tuple(problems)


def unfinished(store: Store) -> list[str]:
    """The names of deleted studies that MLflow or Optuna's store may still show."""
    return [grave.name for grave in _graves(store)]


def images(store: Store) -> set[str]:
    """The hashes of the images that deleted studies had."""
    return {grave.record.data["hash"] for grave in _graves(store) if grave.record}


def require_no_champion(studies: Iterable[LoadedStudy], advice: str) -> None:
    """Raise UsageError for a study whose final model may be in use."""
    for study in studies:
        if (study.store.study_folder(study.name) / f"{FinalTest.kind}.json").exists():
            raise UsageError(
                f"study {study.name} has a final model, MLflow's champion of that name; {advice}"
            )


def _found(
    store: Store, studies: Sequence[LoadedStudy], names: Sequence[str], busy: Sequence[str], *, held: bool
) -> list[Leftover]:
    """The folders of the studies, and what they alone need; that stays while others train: they may come to need it."""
    going = {store.study_folder(study.name) for study in studies}
    left = [grave for grave in _graves(store) if grave.name in names]
    records = [*(study.record for study in studies), *(grave.record for grave in left if grave.record)]
    hashes = {record.data["hash"] for record in records}
    found = garbage.leftovers(store, studies, held=held, images=hashes)
    if busy:
        return [one for one in found if one.path in going]
    theirs = hashes.union(*map(garbage.named_folds, [*going, *(grave.folder for grave in left)]))
    return [one for one in found if one.path in going or one.path.name.partition(".")[0] in theirs]


def _described(study: LoadedStudy, views: Views) -> StudyToDelete:
    store, record, in_mlflow = study.store, study.record, None
    if MLFLOW in study.delivery.trackers:
        try:
            in_mlflow = mlflow_deletion.shown(views.tracking_uri, record)
        except StoreError as error:
            logger.warning("what it shows of study %s is not known: %s", study.name, error)
    return StudyToDelete(
        study=study.name,
        trials=len(study.trials),
        has_final=(store.study_folder(study.name) / f"{FinalTest.kind}.json").exists(),
        looks=_looks(store, record),
        extended_by=tuple(other.name for other in store.records() if other.data.get("extends") == study.name),
        in_mlflow=in_mlflow,
    )


def _looks(store: Store, record: StudyRecord) -> int:
    try:
        lines = Ledger(store.home).lines()
    except RecordError as error:
        logger.warning("%s", error)
        return 0
    looks = [line for line in lines if isinstance(line, Look) and line.created == record.created]
    return sum(look.study in record.all_names for look in looks)


def _graves(store: Store) -> Iterator[_Grave]:
    """The deleted studies that somebody may not know of."""
    for folder in entries(store.home / DELETED):
        name, _, _ = folder.name.rpartition(".")
        yield _Grave(name, _record(folder), folder)


def _record(folder: Path) -> StudyRecord | None:
    for file in (RECORD, RECORD_COPY):
        with suppress(FileNotFoundError, RecordError):
            return study_from_json(read_json(folder / file))
    return None


def _forget(record: StudyRecord, grave: Path, views: Views) -> None:
    """Raises StoreError where MLflow or Optuna's store cannot be reached."""
    if _was_shown(grave):
        with_registered = _takes_registered(grave)
        mlflow_deletion.delete_study(views.tracking_uri, record, with_registered=with_registered)
    optuna_mirror.remove(views.storage_url, study_id(record))


def _was_shown(grave: Path) -> bool:
    try:
        return MLFLOW in from_json(Delivery, read_json(grave / DELIVERY)).trackers
    except (FileNotFoundError, RecordError):
        return True


def _takes_registered(grave: Path) -> bool:
    try:
        return read_json(grave / CHOICE).get("registered") is True
    except (FileNotFoundError, RecordError):
        return False


def _bytes(found: Sequence[Leftover]) -> int:
    return sum(one.bytes for one in found)
