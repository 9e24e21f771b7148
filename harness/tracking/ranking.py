"""Which trials lead: the best one, and the best so far as the study went on."""

from collections.abc import Sequence

from harness.records import StudyRecord, TrialRecord


def best_trial(study: StudyRecord, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The complete trial with the best mean; the earliest of equals."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.mean is not None]
    sign = 1 if study.direction == "maximize" else -1
    return max(complete, key=lambda trial: (sign * (trial.mean or 0.0), -trial.number), default=None)


def best_so_far(trials: Sequence[TrialRecord], direction: str) -> tuple[list[int], list[float]]:
    """Numbers of the trials that were better than all complete ones before them, and their scores."""
    sign = 1 if direction == "maximize" else -1
    numbers: list[int] = []
    bests: list[float] = []
    for trial in trials:
        if (
            trial.state == "complete"
            and trial.mean is not None
            and (not bests or sign * trial.mean > sign * bests[-1])
        ):
            numbers.append(trial.number)
            bests.append(trial.mean)
    return numbers, bests
