"""A study, opened once: the one way to read it. Whoever shows, compares, judges or delivers a study gets this."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property, wraps
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, TypeVar

from harness import invocation
from harness.config import catalog
from harness.config.kinds import MLFLOW
from harness.config.sections import COSTS
from harness.data.data_set import STORED, Sealed
from harness.data.snapshot import Snapshot
from harness.data.split import Manifest
from harness.documents import from_json
from harness.errors import NewerRecord, RecordError, UsageError, did_you_mean
from harness.files import read_json
from harness.os_errors import explaining
from harness.records import (
    FoldRecord,
    StudyRecord,
    TrialRecord,
    TrialState,
    best_of,
    mixed_fingerprints,
    ranked,
)
from harness.scoring.pareto import front
from harness.scoring.standard_errors import MeanError, mean_error
from harness.store.findings import AnyFinding, Confirmation, FinalTest, Finding
from harness.store.predictions import OutOfFold, gathered
from harness.store.store import Store, valid_name

logger = logging.getLogger(__name__)
Given = ParamSpec("Given")
Yielded = TypeVar("Yielded")
SeenState = Literal[TrialState, "interrupted"]  # of a trial that has not ended, and that nobody trains now
DELIVERY = "mlflow.json"  # what MLflow was shown last, in a study's folder


@dataclass(frozen=True)
class Delivery:
    """What MLflow was shown last of a study.   study, trials: ids of its runs, the latter by the trial's number.

    trackers: who is told what comes of it; MLflow is told nothing where it is not among them.
    delivered: hash of what all stores show, or "" while the study runs.   trials_delivered: of the trials alone.
    """

    study: str | None = None
    trials: Mapping[str, str] = field(default_factory=dict)
    delivered: str = ""
    trials_delivered: str = ""
    trackers: tuple[str, ...] = (MLFLOW,)


def last_delivery(store: Store, name: str) -> Delivery:
    """What MLflow was shown last of a study; an empty one where nothing is known of that."""
    try:
        return from_json(Delivery, read_json(store.study_folder(name) / DELIVERY))
    except (OSError, RecordError):
        return Delivery()


@dataclass(frozen=True, eq=False)
class LoadedStudy:
    """A study as its records were when it was opened; each is read at most once, when it is first looked at.

    record: what the study is.   trials: by number.   is_driven: whether a process worked on it just then.
    """

    store: Store
    record: StudyRecord
    trials: tuple[TrialRecord, ...]
    is_driven: bool = False
    _folds: dict[str, FoldRecord | None] = field(default_factory=dict, repr=False)
    _predictions: dict[int, OutOfFold] = field(default_factory=dict, repr=False)
    _findings: dict[str, Finding | None] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, store: Store, name: str) -> "LoadedStudy":
        """Raises UsageError if no study of that name has been started, RecordError for a damaged one."""
        return cls._of(store, name, started_study(store, name))

    @classmethod
    def find(cls, store: Store, name: str) -> "LoadedStudy | None":
        """The study that began in the folder of that name, whatever it is called; None where none did."""
        record = store.read_study(name)
        return None if record is None else cls._of(store, name, record)

    @classmethod
    def _of(cls, store: Store, name: str, record: StudyRecord) -> "LoadedStudy":
        is_driven = store.is_driven(name)  # before the trials: what ends meanwhile is at worst called running
        return cls(store, record, tuple(store.read_trials(name)), is_driven)

    def with_trials(self, trials: Sequence[TrialRecord]) -> "LoadedStudy":
        """The study with its trials as they are now. Records of folds never change: those read are not read again."""
        known: dict[str, FoldRecord | None] = {key: fold for key, fold in self._folds.items() if fold}
        return LoadedStudy(self.store, self.record, tuple(trials), self.is_driven, known)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def chosen(self) -> TrialRecord | None:
        """The trial that final took or takes: that of the look, or else the confirmed winner, or else the best one.

        Until there is a look, predict takes the best trial by its folds. A confirmation that lacks the trial that is
        best now says nothing of it.
        """
        if (final := self.finding(FinalTest)) and final.trial < len(self.trials):
            return self.trials[final.trial]
        confirmed = self.finding(Confirmation)
        if confirmed and self.best and self.best.number in confirmed.tuned_order:
            return self.trials[confirmed.winner]
        return self.best

    @cached_property
    def best(self) -> TrialRecord | None:
        """The complete trial with the best mean over its folds; the earliest of equals."""
        return best_of(self.trials, self.record.direction)

    def state_of(self, trial: TrialRecord) -> SeenState:
        return "interrupted" if trial.state == "running" and not self.is_driven else trial.state

    @cached_property
    def ended(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials if trial.state != "running")

    @cached_property
    def ranked(self) -> tuple[TrialRecord, ...]:
        """The complete trials, best first, the earlier of equals first."""
        return tuple(ranked(self.trials, self.record.direction))

    @property
    def is_finished(self) -> bool:
        """Whether all its trials have ended and nobody works on it."""
        return not self.is_driven and len(self.ended) >= self.record.num_trials

    @cached_property
    def front(self) -> tuple[TrialRecord, ...]:
        """The Pareto front of a study with several objectives, best by the first one first; empty of one with one."""
        return tuple(front(self.trials, self.record.objectives)) if self.record.others else ()

    @property
    def leaders(self) -> tuple[TrialRecord, ...]:
        """The best trial and those of the front: whose models are kept where `train.keep_models` is best."""
        best = () if self.best is None or self.best in self.front else (self.best,)
        return (*best, *self.front)

    @property
    def with_models(self) -> tuple[TrialRecord, ...]:
        """The trials whose models are kept: `train.keep_models` says of all, the leading ones, or none."""
        keep = {trial.number: trial.values.get("train.keep_models", "best") for trial in self.trials}
        leaders = [trial.number for trial in self.leaders]
        return tuple(
            trial
            for trial in self.trials
            if keep[trial.number] == "all" or (keep[trial.number] == "best" and trial.number in leaders)
        )

    def top(self, count: int) -> list[TrialRecord]:
        """The best `count` complete trials, best first, and the defaults. Raises UsageError if none is complete."""
        if not self.ranked:
            raise UsageError(f"study {self.name} has no complete trial yet; go on with tune first")
        return [*self.ranked[:count], *(trial for trial in self.ranked[count:] if trial.number == 0)]

    def complete_trial(self, wanted: str = "best") -> TrialRecord:
        """The best trial, or the complete one with that number. Raises UsageError where there is none."""
        if self.best is None:
            raise UsageError(f"study {self.name} has no complete trial yet; go on with tune first")
        if wanted == "best":
            return self.best
        complete = {str(trial.number): trial for trial in self.trials if trial.state == "complete"}
        if wanted not in complete:
            raise UsageError(f"study {self.name} has no complete trial {wanted} ({', '.join(complete)})")
        return complete[wanted]

    def fold(self, key: str) -> FoldRecord | None:
        """The fold of that key; None where it is gone or damaged."""
        if key not in self._folds:
            self._folds[key] = self.store.read_fold_record(key)
        return self._folds[key]

    @cached_property
    def mixed_fingerprints(self) -> dict[str, tuple[str, ...]]:
        """In what the folds of all trials were computed differently; empty where all were computed alike."""
        return mixed_fingerprints(fold for trial in self.trials for fold in self.folds(trial))

    def folds(self, trial: TrialRecord) -> list[FoldRecord]:
        """The folds of a trial that are there, in its order.

        Objectives that are the user's own are no metrics of theirs; they have the scores that the trial was decided by.
        """
        decided = {self.record.objective: trial.scores}
        decided |= {name: scores for name, scores in trial.others.items() if name not in COSTS}
        found = []
        for place, key in enumerate(trial.folds):
            fold = self.fold(key)
            if fold is None:
                continue
            own = {
                name: scores[place]
                for name, scores in decided.items()
                if name not in fold.metrics and place < len(scores)
            }
            found.append(replace(fold, metrics={**fold.metrics, **own}) if own else fold)
        return found

    def all_folds(self, trial: TrialRecord) -> list[FoldRecord]:
        """Every fold that the trial has trained. Raises RecordError if one is gone."""
        for key in trial.folds:
            if self.fold(key) is None:
                where = self.store.fold_folder(key)
                raise RecordError(f"{where}: the fold's record is gone; run tune again to make it anew")
        return self.folds(trial)

    def out_of_fold(self, trial: TrialRecord) -> OutOfFold:
        """The predictions of a trial's folds, as far as it got.

        Raises RecordError if a fold or its predictions are gone, CheckFailed if an image was held out twice.
        """
        if trial.number not in self._predictions:
            self._predictions[trial.number] = gathered(self.record, self.all_folds(trial))
        return self._predictions[trial.number]

    def error(self, scores: Sequence[float], sampling: float | None = None) -> MeanError | None:
        """Of the mean of these scores, one per fold.   sampling: as of `mean_error`."""
        return mean_error(scores, num_folds=self.record.parts, sampling=sampling)

    def finding(self, kind: type[AnyFinding]) -> AnyFinding | None:
        """The last finding of that type, or None. Raises RecordError for a damaged or newer one."""
        if kind.kind not in self._findings:
            self._findings[kind.kind] = self.store.read_finding(self.name, kind)
        found = self._findings[kind.kind]
        assert found is None or isinstance(found, kind)
        return found

    @cached_property
    def delivery(self) -> Delivery:
        """`last_delivery` of the study."""
        return last_delivery(self.store, self.name)

    @cached_property
    def split(self) -> Manifest:
        """Raises DataError for one that is gone, damaged or not the record's."""
        return self.store.read_split(self.record)

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The files that the study began with; None of a study of an earlier release. Raises DataError if damaged."""
        return self.store.read_snapshot(self.name)

    @property
    def sealed(self) -> Sealed | None:
        """Its test images; None of a study of an earlier release, which has those that there are now."""
        test = self.record.data.get("test")
        if test is None:
            return None
        settings, train = self.record.data["settings"], self.record.data["hash"]
        folder = self.store.test_folder(
            train, settings["images"] if settings["name"] == STORED else test["hash"]
        )
        return Sealed(test["hash"], folder, self.snapshot)


def in_use(
    function: Callable[Concatenate[LoadedStudy, Given], Iterator[Yielded]],
) -> Callable[Concatenate[LoadedStudy, Given], Iterator[Yielded]]:
    """A generator about a study that keeps what it trains for it until it has ended: see `Store.in_use`."""

    @wraps(function)
    def holding(study: LoadedStudy, /, *args: Given.args, **kwargs: Given.kwargs) -> Iterator[Yielded]:
        with study.store.in_use():
            yield from function(study, *args, **kwargs)

    return holding


def intact(study: LoadedStudy, kind: type[AnyFinding]) -> AnyFinding | None:
    """The last finding of that type, for whoever makes a damaged one anew; None for that, too."""
    try:
        return study.finding(kind)
    except NewerRecord:
        raise
    except RecordError as error:
        logger.warning("%s", error)
        return None


def started_study(store: Store, name: str) -> StudyRecord:
    """The study's record. Raises UsageError if no study of that name has been started."""
    with explaining(store.home), suppress(FileNotFoundError):
        store.home.stat()
    record = store.read_study(name) if valid_name(name) else None
    if record is None:
        if valid_name(name) and store.is_driven(name):
            raise UsageError(f"study {name} trains its first fold; look again when that has ended")
        if now := renamed(store, name):
            raise UsageError(f"no study {name!r} in {store.home}: it is called {now!r} now")
        raise UsageError(f"no study {name!r} in {store.home}{_why_not(store, name)}")
    return record


