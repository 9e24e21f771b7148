"""The figures of a whole trial: means over its folds, and pooled over all images that it has predicted."""

import numpy as np

from harness.errors import RecordError
from harness.records import TrialRecord
from harness.scoring.calibration import fit_temperature
from harness.scoring.standard_errors import EpochChoice, epoch_choice
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import OutOfFold

ERROR = ".standard_error"  # what follows a metric's name in `means`


def means(study: LoadedStudy, trial: TrialRecord) -> dict[str, float]:
    """The mean of every metric over the folds, and from two on its corrected error under NAME + ERROR.

    A metric that there is no longer is left out where only some of the folds have it.
    """
    found: dict[str, float] = {}
    folds = study.folds(trial)
    for name in folds[0].metrics:
        scores = [fold.metrics[name] for fold in folds if name in fold.metrics]
        if len(scores) < len(folds):
            continue
        found[name] = float(np.mean(scores))
        error = study.standard_error(scores) if np.isfinite(scores).all() else None
        if error is not None:
            found[name + ERROR] = error
    return found


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
