"""Where studies stand, from their records alone: the documents behind `harness status`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from harness.analysis.unfinished import with_finished_folds
from harness.config.sections import COSTS
from harness.documents import WHERE_SET, WHOLE
from harness.errors import DataError, HarnessError, RecordError
from harness.records import Objective, StudyRecord, TrialRecord, Values, sign_of
from harness.redaction import redacted
from harness.scoring.hidden import hidden
from harness.scoring.pareto import values_of
from harness.scoring.standard_errors import MeanError
from harness.search.selection_bias import corrected_score
from harness.store.findings import Audit, Confirmation, CorrectedScore, FinalTest, Verdict
from harness.store.loaded_study import LoadedStudy, SeenState
from harness.store.store import Store
from harness.store.trial_scores import pooled, sampling_of, sampling_of_difference
from harness.tracking.deliver import is_pending

STATES = ("complete", "stopped", "running", "interrupted", "failed")  # in the order of a leaderboard


@dataclass(frozen=True)
class TrialStatus:
    """A trial. mean, standard_error: over the folds there are, `folds`.   half_width: of the mean's 95 % interval.

    state: one that has begun and not ended is running where its study is, else interrupted.
    others: the means of the study's further objectives, where it has such and they are known.
    started: seconds since 1970; 0 where no fold of it has ended.
    """

    number: int
    state: SeenState
    reason: str
    failure: str
    params: Values
    mean: float | None
    standard_error: float | None
    half_width: float | None
    folds: tuple[float, ...]
    seconds: float
    mlflow_run_id: str | None
    others: dict[str, float] = field(default_factory=dict, metadata=WHERE_SET)
    started: float = field(default=0.0, metadata=WHERE_SET)

    @property
    def has_ended(self) -> bool:
        return self.state not in ("running", "interrupted")


@dataclass(frozen=True)
class BestTrial:
    number: int
    mean: float | None
    standard_error: float | None
    half_width: float | None
    params: Values


@dataclass(frozen=True)
class AuditStatus:
    verdict: Verdict
    sentence: str
    trial: int


@dataclass(frozen=True)
class ConfirmedStatus:
    """The winner among the trials that were trained again.   tuned: the one that tuning had chosen."""

    trial: int
    mean: float
    half_width: float | None
    tuned: int


@dataclass(frozen=True)
class TestStatus:
    """The last look at the test images.   low, high: 95 %.   worth: whether it is to be reported, in a sentence."""

    trial: int
    score: float
    low: float
    high: float
    num_images: int
    worth: str


@dataclass(frozen=True)
class FrontValue:
    """What a trial has of an objective: the mean over its folds; its error and 95 % interval where that is a metric."""

    value: float
    standard_error: float | None
    half_width: float | None


@dataclass(frozen=True)
class FrontTrial:
    """values: of the objectives in their order."""

    number: int
    values: tuple[FrontValue, ...]
    params: Values


@dataclass(frozen=True)
class ParetoFront:
    """The complete trials of a study with several objectives that no other one beats in all of them.

    trials: best by the first objective first.   num_complete: trials it is chosen among.   worth: what its scores are.
    """

    objectives: tuple[Objective, ...]
    trials: tuple[FrontTrial, ...]
    num_complete: int
    worth: str


@dataclass(frozen=True)
class Status:
    """A study's state, its trials by number and the best of them.

    honest: the best score corrected for the choice; None while trials run or where predictions are gone.
    pending: MLflow lacks something.   mixed_fingerprints: in what folds were computed differently, with all values.
    contradiction: that the test score is not what was expected, or "".   hidden: what the best score does not say.
    scored_by: what must be known of scores that are not of folds that were dealt once.
    chosen: the trial that final took or takes, where it is not the folds' best one.
    """

    study: str
    state: Literal["running", "finished", "interrupted"]
    objective: str
    direction: Literal["maximize", "minimize"]
    num_trials: int
    trials: tuple[TrialStatus, ...]
    best: BestTrial | None
    honest: CorrectedScore | None
    pending: bool
    audit: AuditStatus | None
    mixed_fingerprints: dict[str, tuple[str, ...]]
    pareto: ParetoFront | None = field(default=None, metadata=WHERE_SET)
    contradiction: str = field(default="", metadata=WHERE_SET)
    hidden: tuple[str, ...] = field(default=(), metadata=WHERE_SET)
    scored_by: str = field(default="", metadata=WHERE_SET)
    confirmed: ConfirmedStatus | None = field(default=None, metadata=WHERE_SET)
    test: TestStatus | None = field(default=None, metadata=WHERE_SET)
    chosen: int | None = field(default=None, metadata=WHERE_SET)

    @property
    def ranking(self) -> list[TrialStatus]:
        """The trials, best first: complete ones, then stopped ones, those that have not ended, and failed ones."""
        sign = sign_of(self.direction)
        return sorted(
            self.trials,
            key=lambda trial: (STATES.index(trial.state), -sign * (trial.mean or 0.0), trial.number),
        )


@dataclass(frozen=True)
class UnreadableStudy:
    """A study whose records do not allow to say where it stands, and why."""

    study: str
    problem: str
    state: Literal["unreadable"] = "unreadable"


@dataclass(frozen=True)
class StartedStudies:
    """All studies of a store, by name."""

    studies: tuple[Status | UnreadableStudy, ...] = field(metadata=WHOLE)


@dataclass(frozen=True)
class ComparedStudy:
    """A study's best trial, and what it gains over the study before it.

    gain: positive for a better score; its error is of the differences fold by fold. There is none between studies of
    different data, splits or objectives: `no_gain` then says which of them.
    images_per_second: of training only, over all epochs of the trial's folds that are still there.
    """

    study: str
    objective: str
    num_trials: int
    trials_done: int
    trial: int | None
    mean: float | None
    standard_error: float | None
    half_width: float | None
    epochs: int | None
    num_images: int
    images_per_second: float | None
    seconds: float | None
    gain: float | None
    gain_standard_error: float | None
    gain_half_width: float | None
    no_gain: str


@dataclass(frozen=True)
class ComparedStudies:
    compared: tuple[ComparedStudy, ...]


def status(study: LoadedStudy) -> Status:
    """Where the study stands."""
    record, best = study.record, study.best
    runs = study.delivery.trials
    audit, confirmed, tested = study.finding(Audit), study.finding(Confirmation), study.finding(FinalTest)
    return Status(
        study=study.name,
        state="running" if study.is_driven else "finished" if study.is_finished else "interrupted",
        objective=record.objective,
        direction=record.direction,
        num_trials=record.num_trials,
        trials=tuple(
            TrialStatus(
                trial.number, study.state_of(trial), trial.reason, trial.failure, trial.params, trial.mean,
                trial.standard_error, trial.half_width, trial.scores, trial.seconds,
                runs.get(str(trial.number)), _others(study, trial), trial.started,
            )
            for trial in with_finished_folds(study).trials
        ),
        best=BestTrial(best.number, best.mean, best.standard_error, best.half_width, best.params) if best else None,
        honest=_corrected(study),
        pending=bool(study.trials) and not study.is_driven and is_pending(study),
        audit=AuditStatus(audit.verdict, audit.sentence, audit.trial) if audit else None,
        mixed_fingerprints=study.mixed_fingerprints,
        pareto=pareto_front(study) if record.others else None,
        contradiction=tested.contradiction if tested else "",
        hidden=tuple(_hidden(study)),
        scored_by=record.scored_by,
        confirmed=_confirmed(confirmed) if confirmed else None,
        test=TestStatus(
            tested.trial, tested.scores[tested.objective], *tested.intervals[tested.objective], tested.num_images,
            tested.worth,
        ) if tested else None,
        chosen=study.chosen.number if study.chosen and study.chosen is not best else None,
    )  # fmt: skip


def _confirmed(found: Confirmation) -> ConfirmedStatus:
    winner = found.of(found.winner)
    return ConfirmedStatus(found.winner, winner.confirmed, winner.confirmed_half_width, found.tuned_order[0])


def _hidden(study: LoadedStudy) -> list[str]:
    predicted = pooled(study, study.best) if study.best and study.best.folds else None
    if predicted is None or not len(predicted.known[0]):
        return []
    return hidden(*predicted.known, study.record.data["classes"])


def pareto_front(study: LoadedStudy) -> ParetoFront:
    """The front of a study with several objectives, and what it is worth."""
    first, *others = study.record.objectives

    def values(trial: TrialRecord) -> tuple[FrontValue, ...]:
        means = values_of(trial, others) or ()
        if not means:
            return ()
        errors = [
            None
            if objective.name in COSTS
            else study.error(trial.others[objective.name], sampling_of(study, trial, objective.name))
            for objective in others
        ]
        one = FrontValue(means[0], trial.standard_error, trial.half_width)
        return one, *(
            FrontValue(mean, error.standard_error if error else None, error.half_width if error else None)
            for mean, error in zip(means[1:], errors, strict=True)
        )

    metrics = [first.name, *(objective.name for objective in others if objective.name not in COSTS)]
    worth = (
        f"chosen among {len(study.ranked)} trials by the folds that score them, so {' and '.join(metrics)} "
        f"{'are' if len(metrics) > 1 else 'is'} optimistic"
    )
    if any(objective.name == "seconds_per_fold" for objective in others):
        worth += "; seconds are of the machines that trained"
    front = tuple(FrontTrial(trial.number, values(trial), trial.params) for trial in study.front)
    return ParetoFront(study.record.objectives, front, len(study.ranked), worth)


def _others(study: LoadedStudy, trial: TrialRecord) -> dict[str, float]:
    means = values_of(trial, others := study.record.others)
    return {} if means is None else {one.name: mean for one, mean in zip(others, means[1:], strict=True)}


def started(store: Store) -> StartedStudies:
    """Where all studies of a store stand."""
    return StartedStudies(tuple(_status_or_problem(store, name) for name in store.studies()))


def _status_or_problem(store: Store, name: str) -> Status | UnreadableStudy:
    """Where a study stands, in a list of studies: one that cannot be read must not hide the others."""
    try:
        return status(LoadedStudy.open(store, name))
    except Exception as error:  # whatever its records may hold
        problem = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        return UnreadableStudy(name, redacted(problem.strip().splitlines()[0]))


def compare(studies: Sequence[LoadedStudy]) -> ComparedStudies:
    """The best trials of several studies, and what each gains over the study before it."""
    gains = [(None, None, ""), *(_gain(before, after) for before, after in pairwise(studies))]
    return ComparedStudies(tuple(_compared(study, *gain) for study, gain in zip(studies, gains, strict=True)))


def mismatch(one: StudyRecord, other: StudyRecord) -> str:
    """In what two studies differ such that their scores cannot be compared, e.g. "data, splits"; or ""."""
    differ = {
        "data": one.scored_on[0] != other.scored_on[0],
        "splits": one.scored_on[1] != other.scored_on[1],
        "objectives": one.objective != other.objective,
    }
    return ", ".join(what for what, different in differ.items() if different)


def images_per_second(study: LoadedStudy, trial: TrialRecord | None) -> float | None:
    """Of training only, over all epochs of the trial's folds that are still there; None without one."""
    folds = study.folds(trial) if trial else []
    speeds = [epoch.images_per_second for fold in folds for epoch in fold.epochs]
    return sum(speeds) / len(speeds) if speeds else None


