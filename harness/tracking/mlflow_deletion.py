"""Takes a study out of MLflow, as MLflow deletes; what is registered of it stays unless that is to go, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from harness.records import StudyRecord
from harness.tracking.local_database import path_of
from harness.tracking.mlflow_registry import REFIT
from harness.tracking.mlflow_store import (
    connect,
    delete_experiment,
    experiments_of,
    pages,
    runs_of,
    telling_store_errors,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class InMlflow:
    """What MLflow shows of a study. bytes: its artifacts, where they lie on this machine.

    registered: the versions of registered models that are of it, as NAME/VERSION.
    """

    runs: int = 0
    models: int = 0
    bytes: int = 0
    registered: tuple[str, ...] = ()


def shown(uri: str, study: StudyRecord) -> InMlflow:
    """What there is to delete. Raises StoreError if MLflow cannot be reached."""
    if _is_new(uri):
        return InMlflow()
    with telling_store_errors(uri):
        client = connect(uri)
        runs: list[Any] = []
        models: list[Any] = []
        for experiment in _active(client, study):
            there = _runs(client, experiment, study)
            runs += there
            models += _models(client, experiment, study, there)
        folders = [*(run.info.artifact_uri for run in runs), *(model.artifact_location for model in models)]
        versions = _versions(client, runs)
        named = tuple(f"{version.name}/{version.version}" for version in versions)
        return InMlflow(len(runs), len(models), sum(map(_size, folders)), named)


def delete_study(uri: str, study: StudyRecord, *, with_registered: bool = False) -> int:
    """Delete the study's runs, as MLflow deletes (`mlflow gc` then frees the space); how many. Its name is free then.

    What registered versions are of stays and works, in an experiment of another name; with_registered: they go, too.
    Raises StoreError if MLflow cannot be reached. Doing it again goes on where it was cut short.
    """
    if _is_new(uri):
        return 0
    with telling_store_errors(uri):
        client, deleted = connect(uri), 0
        for experiment in _active(client, study):
            runs = _runs(client, experiment, study)
            versions = _versions(client, runs)
            if with_registered:
                _unregister(client, versions)
                versions = []
            kept = {version.run_id for version in versions}
            for model in _models(client, experiment, study, runs):
                if model.source_run_id not in kept:
                    client.delete_logged_model(model.model_id)
            going = [run.info.run_id for run in runs if run.info.run_id not in kept]
            for run_id in going:
                client.delete_run(run_id)
            deleted += len(going)
            left = {run.info.run_id for run in pages(client.search_runs, [experiment.experiment_id], "")}
            if not left:
                delete_experiment(client, experiment)
            elif left <= kept:
                _free_name(client, experiment)
        return deleted


def _is_new(uri: str) -> bool:
    """Whether it is a file that there is not: it need not be made to find nothing in it."""
    path = path_of(uri)
    return path is not None and not path.exists()


def _active(client: "MlflowClient", study: StudyRecord) -> list[Any]:
    return [found for found in experiments_of(client, study) if found.lifecycle_stage == "active"]


def _runs(client: "MlflowClient", experiment: Any, study: StudyRecord) -> list[Any]:
    return list(pages(client.search_runs, [experiment.experiment_id], runs_of(study)))


def _models(client: "MlflowClient", experiment: Any, study: StudyRecord, runs: Sequence[Any]) -> list[Any]:
    """Of its trials, and of the networks that `final` trained, which are known by those."""
    place = [experiment.experiment_id]
    wanted = [runs_of(study)]
    wanted += [f"tags.`{REFIT}` = '{run.data.tags[REFIT]}'" for run in runs if REFIT in run.data.tags]
    found = [model for one in wanted for model in pages(client.search_logged_models, place, one)]
    return list({model.model_id: model for model in found}.values())


def _versions(client: "MlflowClient", runs: Sequence[Any]) -> list[Any]:
    """The registered versions that any of these runs made."""
    ids, found, token = {run.info.run_id for run in runs}, [], None
    while ids:
        page = client.search_model_versions(max_results=1000, page_token=token)
        found += [version for version in page if version.run_id in ids]
        token = page.token
        if not token:
            break
    return found


def _unregister(client: "MlflowClient", versions: Sequence[Any]) -> None:
    """Delete these versions, and the registered models that have no other."""
    for version in versions:
        client.delete_model_version(version.name, version.version)
    for name in {version.name for version in versions}:
        if not client.search_model_versions(f"name = '{name}'", max_results=1):
            client.delete_registered_model(name)


def _free_name(client: "MlflowClient", experiment: Any) -> None:
    suffix = f" (registered, {experiment.experiment_id})"
    if not experiment.name.endswith(suffix):
        client.rename_experiment(experiment.experiment_id, experiment.name + suffix)


def _size(address: str) -> int:
    """Bytes of the files below a `file://` address; 0 for those elsewhere."""
    parts = urlsplit(address)
    if parts.scheme != "file":
        return 0
    return sum(path.stat().st_size for path in Path(url2pathname(parts.path)).rglob("*") if path.is_file())
