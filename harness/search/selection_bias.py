"""What the winner is worth: its score corrected for having been chosen, and what choosing epochs would add."""

from collections.abc import Sequence
from typing import Any

from harness.data.split import Manifest
from harness.errors import RecordError
from harness.files import digest
from harness.records import StudyRecord, TrialRecord, best_of
from harness.scoring.bbc_cv import corrected_best
from harness.scoring.standard_errors import epoch_choice
from harness.store.predictions import out_of_fold
from harness.store.store import Store


def honest_score(store: Store, record: StudyRecord, trials: Sequence[TrialRecord]) -> dict[str, Any] | None:
    """The finding "honest": made when trials have changed since it was, else read; None without a complete trial.

    naive, corrected, low, high: as in `scoring.selection`, from the pooled predictions of all trials.
    epochs: accuracy of the best trial at its last, chosen and best epochs; the last is a claim nobody should make.
    Raises RecordError if a fold's record is gone.
    """
    best = best_of(trials, record.direction)
    if best is None or not best.folds:
        return None
    of = digest(repr([(trial.state, trial.folds) for trial in trials if trial.folds]).encode())
    known = known_score(store, record.name)
    if known is not None and known.get("of") == of:
        return known
    scored = [trial for trial in trials if trial.folds and trial.state in ("complete", "stopped")]
    predictions = [out_of_fold(store, record, trial) for trial in scored]
    winner = predictions[scored.index(best)]
    found = corrected_best(
        record.objective,
        winner.labels,
        [prediction.probabilities for prediction in predictions],
        eligible=[trial.state == "complete" for trial in scored],
        groups=Manifest.load(store.study_folder(record.name) / "split.npz").groups,
    )
    folds = [fold for key in best.folds if (fold := store.read_fold(key))]
    epochs = epoch_choice(
        [[epoch.validation_accuracy for epoch in fold.epochs] for fold in folds],
        [fold.chosen_epoch for fold in folds],
    )
    document = {
        "of": of,
        "trial": best.number,
        "naive": found.naive,
        "corrected": found.corrected,
        "low": found.low,
        "high": found.high,
        "num_trials": len(trials),
        "epochs": {
            "final": epochs.final,
            "chosen": epochs.chosen,
            "oracle": epochs.oracle,
            "inflation": epochs.inflation,
        },
    }
    store.write_finding(record.name, "honest", document)
    return document


def known_score(store: Store, name: str) -> dict[str, Any] | None:
    """The finding "honest" as it was made last; None where there is none or a damaged one, which can be made again."""
    try:
        return store.read_finding(name, "honest")
    except RecordError:
        return None
