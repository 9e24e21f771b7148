"""Delivers the records to MLflow and Optuna's dashboard store, beside the training and never in its way."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filelock import FileLock

from harness import invocation
from harness.config import plugins
from harness.config.kinds import MLFLOW
from harness.config.study_file import Study
from harness.documents import plain_json
from harness.environment import MLFLOW as MLFLOW_SETTINGS
from harness.environment import environment, unless_set
from harness.errors import StoreError
from harness.files import digest, write_json
from harness.folds.tasks import RUNG
from harness.messages import RECORDER
from harness.os_errors import explaining
from harness.profiler import phase
from harness.records import StudyRecord, TrialRecord
from harness.redaction import redacted
from harness.search.driver import EpochEnded, Event, FoldBegan, FoldEnded
from harness.search.sampling import replay
from harness.search.selection_bias import corrected_score, known_score
from harness.store.findings import Audit, Confirmation, CorrectedScore, FinalTest
from harness.store.loaded_study import DELIVERY, Delivery, LoadedStudy, intact, last_delivery
from harness.store.store import Store
from harness.tracking.experiment_view import study_id
from harness.tracking.local_database import MLFLOW as MLFLOW_FILE
from harness.tracking.local_database import OPTUNA as OPTUNA_FILE
from harness.tracking.local_database import path_of, url_of
from harness.tracking.mlflow_tracker import MlflowTracker
from harness.tracking.optuna_mirror import mirror
from harness.tracking.renewal import definition_of, mirror_others, renew_damaged
from harness.tracking.study_findings import StudyFindings
from harness.tracking.trackers import Tracker
from harness.tracking.views import Curve, Place

logger = logging.getLogger(__name__)
RETRY_SECONDS, RETRY_PAUSE_SECONDS = 10.0, 0.5  # at the end of a study, for a store that fails now and then
SILENT_SECONDS = 8.0  # after which a delivery that has failed was to a store that does not answer
TOLD_SECONDS = 15.0  # after which a study's end says that it waits for MLflow
LIVE_SECONDS = 3.0  # between two batches of epochs
CLOSED = "closed"  # shown as it is, by a later process than the one that trained it


class Recorder:
    """One thread that makes MLflow show what the records say, again and again as they grow.

    What could not be delivered is delivered with the next update, or by the next command: the records are
    the truth, and delivering them twice changes nothing. `problem` says what went wrong last, or "".
    """

    def __init__(
        self,
        study: LoadedStudy,
        definition: Study,
        *,
        tracking_uri: str,
        storage_url: str,
        trackers: Mapping[str, Tracker] = MappingProxyType({}),
    ):
        """study: its trials are those of the last `update`.   definition: the same as its study file has it.

        trackers: of the user's own, by name, which are told the same as MLflow.
        """
        self._study, self._definition = study, definition
        self._tracking_uri, self._storage_url = tracking_uri, storage_url
        self._mlflow: MlflowTracker | None = None
        self._trackers, self._told = trackers, set[str]()
        self._system_metrics: Any = None
        self._trials: tuple[TrialRecord, ...] | None = None
        self._live: dict[Place, Curve] = {}
        self._live_due = 0.0
        self._news = threading.Event()
        self._closing, self._retry_until = False, 0.0
        self.problem = ""
        self._environment = ExitStack()  # left when it is closed, not by the thread, which may not have ended
        self._environment.enter_context(environment(unless_set(MLFLOW_SETTINGS)))
        self._thread = threading.Thread(target=self._run, name=RECORDER, daemon=True)
        self._thread.start()

    def update(self, trials: Sequence[TrialRecord]) -> None:
        """Tell the recorder where the study stands; returns at once."""
        self._trials = tuple(trials)
        self._news.set()

    def rests(self, record: StudyRecord) -> None:
        """Take note of the record of a study that has fewer trials than it was to have; before the next `update`."""
        self._study = replace(self._study, record=record)

    def watch(self, event: Event, *, begun: bool) -> None:
        """Take note of an event of the driver's; returns at once.   begun: whether the study exists by now.

        Epochs are shown in batches while their fold is being trained.
        """
        match event:
            case FoldBegan(number, fold) if fold != RUNG:
                self._live[number, fold] = Curve(time.time())
            case EpochEnded(number, fold, epoch) if (number, fold) in self._live:
                self._live[number, fold].epochs.append(epoch)
                if begun and self._trials is not None and time.monotonic() >= self._live_due:
                    self._live_due = time.monotonic() + LIVE_SECONDS
                    self._news.set()
            case FoldEnded(number, fold):
                self._live.pop((number, fold), None)

    def close(self, *, timeout_seconds: float = 600.0) -> None:
        """Deliver what is left, waiting at most so long; a store that does not answer is not asked again.

        Where nothing was ever told, nothing is delivered.
        """
        self._retry_until = time.monotonic() + RETRY_SECONDS
        self._closing = True
        self._news.set()
        with self._environment:
            self._thread.join(min(timeout_seconds, TOLD_SECONDS))
            if self._thread.is_alive() and timeout_seconds > TOLD_SECONDS:
                if MLFLOW in self._definition.trackers:
                    logger.warning(
                        "what is trained is kept; MLflow is still taking it (Ctrl-C leaves it to %s)",
                        invocation.command("sync", self._study.name, home=self._study.store.home),
                    )
                self._thread.join(timeout_seconds - TOLD_SECONDS)
        if self._thread.is_alive():
            self.problem = self.problem or "delivering takes too long"

    def _run(self) -> None:
        # One at a time: an earlier recorder that was not waited for may still be delivering.
        path = self._study.store.study_folder(self._study.name) / "delivering"
        lock = FileLock(path)
        try:
            with explaining(path):
                lock.acquire()
        except StoreError as error:
            self._report(str(error))
            return
        try:
            with explaining(path.parent):
                self._deliver_until_closed()
        except StoreError as error:
            self._report(str(error))
        finally:
            lock.release()

    def _deliver_until_closed(self) -> None:
        study, is_first = self._study, True
        renewed = self._renewed()
        while True:
            self._news.wait()
            self._news.clear()
            final = self._closing
            if self._trials is None:
                return
            study = replace(study, record=self._study.record).with_trials(self._trials)
            if is_first and final and self._has_been_delivered(study):
                return
            is_first = False
            began = time.monotonic()
            try:
                with phase("bookkeeping"):
                    self._deliver(study, final=final)
                    if final and renewed:
                        mirror_others(study, self._storage_url)
                self.problem = ""
            except StoreError as error:
                self._report(str(error))
            except Exception as error:  # a fault in a view must not cost a night of training
                logger.debug("delivering failed", exc_info=True)
                self._report(f"{type(error).__name__}: {error}")
            silent = bool(self.problem) and time.monotonic() - began > SILENT_SECONDS
            if (final and not self.problem) or (self._closing and silent):
                return
            if final:  # it answers, if with errors
                if time.monotonic() > self._retry_until:
                    return
                time.sleep(RETRY_PAUSE_SECONDS)
                self._news.set()

    def _deliver(self, study: LoadedStudy, *, final: bool) -> None:
        self._tell_own(study, final=final)
        findings = findings_of(study)
        importances: Mapping[str, float] = {}
        if final:
            findings = replace(findings, corrected=written_score(study))
            importances = replay(self._definition, study.ended).importances()
        if MLFLOW in self._definition.trackers:
            self._deliver_to_mlflow(study, findings, importances, final=final)
        if final:
            name, identity = study.name, study_id(study.record)
            mirror(self._storage_url, name, self._definition, study.ended, study_id=identity)
        delivered = self._snapshot(study) if final else ""
        _write_delivery(study, self._mlflow, delivered=delivered, trackers=self._definition.trackers)

    def _deliver_to_mlflow(
        self, study: LoadedStudy, findings: StudyFindings, importances: Mapping[str, float], *, final: bool
    ) -> None:
        if self._mlflow is None:
            self._mlflow = MlflowTracker(self._tracking_uri, home=study.store.home)
            close_abandoned(study.store, tracking_uri=self._tracking_uri)
        curves = [] if final else [*self._live.items()]
        live = {place: Curve(curve.started, list(curve.epochs)) for place, curve in curves if curve.epochs}
        if final and self._system_metrics is not None:
            self._system_metrics.finish()
        self._mlflow.deliver(study, final=final, live=live, importances=importances, findings=findings)
        if not final and self._system_metrics is None:
            self._system_metrics = self._mlflow.watch_system()

    def _tell_own(self, study: LoadedStudy, *, final: bool) -> None:
        for name, tracker in self._trackers.items():
            try:
                tracker.deliver(study, final=final)
            except Exception as error:  # whatever the user's code raises
                said = f"tracker {name}: {plugins.where(error, plugins.project())}"
                if said not in self._told:
                    logger.warning("%s; training goes on", said)
                self._told.add(said)

    def _snapshot(self, study: LoadedStudy) -> str:
        """What is delivered, and where to: equal texts need no second delivery."""
        places = (self._tracking_uri, self._storage_url, self._definition.trackers)
        return digest(repr((places, study.record.num_trials, delivery_of(study.trials))).encode())

    def _renewed(self) -> bool:
        """Whether a database of the store was damaged, and is made anew."""
        try:
            return renew_damaged(
                self._study.store, tracking_uri=self._tracking_uri, storage_url=self._storage_url
            )
        except StoreError as error:
            self._report(str(error))
            return False

    def _has_been_delivered(self, study: LoadedStudy) -> bool:
        """Whether the last delivery was of just these trials, to stores that are still there."""
        urls = [self._tracking_uri] * (MLFLOW in self._definition.trackers) + [self._storage_url]
        if not all(path.exists() for path in map(path_of, urls) if path is not None):
            return False
        return study.delivery.delivered == self._snapshot(study)

    def _report(self, problem: str) -> None:
        problem = redacted(problem, self._tracking_uri, self._storage_url)
        if problem != self.problem:
            logger.warning("MLflow has not taken everything yet (%s); training goes on", problem)
        self.problem = problem


def delivery_of(trials: Sequence[TrialRecord]) -> str:
    """Equal where MLflow would show the same trials."""
    return digest(repr([(trial.state, trial.folds) for trial in trials]).encode())


def is_pending(study: LoadedStudy) -> bool:
    """Whether MLflow has not been shown all that is recorded of a study that nobody is working on."""
    return study.delivery.trials_delivered != delivery_of(study.trials)


def sync(study: LoadedStudy, *, tracking_uri: str, storage_url: str, with_all_pictures: bool = False) -> str:
    """Deliver to MLflow what is recorded of a study, looking at what is there; what went wrong, or "".

    with_all_pictures: of every complete trial, not of those alone that are looked at.
    Raises StoreError where a process drives the study: that delivers it.
    """
    name, definition = study.name, definition_of(study)
    with study.store.driving(name):
        # MLflow may have lost what it was shown.
        (study.store.study_folder(name) / DELIVERY).unlink(missing_ok=True)
        recorder = Recorder(study, definition, tracking_uri=tracking_uri, storage_url=storage_url)
        recorder.update(study.trials)
        recorder.close()
        if with_all_pictures and not recorder.problem:
            tracker = MlflowTracker(tracking_uri, home=study.store.home)
            tracker.deliver(study, final=True, findings=findings_of(study), with_all_pictures=True)
    return recorder.problem


def findings_of(study: LoadedStudy) -> StudyFindings:
    """What has been found out about a study so far."""
    folder = study.store.study_folder(study.name)
    files = [folder / file for file in ("report.html", "gallery.html", "duplicates.png", "model_card.md")]
    return StudyFindings(
        corrected=known_score(study),
        audit=intact(study, Audit),
        confirm=intact(study, Confirmation),
        final=intact(study, FinalTest),
        files=tuple(path for path in files if path.exists()),
    )


def written_score(study: LoadedStudy) -> CorrectedScore | None:
    """The corrected score of a study that has ended, which is written down unless it has been."""
    score = corrected_score(study)
    if score is not None and score != known_score(study):
        study.store.write_finding(study.name, score)
    return score


def redeliver(study: LoadedStudy, *, tracking_uri: str, lock_seconds: float = -1) -> None:
    """Have MLflow show what has been found out about a study since it was last delivered, if it is shown any of it.

    lock_seconds: to wait for another process that delivers it, or -1 for as long as it takes.
    Raises StoreError if MLflow cannot be reached; the next delivery then shows it.
    """
    trackers = study.delivery.trackers
    if MLFLOW not in trackers:
        return
    with FileLock(study.store.study_folder(study.name) / "delivering", timeout=lock_seconds):
        tracker = MlflowTracker(tracking_uri, home=study.store.home)
        final = not study.is_driven
        tracker.deliver(study, final=final, findings=findings_of(study))
        if final and study.trials:
            _write_delivery(study, tracker, delivered=CLOSED, trackers=trackers)


def close_abandoned(store: Store, *, tracking_uri: str) -> None:
    """Have MLflow show the studies whose process was killed as what they are, not as running for ever."""
    for name in store.studies():
        if last_delivery(store, name).delivered or store.is_driven(name):
            continue
        try:
            redeliver(LoadedStudy.open(store, name), tracking_uri=tracking_uri, lock_seconds=1.0)
        except Exception as error:  # it must not stand in the way of the study that is run now
            logger.debug("study %s is not shown as it is: %s", name, error)


def _write_delivery(
    study: LoadedStudy, mlflow: MlflowTracker | None, *, delivered: str, trackers: tuple[str, ...]
) -> None:
    """delivered: the snapshot that all stores show, or "" while the study runs."""
    shown, trials = mlflow.run_ids() if mlflow else (None, {})
    document = Delivery(shown, trials, delivered, delivery_of(study.trials), trackers)
    write_json(study.store.study_folder(study.name) / DELIVERY, plain_json(document))


def default_tracking_uri(home: Path) -> str:
    return url_of(home / MLFLOW_FILE)


def default_storage_url(home: Path) -> str:
    return url_of(home / OPTUNA_FILE)


def with_driver(url: str) -> str:
    """The address of a database with the name of its driver, where that is a PostgreSQL and none is named.

    SQLAlchemy 2.1 takes psycopg for it, and the extra `postgres` is psycopg2; either will do.
    """
    scheme, colon, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres") or not colon:
        return url
    has_other_alone = find_spec("psycopg") is not None and find_spec("psycopg2") is None
    return f"postgresql+{'psycopg' if has_other_alone else 'psycopg2'}://{rest}"
