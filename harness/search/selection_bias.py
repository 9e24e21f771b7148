"""What the winner is worth: its score corrected for having been chosen, and what choosing epochs would add."""

import logging

from harness.errors import HarnessError, RecordError
from harness.files import digest
from harness.scoring.bbc_cv import corrected_best
from harness.store.findings import CorrectedScore, Epochs
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import choice_of_epochs

logger = logging.getLogger(__name__)


def corrected_score(study: LoadedStudy) -> CorrectedScore | None:
    """The corrected score: as it was found when the study ended, or computed where trials have changed since.

    Its figures are those of `scoring.bbc_cv`, from the pooled predictions of all trials. None without a complete trial,
    and where the objective is the user's own and cannot be computed.
    Raises RecordError if a fold's record is gone.
    """
    best = study.best
    if best is None or not best.folds:
        return None
    of = digest(repr([(trial.state, trial.folds) for trial in study.trials if trial.folds]).encode())
    known = known_score(study)
    if known is not None and known.of == of:
        return known
    scored = [trial for trial in study.trials if trial.folds and trial.state in ("complete", "stopped")]
    winner = study.out_of_fold(best)
    held_out = winner.fold_of >= 0
    predicted = [study.out_of_fold(trial).probabilities[held_out] for trial in scored]
    try:
        found = corrected_best(
            study.record.objective,
            winner.labels[held_out],
            predicted,
            eligible=[trial.state == "complete" for trial in scored],
            groups=study.split.groups[winner.images[held_out]],
            fold_of=winner.fold_of[held_out],
        )
    except (
        HarnessError
    ) as error:  # a metric of the user's own that is gone, or has no value for some resample
        logger.warning("no score corrected for the choice: %s", error)
        return None
    epochs = choice_of_epochs(study, best)
    return CorrectedScore(
        of=of,
        trial=best.number,
        naive=found.naive,
        corrected=found.corrected,
        low=found.low,
        high=found.high,
        num_trials=len(study.trials),
        epochs=Epochs(epochs.final, epochs.chosen, epochs.oracle, epochs.inflation),
    )


def known_score(study: LoadedStudy) -> CorrectedScore | None:
    """The corrected score that was written last; None where there is none or a damaged one, which is made again."""
    try:
        return study.finding(CorrectedScore)
    except RecordError:
        return None
