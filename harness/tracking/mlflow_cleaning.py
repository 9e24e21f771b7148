"""Takes a study out of MLflow: its runs, its models, and its experiment if nothing else is in it."""

from harness.records import StudyRecord
from harness.tracking import views
from harness.tracking.mlflow_store import connect, pages, telling_store_errors


def delete_study(uri: str, study: StudyRecord) -> int:
    """Delete the study's runs, as MLflow deletes (`mlflow gc` then frees the space); how many.

    Raises StoreError if MLflow cannot be reached.
    """
    with telling_store_errors(uri):
        client = connect(uri)
        experiment = client.get_experiment_by_name(study.name)
        if experiment is None or experiment.lifecycle_stage != "active":
            return 0
        mine = f"tags.`harness.study_id` = '{views.study_id(study)}'"
        for model in list(pages(client.search_logged_models, [experiment.experiment_id], mine)):
            client.delete_logged_model(model.model_id)
        runs = list(pages(client.search_runs, [experiment.experiment_id], mine))
        for run in runs:
            client.delete_run(run.info.run_id)
        if not list(pages(client.search_runs, [experiment.experiment_id], "")):
            client.delete_experiment(experiment.experiment_id)
        return len(runs)
