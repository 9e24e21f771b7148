"""What the winner is worth: its score corrected for having been chosen, and what choosing epochs would add."""

import logging
import math

from harness.errors import HarnessError, RecordError
from harness.files import digest
from harness.records import TrialRecord
from harness.scoring.bbc_cv import corrected_best
from harness.scoring.find_metric import find_metric
from harness.store.findings import CorrectedScore, Epochs
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import choice_of_epochs, sampling_of

logger = logging.getLogger(__name__)


def corrected_score(study: LoadedStudy) -> CorrectedScore | None:
    """The corrected score: as it was found when the study ended, or computed where trials have changed since.

    Its figures are those of `scoring.bbc_cv`, from the pooled predictions of all trials; its interval is widened by how
    much the folds say that other trainings would differ, which no resampling of images sees. None without a complete
    trial, and where the objective is the user's own and cannot be computed.
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
    least, most = find_metric(study.record.objective).limits or (-math.inf, math.inf)
    epochs, training = choice_of_epochs(study, best), _training_half_width(study, best)
    return CorrectedScore(
        of=of,
        trial=best.number,
        naive=found.naive,
        corrected=found.corrected,
        low=max(found.corrected - math.hypot(found.corrected - found.low, training), least),
        high=min(found.corrected + math.hypot(found.high - found.corrected, training), most),
        num_trials=len(study.trials),
        epochs=Epochs(epochs.final, epochs.chosen, epochs.oracle, epochs.inflation),
    )


def _training_half_width(study: LoadedStudy, best: TrialRecord) -> float:
    """What other trainings, on other folds and from other seeds, add to an interval of resampled images."""
    sampling = sampling_of(study, best, study.record.objective)
    error = study.error(best.scores, sampling)
    if error is None or sampling is None or not error.standard_error:
        return 0.0
    of_training = max(error.standard_error**2 - sampling / len(best.scores), 0.0)
    return math.sqrt(of_training) * error.half_width / error.standard_error


def known_score(study: LoadedStudy) -> CorrectedScore | None:
    """The corrected score that was written last; None where there is none or a damaged one, which is made again."""
    try:
        return study.finding(CorrectedScore)
    except RecordError:
        return None
