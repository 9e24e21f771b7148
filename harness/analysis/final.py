"""The sealed test: opened once, for the confirmed winner, trained on all training images; every look is in the ledger.

This is the only code that opens the test images.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from harness import models, scoring, training
from harness.analysis.readiness import Request, ready
from harness.analysis.test_set_ledger import Ledger, Look, Result
from harness.data import near_duplicates
from harness.data.images import Images
from harness.data.snapshot import TEST, rows_before
from harness.errors import DataError, HarnessError, RecordError, UsageError
from harness.folds.executor import Cluster
from harness.folds.fold import NO_FOLD, FoldTask, halved
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import Step, Training, images_of, told, train_tasks, workplace_of
from harness.inference.model import load_fold_model
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.scoring.calibration import calibration_curve
from harness.scoring.find_metric import find_metric
from harness.scoring.intervals import score_interval
from harness.scoring.per_class import per_class
from harness.store.findings import (
    AuditVerdict,
    EarlierLook,
    FinalTest,
    LedgerPlace,
    TestDuplicates,
)
from harness.store.loaded_study import LoadedStudy, in_use, intact
from harness.store.model_files import has_weights
from harness.store.store import WEIGHTS


@in_use
def final(study: LoadedStudy, request: Request) -> Iterator[Step | FinalTest]:
    """Confirm, refit, open the test images, write it down: yields how far it is, then what came of it.

    That is kept as a finding of the study. Where there is one already, and `again` gives no reason, it is returned
    and nothing is opened. A look that was cut short is finished, and counts once.
    Raises UsageError for a study that is not finished, CheckFailed for one that its audit failed, RecordError for a
    ledger that somebody has changed, DataError where there are no test images.
    """
    store, record = study.store, study.record
    ledger = Ledger(store.home)
    known = intact(study, FinalTest)
    if known is not None and not request.again:
        yield from _outdated(study, known)
        lines, place = ledger.lines(), known.ledger.number - 1
        if place >= len(lines) or lines[place].hash != known.ledger.hash:
            raise RecordError(
                f"{ledger.path}: the look of study {known.study} is not in it any more: put the ledger of then back, "
                'or look once more with --again "reason"'
            )
        yield from _network_again(study, known, request.cluster)
        yield known
        return
    audit, confirmation = yield from ready(study, request)
    winner = study.trials[confirmation.winner]
    task = refit_task(study, winner)
    yield f"training trial {winner.number} on all {record.data['num_images']:,} training images"
    refit = yield from _refit(study, task, request.cluster)
    yield "opening the test images"
    look, result, looks = _look(study, winner, refit, ledger, request.again)
    earlier = tuple(_earlier(ledger, look, record.objective))
    found = FinalTest(
        study=study.name,
        trial=winner.number,
        objective=record.objective,
        refit=refit.key,
        look=look.number,
        looks=looks,
        test_hash=look.test_hash,
        reason=look.reason,
        ledger=LedgerPlace(result.number, result.hash),
        scores=result.scores,
        intervals=result.intervals,
        num_images=result.num_images,
        confusion=result.confusion,
        duplicates=result.duplicates,
        confirm=confirmation,
        audit=AuditVerdict(audit.verdict, audit.sentence),
        checked=request.checked,
        seen_before=_seen_before(study, ledger),
        per_class=result.per_class,
        calibration=result.calibration,
        earlier=earlier,
    )
    store.write_finding(study.name, found)
    yield found


def refit_task(study: LoadedStudy, trial: TrialRecord) -> FoldTask:
    """The training of a trial's values on all images, for as many epochs as were scored in its folds.

    Where early stopping chose the epoch, that is the rounded mean of the chosen ones.
    """
    values = dict(trial.values)
    if values.get("train.patience") is not None:
        folds = study.folds(trial)
        if not folds:
            raise RecordError(f"the folds of trial {trial.number} are gone; run tune again to make them anew")
        values["train.epochs"] = max(round(float(np.mean([fold.chosen_epoch for fold in folds]))), 1)
        values["train.patience"] = None
    return replace(fold_tasks(study.record, replace(trial, values=values))[0], fold=NO_FOLD)


def _outdated(study: LoadedStudy, known: FinalTest) -> Iterator[Step]:
    """Says so where the study's best trial was none of those that the winner of this look was chosen among."""
    best = study.best
    if best is not None and best.number not in known.confirm.tuned_order:
        yield (
            f"this is the look at trial {known.trial}; trial {best.number}, the best by its folds now, came later, and "
            'another look would be for it: --again "reason"'
        )


