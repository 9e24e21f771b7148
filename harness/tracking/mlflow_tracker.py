"""Makes MLflow show what the records say: a study's runs, their metrics, files and models.

It compares and adds what is missing, with plain client calls, explicit run ids and the records' time stamps.
Each run carries a tag with the version of what it shows, written last; so a delivery that was cut short
anywhere is simply done again. Runs that an earlier release has made are made anew.
Only the `mlflow_…` modules here import mlflow.
"""

import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from harness.errors import StoreError
from harness.records import StudyRecord, TrialRecord
from harness.store.loaded_study import LoadedStudy
from harness.tracking import artifacts, mlflow_renaming, views
from harness.tracking.experiment_view import TABLE, experiment_tags, study_id
from harness.tracking.mlflow_entities import dataset_input
from harness.tracking.mlflow_store import (
    connect,
    delete_experiment,
    experiments_of,
    pages,
    runs_of,
    telling_store_errors,
)
from harness.tracking.mlflow_trial_models import TrialModels
from harness.tracking.study_findings import StudyFindings
from harness.tracking.views import SHOWN, STUDY, Curve, Place, View

logger = logging.getLogger(__name__)

POINTS_PER_CALL = 800  # MLflow takes 1,000 metrics, parameters and tags together
PARAMS_PER_CALL = 100
NOTHING = StudyFindings()
PICTURES_SECONDS = 60.0  # while a study runs, its pictures are drawn at most so often


@dataclass
class _Run:
    """What MLflow has of one run. points: name and step -> value, of those that are known to be there.

    started: milliseconds since 1970; MLflow keeps what a run was created with.
    is_killed: so it was left while its fold was trained.
    """

    run_id: str
    started: int
    version: str = ""
    is_killed: bool = False
    points: dict[tuple[str, int], float] = field(default_factory=dict)


