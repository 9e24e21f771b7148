"""Trains folds beside a study: to confirm, to probe, to reproduce. Nothing of the study changes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import DataError, HarnessError, RecordError
from harness.folds.fold import FoldTask
from harness.folds.gpus import gpus_here
from harness.folds.processes import Executor, InlineExecutor, ProcessExecutor
from harness.folds.worker import FoldFailure, Workplace
from harness.records import Epoch, FoldRecord, Scalar, StudyRecord
from harness.store.store import Store

Label = TypeVar("Label")


def workplace_of(store: Store, record: StudyRecord, *, home: Path | None = None) -> Workplace:
    """Where the folds of a started study are trained, once its images and its split are found unchanged.

    home: the store that takes the folds and the images, if another.
    Raises DataError or CheckFailed for other images, RecordError for another split.
    """
    images = _images(store, record)
    path = store.study_folder(record.name) / "split.npz"
    split = Manifest.load(path)
    if split.hash != record.split_hash:
        raise RecordError(f"{path}: damaged: it is not the split of the record")
    split.verify_images(images)
    if images.content_hash != record.data["hash"]:
        raise DataError(
            f"the images are not those of the record (hash {record.data['hash'][:12]}, now {images.content_hash[:12]})"
        )
    home = home or store.home
    return Workplace(Store(home).keep_images(images), path, home)


def _images(store: Store, record: StudyRecord) -> Images:
    """The study's training images, from where they were; if they are not there, those that the store keeps."""
    from harness.data import load_training

    try:
        return load_training(record.data["settings"])
    except HarnessError:
        kept = store.kept_images(record.data["hash"])
        if kept is None:
            raise
        return kept


def train_tasks(
    workplace: Workplace, tasks: Mapping[Label, FoldTask], *, workers: int = 1
) -> Iterator[tuple[Label, Epoch | FoldRecord]]:
    """Train tasks, in their order: yields epochs as they end, and every task's record once.

    Tasks that the workplace's store has already come first, at once.   workers: processes; 1 is this one.
    Raises HarnessError if a fold cannot be trained.
    """
    store = Store(workplace.home)
    labels: dict[str, list[Label]] = {}  # equal tasks are trained once
    for label, task in tasks.items():
        labels.setdefault(task.key(), []).append(label)
    waiting: list[FoldTask] = []
    for key, equal in labels.items():
        known = store.read_fold(key)
        if known is None:
            waiting.append(tasks[equal[0]])
        else:
            yield from ((label, known) for label in equal)
    if not waiting:
        return
    with _executor(workplace, min(workers, len(waiting)), waiting[0].compute["device"]) as executor:
        for key, report in _train(executor, waiting):
            yield from ((label, report) for label in labels[key])


def _train(executor: Executor, waiting: list[FoldTask]) -> Iterator[tuple[str, Epoch | FoldRecord]]:
    """Reports by the key of their task, until all of these tasks are done."""
    under_way: dict[str, FoldTask] = {}
    while waiting or under_way:
        while waiting and len(under_way) < executor.num_slots:
            task = waiting.pop(0)
            under_way[task.key()] = task
            executor.submit(task)
        key, report = executor.next()
        if isinstance(report, FoldFailure):
            raise HarnessError(f"fold {under_way[key].fold} cannot be trained: {report.reason}")
        if isinstance(report, FoldRecord):
            del under_way[key]
        yield key, report


def _executor(workplace: Workplace, workers: int, device: Scalar) -> Executor:
    if workers <= 1:
        return InlineExecutor(workplace)
    return ProcessExecutor(workplace, workers, gpus=gpus_here() if device == "cuda" else ())
