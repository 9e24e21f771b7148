"""Trials that have not ended, with the folds that they have trained so far: their records name none until they end."""

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import HarnessError
from harness.folds.tasks import fold_tasks
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.scoring.standard_errors import trial_mean
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import score_by
from harness.store.store import Store
from harness.store.trial_scores import sampling_of


def with_finished_folds(study: LoadedStudy) -> LoadedStudy:
    """The study as it is, but for the folds, scores and times of its open trials: those that the store has by now."""
    trials = tuple(_so_far(study, trial) if trial.state == "running" else trial for trial in study.trials)
    return study if trials == study.trials else replace(study, trials=trials)


def _so_far(study: LoadedStudy, trial: TrialRecord) -> TrialRecord:
    """The trial with its folds from the first to the one before the first that is missing."""
    try:
        folds = _finished(study.store, study.record, trial)
        scores = [score_by(fold, study.record.objective) for fold in folds]
    except (HarnessError, ValueError):  # a metric of the user's own that is gone or has no value
        return trial
    if not folds:
        return trial
    found = replace(
        trial,
        folds=tuple(fold.key for fold in folds),
        scores=tuple(scores),
        mean=trial_mean(scores),
        seconds=sum(fold.seconds for fold in folds),
        started=min(fold.started for fold in folds),
    )
    return _with_error(study, found, scores)


def _with_error(study: LoadedStudy, trial: TrialRecord, scores: Sequence[float]) -> TrialRecord:
    """As the driver will write it down; a single fold of several has none."""
    if len(scores) < 2:
        return trial
    error = study.error(scores, sampling_of(study, trial, study.record.objective))
    if error is None:
        return trial
    return replace(trial, standard_error=error.standard_error, half_width=error.half_width)


def _finished(store: Store, record: StudyRecord, trial: TrialRecord) -> list[FoldRecord]:
    found = []
    for task in fold_tasks(record, trial).values():
        key = task.key()
        other = None if store.fold_folder(key).exists() else store.substitute(key)
        fold = store.read_fold_record(other or key)
        if fold is None:
            break
        found.append(fold)
    return found
