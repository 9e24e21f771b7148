"""A study on a data set that has grown: the images of the study before keep their part and their fold."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.config.kinds import STRATIFIED
from harness.config.study_file import Study
from harness.data.data_set import DataSet
from harness.data.grown_split import grown_folds
from harness.data.snapshot import TRAIN, Snapshot, rows_before, without
from harness.data.split import Manifest, kind_of_duplicates, together
from harness.errors import DataError, Problem, StudyError, UsageError
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

NUM_NAMED = 3  # images that a message names


@dataclass(frozen=True, eq=False)
class Parent:
    """The study that another one goes on from."""

    name: str
    snapshot: Snapshot
    split: Manifest


def parent_of(study: Study, store: Store, name: str) -> Parent:
    """The study of that name, from which this one is to go on.

    Raises UsageError if it was not started or kept no snapshot, StudyError if the two have other folds, DataError for a
    damaged one.
    """
    parent = LoadedStudy.open(store, name)
    if parent.snapshot is None:
        raise UsageError(f"--extend {name}: was begun by a release that kept no snapshot of its data")
    problems = []
    if study.cv.folds != parent.record.num_folds:
        problems.append(
            Problem("cv.folds", f"must be {parent.record.num_folds}, as in study {name} that it extends")
        )
    if study.cv.num_folds != study.cv.folds or study.cv.folds == 1:
        why = (
            "a study that extends another has folds that are dealt once: cv.folds of 2 or more, cv.repeats 1"
        )
        problems.append(Problem("cv", why))
    if study.cv.split != STRATIFIED:
        problems.append(Problem("cv.split", f"must be {STRATIFIED} in a study that extends another"))
    if study.data["name"] != parent.record.data["settings"]["name"]:
        problems.append(Problem("data.name", f"must be that of study {name} that it extends"))
    if problems:
        raise StudyError(study.source, problems)
    return Parent(name, parent.snapshot, parent.split)


def grown_split(study: Study, data: DataSet, parent: Parent, home: Path) -> tuple[DataSet, Manifest]:
    """The images and their folds: those of the parent where it had the image.

    A new image that shows the same as images of several folds is left out, for it would leak into one of them.
    home: where duplicates that were found are kept.
    Raises DataError where images of the parent are in another part now.
    """
    snapshot, before = data.snapshot, parent.snapshot
    rows = rows_before(before, snapshot.names, snapshot.hashes)
    _require_same_parts(snapshot, parent, rows)
    train = snapshot.rows(TRAIN)
    place = np.full(
        len(before) + 1, -1
    )  # of each of the parent's rows among its training images; -1 for none
    place[before.rows(TRAIN)] = np.arange(len(parent.split.fold_of))
    places = place[rows[train]]
    is_new = places < 0
    found = grown_folds(
        data.train.labels,
        together(data.train, kind_of_duplicates(study), home),
        np.where(is_new, -1, parent.split.fold_of[places]),
        np.where(is_new, -1, parent.split.groups[places]),
        num_folds=study.cv.folds,
    )
    stays = found.fold_of >= 0
    if not stays.all():
        data = replace(
            data,
            train=data.train.take(np.flatnonzero(stays)),
            snapshot=without(snapshot, train[~stays].tolist()),
        )
    split = Manifest.make(
        data.train,
        found.fold_of[stays],
        found.groups[stays],
        num_folds=study.cv.folds,
        seed=study.search.seed,
    )
    return data, split


def _require_same_parts(snapshot: Snapshot, parent: Parent, rows: np.ndarray) -> None:
    moved = [
        f"{name} from {parent.snapshot.parts[row]} to {part}"
        for name, part, row in zip(snapshot.names, snapshot.parts, rows.tolist(), strict=True)
        if row >= 0 and part and part != parent.snapshot.parts[row]
    ]
    if moved:
        more = ", …" if len(moved) > NUM_NAMED else ""
        raise DataError(
            f"{len(moved)} images of study {parent.name} have moved to the other part since: "
            f"{', '.join(moved[:NUM_NAMED])}{more}; move them back, or begin a new study without --extend"
        )
