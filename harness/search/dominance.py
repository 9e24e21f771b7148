"""Racing with several objectives: a trial stops early only where, by the racing rule, one other trial dominates it.

The other, its rival, is the best by the first objective of the earlier complete trials that are at least as good so far
in every other objective. The trial stops once the rule says of each objective that folds measure that it loses to the
rival; sizes are known exactly.
"""

from collections.abc import Sequence

from harness.config.sections import SIZES
from harness.records import Objective, TrialRecord, best_of, sign_of
from harness.scoring.standard_errors import trial_mean
from harness.search.racing import Field, Rule


def stops_dominated(
    rule: Rule,
    trial: TrialRecord,
    earlier: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    *,
    num_folds: int,
    parts: float | None = None,
) -> str:
    """Why the trial should go no further, or "".

    trial: with the scores of the folds that it has, at least one.   earlier: all trials before it, those that are
    complete with all objectives.   objectives: the first one first.   num_folds, parts: as of `Field`.
    """
    first, *others = objectives

    def signed(one: TrialRecord, objective: Objective) -> list[float]:
        """Per fold, such that higher is better."""
        scores = one.scores if objective is first else one.others[objective.name]
        return [sign_of(objective.direction) * score for score in scores]

    raced = [other for other in earlier if other.scores]
    rival = rival_of(trial, raced, objectives)
    if rival is None:
        return ""
    reasons = []
    for objective in [first, *(one for one in others if one.name not in SIZES)]:
        sign = sign_of(objective.direction)
        field = Field(
            num_folds,
            incumbent=signed(rival, objective),
            earlier=[signed(other, objective) for other in raced],
            sign=sign,
            rival=f"trial {rival.number}",
            parts=parts,
        )
        reason = rule.stops(signed(trial, objective), field)
        if not reason:
            return ""
        reasons.append(reason if objective is first else f"{objective.name}: {reason}")
    exact = [objective.name for objective in others if objective.name in SIZES]
    smaller = [f"trial {rival.number} has no more {' and '.join(exact)}"] if exact else []
    return "; ".join([*reasons, *smaller])


def rival_of(
    trial: TrialRecord, trials: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> TrialRecord | None:
    """Of the complete ones of these trials that are at least as good in all objectives but the first, the best by that.

    Over the folds that the trial has. None where there is none.
    """
    first, *others = objectives
    level = [other for other in trials if all(_is_level(other, trial, objective) for objective in others)]
    return best_of(level, first.direction)


def _is_level(other: TrialRecord, trial: TrialRecord, objective: Objective) -> bool:
    """Whether the other is at least as good, over the folds that the trial has."""
    theirs, ours = other.others.get(objective.name, ()), trial.others.get(objective.name, ())
    if not ours or len(theirs) < len(ours):
        return False
    return sign_of(objective.direction) * (trial_mean(theirs[: len(ours)]) - trial_mean(ours)) >= 0
