"""The Pareto front of trials with several objectives: those that no other trial beats in all of them."""

import math
from collections.abc import Iterable, Sequence

from harness.records import Objective, TrialRecord, sign_of
from harness.scoring.standard_errors import trial_mean


def values_of(trial: TrialRecord, others: Sequence[Objective]) -> tuple[float, ...] | None:
    """The trial's mean and that of each of these objectives over the folds it has; None where one is missing."""
    found = [trial.others.get(objective.name, ()) for objective in others]
    if trial.mean is None or not all(found):
        return None
    return (trial.mean, *map(trial_mean, found))


def front(trials: Iterable[TrialRecord], objectives: Sequence[Objective]) -> list[TrialRecord]:
    """The complete trials that no other complete one dominates, best by the first objective first.

    One dominates another that is at least as good in every objective and better in one. Of equal trials the earliest is
    on the front.
    """
    signs = [sign_of(objective.direction) for objective in objectives]
    points: list[tuple[list[float], TrialRecord]] = []  # the lower the better
    for trial in trials:
        values = values_of(trial, objectives[1:]) if trial.state == "complete" else None
        if values is not None and all(map(math.isfinite, values)):
            points.append(([-sign * value for sign, value in zip(signs, values, strict=True)], trial))
    found: list[tuple[list[float], TrialRecord]] = []
    # In this order what comes later dominates nothing that came before.
    for point, trial in sorted(points, key=lambda one: (one[0], one[1].number)):
        if not any(all(a <= b for a, b in zip(known, point, strict=True)) for known, _ in found):
            found.append((point, trial))
    return [trial for _, trial in found]
