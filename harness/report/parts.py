"""Parts of a study's document: its best trial from held-out predictions, what racing saved, what it cost."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from harness.analysis.leaderboard import images_per_second
from harness.errors import HarnessError
from harness.records import FoldRecord, TrialRecord
from harness.scoring import METRICS, confusion_matrix
from harness.scoring.calibration import calibration_curve
from harness.scoring.per_class import per_class
from harness.store.findings import Audit
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import means

CURVES = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")


def best_trial(study: LoadedStudy, absent: dict[str, str]) -> dict[str, Any] | None:
    """Learning curves, metrics and, of the pooled held-out predictions, confusion, classes and calibration."""
    trial = study.best
    if trial is None:
        return None
    folds = study.folds(trial)
    if not folds or len(folds) < len(trial.folds):
        absent["best_trial"] = "records of its folds are gone or damaged; harness tune makes them anew"
        return None
    document: dict[str, Any] = {
        "number": trial.number,
        "num_parameters": folds[0].num_parameters,
        "curves": curves(folds),
        "chosen_epochs": [fold.chosen_epoch for fold in folds],
        "metrics": _metrics(study, trial),
    }
    try:
        held_out = study.out_of_fold(trial)
    except HarnessError:
        absent["predictions"] = "its held-out predictions are gone or damaged; harness tune makes them anew"
        return document
    return document | _predicted(*held_out.known)


def _predicted(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    curve = calibration_curve(labels, probabilities)
    return {
        "confusion": confusion_matrix(labels, probabilities.argmax(1), probabilities.shape[1]).tolist(),
        "classes": [asdict(scores) for scores in per_class(labels, probabilities)],
        "calibration": {
            "error": METRICS["calibration_error"](labels, probabilities),
            "confidence": curve.confidence.tolist(),
            "accuracy": curve.accuracy.tolist(),
            "count": curve.count.tolist(),
        },
    }


def curves(folds: Sequence[FoldRecord]) -> dict[str, dict[str, list[float]]]:
    """By curve and epoch the mean, lowest and highest of the folds that got as far."""
    length = max(len(fold.epochs) for fold in folds)
    found: dict[str, dict[str, list[float]]] = {}
    for name in CURVES:
        epochs = [
            [getattr(fold.epochs[epoch], name) for fold in folds if epoch < len(fold.epochs)]
            for epoch in range(length)
        ]
        found[name] = {
            "mean": [float(np.mean(values)) for values in epochs],
            "low": [min(values) for values in epochs],
            "high": [max(values) for values in epochs],
        }
    return found


def _metrics(study: LoadedStudy, trial: TrialRecord) -> dict[str, dict[str, float | None]]:
    """Every metric's mean over the folds and its corrected standard error."""
    known = means(study, trial)
    return {
        name: {"mean": known[name], "standard_error": known.get(f"{name}.standard_error")}
        for name in METRICS
        if name in known
    }


def racing(study: LoadedStudy) -> dict[str, Any]:
    """Which trials were stopped after how many folds, and what that saved.

    seconds_saved: an estimate. A fold that was not trained counts as long as those that its trial trained took in the
    mean, or where it trained none, as those of all trials.   checked: the audit's sample of stopped trials.
    """
    record, trials, audit = study.record, study.trials, study.finding(Audit)
    stopped = [trial for trial in trials if trial.state == "stopped"]
    trained = sum(len(trial.folds) for trial in trials)
    mean = sum(trial.seconds for trial in trials) / trained if trained else 0.0
    missing = {trial.number: record.num_folds - len(trial.folds) for trial in stopped}
    saved = [
        missing[trial.number] * (trial.seconds / len(trial.folds) if trial.folds else mean)
        for trial in stopped
    ]
    search = record.definition.get("search", {})
    return {
        "rule": search.get("racing"),
        "rung": search.get("rung"),
        "stopped": len(stopped),
        "folds_trained": trained,
        "folds_of_ended_trials": record.num_folds * len(study.ended),
        "folds_saved": sum(missing.values()),
        "seconds_saved": sum(saved),
        "checked": audit and audit.stopped,
    }


def cost(study: LoadedStudy) -> dict[str, Any]:
    """Seconds that the folds of all trials took to train, and their short trainings; speed of the best trial."""
    trials, best = study.trials, study.best
    shorts = [study.fold(trial.rung) for trial in trials if trial.rung]
    return {
        "seconds": sum(trial.seconds for trial in trials),
        "short_seconds": sum(fold.seconds for fold in shorts if fold),
        "short_trainings": sum(fold is not None for fold in shorts),
        "folds": sum(len(trial.folds) for trial in trials),
        "best_seconds": best and best.seconds,
        "images_per_second": images_per_second(study, best),
        "device": study.record.compute.get("device"),
    }