def has_trained_no_fold(store: Store, name: str) -> bool:
    """Whether a study was begun and interrupted before its first fold had ended: it has trials, and no record yet."""
    trials = store.read_trials(name) if valid_name(name) and not store.has_study(name) else []
    return bool(trials) and all(trial.state == "running" for trial in trials)


def _why_not(store: Store, name: str) -> str:
    """Why a store has no study of that name, and what helps."""
    if has_trained_no_fold(store, name):
        return (
            " yet: it was interrupted before its first fold had ended; the same tune command goes on with it"
        )
    file = catalog.studies().get(name)
    if file and (store.home.exists() or not file.is_absolute()):
        run = invocation.command("tune", name, home=store.home)
        return f": it has not been run yet, which {run} does"
    if not store.home.exists():
        guess = _store_beside(store.home) or "; go to your project's folder, or name its store with --home"
        return f", for there is no such folder{guess}"
    known = store.studies()
    return did_you_mean(name, known) if known else "; nothing has been started there yet"


def renamed(store: Store, name: str) -> str:
    """What a study that had this name before is called now; "" where there is none."""
    return next((other.name for other in store.records() if name in other.names), "")


def nothing_started(home: Path) -> str:
    """That a store has no study, in words, with the nearest guess where there is not even a folder."""
    if home.exists():
        return f"nothing has been started in {home} yet"
    return f"nothing has been started in {home}, for there is no such folder{_store_beside(home)}"


def _store_beside(home: Path) -> str:
    """The store of a similar name, as a guess."""
    beside = [path.parent for path in home.parent.glob("*/studies")]
    close = get_close_matches(home.name, [path.name for path in beside], n=1, cutoff=0.5)
    found = [path for path in beside if path.name in close]
    return f"; did you mean --home {found[0]}?" if found else ""