def _earlier(ledger: Ledger, look: Look, objective: str) -> Iterator[EarlierLook]:
    """The looks at the same test images before this one."""
    for one in ledger.looks(look.test_hash):
        if one.number < look.number:
            result = ledger.result_of(one)
            score = result.scores.get(objective) if result else None
            low, high = result.intervals.get(objective, (None, None)) if result else (None, None)
            yield EarlierLook(one.time, one.study, one.trial, one.reason, score, low, high)


def _refit(study: LoadedStudy, task: FoldTask, cluster: Cluster) -> Generator[Step, None, FoldRecord]:
    known = study.store.find_fold(task.key())
    if known and has_weights([known]):  # as where a look was cut short: then no code trains it
        return known
    return (yield from _trained(study, task, cluster))


def _trained(study: LoadedStudy, task: FoldTask, cluster: Cluster) -> Generator[Step, None, FoldRecord]:
    refit: FoldRecord | None = None
    workplace = workplace_of(study.store, study.record)
    trained = train_tasks(workplace, {NO_FOLD: task}, cluster=cluster, with_weights=[task.key()])
    for step in told(trained, {NO_FOLD: task}, lambda _: "network"):
        if isinstance(step, Training):
            yield step
        else:
            refit = step[1]
    assert refit is not None
    return refit


def _network_again(study: LoadedStudy, known: FinalTest, cluster: Cluster) -> Iterator[Step]:
    """Train the network of an earlier `final` again, where it is gone or damaged."""
    there = study.store.read_fold(known.refit)
    if there is not None and has_weights([there]):
        return
    yield "its network is gone or damaged, and is trained again"
    task = refit_task(study, study.trials[known.trial])
    for each in (task, halved(task)):
        if each.key() == known.refit:
            yield from _trained(study, each, cluster)
            return
    raise RecordError(
        f"{study.store.fold_folder(known.refit)}: gone or damaged, and what trains it is not what it was; put that "
        'back and run the same command again, or look once more with --again "reason"'
    )


def _look(
    study: LoadedStudy, trial: TrialRecord, refit: FoldRecord, ledger: Ledger, again: str
) -> tuple[Look, Result, int]:
    """Open the test images and score them once: the ledger's line before and after, and its looks at these images."""
    from harness.data import test_set  # loaded by who opens them: `guards` looks whether a process has it

    test = test_set.load_test(study.record.data["settings"], study.sealed)
    test = _of_its_classes(test, study.record)
    look = _opened(ledger, study.record, trial, refit, test, again)
    result = ledger.result_of(look)
    if result is None:
        result = ledger.append(_scored(study, trial, refit, test, look))
    return look, result, len(ledger.looks(test.content_hash))


def _of_its_classes(test: Images, record: StudyRecord) -> Images:
    """The test images, their labels numbered as the training images' are; a class may be missing among them.

    Raises DataError for images of another shape, or of a class that no training image has.
    """
    shape, classes = tuple(record.data["image_shape"]), tuple(record.data["classes"])
    if test.pixels.shape[1:] != shape:
        raise DataError(
            f"test images have the shape {test.pixels.shape[1:]}, and training images {shape}; nothing was opened"
        )
    if test.classes == classes:
        return test
    known = {name: number for number, name in enumerate(classes)}
    numbers = np.array([known.get(name, -1) for name in test.classes])
    unknown = np.flatnonzero(numbers[test.labels] < 0)
    if len(unknown):
        name = test.classes[test.labels[unknown[0]]]
        raise DataError(
            f"test images have the class {name}, and training images only {', '.join(classes)}; nothing was opened"
        )
    return Images(test.pixels, numbers[test.labels], classes, test.names, test.groups)


