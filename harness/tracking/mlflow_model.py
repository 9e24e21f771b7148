"""MLflow's own files around a servable model."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness.records import StudyRecord

PACKAGES = ("mlflow", "numpy", "safetensors", "torch")  # and harness itself, which no index has


def write_mlmodel(path: Path, study: StudyRecord, run_id: str, model: Any) -> None:
    """Write how to load the model in `path`/data, what goes in and out, and which packages it needs.

    model: the LoggedModel that it becomes.
    """
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.uint8), (-1, *study.data["image_shape"]))
    logits = TensorSpec(np.dtype(np.float32), (-1, len(study.data["classes"])))
    description = Model(
        artifact_path=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        model_uuid=model.model_id,
        signature=ModelSignature(Schema([images]), Schema([logits])),
    )
    description.add_flavor(  # as mlflow.pyfunc.add_to_model does, whose import warns and takes long
        "python_function",
        loader_module="harness.inference.pyfunc",
        python_version=platform.python_version(),
        data="data",
        env={"virtualenv": "python_env.yaml"},
    )
    description.save(path / "MLmodel")
    requirements = [f"{name}=={version(name).split('+')[0]}" for name in PACKAGES]
    (path / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    environment = (
        f"python: {platform.python_version()}\nbuild_dependencies: []\ndependencies: [-r requirements.txt]\n"
    )
    (path / "python_env.yaml").write_text(environment, encoding="utf-8")
