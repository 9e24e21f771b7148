"""The scheduler: whoever needs folds says which is next, it keeps the executor busy and hands on what it reports.

The driver of a study asks for folds in the order of its race; `train_tasks` takes some in their order, to confirm, to
probe, to reproduce, to repair, and changes nothing of the study.
"""

import logging
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from harness.data.data_set import load_again
from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import DataError, HarnessError, UsageError
from harness.folds import option_files
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster, Executor
from harness.folds.fold import FoldTask, halved
from harness.folds.project import use_code_of
from harness.folds.tasks import advice_on, edits_of, files_of, fold_tasks
from harness.folds.worker import FoldFailure, Report, Workplace
from harness.records import Epoch, FoldRecord, StudyRecord, TrialRecord
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import has_weights
from harness.store.store import SPLIT, Store

logger = logging.getLogger(__name__)
Label = TypeVar("Label")


@dataclass
class Scheduler(Generic[Label]):
    """Trains on an executor what it is asked for, as many folds at a time as that has slots.

    under_way: the folds that are being trained, by key, each with the label that it was asked for by.
    """

    executor: Executor
    under_way: dict[str, tuple[Label, FoldTask]] = field(default_factory=dict)

    def train(
        self, next_task: Callable[[], tuple[Label, FoldTask] | None]
    ) -> Iterator[tuple[Label, FoldTask, Report | None]]:
        """Yields None when a fold begins, and then all that is reported of it, until nothing is left to do.

        next_task: asked whenever there is room; None for nothing at present. It never names what is under way.
        A caller may leave at any time: what is under way goes on, and the next call reports it.
        """
        while True:
            while len(self.under_way) < self.executor.num_slots and (chosen := next_task()) is not None:
                label, task = chosen
                self.executor.submit(task)
                self.under_way[task.key()] = chosen
                yield label, task, None
            if not self.under_way:
                return
            key, report = self.executor.next()
            label, task = self.under_way[key]
            if not isinstance(report, Epoch):
                del self.under_way[key]
            yield label, task, report


@dataclass(frozen=True)
class Training:
    """How far the folds are that a command trains: one has ended an epoch, or itself.

    what: the fold, in words.   epoch: its last one, None where it has ended.   epochs: of it, at most.
    done, total: how many folds have ended, of all that are trained in this step.   score: of an ended one, in words.
    """

    what: str
    epoch: Epoch | None
    epochs: int
    done: int
    total: int
    score: str = ""

    def __str__(self) -> str:
        if self.epoch is not None:
            return f"{self.what} epoch {self.epoch.epoch} of {self.epochs}"
        return f"{self.what}  {self.score}".rstrip()


Step = str | Training  # of a command: what it does next, or how far what it trains is


def workplace_of(
    store: Store, record: StudyRecord, *, home: Path | None = None, to_split: bool = False
) -> Workplace:
    """Where the folds of a started study are trained, once its code, its images and its split are found unchanged.

    Code of the user's own that has been edited since is the one that was kept.
    home: the store that takes the folds and the images, if another; there they may be trained by other code.
    to_split: its split maker is used, too.
    Raises UsageError that names the edits of code, DataError or CheckFailed for other images, DataError for another
    split.
    """
    use_code_of(store, record, to_split=to_split)
    if home is None:
        _require_its_code(store, record)
    images = images_of(store, record)
    home = home or store.home
    return Workplace(Store(home).keep_images(images), store.study_folder(record.name) / SPLIT, home)


def images_of(store: Store, record: StudyRecord, *, split: Manifest | None = None) -> Images:
    """The training images of a started study, to look at: they and its split are found unchanged, nothing is written.

    split: the study's, where it has been read.
    Raises DataError or CheckFailed for other images, DataError for another split.
    """
    images = training_images(store, record)
    try:
        split = split or store.read_split(record)
    except DataError:  # it may be the record that is not of these images
        if images.content_hash == record.data["hash"]:
            raise
    else:
        split.verify_images(images)
    if images.content_hash != record.data["hash"]:
        raise DataError(
            f"the images are not those of the record (hash {record.data['hash'][:12]}, now {images.content_hash[:12]})"
        )
    return images


def _require_its_code(store: Store, record: StudyRecord) -> None:
    if edits := edits_of(store, record):
        raise UsageError(
            "\n  ".join([f"what trains study {record.name} has changed since it began:", *edits])
            + f"\nput it back, or tune it as a new study with --as NAME{advice_on(edits)}"
        )


def training_images(store: Store, record: StudyRecord) -> Images:
    """The study's training images: those that the store keeps, or else from where they were."""
    kept = store.read_images(record.data["hash"])
    if kept is not None:
        return kept
    return load_again(record.data["settings"], record.data["hash"], store.read_snapshot(record.name))


