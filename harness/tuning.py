"""`tune`: puts a study's parts together, runs it, and goes on where an earlier run was stopped."""

import logging
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.config.earlier import as_begun
from harness.config.kinds import MLFLOW
from harness.config.study_file import Study
from harness.errors import RecordError, StoreError, UsageError
from harness.folds import guards
from harness.folds.cluster import connect
from harness.folds.executor import num_processors
from harness.folds.executor_options import ExecutorOptions
from harness.folds.processes import begin_imports
from harness.folds.tasks import RUNG, make_tasks
from harness.folds.train_folds import train_again
from harness.prepare import prepare, with_trials
from harness.records import FoldRecord, StudyRecord, TrialRecord, mixed_fingerprints, mixed_words
from harness.search.constraints import limits_of
from harness.search.driver import Driver, EpochEnded, Event, FoldBegan, FoldEnded, TrialEnded
from harness.search.objectives import other_objectives
from harness.search.patience import last_improvement
from harness.search.profiling import Profile, Profiling
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import read_predictions
from harness.store.store import Store, valid_name
from harness.store.study_lock import driving_alone
from harness.tracking.addresses import require_possible_mlflow, require_possible_storage
from harness.tracking.deliver import Recorder, default_storage_url, default_tracking_uri, with_driver
from harness.tracking.trackers import own_trackers, tell_what_is_not_followed

logger = logging.getLogger(__name__)
BEGUN_SECONDS = 60.0  # of a study's first training, after which it is more than an attempt


@dataclass(frozen=True)
class StudyBegan:
    """workers: processes that train; 1 is this one."""

    record: StudyRecord
    workers: int
    trials: tuple[TrialRecord, ...]


@dataclass(frozen=True)
class StudyEnded:
    """pending: what MLflow has not taken, or "".   profile: where the time went, if that was asked for."""

    record: StudyRecord
    trials: tuple[TrialRecord, ...]
    best: TrialRecord | None
    state: Literal["finished", "interrupted"]
    pending: str
    profile: Profile | None = None


@dataclass(frozen=True)
class Settings(ExecutorOptions):
    """Where and how a study is run; nothing here changes its result.

    timeout_minutes: begin no trial after it.   offline: use the stores in `home`, whatever the environment names.
    num_trials: a total that replaces the study file's.   name: another name than the study file's.
    profile: time where the time goes.   retry_failed: try failed trials again.
    extends: the study whose images keep their part and fold in this one, which is on data that have grown since.
    """

    home: Path
    num_trials: int | None = None
    timeout_minutes: float | None = None
    name: str | None = None
    offline: bool = False
    profile: bool = False
    retry_failed: bool = False
    extends: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.profile and self.executor != "process":
            raise UsageError(
                f"--profile times this machine's workers, and --executor {self.executor} trains elsewhere"
            )

    @property
    def tracking_uri(self) -> str:
        named = "" if self.offline else os.environ.get("MLFLOW_TRACKING_URI")
        return with_driver(named) if named else default_tracking_uri(self.home)

    @property
    def storage_url(self) -> str:
        named = "" if self.offline else os.environ.get("HARNESS_STORAGE")
        return with_driver(named) if named else default_storage_url(self.home)


def tune(study: Study, settings: Settings) -> Generator[Event | StudyBegan | StudyEnded, None, None]:
    """Run the study until its trials are done, yielding what happens. Close the generator to stop it.

    Raises StudyError or UsageError for what cannot be run, StoreError if somebody else runs it.
    """
    started = time.monotonic()
    name = settings.name or study.name
    if not valid_name(name):
        raise UsageError(f"a study cannot be called {name!r}: letters, digits, space and _ . + - only")
    if MLFLOW in study.trackers:
        require_possible_mlflow(settings.tracking_uri, settings.home)
    require_possible_storage(settings.storage_url, settings.home)
    store = Store(settings.home)
    with (
        store.driving(name),
        driving_alone(settings.storage_url, name),
        connect(settings, store.home) as cluster,
    ):
        if settings.executor == "process" and settings.workers != 1 and num_processors() > 1:
            begin_imports()
        trackers = own_trackers(study.trackers, store.home)
        tell_what_is_not_followed(study.trackers)
        profiling = Profiling(store.study_folder(name)) if settings.profile else None
        record, workplace = prepare(study, store, name, cluster, settings.num_trials, settings.extends)
        study, _ = as_begun(with_trials(study, settings.num_trials), record.definition)
        train_again(store, record, workplace, cluster)
        if settings.retry_failed:
            store.reopen_failed(name)
        begun = LoadedStudy(store, record, tuple(store.read_trials(name)), is_driven=True)
        if profiling is not None:
            workplace = replace(workplace, profile=profiling.parts)
        most_useful = study.cv.num_folds * min(study.search.batch, record.num_trials)
        executor = cluster.executor(workplace, record.compute, most_useful=most_useful)
        recorder = Recorder(
            begun,
            study,
            tracking_uri=settings.tracking_uri,
            storage_url=settings.storage_url,
            trackers=trackers,
        )
        tasks = make_tasks(
            study,
            data_hash=record.data["hash"],
            split_hash=record.split_hash,
            compute=record.compute,
            provenance=record.provenance,
        )
        deadline = _deadline(started, settings.timeout_minutes, study.search.timeout_minutes)
        driver = Driver(
            study, store, name, executor, tasks, record.num_trials, deadline, limits_of(study, record),
            other_objectives(record), groups=begun.split.groups,
        )  # fmt: skip
        patience = 3.0  # seconds to deliver what is left when the user wants to leave
        try:
            with executor:
                yield StudyBegan(record, executor.num_slots, begun.trials)
                yield from _watched(begun, driver, recorder)
                if driver.num_trials < record.num_trials:
                    record = _at_rest(record, driver, store)
                    recorder.rests(record)
            patience = 600.0
        finally:
            if store.has_study(name):
                recorder.update(driver.trials)
            recorder.close(timeout_seconds=patience)
            profile = profiling.end(executor.num_slots) if profiling else None
        done = [trial for trial in driver.trials if trial.state != "running"]
        missing = len(done) < record.num_trials
        state: Literal["finished", "interrupted"] = "interrupted" if missing else "finished"
        yield StudyEnded(record, tuple(driver.trials), driver.best, state, recorder.problem, profile)


