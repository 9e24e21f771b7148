"""A trial's model as a file that other programs run, kept only if it says what the network says."""

import hashlib
import io
import json
import shutil
import tempfile
import warnings
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
from harness.store.model_files import ModelDocument, fold_weights, write_document, write_sources
from harness.version import __version__

Kind = Literal["onnx", "pt2", "safetensors"]
TOLERANCE = 1e-4  # of a probability
NUM_IMAGES = 64


def export(
    model: TrialModel,
    target: Path,
    kind: Kind,
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
    if kind != "safetensors" and model.architecture.get("name") == NO_NETWORK:
        loop = model.architecture["loop"]
        raise UsageError(
            f"the training loop {loop} makes no network; only --format safetensors holds what it makes"
        )
    if (
        kind != "safetensors"
    ):  # which keeps how the model was trained; a file computes on the CPU in full precision
        for fold in model.folds:
            fold.network.to("cpu")
        model = replace(model, compute=training.Compute("cpu", "fp32", channels_last=False, threads=1))
    images = check_images(model.image_shape) if images is None else images
    expected = model.predict(images)
    document = {
        "format": kind,
        "study": study,
        "trial": trial,
        "networks": len(model.folds),
        "classes": list(model.classes),
        "image_shape": list(model.image_shape),
        "input": f"{INPUT}: uint8 (N, C, H, W)",
        "output": f"{OUTPUT}: float32 (N, classes)",
        "temperature": model.temperature,
        **({"decoding": changed} if (changed := model.policy.changed()) else {}),
        "harness": __version__,
    }
    if kind == "safetensors":
        return _export_folder(model, target, document, images, expected, tolerance)
    file = _export_file(model, kind, document)
    document |= _compare_outputs(file.run, images, expected, kind, tolerance)
    sha256 = hashlib.sha256(file.content).hexdigest()
    document |= {"path": str(target), "bytes": len(file.content), "sha256": sha256}
    if target.is_dir():
        raise UsageError(f"{target}: is a folder")
    write_file(target, file.content)
    beside = target.with_name(f"{target.name}.json")
    write_file(beside, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return document


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
    with torch.no_grad():
        return torch.export.export(
            Portable(model).eval(), (example,), dynamic_shapes={INPUT: batch}, strict=False
        )


def _pt2(program: Any, document: dict[str, Any]) -> File:
    import torch

    content = io.BytesIO()
    torch.export.save(program, content, extra_files={"harness.json": json.dumps(document)})
    module = torch.export.load(io.BytesIO(content.getvalue())).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            outputs: np.ndarray = module(torch.from_numpy(images)).numpy()
        return outputs

    return File(content.getvalue(), run)


def _compare_outputs(
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
    for number, fold in enumerate(model.folds):
        network: Any = fold.network
        kept = network.kept_state() if hasattr(network, "kept_state") else network.state_dict()
        state = {key: value.detach().cpu().contiguous() for key, value in kept.items()}
        content = save(state | fold.statistics_tensors())
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
    model: TrialModel,
    target: Path,
    document: dict[str, Any],
    images: np.ndarray,
    expected: np.ndarray,
    tolerance: float,
) -> dict[str, Any]:
    """What `store/model_files.py` describes, which `find_model` takes as a model's folder."""
    if target.exists():
        raise UsageError(f"{target}: is there already")
    with telling_disk_trouble(target, 0), tempfile.TemporaryDirectory(dir=target.absolute().parent) as place:
        folder = Path(place) / "model"
        save_model(folder, model, study=document["study"], trial=document["trial"])
        with environment({plugins.TRUST: "1"}):  # its code has just been run
            read = load_trial_model(folder)
        document |= _compare_outputs(read.predict, images, expected, "safetensors", tolerance)
        try:
            shutil.move(folder, target)
        except FileExistsError:
            raise StoreError(f"{target}: another process has just made it") from None
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return document | {"path": str(target), "bytes": size}
