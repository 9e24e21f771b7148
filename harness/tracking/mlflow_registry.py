"""Registers a study's final network in MLflow's model registry, as its champion.

Every step looks first for what an earlier run has done, so registering again changes nothing.
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import invocation
from harness.errors import StoreError, UsageError
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.tracking import views
from harness.tracking.experiment_view import dataset, sealed_dataset, study_id
from harness.tracking.local_database import path_of
from harness.tracking.mlflow_addresses import address_in
from harness.tracking.mlflow_entities import dataset_input, link_model
from harness.tracking.mlflow_model import write_mlmodel
from harness.tracking.mlflow_store import active_experiment, connect, pages, runs_of, telling_store_errors
from harness.tracking.value_limits import allowed, cut, params

ALIAS = "champion"
REFIT = "harness.refit"  # the tag by which run, model and version of one network are found again
FORMAT = "harness.model_format"  # the tag for what a model is given and answers
CURRENT = "2"  # before, untagged, models gave logits
NEEDS_HARNESS = "harness.needs_harness"  # the tag for why a model does


def register(
    uri: str,
    study: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    *,
    home: Path,
    folder: Path,
    problem: str,
    card: str,
    files: Callable[[Path], None],
    points: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    """Show the refit network as a run of the study and as a version of the registered model; the version.

    home: of the study's store.
    folder: the model's files, see `mlflow_model.write_mlmodel`, which adds to them; where `known_problem` finds a model
    they are not looked at.   problem: why the model needs harness, or "".
    card: Markdown, the version's description.   files: writes those of the run.   tags: of the run.
    points: metrics such as test/accuracy.
    Raises StoreError if MLflow cannot be reached or has no such study.
    """
    with telling_store_errors(uri):
        client = connect(uri)
        experiment = active_experiment(client, study)
        if experiment is None:
            sync = invocation.command("sync", study.name, home=home)
            raise StoreError(f"MLflow does not show the study {study.name} yet; {sync} delivers it")
        experiment_id = experiment.experiment_id
        run_id = _run(client, experiment_id, study, trial, refit)
        _fill(client, run_id, study, trial, refit, card, files, points, tags)
        model = _model(client, experiment_id, study, trial, refit, run_id, folder, problem, card)
        ended = round(1000 * (refit.started + refit.seconds))
        link_model(client, run_id, model, points, ended, sealed_dataset(study))
        return _version(client, study, refit, run_id, model, card)


def known_problem(uri: str, study: StudyRecord, refit: FoldRecord) -> str | None:
    """Why the model that MLflow has of a network needs harness, "" if it does not; None where it has none.

    Raises StoreError if MLflow cannot be reached.
    """
    with telling_store_errors(uri):
        client = connect(uri)
        experiment = active_experiment(client, study)
        found = _models(client, experiment.experiment_id, refit) if experiment else []
        ready = found and found[0].status == "READY"
        return str(found[0].tags.get(NEEDS_HARNESS, "")) if ready else None


def _run(client: Any, experiment_id: str, study: StudyRecord, trial: TrialRecord, refit: FoldRecord) -> str:
    """The id of the network's run, below that of the study."""
    found = list(pages(client.search_runs, [experiment_id], f"tags.`{REFIT}` = '{refit.key}'"))
    if found:
        return str(found[0].info.run_id)
    own = views.final_tags(study) | {REFIT: refit.key}
    if above := client.search_runs([experiment_id], f"{runs_of(study)} AND tags.`harness.level` = 'study'"):
        own["mlflow.parentRunId"] = above[0].info.run_id
    run = client.create_run(
        experiment_id,
        start_time=round(1000 * refit.started),
        tags=own,
        run_name=f"final, trial {trial.number}",
    )
    return str(run.info.run_id)


