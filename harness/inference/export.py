"""A trial's model as a file that other programs run, kept only if it says what the network says."""

import hashlib
import io
import json
import logging
import shutil
import tempfile
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness import training
from harness.config import plugins
from harness.config.kinds import NO_NETWORK
from harness.environment import environment
from harness.errors import CheckFailed, HarnessError, StoreError, UsageError
from harness.files import telling_disk_trouble, write_file
from harness.inference import export_onnx
from harness.inference.export_onnx import INPUT, OUTPUT, File, Run
from harness.inference.model import TrialModel, load_trial_model
from harness.standalone import DOCUMENT
from harness.store.model_files import (
    ModelDocument,
    fold_weights,
    preprocessing,
    write_document,
    write_sources,
)
from harness.version import __version__

Kind = Literal["onnx", "pt2", "safetensors", "state_dict", "timm"]
TOLERANCE = 1e-4  # of a probability
NUM_IMAGES = 64


def export(
    model: TrialModel,
    target: Path,
    kind: Literal["onnx", "pt2", "safetensors"],
    *,
    study: str,
    trial: int,
    images: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Write the model to `target`, a new folder for safetensors; what was written, which for a file lies beside it.

    images: uint8 (N, C, H, W), to compare file and network on; by default noise, smooth images and plain ones.
    Raises CheckFailed, with nothing written, if a probability differs by more than the tolerance; HarnessError for
    a network that cannot be exported, UsageError for a folder that is there already.
    """
    if kind == "safetensors":
        return _export_folder(model, target, study, trial, images, tolerance)
    content, document = exported(model, kind, study=study, trial=trial, images=images, tolerance=tolerance)
    if target.is_dir():
        raise UsageError(f"{target}: is a folder")
    write_file(target, content)
    document |= {"path": str(target), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    beside = target.with_name(f"{target.name}.json")
    write_file(beside, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return document


def exported(
    model: TrialModel,
    kind: Literal["onnx", "pt2"],
    *,
    study: str,
    trial: int,
    images: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> tuple[bytes, dict[str, Any]]:
    """The content of a file, which agrees with the network on the images, and what is in it.

    Arguments and errors as `export` has them.
    """
    if model.architecture.get("name") == NO_NETWORK:
        loop = model.architecture["loop"]
        raise UsageError(
            f"the training loop {loop} makes no network; only --format safetensors holds what it makes"
        )
    images = check_images(model.image_shape) if images is None else images
    as_studied = beside_predict(model, images)
    model = on_cpu(model)
    document = described(model, kind, study, trial) | {
        "input": f"{INPUT}: uint8 (N, C, H, W)",
        "output": f"{OUTPUT}: float32 (N, classes)",
    }
    file = _export_file(model, kind, document)
    document |= compared(file.run, images, model.predict(images), kind, tolerance) | as_studied
    return file.content, document


def on_cpu(model: TrialModel) -> TrialModel:
    """The model as a file computes: on the CPU, in full precision."""
    for fold in model.folds:
        fold.network.to("cpu")
    return replace(model, compute=training.Compute("cpu", "fp32", channels_last=False, threads=1))


def beside_predict(model: TrialModel, images: np.ndarray) -> dict[str, Any]:
    """How far `harness predict` is from what is exported, where a study computes in less than full precision.

    The largest difference of a probability over the images, uint8 (N, C, H, W), and the precision that it comes from.
    The networks are on the CPU afterwards.
    """
    if model.compute.precision == "fp32":
        return {}
    predicted = model.predict(images)
    difference = float(np.abs(predicted - on_cpu(model).predict(images)).max())
    return {"predict_precision": model.compute.precision, "predict_difference": difference}


def described(model: TrialModel, kind: Kind, study: str, trial: int) -> dict[str, Any]:
    """What every exported file says of itself."""
    return {
        "format": kind,
        "study": study,
        "trial": trial,
        "networks": len(model.folds),
        "classes": list(model.classes),
        "image_shape": list(model.image_shape),
        "preprocessing": _preprocessing(model),
        "temperature": model.temperature,
        **({"decoding": changed} if (changed := model.policy.changed()) else {}),
        "harness": __version__,
    }


def _preprocessing(model: TrialModel) -> dict[str, Any]:
    statistics = [fold.statistics for fold in model.folds]
    return preprocessing(
        model.image_shape, model.policy, [one.mean for one in statistics], [one.std for one in statistics]
    )


def check_images(shape: tuple[int, int, int], count: int = NUM_IMAGES) -> np.ndarray:
    """Noise, smooth images, and black and white ones, in turn: uint8 (count, C, H, W), always the same."""
    channels, height, width = shape
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
    corners = generator.integers(0, 256, (count, channels, 2, 2))
    down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)
    top = corners[:, :, :1, :1] * (1 - across) + corners[:, :, :1, 1:] * across
    bottom = corners[:, :, 1:, :1] * (1 - across) + corners[:, :, 1:, 1:] * across
    images[1::2] = (top * (1 - down) + bottom * down)[1::2]
    images[:1], images[1:2] = 0, 255
    return images


def _export_file(model: TrialModel, kind: Kind, document: dict[str, Any]) -> File:
    """Raises HarnessError in one line for whatever torch cannot export."""
    if kind == "onnx":
        export_onnx.require()
    try:
        with warnings.catch_warnings(action="ignore"):
            program = _program(model)
            return export_onnx.onnx_file(program, document) if kind == "onnx" else _pt2(program, document)
    except HarnessError:
        raise
    except Exception as error:  # exporters have no common one
        why = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
        name = model.architecture.get("name", "the network")
        raise HarnessError(f"{name} cannot be exported to {kind}: {why}") from None


def _program(model: TrialModel) -> Any:
    import torch

    from harness.inference.portable import Portable  # loads torch

    example = torch.from_numpy(check_images(model.image_shape, 3))
    batch = {0: torch.export.Dim("batch", min=1)}
    network = Portable(model).cpu().eval().requires_grad_(False)  # an encoder may be elsewhere
    logging.getLogger("torch.fx.experimental.symbolic_shapes").setLevel(logging.ERROR)
    noise = io.StringIO()  # whole graphs, where a network cannot be exported
    with torch.no_grad(), redirect_stdout(noise), redirect_stderr(noise):
        program = torch.export.export(network, (example,), dynamic_shapes={INPUT: batch}, strict=False)
    for node in program.graph.nodes:  # where on this machine each line of the network was written
        for place in ("stack_trace", "nn_module_stack", "source_fn_stack"):
            node.meta.pop(place, None)
    return program


def _pt2(program: Any, document: dict[str, Any]) -> File:
    import torch

    content = io.BytesIO()
    torch.export.save(program, content, extra_files={DOCUMENT: json.dumps(document)})
    module = torch.export.load(io.BytesIO(content.getvalue())).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            outputs: np.ndarray = module(torch.from_numpy(images)).numpy()
        return outputs

    return File(content.getvalue(), run)


def compared(
    run: Run, images: np.ndarray, expected: np.ndarray, kind: Kind, tolerance: float
) -> dict[str, Any]:
    """The largest difference of a probability, over all images at once and the first by itself."""
    found = np.concatenate([run(images), run(images[:1])])
    difference = float(np.abs(found - np.concatenate([expected, expected[:1]])).max())
    if not difference <= tolerance:
        raise CheckFailed(
            f"the {kind} file differs from the network by {difference:.1e} in a probability, more than {tolerance:g}; "
            "it is not kept"
        )
    return {"difference": difference, "num_images": len(images)}


def save_model(folder: Path, model: TrialModel, *, study: str, trial: int) -> None:
    """Fill the new `folder` with a model that is in memory, from wherever it came. study, trial: its origin."""
    from safetensors.torch import save

    folder.mkdir(parents=True)
    members = []
    written = {"classes": json.dumps(model.classes), "preprocessing": json.dumps(_preprocessing(model))}
    for number, fold in enumerate(model.folds):
        network: Any = fold.network
        kept = network.kept_state() if hasattr(network, "kept_state") else network.state_dict()
        state = {key: value.detach().cpu().contiguous() for key, value in kept.items()}
        content = save(state | fold.statistics_tensors(), metadata=written)
        name = f"fold{number}.safetensors"
        (folder / name).write_bytes(content)
        members.append(fold_weights(number, folder / name, hashlib.sha256(content).hexdigest()))
    document = ModelDocument(
        study=study,
        trial=trial,
        model=model.architecture,
        image_shape=model.image_shape,
        classes=model.classes,
        compute=asdict(model.compute),
        temperature=model.temperature,
        folds=members,
        sources=write_sources(folder, model.sources),
        decoding=model.policy.changed(),
    )
    write_document(folder, document)


def _export_folder(
    model: TrialModel, target: Path, study: str, trial: int, images: np.ndarray | None, tolerance: float
) -> dict[str, Any]:
    """What `store/model_files.py` describes, which `find_model` takes as a model's folder."""
    images = check_images(model.image_shape) if images is None else images
    document = described(model, "safetensors", study, trial)
    if target.exists():
        raise UsageError(f"{target}: is there already")
    with telling_disk_trouble(target, 0), tempfile.TemporaryDirectory(dir=target.absolute().parent) as place:
        folder = Path(place) / "model"
        save_model(folder, model, study=study, trial=trial)
        with environment({plugins.TRUST: "1"}):  # its code has just been run
            read = load_trial_model(folder)
        document |= compared(read.predict, images, model.predict(images), "safetensors", tolerance)
        try:
            shutil.move(folder, target)
        except FileExistsError:
            raise StoreError(f"{target}: another process has just made it") from None
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return document | {"path": str(target), "bytes": size}