def _watched(begun: LoadedStudy, driver: Driver, recorder: Recorder) -> Iterator[Event]:
    """The driver's events, after guarding, telling the recorder and clearing away what need not be kept.

    A study begins to exist with its first fold, its first trial that has failed, or after a minute of training.
    """
    store, leaders = begun.store, begun.leaders
    is_new, started = not store.has_study(begun.name), time.monotonic()
    pinned = _folds_needed_elsewhere(begun)
    alike = _Alike(begun)
    for event in driver.run():
        is_late = isinstance(event, EpochEnded) and time.monotonic() - started > BEGUN_SECONDS
        if is_new and (is_late or isinstance(event, FoldEnded | TrialEnded)):
            store.write_study(begun.record)
            is_new = False
            recorder.update(driver.trials)
        recorder.watch(event, begun=not is_new)
        if isinstance(event, FoldEnded) and event.fold != RUNG:
            alike.look_at([event.record])
        if isinstance(event, TrialEnded):
            alike.look_at(
                filter(None, map(store.read_fold_record, event.trial.folds))
            )  # some may have been found
            if event.trial.state == "complete":
                _guard(event.trial, begun)
            kept = pinned | _folds_needed_elsewhere(begun, only_driven=True)
            before, leaders = leaders, begun.with_trials(driver.trials).leaders
            _drop_losers([event.trial, *before], leaders, store, kept)
        if isinstance(event, TrialEnded | FoldEnded) or (isinstance(event, FoldBegan) and not is_new):
            recorder.update(driver.trials)
        yield event
    leaders = begun.with_trials(driver.trials).leaders
    _drop_losers(driver.trials, leaders, store, pinned)  # also what a kill has left


def _at_rest(record: StudyRecord, driver: Driver, store: Store) -> StudyRecord:
    """The study's record with the trials that it has come to, which is said."""
    last = last_improvement(driver.trials, record.direction)
    logger.warning(
        "search.patience: no trial after trial %d has gained a third of its standard error, so %d of %d trials are "
        "not begun; --set search.patience=null begins them",
        last, record.num_trials - driver.num_trials, record.num_trials,
    )  # fmt: skip
    record = replace(record, num_trials=driver.num_trials)
    store.write_study(record)
    return record


class _Alike:
    """Warns, once, when a study's folds are not all computed alike: it may have gone on on another machine."""

    def __init__(self, study: LoadedStudy):
        self._different: list[FoldRecord] = []  # one of each fingerprint
        self._warned = False
        self.look_at(fold for trial in study.trials for fold in study.folds(trial))

    def look_at(self, folds: Iterable[FoldRecord]) -> None:
        if self._warned:
            return
        for fold in folds:
            if all(fold.fingerprint != other.fingerprint for other in self._different):
                self._different.append(fold)
        if said := mixed_words(mixed_fingerprints(self._different)):
            self._warned = True
            logger.warning("study goes on: %s", said)


def _guard(trial: TrialRecord, study: LoadedStudy) -> None:
    """Raise CheckFailed where an image was not predicted as often as it was held out, StoreError where that is lost."""
    try:
        folds = [study.store.read_fold(key) for key in trial.folds]
        held_out = [read_predictions(fold)["indices"] for fold in folds if fold]
    except RecordError as error:
        raise StoreError(f"{error}; the same command trains it again") from None
    if None in folds:
        raise StoreError(
            f"trial {trial.number}: a fold cannot be read any more; the same command trains it again"
        )
    wanted = (study.split.by_repeat >= 0).sum(1)
    guards.covered_once(trial.number, held_out, study.record.data["num_images"], wanted=wanted)


def _drop_losers(
    trials: Sequence[TrialRecord], leaders: Sequence[TrialRecord], store: Store, pinned: set[str]
) -> None:
    """Keep those trials' models that `train.keep_models` asks for, and those that other studies need."""
    kept = pinned | {
        key for leader in leaders if leader.values["train.keep_models"] != "none" for key in leader.folds
    }
    for trial in trials:
        match trial.values["train.keep_models"]:
            case "all":
                pass
            case "best" | "none":
                store.drop_weights([key for key in (*trial.folds, trial.rung) if key and key not in kept])
            case other:
                raise ValueError(f"unknown train.keep_models {other!r}")


def _folds_needed_elsewhere(study: LoadedStudy, *, only_driven: bool = False) -> set[str]:
    """The keys of the leading and the running trials' folds of other studies, or of those that are run right now."""
    keys: set[str] = set()
    for name in study.store.studies():
        if name == study.name or (only_driven and not study.store.is_driven(name)):
            continue
        if other := LoadedStudy.find(study.store, name):
            for trial in other.trials:
                if trial in other.leaders or trial.state == "running":
                    keys.update(trial.folds)
    return keys


def _deadline(started: float, *minutes: float | None) -> float | None:
    """On the monotonic clock, by the first of these that is not None."""
    chosen = next((limit for limit in minutes if limit is not None), None)
    return None if chosen is None else started + 60 * chosen
