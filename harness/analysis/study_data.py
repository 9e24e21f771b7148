"""The data of a study: what it began with, where each image is, and what has become of them since."""

from dataclasses import dataclass

import numpy as np

from harness.data import data_set
from harness.data.snapshot import LEFT_OUT, TEST, TRAIN, Changes, Snapshot, compare, rows_before
from harness.errors import HarnessError, UsageError
from harness.store.loaded_study import LoadedStudy


@dataclass(frozen=True)
class ClassData:
    """Images of a class.   folds: of those to train on, held out in each fold."""

    name: str
    train: int
    folds: tuple[int, ...]
    test: int
    left_out: int


@dataclass(frozen=True)
class StudyData:
    """What a study began with.

    source: a folder, or the name of a data set.   snapshot: its hash.   extends: the study that it goes on from, or "".
    groups: of images that are held out together.   unreadable: why files were left out, by name.
    since: what has become of the data; None where they cannot be read, for the reason `now`.
    """

    study: str
    source: str
    snapshot: str
    extends: str
    classes: tuple[ClassData, ...]
    groups: int
    unreadable: tuple[str, ...]
    since: Changes | None
    now: str


@dataclass(frozen=True)
class DataDiff:
    """second: another study, or "" for the data as they are now.

    changes: from the first to the second.   moved_parts, moved_folds: images of both that are in another part, or in
    another fold, in the second study.
    """

    first: str
    second: str
    changes: Changes
    moved_parts: int = 0
    moved_folds: int = 0


def study_data(study: LoadedStudy, *, look: bool = True) -> StudyData:
    """What the study began with, and what has become of it. Raises UsageError for a study without a snapshot.

    look: whether the data are looked at, which for other ones than a folder means to read them all.
    """
    snapshot, settings = snapshot_of(study), study.record.data["settings"]
    labels, parts = np.array(snapshot.labels), np.array(snapshot.parts)
    split = study.split
    classes = []
    for label, name in enumerate(snapshot.classes):
        count = {part: int(((parts == part) & (labels == label)).sum()) for part in (TRAIN, TEST, LEFT_OUT)}
        of_class = split.by_repeat[split.labels == label]
        folds = np.bincount(of_class[of_class >= 0], minlength=split.num_folds)
        classes.append(ClassData(name, count[TRAIN], tuple(folds.tolist()), count[TEST], count[LEFT_OUT]))
    since, now = None, ""
    try:
        since = data_set.changes(settings, snapshot) if look else None
    except HarnessError as error:
        now = str(error)
    return StudyData(
        study=study.name,
        source=str(settings.get("root") or settings["name"]),
        snapshot=snapshot.hash,
        extends=study.record.data.get("extends", ""),
        classes=tuple(classes),
        groups=len(np.unique(split.groups)),
        unreadable=tuple(f"{name} ({problem})" for name, problem in snapshot.problems.items()),
        since=since,
        now=now,
    )


def data_diff(first: LoadedStudy, second: LoadedStudy | None = None) -> DataDiff:
    """What has become of a study's data, or how another study's differ.

    Raises UsageError for a study without a snapshot, DataError where the data cannot be read any more.
    """
    before = snapshot_of(first)
    if second is None:
        return DataDiff(first.name, "", data_set.changes(first.record.data["settings"], before))
    after = snapshot_of(second)
    rows = rows_before(before, after.names, after.hashes)
    of_first, of_second = _places(first, before), _places(second, after)
    both = [(of_first[row], place) for row, place in zip(rows.tolist(), of_second, strict=True) if row >= 0]
    both = [(old, new) for old, new in both if LEFT_OUT not in (old[0], new[0])]
    return DataDiff(
        first.name,
        second.name,
        compare(before, after.names, after.hashes),
        moved_parts=sum(old[0] != new[0] for old, new in both),
        moved_folds=sum(old != new for old, new in both if old[0] == new[0]),
    )


def _places(study: LoadedStudy, snapshot: Snapshot) -> list[tuple[str, int]]:
    """The part and the fold of each row, of repeated ones the first; the fold is -1 outside the training part."""
    folds = np.full(len(snapshot), -1)
    folds[snapshot.rows(TRAIN)] = study.split.by_repeat[:, 0]
    return list(zip(snapshot.parts, folds.tolist(), strict=True))


def snapshot_of(study: LoadedStudy) -> Snapshot:
    """The files that the study began with. Raises UsageError for a study of an earlier release, which kept none."""
    if study.snapshot is None:
        raise UsageError(f"study {study.name} was begun by a release that kept no snapshot of its data")
    return study.snapshot