def _fill(
    client: Any,
    run_id: str,
    study: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    card: str,
    files: Callable[[Path], None],
    points: Mapping[str, float],
    tags: Mapping[str, str],
) -> None:
    from mlflow.entities import Metric, Param, RunTag

    ended = round(1000 * (refit.started + refit.seconds))
    metrics = [Metric(allowed(key), value, ended, 0) for key, value in points.items() if math.isfinite(value)]
    told = [Param(key, value) for key, value in params(trial.params).items()]
    notes = [RunTag(key, cut(value)) for key, value in {**tags, "mlflow.note.content": card}.items()]
    client.log_batch(run_id, metrics, told[:100], notes)
    data = [dataset_input(dataset(study), "training"), dataset_input(sealed_dataset(study), "test")]
    client.log_inputs(run_id, datasets=data)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        files(Path(folder))
        client.log_artifacts(run_id, folder)
    client.set_terminated(run_id, status="FINISHED", end_time=ended)


def _model(
    client: Any,
    experiment_id: str,
    study: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    run_id: str,
    folder: Path,
    problem: str,
    card: str,
) -> Any:
    """Uploaded first, declared ready last. One of an earlier release stays as it is, beside the new one."""
    found = _models(client, experiment_id, refit)
    if found and found[0].status == "READY":
        return found[0]
    model = found[0] if found else client.create_logged_model(
        experiment_id,
        name="final",
        source_run_id=run_id,
        tags={REFIT: refit.key, FORMAT: CURRENT, NEEDS_HARNESS: cut(problem), "mlflow.note.content": cut(card)},
        params=dict(params(trial.values)),
        model_type="classifier",
    )  # fmt: skip
    write_mlmodel(folder, study, run_id, model)
    client.log_model_artifacts(model.model_id, str(folder))
    return client.finalize_logged_model(model.model_id, "READY")


def _models(client: Any, experiment_id: str, refit: FoldRecord) -> list[Any]:
    wanted = f"tags.`{REFIT}` = '{refit.key}' AND tags.`{FORMAT}` = '{CURRENT}'"
    return list(pages(client.search_logged_models, [experiment_id], wanted))


def _version(client: Any, study: StudyRecord, refit: FoldRecord, run_id: str, model: Any, card: str) -> str:
    name = study.name
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        tags = {"harness.study": name, "harness.study_id": study_id(study)}
        client.create_registered_model(name, tags=tags, description=cut(study.question))
    versions: Sequence[Any] = client.search_model_versions(f"name = '{name}'")
    own = {REFIT: refit.key, FORMAT: CURRENT}
    known = next((version for version in versions if own.items() <= version.tags.items()), None)
    if known is None:
        known = client.create_model_version(
            name,
            source=model.artifact_location,
            run_id=run_id,
            tags=own,
            description=card,
            model_id=model.model_id,
        )
    else:
        client.update_model_version(name, known.version, description=card)
    client.set_registered_model_alias(name, ALIAS, known.version)
    return str(known.version)


SCHEME = "models:/"


def download(uri: str, name: str, folder: Path) -> Path:
    """The folder, below `folder`, that `store/model_files.py` filled for this version of a registered model.

    uri: MLflow's.   name: models:/NAME@ALIAS or models:/NAME/VERSION.
    Raises UsageError for another name, or one that MLflow does not know; StoreError if it cannot be reached.
    """
    model, alias, version = _parse_name(name)
    path = path_of(uri)
    if path is not None and not path.exists():
        raise UsageError(f"{name}: nothing has been tracked in {path.parent} yet")
    with telling_store_errors(uri):
        client = connect(uri)
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            found = (
                client.get_model_version_by_alias(model, alias)
                if alias
                else client.get_model_version(model, version)
            )
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                known = ", ".join(sorted(one.name for one in client.search_registered_models())) or "none"
                raise UsageError(f"{name}: MLflow has no such model (registered: {known})") from None
            raise
        source = client.get_model_version_download_uri(model, found.version)
        source = source if path is None else address_in(path.parent, source)
        return Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=uri)) / "data"


def _parse_name(name: str) -> tuple[str, str, str]:
    """Of models:/NAME@ALIAS or models:/NAME/VERSION: the model, its alias and its version, one of them empty."""
    path = name.removeprefix(SCHEME)
    model, _, alias = path.partition("@")
    if not alias:
        model, _, version = path.partition("/")
    if not model or "/" in model or not (alias or version.isdigit()):
        raise UsageError(f"{name}: a registered model is models:/NAME@champion or models:/NAME/VERSION")
    return (model, alias, "") if alias else (model, "", version)
