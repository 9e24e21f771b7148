"""The networks of a study's best trials as MLflow's logged models: those of all its folds are one model."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.folds.project import kept_sources
from harness.records import StudyRecord, TrialRecord
from harness.store import model_files
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import temperature_of
from harness.tracking import views
from harness.tracking.experiment_view import study_id
from harness.tracking.mlflow_entities import link_model
from harness.tracking.mlflow_model import write_mlmodel
from harness.tracking.mlflow_store import pages, runs_of

VERSION = "harness.shown"  # the tag with that of the views


class TrialModels:
    """What MLflow has of one study's models, by their trial; those of an earlier release are made anew."""

    def __init__(self, client: Any, experiment_id: str, study: StudyRecord):
        self._client, self._experiment_id = client, experiment_id
        self._models: dict[int, Any] = {}
        self._former: dict[int, Any] = {}
        for model in pages(client.search_logged_models, [experiment_id], runs_of(study)):
            known = self._models if model.tags.get(VERSION) == views.VERSION else self._former
            known[int(model.tags["harness.trial"])] = model

    def deliver(self, study: LoadedStudy, run_ids: Mapping[str, str], *, final: bool) -> None:
        """Add a model of each complete trial that keeps it; of the leading ones when nothing better can come.

        run_ids: of the trials' runs, by their number as text.
        """
        for trial in study.trials:
            keep = str(trial.values.get("train.keep_models", "best"))
            wanted = keep == "all" or (keep == "best" and final and trial in study.leaders)
            ready = trial.number in self._models and self._models[trial.number].status == "READY"
            if not wanted or ready or trial.state != "complete":
                continue
            folds = study.folds(trial)
            if len(folds) == len(trial.folds) and model_files.has_weights(folds):
                self._deliver(study, trial, run_ids[str(trial.number)])

    def _deliver(self, study: LoadedStudy, trial: TrialRecord, run_id: str) -> None:
        """Upload first, declare ready last."""
        record = study.record
        model = self._models.get(trial.number) or self._create(record, trial, run_id)
        self._models[trial.number] = model
        with tempfile.TemporaryDirectory(prefix="harness-") as folder:
            path = Path(folder) / "model"
            try:
                model_files.write_model(
                    path / "data",
                    record,
                    trial,
                    study.folds(trial),
                    temperature=temperature_of(study, trial),
                    sources=kept_sources(study.store, record),
                )
            except FileNotFoundError:  # a better trial's models have just replaced these
                return
            write_mlmodel(path, record, run_id, model)
            self._client.log_model_artifacts(model.model_id, str(path))
        view = views.trial_view(study, trial, final=True, files=None)
        points = {point.key: point.value for point in view.points if point.key.startswith("cv/")}
        assert view.ended is not None and view.dataset is not None
        link_model(self._client, run_id, model, points, view.ended, view.dataset)
        self._models[trial.number] = self._client.finalize_logged_model(model.model_id, "READY")
        if former := self._former.pop(trial.number, None):
            self._client.delete_logged_model(former.model_id)

    def _create(self, study: StudyRecord, trial: TrialRecord, run_id: str) -> Any:
        what = (
            f"The networks of the {study.num_folds} folds of {views.trial_name(trial)}. They are loaded by harness; "
            "the model that `harness final` registers needs none."
        )
        tags = {
            "harness.study": study.name,
            "harness.study_id": study_id(study),
            "harness.trial": str(trial.number),
            VERSION: views.VERSION,
            "mlflow.note.content": what,
        }
        return self._client.create_logged_model(
            self._experiment_id, name="model", source_run_id=run_id, tags=tags, model_type="classifier"
        )