def _compared(study: LoadedStudy, gain: float | None, error: MeanError | None, no_gain: str) -> ComparedStudy:
    record, best = study.record, study.best
    return ComparedStudy(
        study=study.name,
        objective=record.objective,
        num_trials=record.num_trials,
        trials_done=len(study.ended),
        trial=best.number if best else None,
        mean=best.mean if best else None,
        standard_error=best.standard_error if best else None,
        half_width=best.half_width if best else None,
        epochs=int(best.values["train.epochs"] or 0) if best else None,
        num_images=record.data["num_images"],
        images_per_second=images_per_second(study, best),
        seconds=best.seconds if best else None,
        gain=gain,
        gain_standard_error=error.standard_error if error else None,
        gain_half_width=error.half_width if error else None,
        no_gain=no_gain,
    )


def _gain(before: LoadedStudy, after: LoadedStudy) -> tuple[float | None, MeanError | None, str]:
    no_gain = mismatch(before.record, after.record)
    if before.best is None or after.best is None or no_gain:
        return None, None, no_gain
    pairs = zip(after.best.scores, before.best.scores, strict=True)
    gains = [after.record.sign * (new - old) for new, old in pairs]
    sampling = sampling_of_difference((after, after.best), (before, before.best))
    return sum(gains) / len(gains), after.error(gains, sampling), ""


def _corrected(study: LoadedStudy) -> CorrectedScore | None:
    if any(trial.state == "running" for trial in study.trials):
        return None
    try:
        return corrected_score(study)
    except (RecordError, DataError, ValueError, IndexError):  # ValueError, as of predictions of other classes
        return None
