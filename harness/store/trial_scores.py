"""The figures of a whole trial: means over its folds, and pooled over all images that it has predicted."""

import math
from collections.abc import Sequence

import numpy as np

from harness.errors import HarnessError, RecordError
from harness.records import TrialRecord
from harness.scoring.calibration import fit_temperature
from harness.scoring.sampling import deviations
from harness.scoring.standard_errors import EpochChoice, epoch_choice
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import OutOfFold

# What follows a metric's name in `means`.
ERROR, HALF_WIDTH = ".standard_error", ".half_width"


def means(study: LoadedStudy, trial: TrialRecord) -> dict[str, float]:
    """The mean of every metric over the folds, and from two on its corrected error under NAME + ERROR.

    NAME + HALF_WIDTH is of the mean's 95 % interval.
    A metric that there is no longer is left out where only some of the folds have it.
    """
    found: dict[str, float] = {}
    folds, others = study.folds(trial), {one.name for one in study.record.others}
    for name in folds[0].metrics:
        scores = [fold.metrics[name] for fold in folds if name in fold.metrics]
        if len(scores) < len(folds):
            continue
        found[name] = float(np.mean(scores))
        sampling = sampling_of(study, trial, name) if name in others else None
        error = study.error(scores, sampling) if np.isfinite(scores).all() else None
        if name == study.record.objective and trial.standard_error is not None:
            found[name + ERROR] = trial.standard_error
            if trial.half_width is not None:
                found[name + HALF_WIDTH] = trial.half_width
        elif error is not None:
            found[name + ERROR], found[name + HALF_WIDTH] = error.standard_error, error.half_width
    return found


def fold_deviations(metric: str, trials: Sequence[tuple[LoadedStudy, TrialRecord]]) -> np.ndarray:
    """What the sample of images does to a fold's score, the mean over the folds: (rows, trials).

    As `sampling.deviations` has it of one network: by the squared length of a column and of the difference of two.
    trials: of the same folds and images, all with all their predictions.
    Raises RecordError for predictions that are gone, HarnessError as that.
    """
    predicted = [study.out_of_fold(trial) for study, trial in trials]
    first, groups = predicted[0], trials[0][0].split.groups
    folds = np.unique(first.fold_of[first.fold_of >= 0])
    found = []
    for fold in folds:
        rows = first.fold_of == fold
        found.append(
            deviations(
                metric,
                first.labels[rows],
                [one.probabilities[rows] for one in predicted],
                groups[first.images[rows]],
            )
        )
    stacked: np.ndarray = np.vstack(found)
    return stacked / math.sqrt(len(folds))


def sampling_of(study: LoadedStudy, trial: TrialRecord, metric: str) -> float | None:
    """The variance of a fold's score for its images being a sample, the mean over the folds; None where unknown."""
    try:
        return float(np.square(fold_deviations(metric, [(study, trial)])).sum())
    except (HarnessError, ValueError):  # gone, or of a metric that has no value for some resample
        return None


def sampling_of_difference(
    one: tuple[LoadedStudy, TrialRecord], other: tuple[LoadedStudy, TrialRecord]
) -> float | None:
    """As `sampling_of`, of the difference of two trials by the objective."""
    try:
        found = fold_deviations(one[0].record.objective, [one, other])
    except (HarnessError, ValueError):
        return None
    return float(np.square(found[:, 0] - found[:, 1]).sum())


def choice_of_epochs(study: LoadedStudy, trial: TrialRecord) -> EpochChoice:
    """What the choice of the epoch does to the trial's mean accuracy over its folds."""
    folds = study.folds(trial)
    return epoch_choice(
        [[epoch.validation_accuracy for epoch in fold.epochs] for fold in folds],
        [fold.chosen_epoch for fold in folds],
    )


def pooled(study: LoadedStudy, trial: TrialRecord) -> OutOfFold | None:
    """The predictions of all folds of the trial; None if any are gone or damaged."""
    try:
        return study.out_of_fold(trial)
    except RecordError:
        return None


def temperature_of(study: LoadedStudy, trial: TrialRecord) -> float | None:
    """What makes the probabilities of the trial's networks calibrated; None if their predictions are gone."""
    predicted = pooled(study, trial)
    return None if predicted is None or not len(predicted.known[0]) else fit_temperature(*predicted.known)
