"""All that is recorded of one trial: the document behind `harness show`."""

from dataclasses import dataclass, field

from harness.analysis.unfinished import with_finished_folds
from harness.documents import WHERE_SET
from harness.errors import UsageError
from harness.records import FoldRecord, TrialRecord, Values
from harness.scoring.standard_errors import trial_mean
from harness.store.loaded_study import LoadedStudy, SeenState


@dataclass(frozen=True)
class FoldLine:
    """A fold of the trial. seconds to num_parameters: None where the fold's record is gone or damaged."""

    fold: int
    key: str
    score: float
    seconds: float | None
    epochs: int | None
    chosen_epoch: int | None
    num_parameters: int | None


@dataclass(frozen=True)
class TrialPage:
    """One trial.   half_width: of its 95 % interval.   params: the searched values only.   fingerprints: each once.

    others: the means of the study's further objectives, where it has such.
    """

    study: str
    trial: int
    state: SeenState
    reason: str
    failure: str
    objective: str
    mean: float | None
    standard_error: float | None
    half_width: float | None
    rung_score: float | None
    seconds: float
    params: Values
    values: Values
    folds: tuple[FoldLine, ...]
    fingerprints: tuple[dict[str, str], ...]
    mlflow_run_id: str | None
    traceback: str
    others: dict[str, float] = field(default_factory=dict, metadata=WHERE_SET)


def trial_page(study: LoadedStudy, wanted: str) -> TrialPage:
    """Of one trial.   wanted: "best", or its number.   Raises UsageError if there is none."""
    trial = _chosen(with_finished_folds(study), wanted)
    lines = [
        _line(number, key, score, study.fold(key))
        for number, (key, score) in enumerate(zip(trial.folds, trial.scores, strict=True))
    ]
    fingerprints: list[dict[str, str]] = []
    for fold in study.folds(trial):
        if fold.fingerprint not in fingerprints:
            fingerprints.append(fold.fingerprint)
    return TrialPage(
        study=study.name,
        trial=trial.number,
        state=study.state_of(trial),
        reason=trial.reason,
        failure=trial.failure,
        objective=study.record.objective,
        mean=trial.mean,
        standard_error=trial.standard_error,
        half_width=trial.half_width,
        rung_score=trial.rung_score,
        seconds=trial.seconds,
        params=trial.params,
        values=trial.values,
        folds=tuple(lines),
        fingerprints=tuple(fingerprints),
        mlflow_run_id=study.delivery.trials.get(str(trial.number)),
        traceback=trial.traceback,
        others={name: trial_mean(values) for name, values in trial.others.items()},
    )


def _line(number: int, key: str, score: float, fold: FoldRecord | None) -> FoldLine:
    if fold is None:
        return FoldLine(number, key, score, None, None, None, None)
    return FoldLine(
        number, key, score, fold.seconds, len(fold.epochs), fold.chosen_epoch, fold.num_parameters
    )


def _chosen(study: LoadedStudy, wanted: str) -> TrialRecord:
    if wanted == "best":
        return study.complete_trial()
    for trial in study.trials:
        if str(trial.number) == wanted:
            return trial
    there = f"trials 0 to {len(study.trials) - 1}" if study.trials else "no trial yet"
    raise UsageError(f"study {study.name} has no trial {wanted!r}; it has {there}")
