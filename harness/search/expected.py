"""What a stopped trial would have scored: means over different folds, and short trainings, are no values to compare."""

from collections.abc import Sequence

from harness.records import TrialRecord
from harness.scoring.standard_errors import trial_mean
from harness.search.racing import Line


def expected_means(
    trial: TrialRecord, earlier: Sequence[TrialRecord], others: Sequence[str] = ()
) -> tuple[float, ...] | None:
    """The means over all folds of the objective and of these others, as the scores that there are let expect them.

    The mean so far, and by how much the earlier complete trials' means over all folds differ from their means over
    the same folds. A trial that has only its short training is expected to score on fold 0 what the line through the
    earlier trials says. None where a score of one objective is missing.
    """
    complete = [other for other in earlier if other.state == "complete"]
    if others or trial.scores:
        found = [trial.scores, *(trial.others.get(name, ()) for name in others)]
        wholes = [[other.scores for other in complete]]
        wholes += [[other.others.get(name, ()) for other in complete] for name in others]
        if not all(found):
            return None
        return tuple(_expected(so_far, whole) for so_far, whole in zip(found, wholes, strict=True))
    if trial.rung_score is None:
        return None
    both = [
        (other.rung_score, other.scores[0])
        for other in earlier
        if other.scores and other.rung_score is not None
    ]
    rungs, firsts = [rung for rung, _ in both], [first for _, first in both]
    if len(set(rungs)) < 2:
        return (trial.rung_score,)
    return (
        _expected([Line.through(rungs, firsts).at(trial.rung_score)], [other.scores for other in complete]),
    )


def _expected(so_far: Sequence[float], wholes: Sequence[Sequence[float]]) -> float:
    """A mean over all folds.   so_far: scores of the first folds.   wholes: of trials that have all."""
    missing = [trial_mean(whole) - trial_mean(whole[: len(so_far)]) for whole in wholes if whole]
    return trial_mean(so_far) + (trial_mean(missing) if missing else 0.0)
