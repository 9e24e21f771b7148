"""The sealed test: opened once, for the confirmed winner, trained on all training images; every look is in the ledger.

This is the only code that opens the test images.
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis import confirm as confirming
from harness.analysis.test_set_ledger import Ledger
from harness.errors import CheckFailed, RecordError, UsageError
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.fold import NO_FOLD, FoldTask
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import train_tasks, workplace_of
from harness.records import Epoch, FoldRecord, StudyRecord, TrialRecord, best_of
from harness.store.store import Store, started_study

if TYPE_CHECKING:
    from harness.data.images import Images


@dataclass(frozen=True)
class Request:
    """How `final` is asked for.

    top: trials to confirm.   cluster: what trains.   checked: why a failed audit is no reason not to look, or "".
    again: why the test images are looked at once more, or "".
    """

    top: int = 3
    cluster: Cluster = THIS_PROCESS
    checked: str = ""
    again: str = ""


def final(store: Store, name: str, request: Request) -> Iterator[str | dict[str, Any]]:
    """Confirm, refit, open the test images, write it down: yields lines of progress, then the document.

    The document is the study's finding "final". Where there is one already, and `again` gives no reason, it is
    returned and nothing is opened. A look that was cut short is finished, and counts once.
    Raises UsageError for a study that is not finished, CheckFailed for one that its audit failed, RecordError for a
    ledger that somebody has changed, DataError where there are no test images.
    """
    record = started_study(store, name)
    ledger = Ledger(store.home)
    known = store.read_finding(name, "final")
    if known is not None:
        _require_in_ledger(ledger, known)
        if not request.again:
            yield known
            return
    trials = store.read_trials(name)
    _require_finished(record, trials)
    audit = yield from _audited(store, record, trials, request)
    confirmed = yield from _confirmed(store, record, trials, request)
    winner = trials[confirmed["winner"]]
    task = refit_task(store, record, winner)
    yield f"training trial {winner.number} on all {record.data['num_images']:,} training images"
    refit = yield from _refit(store, record, task, request.cluster)
    yield "opening the test images"
    document = _look(store, record, winner, refit, ledger, request.again)
    document |= {"confirm": confirmed, "audit": audit, "checked": request.checked}
    store.write_finding(name, "final", document)
    yield document


def refit_task(store: Store, record: StudyRecord, trial: TrialRecord) -> FoldTask:
    """The training of a trial's values on all images, for as many epochs as were scored in its folds.

    Where early stopping chose the epoch, that is the rounded mean of the chosen ones.
    """
    values = dict(trial.values)
    if values.get("train.patience") is not None:
        folds = [fold for key in trial.folds if (fold := store.read_fold(key))]
        if not folds:
            raise RecordError(f"the folds of trial {trial.number} are gone; run tune again to make them anew")
        values["train.epochs"] = max(round(float(np.mean([fold.chosen_epoch for fold in folds]))), 1)
        values["train.patience"] = None
    return replace(fold_tasks(record, replace(trial, values=values))[0], fold=NO_FOLD)


def _require_finished(record: StudyRecord, trials: list[TrialRecord]) -> None:
    done = sum(trial.state != "running" for trial in trials)
    if done < record.num_trials:
        raise UsageError(
            f"study {record.name} is not finished ({done} of {record.num_trials} trials): run tune again first, "
            f"or end it there with tune --trials {max(done, 1)}"
        )


def _audited(
    store: Store, record: StudyRecord, trials: list[TrialRecord], request: Request
) -> Generator[str, None, dict[str, Any]]:
    """The audit of the study's best trial, made now if there is none. Raises CheckFailed if it failed."""
    from harness.analysis.audit import audit

    best = best_of(trials, record.direction)
    if best is None:
        raise UsageError(f"study {record.name} has no complete trial: there is nothing to test")
    document = store.read_finding(record.name, "audit")
    if document is None or document["trial"] != best.number:
        for step in audit(store, record.name, cluster=request.cluster):
            if isinstance(step, dict):
                document = step
            else:
                yield step
    assert document is not None
    if document["verdict"] == "failed" and not request.checked:
        raise CheckFailed(
            f"{document['sentence']} The test images stay sealed; if you have made sure that the score is honest, "
            'say why with --i-checked "reason"'
        )
    return {"verdict": document["verdict"], "sentence": document["sentence"]}


def _confirmed(
    store: Store, record: StudyRecord, trials: list[TrialRecord], request: Request
) -> Generator[str, None, dict[str, Any]]:
    """The confirmation of the study's best trials, made now unless there is one."""
    document = store.read_finding(record.name, "confirm")
    if document and confirming.is_of(document, confirming.chosen_trials(record, trials, request.top)):
        return document
    for step in confirming.confirm(store, record.name, top=request.top, cluster=request.cluster):
        if isinstance(step, dict):
            document = step
        else:
            yield step
    assert document is not None
    return document


