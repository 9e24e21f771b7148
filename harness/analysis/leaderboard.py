"""Where studies stand, from their records alone: the documents behind `harness status`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

from harness.errors import DataError, RecordError
from harness.files import read_json
from harness.records import SCHEMA, StudyRecord, TrialRecord, best_of
from harness.scoring.standard_errors import corrected_standard_error
from harness.search.selection_bias import honest_score
from harness.store.store import Store, started_study
from harness.tracking.deliver import is_pending


def status(store: Store, name: str) -> dict[str, Any]:
    """The study's state, trials and best trial. Trials come by number; `mean` is over the folds there are."""
    record, trials = started_study(store, name), store.read_trials(name)
    run_ids = _run_ids(store, name)
    best = best_of(trials, record.direction)
    audit = store.read_finding(name, "audit")
    return {
        "schema": SCHEMA,
        "study": name,
        "state": _state(store, record, trials),
        "objective": record.objective,
        "direction": record.direction,
        "num_trials": record.num_trials,
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "reason": trial.reason,
                "failure": trial.failure,
                "params": trial.params,
                "mean": trial.mean,
                "standard_error": trial.standard_error,
                "folds": list(trial.scores),
                "seconds": trial.seconds,
                "mlflow_run_id": run_ids.get(str(trial.number)),
            }
            for trial in trials
        ],
        "best": best
        and {
            "number": best.number,
            "mean": best.mean,
            "standard_error": best.standard_error,
            "params": best.params,
        },
        "honest": _honest(store, record, trials),
        "pending": bool(trials) and not store.is_driven(name) and is_pending(store, name, trials),
        "audit": audit and {key: audit.get(key) for key in ("verdict", "sentence", "trial")},
    }


def ranking(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials of a status document, best first: complete ones, then stopped, running and failed ones."""
    order = {"complete": 0, "stopped": 1, "running": 2, "failed": 3}
    sign = -1 if document["direction"] == "maximize" else 1

    def place(trial: dict[str, Any]) -> tuple[int, float, int]:
        return order[trial["state"]], sign * (trial["mean"] or 0.0), trial["number"]

    return sorted(document["trials"], key=place)


def compare(store: Store, names: Sequence[str]) -> dict[str, Any]:
    """The best trials of several studies, and what each gains over the study before it.

    The gain is positive for a better score; its error is of the differences fold by fold. There is none between
    studies of different data, splits or objectives: `no_gain` then says which of them.
    """
    records = [started_study(store, name) for name in names]
    trials = [store.read_trials(name) for name in names]
    bests = [best_of(tried, record.direction) for record, tried in zip(records, trials, strict=True)]
    gains: list[dict[str, Any]] = [{"gain": None, "gain_standard_error": None, "no_gain": ""}]
    gains += [_gain(*before, *after) for before, after in pairwise(zip(records, bests, strict=True))]
    return {
        "schema": SCHEMA,
        "compared": [
            {
                "study": record.name,
                "objective": record.objective,
                "num_trials": record.num_trials,
                "trials_done": sum(trial.state != "running" for trial in tried),
                **_best_trial(store, record, best),
                **gain,
            }
            for record, tried, best, gain in zip(records, trials, bests, gains, strict=True)
        ],
    }


def mismatch(one: StudyRecord, other: StudyRecord) -> str:
    """In what two studies differ such that their scores cannot be compared, e.g. "data, splits"; or ""."""
    differ = {
        "data": one.data["hash"] != other.data["hash"],
        "splits": one.split_hash != other.split_hash,
        "objectives": one.objective != other.objective,
    }
    return ", ".join(what for what, different in differ.items() if different)


def _best_trial(store: Store, record: StudyRecord, best: TrialRecord | None) -> dict[str, Any]:
    """images_per_second: of training only, over all epochs of the trial's folds that are still there."""
    folds = [store.read_fold(key) for key in best.folds] if best else []
    speeds = [epoch.images_per_second for fold in folds if fold for epoch in fold.epochs]
    return {
        "trial": best and best.number,
        "mean": best and best.mean,
        "standard_error": best and best.standard_error,
        "epochs": best and best.values["train.epochs"],
        "num_images": record.data["num_images"],
        "images_per_second": sum(speeds) / len(speeds) if speeds else None,
        "seconds": best and best.seconds,
    }


def _gain(
    record_before: StudyRecord, before: TrialRecord | None, record: StudyRecord, best: TrialRecord | None
) -> dict[str, Any]:
    no_gain = mismatch(record_before, record)
    gain = error = None
    if before and best and not no_gain:
        sign = 1 if record.direction == "maximize" else -1
        gains = [sign * (new - old) for new, old in zip(best.scores, before.scores, strict=True)]
        gain = sum(gains) / len(gains)
        error = corrected_standard_error(gains, test_fraction=1 / (record.num_folds - 1))
    return {"gain": gain, "gain_standard_error": error, "no_gain": no_gain}


def _honest(store: Store, record: StudyRecord, trials: list[TrialRecord]) -> dict[str, Any] | None:
    """The winner's corrected score; while the study runs, or where predictions are gone, there is none."""
    if any(trial.state == "running" for trial in trials):
        return None
    try:
        return honest_score(store, record, trials)
    except (RecordError, DataError):
        return None


def _state(
    store: Store, record: StudyRecord, trials: list[TrialRecord]
) -> Literal["running", "finished", "interrupted"]:
    if store.is_driven(record.name):
        return "running"
    done = sum(trial.state != "running" for trial in trials)
    return "finished" if done >= record.num_trials else "interrupted"


def _run_ids(store: Store, name: str) -> dict[str, str]:
    try:
        return dict(read_json(store.study_folder(name) / "mlflow.json")["trials"])
    except (OSError, RecordError, KeyError, TypeError, ValueError):
        return {}
