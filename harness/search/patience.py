"""When a search has come to rest: its last trials are no better than the best one before them."""

from collections.abc import Sequence

from harness.records import TrialRecord, sign_of

WORTH = 1 / 3  # of the best trial's standard error: less is no gain that a study could tell


def last_improvement(trials: Sequence[TrialRecord], direction: str) -> int:
    """Number of the last trial that was better than all complete ones before it by what is worth it; 0 without one.

    A gain that is made in small steps counts once it is large enough. It is measured in standard errors of the trial
    that the gain is over, as the racing rule `paired` measures it.
    """
    sign, last = sign_of(direction), 0
    best: TrialRecord | None = None
    for trial in trials:
        if trial.state != "complete" or trial.mean is None:
            continue
        gain = 0.0 if best is None else sign * (trial.mean - (best.mean or 0.0))
        if best is None or gain > WORTH * (best.standard_error or 0.0):
            best, last = trial, trial.number
    return last


def has_come_to_rest(trials: Sequence[TrialRecord], direction: str, *, patience: int) -> bool:
    """Whether the last `patience` of these trials, all of which have ended, have brought nothing that is worth it.

    Too long a search also chooses worse, for it finds trials that the folds happen to like.
    Source: Makarova et al. 2022, Automatic termination for hyperparameter optimization, AutoML; theirs compares what is
    still to be gained with the error of cross-validation, too.
    """
    return len(trials) - 1 - last_improvement(trials, direction) >= patience
