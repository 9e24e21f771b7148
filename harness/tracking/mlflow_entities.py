"""What runs and models have in common in MLflow: the data that they are on, and that one is of the other."""

import math
from collections.abc import Mapping
from typing import Any

from harness.tracking.experiment_view import DatasetView
from harness.tracking.value_limits import allowed


def dataset_input(view: DatasetView, context: str) -> Any:
    """The data as the input of a run.   context: training or test."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(view.name, view.digest, "harness", view.source, view.schema, view.profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def link_model(
    client: Any, run_id: str, model: Any, points: Mapping[str, float], milliseconds: int, data: DatasetView
) -> None:
    """Have the run name the model as its output, and the model the run's metrics, on these data, as its own."""
    from mlflow.entities import LoggedModelOutput, Metric

    outputs = client.get_run(run_id).outputs
    if model.model_id not in [output.model_id for output in (outputs.model_outputs if outputs else [])]:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    metrics = [
        Metric(
            allowed(key),
            value,
            milliseconds,
            0,
            model_id=model.model_id,
            run_id=run_id,
            dataset_name=data.name,
            dataset_digest=data.digest,
        )
        for key, value in points.items()
        if math.isfinite(value)
    ]
    client.log_batch(run_id, metrics, [], [])
