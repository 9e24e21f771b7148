"""Trains a recorded trial again, from its record alone, and says how much of it came out the same."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import CheckFailed, RecordError, UsageError
from harness.records import SCHEMA, Epoch, FoldRecord, Scalar, StudyRecord, TrialRecord, best_of
from harness.results.leaderboard import started_study
from harness.study.extra import train_tasks, workplace_of
from harness.study.fold import FoldTask
from harness.study.store import Store

# What differs is listed in this order: the likeliest cause of other bits first.
CAUSES = (
    "device",
    "precision",
    "threads",
    "channels_last",
    "instructions",
    "torch",
    "processor",
    "gpu",
    "cuda",
    "cudnn",
)


def reproduce(
    store: Store,
    name: str,
    *,
    trial: str = "best",
    workers: int = 1,
    compute: Mapping[str, Scalar] | None = None,
) -> Iterator[tuple[int, Epoch] | dict[str, Any]]:
    """Train the folds of a trial again: yields (fold, epoch) while it works, then the verdict's document.

    trial: "best" or a number.   compute: settings to change on purpose.
    Nothing is read but the records and the data set; the folds are trained in a folder of their own.
    Raises UsageError for a trial that is not there or has no folds, DataError if the images are others.
    """
    record = started_study(store, name)
    chosen = _chosen(store.read_trials(name), trial, record)
    recorded = {fold: _recorded(store, key) for fold, key in enumerate(chosen.folds)}
    with tempfile.TemporaryDirectory(prefix="harness-reproduce-") as folder:
        workplace = workplace_of(store, record, home=Path(folder))
        tasks = {fold: _task(old, compute or {}) for fold, old in recorded.items()}
        again: dict[int, FoldRecord] = {}
        for fold, report in train_tasks(workplace, tasks, workers=workers):
            if isinstance(report, Epoch):
                yield fold, report
            else:
                again[fold] = report
    yield verdict(record, chosen, recorded, again)


def verdict(
    study: StudyRecord,
    trial: TrialRecord,
    recorded: Mapping[int, FoldRecord],
    again: Mapping[int, FoldRecord],
) -> dict[str, Any]:
    """What came of it: BITWISE, WITHIN-NOISE or DRIFT, the scores of every fold, and what differs.

    BITWISE: every weight and every held-out probability is the same.
    WITHIN-NOISE: the mean moved by no more than two standard errors.
    """
    pairs = [(recorded[fold], again[fold]) for fold in sorted(recorded)]
    scores = [(old.metrics[study.objective], new.metrics[study.objective]) for old, new in pairs]
    same = [old.hashes == new.hashes for old, new in pairs]
    shift = abs(sum(new - old for old, new in scores)) / len(scores)
    if all(same):
        word = "BITWISE"
    else:
        word = "WITHIN-NOISE" if shift <= 2 * _noise(trial, recorded) else "DRIFT"
    return {
        "schema": SCHEMA,
        "study": study.name,
        "verdict": word,
        "trial": trial.number,
        "objective": study.objective,
        "folds": [
            {"fold": old.fold, "recorded": a, "reproduced": b, "bitwise": equal}
            for (old, _), (a, b), equal in zip(pairs, scores, same, strict=True)
        ],
        "differences": differences(pairs),
    }


def differences(pairs: list[tuple[FoldRecord, FoldRecord]]) -> list[dict[str, str]]:
    """What is not as it was, likeliest cause first: settings of the computation, versions, machine."""
    found: dict[str, tuple[str, str]] = {}
    for old, new in pairs:
        before = {**old.fingerprint, **_text(old.task["compute"])}
        after = {**new.fingerprint, **_text(new.task["compute"])}
        for what in {*before, *after}:
            if before.get(what) != after.get(what):
                found[what] = (before.get(what, "-"), after.get(what, "-"))
    rank = {what: place for place, what in enumerate(CAUSES)}
    ordered = sorted(found, key=lambda what: (rank.get(what, len(rank)), what))
    return [{"what": what, "recorded": found[what][0], "now": found[what][1]} for what in ordered]


def require_reproduced(document: dict[str, Any]) -> None:
    """Raise CheckFailed on drift."""
    if document["verdict"] == "DRIFT":
        raise CheckFailed(f"trial {document['trial']} of {document['study']} does not come out as recorded")


def _chosen(trials: list[TrialRecord], wanted: str, study: StudyRecord) -> TrialRecord:
    if wanted == "best":
        best = best_of(trials, study.direction)
        if best is None:
            raise UsageError(f"study {study.name} has no complete trial yet")
        return best
    found = next((trial for trial in trials if str(trial.number) == wanted), None)
    if found is None:
        numbers = f"0 to {len(trials) - 1}" if trials else "none yet"
        raise UsageError(f"--trial must be best or a number ({numbers}); got {wanted!r}")
    if not found.folds:
        raise UsageError(f"trial {found.number} has no finished fold ({found.state}: {found.reason or '-'})")
    return found


def _recorded(store: Store, key: str) -> FoldRecord:
    record = store.read_fold(key)
    if record is None:
        raise RecordError(
            f"{store.fold_folder(key)}: the fold's record is gone; run tune again to make it anew"
        )
    return record


def _task(old: FoldRecord, compute: Mapping[str, Scalar]) -> FoldTask:
    task = FoldTask(**old.task)
    return replace(task, compute={**task.compute, **compute})


def _noise(trial: TrialRecord, recorded: Mapping[int, FoldRecord]) -> float:
    """One standard error of the trial's mean; at least that of counting right answers on as many images."""
    num_images = sum(sum(map(sum, fold.confusion)) for fold in recorded.values())
    return max(trial.standard_error or 0.0, 0.5 / math.sqrt(num_images))


def _text(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
