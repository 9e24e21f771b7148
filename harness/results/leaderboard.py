"""Where a study stands, from its records alone: the document behind `harness status`."""

from typing import Any, Literal

from harness.errors import RecordError, UsageError, did_you_mean
from harness.files import read_json
from harness.records import SCHEMA, StudyRecord, TrialRecord, best_of
from harness.study.store import Store


def started_study(store: Store, name: str) -> StudyRecord:
    """The study's record. Raises UsageError if no study of that name has been started."""
    record = store.read_study(name)
    if record is None:
        known = store.studies()
        hint = did_you_mean(name, known) if known else "; nothing has been started there yet"
        raise UsageError(f"no study {name!r} in {store.home}{hint}")
    return record


def status(store: Store, name: str) -> dict[str, Any]:
    """The study's state, trials and best trial. Trials come by number; `mean` is over the folds there are."""
    record, trials = started_study(store, name), store.read_trials(name)
    run_ids = _run_ids(store, name)
    best = best_of(trials, record.direction)
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
    }


def ranking(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials of a status document, best first: complete ones, then stopped, running and failed ones."""
    order = {"complete": 0, "stopped": 1, "running": 2, "failed": 3}
    sign = -1 if document["direction"] == "maximize" else 1

    def place(trial: dict[str, Any]) -> tuple[int, float, int]:
        return order[trial["state"]], sign * (trial["mean"] or 0.0), trial["number"]

    return sorted(document["trials"], key=place)


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
    except (OSError, RecordError, KeyError):
        return {}