class MlflowTracker:
    """Delivers studies to one MLflow store. Not for use by several threads at once."""

    def __init__(self, uri: str, *, home: Path):
        """uri: `sqlite:////abs/mlflow.db`, whose database is created if need be, or `http://…`.

        home: where artifacts go, unless a server keeps them.
        Raises StoreError if the store cannot be reached.
        """
        self._uri, self._home = uri, home.expanduser().absolute()
        self._client = connect(uri)
        self._study_id = ""  # of the study that _experiment_id, _runs and _models are about
        self._experiment_id = ""
        self._runs: dict[Place, _Run] = {}
        self._models: TrialModels
        self._former: dict[Place, Any] = {}  # runs by an earlier release, and by trial models
        self._pictures_due = 0.0

    def deliver(
        self,
        study: LoadedStudy,
        *,
        final: bool,
        live: Mapping[Place, Curve] = MappingProxyType({}),
        importances: Mapping[str, float] | None = None,
        findings: StudyFindings = NOTHING,
        with_all_pictures: bool = False,
    ) -> None:
        """Add what MLflow lacks of the study; calling it again, or after a crash anywhere, changes nothing.

        final: nobody is working on the study any more.   live: of the folds that are being trained.
        importances: option -> share, for a picture.   findings: about the study as a whole.
        with_all_pictures: of every complete trial, not of those alone that are looked at (`views.pictured`).
        Raises StoreError if MLflow cannot be reached or does not take it.
        """
        try:
            with telling_store_errors(self._uri):
                if self._study_id != study_id(study.record):
                    self._read(study.record)
                pictured = views.pictured(study, final=final, all_=with_all_pictures)
                self._deliver(study, findings, live, pictured, final=final, importances=importances or {})
        except BaseException:
            self._study_id = ""  # look again at what is there
            raise

    def watch_system(self) -> Any:
        """What records the use of processor, memory and GPU with the study's run until it is told to `finish`.

        None unless MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING says so.
        """
        from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

        if not MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get():  # type: ignore[no-untyped-call]
            return None
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        run_id = self._runs[STUDY].run_id
        monitor: Any = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=self._uri)  # type: ignore[no-untyped-call]
        monitor.start()
        return monitor

    def run_ids(self) -> tuple[str | None, dict[str, str]]:
        """Of the study delivered last: its run's id, and those of its trials by their number as text."""
        ids = {place: run.run_id for place, run in self._runs.items()}
        trials = {str(trial): ids[trial, fold] for trial, fold in ids if trial is not None and fold is None}
        return ids.get(STUDY), trials

    def count_runs(self, study: str) -> dict[str, int]:
        """How many runs the store shows of a study by level: study, trial, fold; each under its parent."""
        with telling_store_errors(self._uri):
            experiment = self._client.get_experiment_by_name(study)
            runs = list(pages(self._client.search_runs, [experiment.experiment_id], "")) if experiment else []
        above = {"study": None, "trial": "study", "fold": "trial"}
        levels = {run.info.run_id: run.data.tags.get("harness.level") for run in runs}
        parents = [levels.get(run.data.tags.get("mlflow.parentRunId", "")) for run in runs]
        pairs = list(zip(levels.values(), parents, strict=True))
        return {level: pairs.count((level, parent)) for level, parent in above.items()}

    def _deliver(
        self,
        study: LoadedStudy,
        findings: StudyFindings,
        live: Mapping[Place, Curve],
        pictured: Collection[int],
        *,
        final: bool,
        importances: Mapping[str, float],
    ) -> None:
        if STUDY not in self._runs:
            begun = study.with_trials(())
            self._create(views.study_view(begun, NOTHING, final=False, note="", files=None), parent=None)
        for trial in study.trials:
            self._deliver_trial(study, trial, final=final, with_pictures=trial.number in pictured)
        for place, curve in live.items():
            self._deliver_live(study, place, curve)
        self._end_unfinished(study, final=final)
        self._models.deliver(study, self.run_ids()[1], final=final)
        if self._shows(STUDY, views.study_version(study, findings, final=final)):
            return
        with_pictures = final or monotonic() >= self._pictures_due
        self._show(
            views.study_view(
                study, findings, final=final, note=artifacts.note(study, findings),
                files=artifacts.writer(study, importances, findings, with_pictures=with_pictures),
            )
        )  # fmt: skip
        if with_pictures:
            self._pictures_due = monotonic() + PICTURES_SECONDS

    def _deliver_trial(
        self, study: LoadedStudy, trial: TrialRecord, *, final: bool, with_pictures: bool
    ) -> None:
        place: Place = (trial.number, None)
        is_empty = trial.state == "running" and not trial.folds
        version = views.trial_version(study, trial, final=final)
        with_them = version + views.WITH_PICTURES
        if is_empty or self._shows(place, with_them) or (not with_pictures and self._shows(place, version)):
            return
        folds = study.folds(trial)
        if len(folds) < len(trial.folds):
            logger.warning("trial %d: a fold's record is gone; MLflow does not show the trial", trial.number)
            return
        files = (
            None
            if trial.state == "running"
            else artifacts.trial_writer(study, trial, with_pictures=with_pictures)
        )
        view = views.trial_view(study, trial, final=final, files=files, with_pictures=with_pictures)
        if place not in self._runs:
            self._create(view, parent=STUDY)
        for fold in folds:
            files = artifacts.fold_writer(study.record, fold)
            fold_view = views.fold_view(study.record, trial, fold, files=files)
            if not self._shows(fold_view.place, fold_view.version):
                self._forget_if_other(fold_view)
                if fold_view.place not in self._runs:
                    self._create(fold_view, parent=place)
                self._show(fold_view)
        self._show(view)

    def _deliver_live(self, study: LoadedStudy, place: Place, curve: Curve) -> None:
        """A batch of the newest epochs of a fold that is being trained."""
        number, fold = place
        if number is None or fold is None or number >= len(study.trials):
            return
        trial = study.trials[number]
        if trial.state != "running" or fold < len(trial.folds):
            return
        if (number, None) not in self._runs:
            begun = views.trial_view(study, replace(trial, started=curve.started), final=False, files=None)
            self._create(begun, parent=STUDY)
            self._show(begun)
        view = views.live_view(study.record, trial, fold, curve)
        if place not in self._runs:
            self._create(view, parent=(number, None))
        run = self._runs[place]
        if run.is_killed:
            self._client.update_run(run.run_id, status="RUNNING")
            run.is_killed = False
        self._send(run, view)

    def _end_unfinished(self, study: LoadedStudy, *, final: bool) -> None:
        """Of folds that have been shown while they were trained: take away those that the study did not need after all.

        Where it is interrupted the others wait for its next run.
        """
        unfinished = [
            (place, run) for place, run in self._runs.items() if place[1] is not None and not run.version
        ]
        for place, run in unfinished:
            assert place[0] is not None
            if study.trials[place[0]].state != "running":
                self._client.delete_run(run.run_id)
                del self._runs[place]
            elif final and not run.is_killed:
                self._client.set_terminated(run.run_id, status="KILLED")
                run.is_killed = True

    def _forget_if_other(self, view: View) -> None:
        """Take away a run that has been shown with other values: its fold was trained again, in another way."""
        run = self._runs.get(view.place)
        if run and any(run.points.get((one.key, one.step), one.value) != one.value for one in view.points):
            self._client.delete_run(run.run_id)
            del self._runs[view.place]

    def _shows(self, place: Place, version: str) -> bool:
        return place in self._runs and self._runs[place].version == version

    def _create(self, view: View, *, parent: Place | None) -> None:
        """A run that can be found again by its tags from its first moment on."""
        former = self._former.get(view.place)
        tags = (_own_tags(former) if former else {}) | view.tags
        if parent is not None:
            tags["mlflow.parentRunId"] = self._runs[parent].run_id
        run = self._client.create_run(
            self._experiment_id, start_time=view.started, tags=tags, run_name=view.name
        )
        self._runs[view.place] = _Run(run.info.run_id, view.started)

    def _show(self, view: View) -> None:
        """Bring a run up to date: files, status, points and parameters, and last the tag that says so."""
        run = self._runs[view.place]
        if view.files is not None:
            with tempfile.TemporaryDirectory(prefix="harness-") as folder:
                view.files(Path(folder))
                self._client.log_artifacts(run.run_id, folder)
        if view.dataset is not None and not run.version:
            self._client.log_inputs(run.run_id, datasets=[dataset_input(view.dataset, "training")])
        if view.ended is not None:
            ended = run.started + view.ended - view.started  # so that its duration is right
            self._client.set_terminated(run.run_id, status=view.status, end_time=ended)
        elif run.version:
            self._client.update_run(run.run_id, status=view.status)
        self._send(run, view)
        run.version = view.version
        if former := self._former.pop(view.place, None):
            self._client.delete_run(former.info.run_id)

    def _send(self, run: _Run, view: View) -> None:
        """The points that MLflow lacks, the parameters, and last the tag that says what is shown."""
        from mlflow.entities import Metric, Param, RunTag

        new = [point for point in view.points if (point.key, point.step) not in run.points]
        metrics = [Metric(point.key, point.value, point.milliseconds, point.step) for point in new]
        params = [Param(key, value) for key, value in view.params.items()] if not run.version else []
        while len(metrics) > POINTS_PER_CALL or len(params) > PARAMS_PER_CALL:
            self._client.log_batch(run.run_id, metrics[:POINTS_PER_CALL], params[:PARAMS_PER_CALL])
            metrics, params = metrics[POINTS_PER_CALL:], params[PARAMS_PER_CALL:]
        shown = {SHOWN: view.version} if view.version else {}
        tags = [RunTag(key, value) for key, value in {**view.tags, **shown}.items()]
        self._client.log_batch(run.run_id, metrics, params, tags)
        run.points |= {(point.key, point.step): point.value for point in new}

    def _read(self, study: StudyRecord) -> None:
        """Find the study's experiment, or create it, and the runs and models that it has."""
        self._runs, self._former = {}, {}
        self._experiment_id = self._find_experiment(study) or self._create_experiment(study)
        mlflow_renaming.follow(self._client, self._experiment_id, study)
        for run in pages(self._client.search_runs, [self._experiment_id], runs_of(study)):
            tags = run.data.tags
            if tags.get("harness.level") == "final":
                continue
            trial, fold = tags.get("harness.trial"), tags.get("harness.fold")
            place = (None if trial is None else int(trial), None if fold is None else int(fold))
            version = tags.get(SHOWN, "")
            if version and version.split()[0] != views.VERSION:
                self._former[place] = run
                continue
            self._runs[place] = _Run(
                run.info.run_id, run.info.start_time, version, run.info.status == "KILLED"
            )
            if fold is not None and not version:
                self._runs[place].points = self._sent(run.info.run_id)
        self._models = TrialModels(self._client, self._experiment_id, study)
        self._study_id = study_id(study)

    def _sent(self, run_id: str) -> dict[tuple[str, int], float]:
        """The curves of a fold whose training was interrupted, as far as MLflow has them."""
        points = (
            (name, point)
            for name in views.EPOCH_CURVES
            for point in self._client.get_metric_history(run_id, name)
        )
        return {(name, point.step): point.value for name, point in points}

    def _find_experiment(self, study: StudyRecord) -> str | None:
        """By name, or by the study's tag where somebody has renamed it; the name of a deleted study is freed."""
        experiments = experiments_of(self._client, study)
        for found in experiments:
            if found.lifecycle_stage == "active":
                self._renew_table(found, study)
                return str(found.experiment_id)
        if not experiments:
            return None
        found = experiments[0]
        if self._is_of_another(found, study):
            self._client.restore_experiment(found.experiment_id)  # a deleted one cannot be renamed
            delete_experiment(self._client, found)
            return None
        restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
        raise StoreError(
            f"the experiment {found.name!r} has been deleted in MLflow; restore it with `{restore}`, "
            "or run the study by another name"
        )

    def _renew_table(self, experiment: Any, study: StudyRecord) -> None:
        """Arrange the study's table as this release does, where an earlier one has made it."""
        key = f"mlflow.sharedViewState.{TABLE}"
        table, former = experiment_tags(study)[key], experiment.tags.get(key)
        is_its_own = experiment.tags.get("harness.study_id") == study_id(study)
        if is_its_own and former is not None and former != table:
            self._client.set_experiment_tag(experiment.experiment_id, key, table)

    def _is_of_another(self, experiment: Any, study: StudyRecord) -> bool:
        """Whether harness made a deleted experiment for another study, and none of this one's runs are in it."""
        from mlflow.entities import ViewType

        owner = experiment.tags.get("harness.study_id")
        mine = self._client.search_runs(
            [experiment.experiment_id], runs_of(study), run_view_type=ViewType.ALL, max_results=1
        )
        return owner not in (None, study_id(study)) and not mine

    def _create_experiment(self, study: StudyRecord) -> str:
        is_served = urlsplit(self._uri).scheme in ("http", "https")
        location = None if is_served else (self._home / "artifacts" / study.name).as_uri()
        tags = experiment_tags(study)
        return str(self._client.create_experiment(study.name, artifact_location=location, tags=tags))


def _own_tags(run: Any) -> dict[str, str]:
    """What a person has written at a run."""
    return {key: value for key, value in run.data.tags.items() if not key.startswith(("harness.", "mlflow."))}
