"""Registers a study's final network in MLflow's model registry, as its champion.

Every step looks first for what an earlier run has done, so registering again changes nothing.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.store import model_files
from harness.tracking import views
from harness.tracking.mlflow_model import write_mlmodel
from harness.tracking.mlflow_store import connect, pages, telling_store_errors
from harness.tracking.spelling import cut, params

ALIAS = "champion"
REFIT = "harness.refit"  # the tag by which run, model and version of one network are found again


def register(
    uri: str,
    study: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    *,
    card: str,
    points: Mapping[str, float],
    tags: Mapping[str, str],
    temperature: float | None = None,
) -> str:
    """Show the refit network as a run of the study and as a version of the registered model; the version.

    card: Markdown, the version's description.   points: metrics such as test.accuracy.   tags: of the run.
    temperature: of the trial's probabilities on held-out images.
    Raises StoreError if MLflow cannot be reached or has no such study.
    """
    with telling_store_errors(uri):
        client = connect(uri)
        experiment = client.get_experiment_by_name(study.name)
        if experiment is None:
            from harness.errors import StoreError

            raise StoreError(
                f"MLflow does not show the study {study.name} yet; run tune again, which delivers it"
            )
        run_id = _run(client, experiment.experiment_id, study, trial, refit, card, points, tags)
        model = _model(client, experiment.experiment_id, study, trial, refit, run_id, temperature)
        return _version(client, study, refit, run_id, model, card)


def _run(
    client: Any,
    experiment_id: str,
    study: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    card: str,
    points: Mapping[str, float],
    tags: Mapping[str, str],
) -> str:
    from mlflow.entities import Metric, Param, RunTag

    found = list(pages(client.search_runs, [experiment_id], f"tags.`{REFIT}` = '{refit.key}'"))
    if found:
        run_id = str(found[0].info.run_id)
    else:
        own = {"harness.level": "final", "harness.study": study.name, REFIT: refit.key}
        run_id = client.create_run(
            experiment_id,
            start_time=round(1000 * refit.started),
            tags=own,
            run_name=f"final, trial {trial.number}",
        ).info.run_id
    now = round(1000 * time.time())
    metrics = [Metric(key, value, now, 0) for key, value in points.items()]
    known = found[0].data.params if found else {}
    new = [Param(key, value) for key, value in params(trial.values).items() if key not in known]
    client.log_batch(run_id, metrics, new[:100], [RunTag(key, cut(value)) for key, value in tags.items()])
    client.log_text(run_id, card, "model_card.md")
    client.set_tag(run_id, "mlflow.note.content", cut(card))
    client.set_terminated(run_id, status="FINISHED", end_time=round(1000 * (refit.started + refit.seconds)))
    return run_id


def _model(
    client: Any,
    experiment_id: str,
    study: StudyRecord,
    trial: TrialRecord,
    refit: FoldRecord,
    run_id: str,
    temperature: float | None,
) -> Any:
    found = list(pages(client.search_logged_models, [experiment_id], f"tags.`{REFIT}` = '{refit.key}'"))
    if found and found[0].status == "READY":
        return found[0]
    model = found[0] if found else client.create_logged_model(
        experiment_id, name="final", source_run_id=run_id, tags={REFIT: refit.key}, model_type="classifier"
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        path = Path(folder) / "model"
        model_files.write_model(path / "data", study, trial, [refit], temperature=temperature)
        write_mlmodel(path, study, run_id, model)
        client.log_model_artifacts(model.model_id, str(path))
    return client.finalize_logged_model(model.model_id, "READY")


def _version(client: Any, study: StudyRecord, refit: FoldRecord, run_id: str, model: Any, card: str) -> str:
    name = study.name
    if not client.search_registered_models(filter_string=f"name = '{name}'"):
        tags = {"harness.study": name, "harness.study_id": views.study_id(study)}
        client.create_registered_model(name, tags=tags)
    versions: Sequence[Any] = client.search_model_versions(f"name = '{name}'")
    known = next((version for version in versions if version.tags.get(REFIT) == refit.key), None)
    if known is None:
        known = client.create_model_version(
            name,
            source=model.artifact_location,
            run_id=run_id,
            tags={REFIT: refit.key},
            description=card,
            model_id=model.model_id,
        )
    else:
        client.update_model_version(name, known.version, description=card)
    client.set_registered_model_alias(name, ALIAS, known.version)
    return str(known.version)