def _refit(
    store: Store, record: StudyRecord, task: FoldTask, cluster: Cluster
) -> Generator[str, None, FoldRecord]:
    refit: FoldRecord | None = None
    for _, report in train_tasks(workplace_of(store, record), {NO_FOLD: task}, cluster=cluster):
        if isinstance(report, Epoch):
            yield f"epoch {report.epoch}  training loss {report.train_loss:.4f}"
        else:
            refit = report
    assert refit is not None
    return refit


def _look(
    store: Store,
    record: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    ledger: Ledger,
    again: str,
) -> dict[str, Any]:
    """Open the test images and score them once, with a line in the ledger before and one after."""
    from harness.data import test_set

    test = test_set.load_test(record.data["settings"])
    opened = _opened(ledger, record, trial, refit, test, again)
    known = ledger.result_of(opened)
    if known is None:
        scores = _scored(store, record, trial, refit, test)
        known = ledger.append(
            "result", {"look": opened["number"], "time": _now(), "test_hash": test.content_hash, **scores}
        )
    return {
        "study": record.name,
        "trial": trial.number,
        "objective": record.objective,
        "refit": refit.key,
        "look": opened["number"],
        "looks": len(ledger.looks(test.content_hash)),
        "test_hash": test.content_hash,
        "reason": opened["reason"],
        "ledger": {"number": known["number"], "hash": known["hash"]},
        **{key: known[key] for key in ("scores", "intervals", "num_images", "confusion", "duplicates")},
    }


def _opened(
    ledger: Ledger,
    record: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    test: "Images",
    again: str,
) -> dict[str, Any]:
    """The line of this look: one that was cut short, or a new one. Raises UsageError for one more without reason."""
    looks = ledger.looks(test.content_hash)
    mine = [look for look in looks if look["study"] == record.name and look["created"] == record.created]
    if mine and (not again or mine[-1]["reason"] == again) and mine[-1]["refit"] == refit.key:
        return mine[-1]
    if mine and not again:
        raise UsageError(
            f"study {record.name} has looked at these test images before, with another network; to look again say "
            'why with --again "reason"'
        )
    return ledger.append(
        "opened",
        {
            "time": _now(),
            "study": record.name,
            "created": record.created,
            "trial": trial.number,
            "refit": refit.key,
            "definition": record.provenance.get("definition_hash"),
            "commit": record.provenance.get("commit"),
            "dirty": record.provenance.get("dirty"),
            "data_hash": record.data["hash"],
            "test_hash": test.content_hash,
            "reason": again,
        },
    )


def _scored(
    store: Store, record: StudyRecord, trial: TrialRecord, refit: FoldRecord, test: "Images"
) -> dict[str, Any]:
    """Every metric on the test images with its 95 % interval, also without those that resemble a training image.

    They are scored by this machine, on its processor where it lacks the device that the folds were trained on.
    """
    from harness import scoring, training
    from harness.config import search_space
    from harness.inference.model import load_fold_model
    from harness.scoring.intervals import score_interval
    from harness.store.store import WEIGHTS

    compute = training.on_this_machine(training.Compute(**record.compute))
    model = load_fold_model(
        store.fold_folder(refit.key) / WEIGHTS,
        values=search_space.section(trial.values, "model"),
        image_shape=tuple(record.data["image_shape"]),
        classes=record.data["classes"],
        sha256=refit.hashes[WEIGHTS],
        compute=compute,
    )
    with training.session(compute):
        probabilities = scoring.softmax(model.predict_logits(test.pixels, compute))
    predictions = probabilities.argmax(1)
    named = dict.fromkeys(["accuracy", record.objective])
    return {
        "scores": scoring.score(test.labels, probabilities),
        "intervals": {metric: list(score_interval(metric, test.labels, probabilities)) for metric in named},
        "num_images": len(test),
        "confusion": scoring.confusion_matrix(test.labels, predictions, len(test.classes)).tolist(),
        "duplicates": _without_duplicates(record, test, probabilities),
    }


def _without_duplicates(record: StudyRecord, test: "Images", probabilities: np.ndarray) -> dict[str, Any]:
    """How many test images have a near duplicate among the training images, and the score without them."""
    from harness import scoring
    from harness.data import load_training, near_duplicates

    found = near_duplicates.find(load_training(record.data["settings"]).pixels, test.pixels)
    kept = np.setdiff1d(np.arange(len(test)), found.pairs[:, 1])
    score = scoring.METRICS[record.objective](test.labels[kept], probabilities[kept]) if len(kept) else None
    return {"num_images": len(test) - len(kept), "score_without": score}


def _require_in_ledger(ledger: Ledger, document: dict[str, Any]) -> None:
    entries = ledger.entries()
    place = document["ledger"]["number"] - 1
    if place >= len(entries) or entries[place]["hash"] != document["ledger"]["hash"]:
        raise RecordError(f"{ledger.path}: the look of study {document['study']} is not in it any more")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
