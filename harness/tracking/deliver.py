"""Delivers the records to MLflow and Optuna's dashboard store, beside the training and never in its way."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from harness.config.study_file import Study, parse_study_file
from harness.environment import MLFLOW, environment, unless_set
from harness.errors import RecordError, StoreError
from harness.files import digest, read_json, write_json
from harness.profiler import phase
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.redaction import redacted
from harness.search.sampling import replay
from harness.search.selection_bias import corrected_score, known_score
from harness.store.findings import Audit, Confirmation, CorrectedScore, FinalTest
from harness.store.loaded_study import DELIVERY, LoadedStudy
from harness.store.store import Store
from harness.tracking.findings import Findings

if TYPE_CHECKING:
    from harness.tracking.mlflow_tracker import MlflowTracker

logger = logging.getLogger(__name__)
RETRY_SECONDS, RETRY_PAUSE_SECONDS = 10.0, 0.5  # at the end of a study, for a store that fails now and then
SILENT_SECONDS = 8.0  # after which a delivery that has failed was to a store that does not answer
CLOSED = "closed"  # shown as it is, by a later process than the one that trained it


class Folds(Mapping[str, FoldRecord]):
    """Fold records by key, read when they are first looked at."""

    def __init__(self, read: Callable[[str], FoldRecord | None]):
        self._read = read
        self._known: dict[str, FoldRecord] = {}

    def __getitem__(self, key: str) -> FoldRecord:
        if key not in self._known:
            record = self._read(key)
            if record is None:
                raise KeyError(key)
            self._known[key] = record
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class Recorder:
    """One thread that makes MLflow show what the records say, again and again as they grow.

    What could not be delivered is delivered with the next update, or by the next command: the records are
    the truth, and delivering them twice changes nothing. `problem` says what went wrong last, or "".
    """

    def __init__(
        self, study: Study, record: StudyRecord, store: Store, *, tracking_uri: str, storage_url: str
    ):
        self._study, self._record, self._store = study, record, store
        self._tracking_uri, self._storage_url = tracking_uri, storage_url
        self._trials: list[TrialRecord] = []
        self._news = threading.Event()
        self._closing, self._retry_until = False, 0.0
        self.problem = ""
        self._environment = ExitStack()  # left when it is closed, not by the thread, which may not have ended
        self._environment.enter_context(environment(unless_set(MLFLOW)))
        self._thread = threading.Thread(target=self._run, name="harness-recorder", daemon=True)
        self._thread.start()

    def update(self, trials: list[TrialRecord]) -> None:
        """Tell the recorder where the study stands; returns at once."""
        self._trials = list(trials)
        self._news.set()

    def close(self, *, timeout_seconds: float = 600.0) -> None:
        """Deliver what is left, waiting at most so long; a store that does not answer is not asked again."""
        self._retry_until = time.monotonic() + RETRY_SECONDS
        self._closing = True
        self._news.set()
        with self._environment:
            self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            self.problem = self.problem or "delivering takes too long"

    def _run(self) -> None:
        # One at a time: an earlier recorder that was not waited for may still be delivering.
        with FileLock(self._store.study_folder(self._record.name) / "delivering"):
            self._deliver_until_closed()

    def _deliver_until_closed(self) -> None:
        tracker = None
        folds = Folds(self._store.read_fold_record)
        while True:
            self._news.wait()
            self._news.clear()
            final, trials = self._closing, self._trials
            if tracker is None and final and self._has_been_delivered(trials):
                return
            began = time.monotonic()
            try:
                with phase("bookkeeping"):
                    if tracker is None:
                        from harness.tracking.mlflow_tracker import MlflowTracker

                        tracker = MlflowTracker(self._tracking_uri, home=self._store.home)
                        close_abandoned(self._store, tracking_uri=self._tracking_uri)
                    self._deliver(tracker, trials, folds, final=final)
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

    def _deliver(
        self,
        tracker: "MlflowTracker",
        trials: list[TrialRecord],
        folds: Mapping[str, FoldRecord],
        *,
        final: bool,
    ) -> None:
        from harness.tracking.optuna_mirror import mirror

        ended = [trial for trial in trials if trial.state != "running"]
        importances = replay(self._study, ended).importances() if final else {}
        study = LoadedStudy(self._store, self._record, tuple(trials))
        tracker.deliver(
            self._record, trials, folds, final=final, importances=importances,
            findings=replace(findings_of(study), honest=written_score(study)) if final else findings_of(study),
        )  # fmt: skip
        if final:
            mirror(self._storage_url, self._record.name, self._study, ended)
        delivered = self._snapshot(trials) if final else ""
        _write_delivery(self._store, self._record.name, tracker, delivered=delivered, trials=trials)

    def _snapshot(self, trials: list[TrialRecord]) -> str:
        """What is delivered, and where to: equal texts need no second delivery."""
        places = (self._tracking_uri, self._storage_url)
        return digest(repr((places, self._record.num_trials, delivery_of(trials))).encode())

    def _has_been_delivered(self, trials: list[TrialRecord]) -> bool:
        """Whether the last delivery was of just these trials, to stores that are still there."""
        databases = [url.removeprefix("sqlite:///") for url in (self._tracking_uri, self._storage_url)]
        if not all(Path(path).exists() for path in databases if "://" not in path):
            return False
        shown = _last_delivery(self._store, self._record.name)
        return shown.get("delivered") == self._snapshot(trials)

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
    return study.delivery.get("trials_delivered") != delivery_of(study.trials)


def sync(store: Store, name: str, *, tracking_uri: str, storage_url: str) -> str:
    """Deliver what is recorded of a study, looking at what is there; what went wrong, or ""."""
    record = store.read_study(name)
    assert record is not None
    overrides = record.provenance.get("overrides", [])
    study = parse_study_file(record.text.encode(), overrides, name=name, source=f"study {name}")
    with store.driving(name):
        # MLflow may have lost what it was shown.
        (store.study_folder(name) / DELIVERY).unlink(missing_ok=True)
        recorder = Recorder(study, record, store, tracking_uri=tracking_uri, storage_url=storage_url)
        recorder.update(store.read_trials(name))
        recorder.close()
    return recorder.problem


def findings_of(study: LoadedStudy) -> Findings:
    """What has been found out about a study so far."""
    folder = study.store.study_folder(study.name)
    files = [folder / file for file in ("report.html", "gallery.html", "duplicates.png", "model_card.md")]
    return Findings(
        honest=known_score(study),
        audit=study.finding(Audit),
        confirm=study.finding(Confirmation),
        final=study.finding(FinalTest),
        files=tuple(path for path in files if path.exists()),
    )


def written_score(study: LoadedStudy) -> CorrectedScore | None:
    """The corrected score of a study that has ended, which is written down unless it has been."""
    score = corrected_score(study)
    if score is not None and score != known_score(study):
        study.store.write_finding(study.name, score)
    return score


def redeliver(study: LoadedStudy, *, tracking_uri: str, lock_seconds: float = -1) -> None:
    """Have MLflow show what has been found out about a study since it was last delivered.

    lock_seconds: to wait for another process that delivers it, or -1 for as long as it takes.
    Raises StoreError if MLflow cannot be reached; the next delivery then shows it.
    """
    from harness.tracking.mlflow_tracker import MlflowTracker

    store, name = study.store, study.name
    with FileLock(store.study_folder(name) / "delivering", timeout=lock_seconds):
        tracker = MlflowTracker(tracking_uri, home=store.home)
        final = not study.is_driven
        tracker.deliver(
            study.record, study.trials, Folds(study.fold), final=final, findings=findings_of(study)
        )
        if final and study.trials:
            _write_delivery(store, name, tracker, delivered=CLOSED, trials=study.trials)


def close_abandoned(store: Store, *, tracking_uri: str) -> None:
    """Have MLflow show the studies whose process was killed as what they are, not as running for ever."""
    for name in store.studies():
        if _last_delivery(store, name).get("delivered") or store.is_driven(name):
            continue
        try:
            redeliver(LoadedStudy.open(store, name), tracking_uri=tracking_uri, lock_seconds=1.0)
        except Exception as error:  # it must not stand in the way of the study that is run now
            logger.debug("study %s is not shown as it is: %s", name, error)


def _last_delivery(store: Store, name: str) -> dict[str, Any]:
    """What MLflow was shown last of a study; empty where nothing is known of that."""
    try:
        return read_json(store.study_folder(name) / DELIVERY)
    except (OSError, RecordError):
        return {}


def _write_delivery(
    store: Store, name: str, tracker: "MlflowTracker", *, delivered: str, trials: Sequence[TrialRecord]
) -> None:
    """delivered: the snapshot that all stores show, or "" while the study runs."""
    document = {**tracker.run_ids(), "delivered": delivered, "trials_delivered": delivery_of(trials)}
    write_json(store.study_folder(name) / DELIVERY, document)


def default_tracking_uri(home: Path) -> str:
    return f"sqlite:///{(home / 'mlflow.db').as_posix()}"


def default_storage_url(home: Path) -> str:
    return f"sqlite:///{(home / 'optuna.db').as_posix()}"


def with_driver(url: str) -> str:
    """The address of a database with the name of its driver, where that is a PostgreSQL and none is named.

    SQLAlchemy 2.1 takes psycopg for it, and the extra `postgres` is psycopg2; either will do.
    """
    scheme, colon, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres") or not colon:
        return url
    has_other_alone = find_spec("psycopg") is not None and find_spec("psycopg2") is None
    return f"postgresql+{'psycopg' if has_other_alone else 'psycopg2'}://{rest}"
