"""How MLflow loads a model: its MLmodel file, what it brings along, and what it needs."""

import base64
import hashlib
import io
import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness import standalone
from harness.data.policy import of_changes
from harness.records import StudyRecord
from harness.standalone.classifier import IMAGE, columns
from harness.store.model_files import DOCUMENT, preprocessing
from harness.version import __version__

PROGRAMS = "torch"  # the folder with the exported program, where there is one
CODE = "code"
PACKAGES = ("mlflow", "numpy", "pillow", "torch")
EXAMPLE, SERVING_EXAMPLE = "input_example.json", "serving_input_example.json"


def write_mlmodel(path: Path, study: StudyRecord, run_id: str, model: Any) -> None:
    """Write how to load the model in `path`, what goes in and out, and which packages it needs.

    model: the LoggedModel that it becomes.

    `path`/data is what `store/model_files.py` wrote. With an exported program in `path`/torch the model has the
    flavours python_function and pytorch, neither of which needs harness; without one, python_function loads harness.
    """
    from mlflow.models import Model

    stays = not (path / PROGRAMS).exists()
    description = Model(
        artifact_path=model.artifact_location,
        run_id=run_id,
        model_id=model.model_id,
        model_uuid=model.model_id,
        signature=_signature(study),
        saved_input_example_info=_write_example(path, study.data["image_shape"]),
        metadata=_metadata(path, needs_harness=stays),
    )
    environments = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    common = {"python_version": platform.python_version(), "env": environments}
    if stays:  # as mlflow.pyfunc.add_to_model does, whose import warns and takes long
        description.add_flavor(
            "python_function", loader_module="harness.inference.mlflow_loader", data="data", **common
        )
    else:
        package = _write_code(path / CODE)
        description.add_flavor(
            "python_function",
            loader_module=f"{package}.exported",
            data=PROGRAMS,
            code=CODE,
            config={"device": None},
            **common,
        )
        import torch  # whose program has just been written; as MLflow compares it, with what it was built for

        description.add_flavor(
            "pytorch", model_data=PROGRAMS, pytorch_version=str(torch.__version__), code=None
        )
    _write_requirements(path, needs_harness=stays)
    description.model_size_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    description.save(path / "MLmodel")


def _signature(study: StudyRecord) -> Any:
    """A column of images, of whatever kind `standalone/classifier.py` takes, and the table that it answers with."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    label, *numbers = columns(study.data["classes"])
    anything: Any = AnyType  # which has no types of its own
    outputs: list[Any] = [ColSpec("string", label), *(ColSpec("float", name) for name in numbers)]
    signature = ModelSignature(Schema([ColSpec(anything(), IMAGE)]), Schema(outputs))
    # With it the model looks at its input itself; MLflow's own schemas take a column or an array, never both.
    signature._is_signature_from_type_hint = True
    return signature


def _metadata(path: Path, *, needs_harness: bool) -> dict[str, Any]:
    document = json.loads((path / "data" / DOCUMENT).read_text(encoding="utf-8"))
    folds = document["folds"]
    means, stds = ([fold[name] for fold in folds] for name in ("mean", "std"))
    policy = of_changes(document.get("decoding", {}))
    return {
        "classes": document["classes"],
        "input": f"a column {IMAGE!r} of bytes, base64, paths or pixels; or an array (N, C, H, W) of uint8",
        "image_shape": document["image_shape"],
        "preprocessing": preprocessing(document["image_shape"], policy, means, stds),
        "temperature": document["temperature"],
        "architecture": document["model"],
        "networks": len(folds),
        "study": document["study"],
        "trial": document["trial"],
        "harness": __version__,
        "needs_harness": needs_harness,
    }


def _write_example(path: Path, image_shape: list[int]) -> dict[str, Any]:
    """An image that is none of the data set's; what MLmodel says of it."""
    from PIL import Image

    channels, height, width = image_shape
    ramp = np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width)
    image: Any = np.broadcast_to(ramp, image_shape).tolist()
    if height == width and channels in (1, 3):
        content = io.BytesIO()
        Image.fromarray(ramp).save(content, "PNG")
        image = base64.b64encode(content.getvalue()).decode()
    example = [{IMAGE: image}]
    (path / EXAMPLE).write_text(json.dumps(example), encoding="utf-8")
    (path / SERVING_EXAMPLE).write_text(json.dumps({"inputs": example}), encoding="utf-8")
    return {"artifact_path": EXAMPLE, "type": "json_object", "serving_input_path": SERVING_EXAMPLE}


def _write_code(folder: Path) -> str:
    """Copy `harness/standalone`; the package's name, which has the hash of its files.

    A process keeps what it has imported, so two models may share a name only if their code is the same.
    """
    files = sorted(Path(standalone.__path__[0]).glob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    package = f"harness_standalone_{digest[:8]}"
    (folder / package).mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / package / file.name)
    return package


def _write_requirements(path: Path, *, needs_harness: bool) -> None:
    packages = [f"{name}=={version(name).split('+')[0]}" for name in PACKAGES]
    if needs_harness:
        packages.insert(0, f"harness-cv=={__version__}")
    python = platform.python_version()
    inner = "".join(f"  - {package}\n" for package in packages)
    files = {
        "requirements.txt": "".join(f"{package}\n" for package in packages),
        "python_env.yaml": f"python: {python}\nbuild_dependencies: []\ndependencies: [-r requirements.txt]\n",
        "conda.yaml": (
            f"name: mlflow-env\nchannels: [conda-forge]\ndependencies:\n- python={python}\n- pip\n- pip:\n{inner}"
        ),
    }
    for name, text in files.items():
        (path / name).write_text(text, encoding="utf-8")
