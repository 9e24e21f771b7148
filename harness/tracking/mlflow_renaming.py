"""Has MLflow call a study as it is called now: its experiment, runs, models, and what is registered of it.

Every step looks first for what is still called otherwise; so each delivery goes on with what was cut short.
"""

import logging
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.records import StudyRecord
from harness.tracking import views
from harness.tracking.experiment_view import study_id
from harness.tracking.local_database import path_of
from harness.tracking.mlflow_store import (
    connect,
    delete_experiment,
    pages,
    runs_of,
    telling_store_errors,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)


def require_free(uri: str, study: StudyRecord, name: str) -> None:
    """Raises UsageError where MLflow has an experiment or a registered model of that name that is not this study's.

    Raises StoreError if MLflow cannot be reached.
    """
    path = path_of(uri)
    if path is not None and not path.exists():
        return
    with telling_store_errors(uri):
        client = connect(uri)
        there: Any = client.get_experiment_by_name(name)
        if there is not None and there.lifecycle_stage == "deleted" and "harness.study_id" in there.tags:
            there = None  # whose name is freed
        others = [there] if there is not None else []
        if _registered(client, study):
            others += client.search_registered_models(f"name = '{name}'")
        if any(other.tags.get("harness.study_id") != study_id(study) for other in others):
            raise UsageError(f"MLflow has something else called {name}: choose another name")


def follow(client: "MlflowClient", experiment_id: str, study: StudyRecord) -> None:
    """Rename what MLflow has of a study under one of its earlier names. What somebody has named otherwise stays."""
    if not study.names:
        return
    experiment = client.get_experiment(experiment_id)
    if experiment.tags.get("harness.study_id") == study_id(study):
        _rename_experiment(client, experiment, study)
    for model in pages(client.search_logged_models, [experiment_id], runs_of(study)):
        if model.tags.get("harness.study") != study.name:
            client.set_logged_model_tags(model.model_id, {"harness.study": study.name})
    for model in _registered(client, study):
        _rename_registered(client, model, study)
    for run in pages(client.search_runs, [experiment_id], runs_of(study)):
        if run.data.tags.get("harness.study") != study.name:
            _rename_run(client, run, study)


def _rename_experiment(client: "MlflowClient", experiment: Any, study: StudyRecord) -> None:
    of_others = f"tags.`harness.study_id` != '{study_id(study)}'"
    is_shared = client.search_runs([experiment.experiment_id], of_others, max_results=1)
    if experiment.name in study.names and not is_shared:
        there = client.get_experiment_by_name(study.name)
        if there is not None and there.lifecycle_stage == "active":
            _tell_taken(experiment.name, study)
            return
        if there is not None:
            client.restore_experiment(there.experiment_id)  # a deleted one cannot be renamed
            delete_experiment(client, there)
        client.rename_experiment(experiment.experiment_id, study.name)
    if experiment.tags.get("harness.study") != study.name:
        client.set_experiment_tag(experiment.experiment_id, "harness.study", study.name)


def _rename_registered(client: "MlflowClient", model: Any, study: StudyRecord) -> None:
    name = model.name
    if name in study.names:
        if client.search_registered_models(f"name = '{study.name}'"):
            _tell_taken(name, study)
            return
        client.rename_registered_model(name, study.name)
        logger.warning("models:/%s@champion is called models:/%s@champion now", name, study.name)
        name = study.name
    if model.tags.get("harness.study") != study.name:
        client.set_registered_model_tag(name, "harness.study", study.name)


def _tell_taken(name: str, study: StudyRecord) -> None:
    logger.warning(
        "MLflow has something else called %s: this study is called %s there still", study.name, name
    )


def _rename_run(client: "MlflowClient", run: Any, study: StudyRecord) -> None:
    """The study's own run is shown anew, whose note has the name; the tag by which all this is known comes last."""
    from mlflow.entities import RunTag

    tags = {"mlflow.source.name": views.source_name(study)}
    if run.info.run_name in study.names:
        client.update_run(run.info.run_id, name=study.name)
    if run.data.tags.get("harness.level") == "study":
        tags[views.SHOWN] = f"{views.VERSION} renamed"
    tags["harness.study"] = study.name
    client.log_batch(run.info.run_id, (), (), [RunTag(key, value) for key, value in tags.items()])


def _registered(client: "MlflowClient", study: StudyRecord) -> list[Any]:
    """The registered models that harness made for the study."""
    return list(client.search_registered_models(runs_of(study)))
