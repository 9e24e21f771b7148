"""What a study that has begun has lost, made again to the same bits: its split, its snapshot, its copies of images.

Its record has a copy of its own (`store/store.py`), its folds and models are trained again (`folds/train_folds.py`).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import training
from harness.config import search_space
from harness.config.study_file import Study
from harness.data import data_set
from harness.data.data_set import load_data
from harness.data.holdout import Growth
from harness.data.images import Images
from harness.data.split import Manifest, make_split
from harness.errors import DataError, NewerRecord, RecordError, UsageError
from harness.files import put_aside
from harness.folds.fold import halved
from harness.folds.tasks import fold_tasks
from harness.records import StudyRecord, TrialRecord
from harness.search.growth import Parent, grown_split, parent_of
from harness.store.store import RECORD, RECORD_COPY, SNAPSHOT, SPLIT, Store

logger = logging.getLogger(__name__)


def record_of(store: Store, name: str) -> StudyRecord | None:
    """The study's record; None where there is none, or where it and its copy are damaged, which are put aside."""
    try:
        return store.read_study(name)
    except NewerRecord:
        raise
    except RecordError:
        for file in (RECORD, RECORD_COPY):
            if (path := store.study_folder(name) / file).exists():
                put_aside(path)
        return None


def trials_without_record(store: Store, name: str) -> list[TrialRecord]:
    """The trials of a study whose record is lost; none where no trial has ended: then it had just begun."""
    trials = [] if store.has_study(name) else store.read_trials(name)
    return trials if any(trial.state != "running" for trial in trials) else []


def compute_of(store: Store, trials: Sequence[TrialRecord]) -> training.Compute | None:
    """What the folds of a study's trials were computed with; None where there is no fold."""
    for fold in filter(None, (store.read_fold_record(key) for trial in trials for key in trial.folds)):
        return training.Compute(**{**fold.task["compute"], "micro_batches": 1})
    return None


def made_again(study: Study, record: StudyRecord, trials: Sequence[TrialRecord], folder: Path) -> StudyRecord:
    """The record of a study that was lost with its copy, by one of today and the trials that are there.

    Raises UsageError where these are not of a study like today's.
    """
    if not all(_belongs(trial, study, record) for trial in trials):
        raise UsageError(
            f"{folder / RECORD}: lost, and the trials there are not of the study as it is now: run it as it was when "
            "it began, which makes the record anew, or as a new study with --as NAME"
        )
    logger.warning("%s: lost; it is made anew, and MLflow shows the study once more", folder / RECORD)
    began = [trial.started for trial in trials if trial.started]
    return replace(record, created=min(began, default=record.created))


def _belongs(trial: TrialRecord, study: Study, record: StudyRecord) -> bool:
    """Whether a trial has the values that the study gives it, and trained the folds that they ask for."""
    if trial.params.keys() - search_space.distributions(study).keys():
        return False
    tasks = fold_tasks(record, trial)
    keys = [(task.key(), halved(task).key()) for task in tasks.values()]
    is_so = all(key in keys[fold] for fold, key in enumerate(trial.folds))
    return is_so and search_space.resolve(study, trial.params) == trial.values


def split_of(study: Study, store: Store, known: StudyRecord, images: Images) -> Manifest:
    """The study's split, made again where it is gone or damaged.

    Raises DataError where what is made of the images and the study's settings is another one.
    """
    try:
        return store.read_split(known)
    except DataError as error:
        problem = error
    parent = _parent(study, store, known)
    if parent is None:
        split = make_split(study, images, store.home)
    else:
        growth = Growth(parent.snapshot, takes_new=True)
        split = grown_split(study, load_data(study.data, growth), parent, store.home)[1]
    if split.hash != known.split_hash:
        path = store.study_folder(known.name) / SPLIT
        raise DataError(
            f"{path}: damaged, and what is made anew is another split: what deals the images, or what they are, has "
            "changed since; put that back and run the same command again, or begin a new study with --as NAME"
        )
    store.write_split(known.name, split)
    logger.warning("%s; it is made anew, to the same bits", str(problem).rpartition("; ")[0])
    return split


def heal_snapshot(study: Study, store: Store, known: StudyRecord) -> None:
    """Make the list of files that the study began with again, where it is gone or damaged and they are as they were."""
    expected = known.data.get("snapshot")
    path = store.study_folder(known.name) / SNAPSHOT
    try:
        if expected is None or store.read_snapshot(known.name) is not None:
            return
    except DataError:
        pass
    try:
        parent = _parent(study, store, known)
        growth = None if parent is None else Growth(parent.snapshot, takes_new=True)
        data = load_data(study.data, growth)
        if parent is not None:
            data, _ = grown_split(study, data, parent, store.home)
        found = data.snapshot
        problem = "" if found.hash == expected else "the files are others now"
    except (DataError, UsageError) as error:
        problem = str(error)
    if not problem:
        store.write_snapshot(known.name, found)
        logger.warning("%s: gone or damaged; it is made anew, to the same bits", path)
        return
    if path.exists():
        put_aside(path)
    logger.warning(
        "%s: lost, and cannot be made anew (%s): the study goes on with its copy of the images, and what becomes of "
        "the files is told again when they are put back and this command is run again",
        path, problem,
    )  # fmt: skip


def heal_copies(store: Store, known: StudyRecord) -> None:
    """Keep the images of a study that may change elsewhere once more, where what is kept of them is gone or damaged."""
    settings, test = known.data["settings"], known.data.get("test")
    if test is None or not data_set.may_change(settings) or store.has_both(known.data["hash"], test["hash"]):
        return
    where = store.test_folder(known.data["hash"], test["hash"])
    try:
        both = data_set.load_both_again(settings, store.read_snapshot(known.name))
        is_same = (both[0].content_hash, both[1].hash) == (known.data["hash"], test["hash"])
        problem = "" if is_same else "the files are others now"
    except DataError as error:
        problem = str(error)
    if problem:
        logger.warning(
            "%s: the copy of the study's images is gone or damaged, and cannot be made anew (%s): put the files back "
            "and run this command again; without them final cannot be run",
            where, problem,
        )  # fmt: skip
        return
    store.keep_both(*both)
    logger.warning("%s: gone or damaged; the images are copied anew", where)


def _parent(study: Study, store: Store, known: StudyRecord) -> Parent | None:
    """The study that this one extends, if it does."""
    name = known.data.get("extends")
    return None if name is None else parent_of(study, store, name)