def _opened(
    ledger: Ledger,
    record: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    test: Images,
    again: str,
) -> Look:
    """The line of this look: one that was cut short, or a new one. Raises UsageError for one more without reason."""
    looks = ledger.looks(test.content_hash)
    mine = [look for look in looks if look.study in record.all_names and look.created == record.created]
    if mine and (not again or mine[-1].reason == again) and mine[-1].refit == refit.key:
        return mine[-1]
    if mine and not again:
        raise UsageError(
            f"study {record.name} has looked at these test images before, with another network; to look again say "
            'why with --again "reason"'
        )
    return ledger.append(
        Look(
            time=_now(),
            study=record.name,
            created=record.created,
            trial=trial.number,
            refit=refit.key,
            definition=record.provenance.get("definition_hash"),
            commit=record.provenance.get("commit"),
            dirty=record.provenance.get("dirty"),
            data_hash=record.data["hash"],
            test_hash=test.content_hash,
            reason=again,
        )
    )


def _scored(study: LoadedStudy, trial: TrialRecord, refit: FoldRecord, test: Images, look: Look) -> Result:
    """Every metric on the test images with its 95 % interval, also without those that resemble a training image.

    They are scored by this machine, on its processor where it lacks the device that the folds were trained on.
    """
    record = study.record
    compute = training.on_this_machine(training.Compute(**record.compute))
    model = load_fold_model(
        study.store.fold_folder(refit.key) / WEIGHTS,
        values=models.architecture(trial.values),
        image_shape=tuple(record.data["image_shape"]),
        classes=record.data["classes"],
        sha256=refit.hashes[WEIGHTS],
        compute=compute,
    )
    with training.session(compute):
        probabilities = scoring.softmax(model.predict_logits(test.pixels, compute))
    predictions = probabilities.argmax(1)
    named = dict.fromkeys(["accuracy", record.objective])
    confusion = scoring.confusion_matrix(test.labels, predictions, len(test.classes)).tolist()
    return Result(
        look=look.number,
        time=_now(),
        test_hash=test.content_hash,
        scores={
            **scoring.score(test.labels, probabilities),
            record.objective: find_metric(record.objective)(test.labels, probabilities),
        },
        intervals={metric: score_interval(metric, test.labels, probabilities) for metric in named},
        num_images=len(test),
        confusion=tuple(map(tuple, confusion)),
        duplicates=_without_duplicates(study, test, probabilities),
        per_class=tuple(per_class(test.labels, probabilities)),
        calibration=calibration_curve(test.labels, probabilities).bins,
    )


def _without_duplicates(study: LoadedStudy, test: Images, probabilities: np.ndarray) -> TestDuplicates:
    """How many test images have a near duplicate among the training images, and the score without them.

    That is None where no image is left, or too few for a metric of the user's own: the look has been taken by then.
    """
    training = images_of(study.store, study.record)
    found = near_duplicates.copies(training.pixels, training.labels, test.pixels)
    kept = np.setdiff1d(np.arange(len(test)), found.pairs[:, 1])
    score = None
    with suppress(HarnessError):
        score = (
            find_metric(study.record.objective)(test.labels[kept], probabilities[kept]) if len(kept) else None
        )
    return TestDuplicates(len(test) - len(kept), score)


def _seen_before(study: LoadedStudy, ledger: Ledger) -> int:
    """How many test images a study that this one extends, or one that that extends, has looked at."""
    if study.snapshot is None:
        return 0
    own = study.snapshot.rows(TEST)
    names, hashes = (
        np.array(column)[own].tolist() for column in (study.snapshot.names, study.snapshot.hashes)
    )
    seen, older = np.zeros(len(own), dtype=bool), study
    while (name := older.record.data.get("extends")) and (parent := LoadedStudy.find(study.store, name)):
        older = parent
        if parent.snapshot is not None and parent.sealed and ledger.looks(parent.sealed.hash):
            seen |= np.isin(rows_before(parent.snapshot, names, hashes), parent.snapshot.rows(TEST))
    return int(seen.sum())


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