def train_tasks(
    workplace: Workplace,
    tasks: Mapping[Label, FoldTask],
    *,
    cluster: Cluster = THIS_PROCESS,
    with_weights: Container[str] = (),
) -> Iterator[tuple[Label, Epoch | FoldRecord]]:
    """Train tasks, in their order: yields epochs as they end, and every task's record once.

    All compute alike. Those that the workplace's store has already come first, at once.
    with_weights: keys of tasks that are trained again, too, where the store has no weights of them.
    Raises HarnessError if a fold cannot be trained, and what `Cluster.executor` raises.
    """
    store = Store(workplace.home)
    missing: dict[str, list[Label]] = {}  # by key, for equal tasks are trained once
    for label, task in tasks.items():
        missing.setdefault(task.key(), []).append(label)
    for key in list(missing):
        known = store.find_fold(key)
        if known and (key not in with_weights or has_weights([known])):
            yield from ((label, known) for label in missing.pop(key))
    if not missing:
        return
    coming = iter([(key, tasks[equal[0]]) for key, equal in missing.items()])
    compute = next(iter(tasks.values())).compute
    with cluster.executor(workplace, compute, most_useful=len(missing)) as executor:
        for key, task, report in Scheduler[str](executor).train(lambda: next(coming, None)):
            if isinstance(report, FoldFailure):
                raise HarnessError(f"fold {task.fold} cannot be trained: {report.reason}")
            if report is not None:
                yield from ((label, report) for label in missing[key])


def told(
    trained: Iterator[tuple[Label, Epoch | FoldRecord]],
    tasks: Mapping[Label, FoldTask],
    words: Callable[[Label], str],
    *,
    score: Callable[[FoldRecord], str] = lambda _: "",
    before: int = 0,
    total: int | None = None,
) -> Iterator[Training | tuple[Label, FoldRecord]]:
    """What `train_tasks` yields, with how far it is: (label, record) of each fold, and after it that it has ended.

    words: what a fold is called.   before, total: folds of this step that are trained by other calls, and in all.
    """
    done, total = before, len(tasks) if total is None else total
    for label, report in trained:
        epochs = int(tasks[label].values.get("train.epochs") or 0)
        if isinstance(report, Epoch):
            yield Training(words(label), report, epochs, done, total)
        else:
            done += 1
            yield label, report
            yield Training(words(label), None, epochs, done, total, score(report))


def train_again(
    store: Store, record: StudyRecord, workplace: Workplace, cluster: Cluster = THIS_PROCESS
) -> int:
    """Train the folds of ended trials whose records or kept models are gone or damaged; how many.

    The same tasks, so the same bits. The trials stay as they are, for nothing they were decided by has changed. A fold
    whose task would have another key today is left alone: it could not be the same. Where a fold cannot be trained, a
    warning says so.
    """
    study = LoadedStudy(store, record, tuple(store.read_trials(record.name)))
    tasks: dict[tuple[int, int], FoldTask] = {}
    for trial in study.trials:
        if trial.state in ("complete", "stopped"):
            known = fold_tasks(record, trial)
            for fold, key in enumerate(trial.folds):
                equal = [task for task in (known[fold], halved(known[fold])) if task.key() == key]
                found = store.read_fold(key)
                is_whole = found and (trial not in study.with_models or has_weights([found]))
                if equal and not is_whole:
                    tasks[trial.number, fold] = equal[0]
    trained = 0
    try:
        keys = {task.key() for task in tasks.values()}
        for (number, fold), report in train_tasks(workplace, tasks, cluster=cluster, with_weights=keys):
            if isinstance(report, FoldRecord):
                logger.warning("trial %d: fold %d was trained again", number, fold)
                trained += 1
                if not has_weights([report]):
                    logger.warning("it comes out otherwise here, so its model stays lost")
    except HarnessError as error:
        logger.warning("%s; what was damaged stays so", error)
    return trained


def restore_models(study: LoadedStudy, trial: TrialRecord) -> list[FoldRecord]:
    """The folds of a trial, with the models that are gone or damaged trained again, where the study keeps them.

    Raises HarnessError where that cannot be done.
    """
    store = study.store
    folds = [store.read_fold(key) for key in trial.folds]
    whole = [fold for fold in folds if fold is not None]
    if trial in study.with_models and not (len(whole) == len(folds) and has_weights(whole)):
        logger.warning("study %s: models of trial %d are gone or damaged", study.name, trial.number)
        with store.driving(study.name):
            train_again(store, study.record, workplace_of(store, study.record))
        folds = [store.read_fold(key) for key in trial.folds]
    return [fold for fold in folds if fold is not None]


def restore_network(study: LoadedStudy, key: str) -> FoldRecord | None:
    """The record of a network that is no fold of a trial, whose weights are trained again where they are lost.

    None where its record is gone, or it comes out otherwise. Raises HarnessError where it cannot be trained.
    """
    store = study.store
    found = store.read_fold(key)
    known = store.read_fold_record(key)
    if known is None or (found is not None and has_weights([found])):
        return found
    logger.warning("study %s: a network is gone or damaged, and is trained again", study.name)
    task = FoldTask(**known.task)
    files = files_of(option_files.known_to(study.record.provenance), task.values)
    task = replace(task, places=option_files.places(files, task.values))
    with store.driving(study.name):
        workplace = workplace_of(store, study.record)
        for _ in train_tasks(workplace, {key: task}, with_weights=[key]):
            pass
    found = store.read_fold(key)
    return found if found is not None and has_weights([found]) else None
