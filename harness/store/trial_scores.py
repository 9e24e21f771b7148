"""The figures of a whole trial: means over its folds, and pooled over all images that it has predicted."""

from collections.abc import Sequence

import numpy as np

from harness.errors import RecordError
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.scoring import corrected_standard_error, score
from harness.scoring.calibration import fit_temperature
from harness.scoring.standard_errors import epoch_choice
from harness.store.loaded_study import OutOfFold, gathered


def summary(study: StudyRecord, trial: TrialRecord, folds: Sequence[FoldRecord]) -> dict[str, float]:
    """Means over the folds with their corrected standard errors, what choosing epochs would add, pooled metrics."""
    found: dict[str, float] = {"trial.seconds": trial.seconds}
    if not folds:
        return found
    found["num_parameters"] = float(folds[0].num_parameters)
    found |= means(study, folds)
    curves = [[epoch.validation_accuracy for epoch in fold.epochs] for fold in folds]
    epochs = epoch_choice(curves, [fold.chosen_epoch for fold in folds])
    found |= {"accuracy.best_epochs": epochs.oracle, "accuracy.best_epochs_inflation": epochs.inflation}
    if trial.state == "complete" and (predicted := pooled(study, folds)) is not None:
        found |= {f"{name}.pooled": value for name, value in score(*predicted.known).items()}
    return found


def means(study: StudyRecord, folds: Sequence[FoldRecord]) -> dict[str, float]:
    """The mean of every metric over the folds, and from two on its corrected error as NAME.standard_error."""
    found: dict[str, float] = {}
    for name in folds[0].metrics:
        scores = [fold.metrics[name] for fold in folds]
        found[name] = float(np.mean(scores))
        if len(scores) > 1 and np.isfinite(scores).all():
            error = corrected_standard_error(scores, test_fraction=study.test_fraction)
            found[f"{name}.standard_error"] = error
    return found


def pooled(study: StudyRecord, folds: Sequence[FoldRecord]) -> OutOfFold | None:
    """The predictions of all folds; None if any are gone or damaged."""
    try:
        return gathered(study, folds)
    except RecordError:
        return None


def temperature_of(study: StudyRecord, folds: Sequence[FoldRecord]) -> float | None:
    """What makes the probabilities of these folds' networks calibrated; None if their predictions are gone."""
    predicted = pooled(study, folds) if folds else None
    return None if predicted is None or not len(predicted.known[0]) else fit_temperature(*predicted.known)
