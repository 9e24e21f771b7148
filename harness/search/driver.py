"""The driver: asks for trials, has their folds trained, races them, and yields what happens.

It decides as if folds were trained one after the other, in the order of trials and folds; spare workers only
train ahead. So numbers, values, scores and stops never depend on how many workers there are, how fast they
are, or how often the study was interrupted.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np

from harness.config import search_space
from harness.config.study_file import Study
from harness.errors import HarnessError
from harness.folds.executor import Executor
from harness.folds.fold import FoldTask
from harness.folds.tasks import RUNG
from harness.folds.train_folds import Scheduler
from harness.folds.worker import FoldFailure
from harness.records import Epoch, FoldRecord, TrialRecord, best_of, sign_of
from harness.scoring.standard_errors import MeanError, mean_error, trial_mean
from harness.search.constraints import Limits
from harness.search.dominance import stops_dominated
from harness.search.objectives import OtherObjectives
from harness.search.patience import has_come_to_rest
from harness.search.racing import Field, rule_of, stops_at_rung
from harness.search.sampling import Asker
from harness.store.predictions import sampling_variance, score_by
from harness.store.store import Store

Place = tuple[int, int]  # trial, step: a fold's number, or RUNG
LEAST_FAILURES, MOST_FAILED = 4, 0.5  # failed trials, and their share, beyond which a study ends


@dataclass(frozen=True)
class TrialBegan:
    trial: TrialRecord


@dataclass(frozen=True)
class FoldBegan:
    number: int
    fold: int


@dataclass(frozen=True)
class EpochEnded:
    number: int
    fold: int
    epoch: Epoch


@dataclass(frozen=True)
class FoldEnded:
    """in_the_race: whether its trial goes on, by what is known now; earlier trials may still change that."""

    number: int
    fold: int
    score: float
    record: FoldRecord
    in_the_race: bool = True


@dataclass(frozen=True)
class TrialEnded:
    trial: TrialRecord
    best: TrialRecord | None


Event = TrialBegan | FoldBegan | EpochEnded | FoldEnded | TrialEnded


@dataclass
class Driver:
    """Runs one study. `trials` grows as they end; it starts with those an earlier run has finished.

    make_task: the task of a trial's step.   deadline: on the monotonic clock; no trial starts after it.
    limits: the study's constraints, where it has such.   others: its objectives beside the first, where it has such.
    groups: int64 (N,), of the images: what the error of a score has to do with their being a sample.
    """

    study: Study
    store: Store
    name: str
    executor: Executor
    make_task: Callable[[TrialRecord, int], FoldTask]
    num_trials: int
    deadline: float | None = None
    limits: Limits | None = None
    others: OtherObjectives | None = None
    groups: np.ndarray | None = None
    trials: list[TrialRecord] = field(default_factory=list)
    _sampling: dict[str, float] = field(default_factory=dict)
    asker: Asker = field(init=False)
    scheduler: Scheduler[Place] = field(init=False)

    def run(self) -> Iterator[Event]:
        """Finish all that is missing, batch after batch."""
        excess = self.limits.excess if self.limits else None
        self.asker, self.scheduler = Asker(self.study, excess), Scheduler(self.executor)
        self.trials = self.store.read_trials(self.name)
        size = self.study.search.batch
        for first in range(0, self.num_trials, size):
            if self._has_come_to_rest(first):
                self.num_trials = first
                return
            batch = [self._begin(number) for number in range(first, min(first + size, self.num_trials))]
            open_trials = [trial for trial in batch if trial.state == "running"]
            if open_trials:
                if self.is_late:
                    return
                yield from map(TrialBegan, open_trials)
                yield from self._finish(open_trials)
                if any(trial.state == "running" for trial in self.trials[first : first + size]):
                    return
            for trial in self.trials[first : first + size]:
                self.asker.tell(trial)
            self._require_successes()

    def _has_come_to_rest(self, first: int) -> bool:
        """Whether the trials before this one, the first of a batch, are the last ones."""
        patience, trials = self.study.search.patience, self.trials[:first]
        return patience is not None and has_come_to_rest(trials, self.study.direction, patience=patience)

    @property
    def best(self) -> TrialRecord | None:
        return best_of(self.trials, self.study.direction)

    def score(self, record: FoldRecord) -> float:
        """By the study's objective."""
        return score_by(record, self.study.objective)

    def error(self, records: Sequence[FoldRecord], scores: Sequence[float]) -> MeanError | None:
        """Of the mean of the scores of these folds."""
        for record in records:
            if self.groups is not None and record.key not in self._sampling:
                with suppress(HarnessError):  # a metric of the user's own that has no value for fewer images
                    self._sampling[record.key] = sampling_variance(record, self.study.objective, self.groups)
        known = [self._sampling[record.key] for record in records if record.key in self._sampling]
        sampling = sum(known) / len(known) if known and len(known) == len(records) else None
        if len(scores) < 2 and self.study.cv.num_folds > 1:
            return None
        return mean_error(scores, num_folds=self.study.cv.parts, sampling=sampling)

    def _require_successes(self) -> None:
        """Raise HarnessError where most trials fail: more of them would be a night lost."""
        failed = [trial for trial in self.trials if trial.state == "failed"]
        ended = sum(trial.state != "running" for trial in self.trials)
        if len(failed) < LEAST_FAILURES or len(failed) <= ended * MOST_FAILED:
            return
        kinds = ", ".join(sorted({f"{trial.failure}: {trial.reason}" for trial in failed})[:3])
        raise HarnessError(
            f"{len(failed)} of {ended} trials failed, so the study ends here ({kinds}); put that right, and go on with "
            "--retry-failed"
        )

    @property
    def is_late(self) -> bool:
        """Whether the deadline is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def _begin(self, number: int) -> TrialRecord:
        if number < len(self.trials):
            self.asker.pending(self.trials[number].params)
            return self.trials[number]
        params = self.asker.ask(number)
        trial = TrialRecord(number, "running", params, search_space.resolve(self.study, params))
        self.store.write_trial(self.name, trial)
        self.trials.append(trial)
        return trial

    def _finish(self, open_trials: list[TrialRecord]) -> Iterator[Event]:
        """Train and race a batch of trials until each has ended, or the deadline is over."""
        batch = _Batch(open_trials, self)
        yield from batch.settle()
        if self._is_over(batch):
            return
        for place, task, report in self.scheduler.train(batch.next_task):
            if report is None:
                yield FoldBegan(*place)
                continue
            if isinstance(report, Epoch):
                yield EpochEnded(*place, report)
            else:
                # Also of an earlier batch: trained ahead, and then not needed.
                batch.results[task.key()] = report
                if isinstance(report, FoldRecord):
                    goes_on = batch.is_in_the_race(place[0])
                    yield FoldEnded(*place, self.score(report), report, goes_on)
                yield from batch.settle()
            if self._is_over(batch):
                return

    def _is_over(self, batch: "_Batch") -> bool:
        """All its trials have ended, or it is late and the trial whose turn it is has not begun."""
        if not batch.open_trials or not self.is_late:
            return not batch.open_trials
        return not batch.has_begun(batch.open_trials[0].number)

    def end(self, trial: TrialRecord) -> TrialEnded:
        """Write down a trial that has ended."""
        self.trials[trial.number] = trial
        self.store.write_trial(self.name, trial)
        return TrialEnded(trial, self.best)


class _Batch:
    """The open trials of one batch: which fold to train next, and what the finished ones decide."""

    def __init__(self, trials: list[TrialRecord], driver: Driver):
        self.open_trials = trials
        self.driver = driver
        self.num_folds = driver.study.cv.num_folds
        self.sign = sign_of(driver.study.direction)
        self.rule = rule_of(driver.study.search)
        self.steps = [*([RUNG] if driver.study.search.rung else []), *range(self.num_folds)]
        self.tasks = {
            (trial.number, step): driver.make_task(trial, step) for trial in trials for step in self.steps
        }
        self.keys = {place: task.key() for place, task in self.tasks.items()}
        found = {key: driver.store.find_fold(key) for key in set(self.keys.values())}
        self.results: dict[str, FoldRecord | FoldFailure] = {
            key: record for key, record in found.items() if record
        }
        limits = driver.limits
        self.too_large = {trial.number: limits.too_large(trial.values) if limits else "" for trial in trials}

    def prefix(self, number: int) -> list[FoldRecord | FoldFailure]:
        """The results of a trial's steps, from the first to the one before the first that is missing."""
        results = []
        for step in self.steps:
            result = self.results.get(self.keys[number, step])
            if result is None:
                break
            results.append(result)
        return results

    def has_begun(self, number: int) -> bool:
        """Whether a trial has a result, or a step that is being trained."""
        keys = [self.keys[number, step] for step in self.steps]
        return keys[0] in self.results or not self.driver.scheduler.under_way.keys().isdisjoint(keys)

    def next_task(self) -> tuple[Place, FoldTask] | None:
        """The missing step to train next: first what is needed for certain, then what may be.

        The first step of every trial is needed, whatever happens; of later ones, those of earlier trials first.
        After the deadline those trials that have begun are finished, up to the first that has not.
        """
        numbers = [trial.number for trial in self.open_trials if not self.too_large[trial.number]]
        if self.driver.is_late:
            numbers = list(takewhile(self.has_begun, numbers))
        if not numbers:
            return None
        current, *later = numbers
        ahead = self.steps[len(self.prefix(current)) :]
        order = [(current, step) for step in ahead[:1]]
        order += [(number, self.steps[0]) for number in later]
        order += [(current, step) for step in ahead]
        in_the_race = [n for n in later if self.is_in_the_race(n)]
        order += [(number, step) for number in in_the_race for step in self.steps]
        for place in order:
            key = self.keys[place]
            if key not in self.results and key not in self.driver.scheduler.under_way:
                return place, self.tasks[place]
        return None

    def is_in_the_race(self, number: int) -> bool:
        """Whether a trial is one of the batch that would not end by what is known now."""
        is_open = any(trial.number == number for trial in self.open_trials)
        return is_open and self._decide(self.driver.trials[number]).state == "running"

    def settle(self) -> Iterator[Event]:
        """End every trial that is decided, in the order of their numbers."""
        while self.open_trials:
            ended = self._decide(self.open_trials[0])
            if ended.state == "running":
                self.driver.trials[ended.number] = ended
                return
            yield self.driver.end(ended)
            self.open_trials = self.open_trials[1:]

    def _decide(self, trial: TrialRecord) -> TrialRecord:
        """The trial with what its steps so far say of it; still running if they do not decide."""
        records: list[FoldRecord] = []
        if reason := self.too_large[trial.number]:
            return self._summary(replace(trial, state="stopped", reason=reason), records)
        for step, result in zip(self.steps, self.prefix(trial.number), strict=False):
            if isinstance(result, FoldFailure):
                place = "short training" if step == RUNG else f"fold {step}"
                reason = f"{place}: {result.reason}"
                failed = replace(
                    trial, state="failed", reason=reason, failure=result.kind, traceback=result.traceback
                )
                return self._summary(failed, records)
            if step == RUNG:
                trial = replace(trial, rung=result.key, rung_score=self.driver.score(result))
            else:
                records.append(result)
            limits = self.driver.limits
            reason = limits.too_slow([record.seconds for record in records]) if limits else ""
            reason = reason or self._stops(self._summary(trial, records))
            if reason:
                return self._summary(replace(trial, state="stopped", reason=reason), records)
        done = len(records) == self.num_folds
        return self._summary(replace(trial, state="complete" if done else "running"), records)

    def _stops(self, trial: TrialRecord) -> str:
        """Why the trial should stop, judged by the trials before it alone."""
        scores, objectives = trial.scores, self.driver.study.objectives
        if len(scores) == self.num_folds:
            return ""
        earlier = self.driver.trials[: trial.number]
        if len(objectives) > 1:
            return stops_dominated(
                self.rule,
                trial,
                earlier,
                objectives,
                num_folds=self.num_folds,
                parts=self.driver.study.cv.parts,
            )
        best = best_of(earlier, self.driver.study.direction)
        raced = [other for other in earlier if other.scores]
        field = Field(
            self.num_folds,
            incumbent=self._signed(best.scores if best else ()),
            earlier=[self._signed(other.scores) for other in raced],
            rungs=self._signed([other.rung_score for other in raced if other.rung_score is not None]),
            sign=self.sign,
            parts=self.driver.study.cv.parts,
        )
        if scores:
            return self.rule.stops(self._signed(scores), field)
        return "" if trial.rung_score is None else stops_at_rung(self.sign * trial.rung_score, field)

    def _signed(self, scores: Sequence[float]) -> list[float]:
        return [self.sign * score for score in scores]

    def _summary(self, trial: TrialRecord, records: list[FoldRecord]) -> TrialRecord:
        scores = [self.driver.score(record) for record in records]
        error = self.driver.error(records, scores)
        return replace(
            trial,
            folds=tuple(record.key for record in records),
            scores=tuple(scores),
            mean=trial_mean(scores) if scores else None,
            standard_error=error.standard_error if error else None,
            half_width=error.half_width if error else None,
            others=self.driver.others.of(trial.values, records) if self.driver.others else {},
            seconds=sum(record.seconds for record in records),
            started=min((record.started for record in records), default=0.0),
        )
