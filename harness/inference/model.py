"""Rebuilds the models of a trial from safetensors and JSON, and predicts with their mean."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import models, training
from harness.config import plugins
from harness.data.policy import DEFAULT, Policy, of_changes
from harness.errors import DataError, RecordError
from harness.folds.project import code_of_model
from harness.scoring import softmax
from harness.store.model_files import DOCUMENT, MEAN, SCHEMA, SOURCES, STD

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.training import Compute, Statistics

KEYS = {"schema", "model", "image_shape", "classes", "compute", "folds"}


@dataclass(frozen=True)
class FoldModel:
    """One fold's network, in evaluation mode, with the statistics that its images are normalised by."""

    network: "nn.Module"
    statistics: "Statistics"

    def predict_logits(self, pixels: np.ndarray, compute: "Compute") -> np.ndarray:
        """uint8 (N, C, H, W) images to float32 (N, classes)."""
        return training.predict_logits(self.network, pixels, self.statistics, compute)

    def statistics_tensors(self) -> dict[str, "torch.Tensor"]:
        """As they lie beside the network's own tensors in a file of weights."""
        import torch

        mean, std = torch.tensor([self.statistics.mean, self.statistics.std], dtype=torch.float64)
        return {MEAN: mean.clone(), STD: std.clone()}


@dataclass(frozen=True)
class TrialModel:
    """The models of a trial's folds, or the one of its refit.

    image_shape: (C, H, W).   architecture: `name` of the model and its options.
    temperature: what logits are divided by so that probabilities mean what they say; None where it is not known.
    sources: files of the code of the study that it came from, by their place in a project.
    policy: how image files become its images.
    """

    folds: tuple[FoldModel, ...]
    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]
    compute: "Compute"
    architecture: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    sources: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    policy: Policy = DEFAULT

    def require_files(self) -> tuple[int, int]:
        """Channels and side of its images. Raises DataError for those that no file is made into."""
        channels, height, width = self.image_shape
        if height != width or channels not in (1, 3):
            raise DataError(
                f"the model takes images of {channels}×{height}×{width}, which no file is made into"
            )
        return channels, height

    def predict(self, pixels: np.ndarray, *, raw: bool = False) -> np.ndarray:
        """uint8 (N, C, H, W) images to float32 (N, classes) probabilities, calibrated unless raw.

        Raises DataError for images of another shape or type.
        """
        logits = self.predict_logits(pixels)
        if not len(logits):
            return logits
        return softmax(logits if raw or self.temperature is None else logits / self.temperature)

    def predict_logits(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (N, C, H, W) images to float32 (N, classes): the mean of the folds' logits.

        Raises DataError for images of another shape or type.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != self.image_shape:
            expected = "×".join(str(size) for size in ("N", *self.image_shape))
            found = "×".join(str(size) for size in pixels.shape)
            raise DataError(f"the model takes uint8 images of {expected} (got {pixels.dtype} of {found})")
        if not len(pixels):
            return np.zeros((0, len(self.classes)), dtype=np.float32)
        with training.session(self.compute):
            logits = [fold.predict_logits(pixels, self.compute) for fold in self.folds]
        mean: np.ndarray = np.asarray(logits, dtype=np.float64).sum(0) / len(logits)
        return mean.astype(np.float32)


def load_trial_model(folder: Path) -> TrialModel:
    """The model that `store/model_files.py` wrote. It computes as it was trained, or on the CPU if it must.

    Of code it runs harness's own and the project's own models; where plugins.TRUST is set, whatever the model names,
    and what lies beside it.
    Raises RecordError for a file that is missing, damaged or newer than this harness.
    """
    document = _read_document(folder / DOCUMENT)
    try:
        trusted, sources = bool(os.environ.get(plugins.TRUST)), document.get("sources", {})
        with (
            nullcontext() if trusted else plugins.wary(),
            code_of_model(folder, document["model"], sources, is_trusted=trusted),
        ):
            model = _from_document(folder, document)
        read = {label: (folder / SOURCES / label).read_bytes() for label in sources}
        return replace(model, sources=read, policy=of_changes(document.get("decoding", {})))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as error:
        raise RecordError(f"{folder / DOCUMENT}: damaged: {type(error).__name__}: {error}") from None


def _from_document(folder: Path, document: dict[str, Any]) -> TrialModel:
    temperature = document.get("temperature")
    if temperature is not None and (isinstance(temperature, bool) or not 1e-3 < temperature < 1e3):
        raise ValueError(f"temperature {temperature}")
    return load_networks(
        [(folder / Path(member["weights"]).name, member["sha256"]) for member in document["folds"]],
        architecture=document["model"],
        image_shape=document["image_shape"],
        classes=document["classes"],
        compute=document["compute"],
        temperature=temperature,
    )


def load_networks(
    files: Iterable[tuple[Path, str]],
    *,
    architecture: dict[str, Any],
    image_shape: Sequence[int],
    classes: Sequence[str],
    compute: dict[str, Any],
    temperature: float | None,
) -> TrialModel:
    """The networks of these files of weights, each with its SHA-256, as one model.

    compute: as it is recorded; where this machine lacks the device, the model computes on the CPU, in fp32.
    Raises RecordError as `load_fold_model` does.
    """
    channels, height, width = image_shape
    shape = channels, height, width
    names = ("device", "precision", "channels_last", "threads")  # the others are of the training alone
    usable = training.on_this_machine(training.Compute(*(compute[name] for name in names)))
    folds = tuple(
        load_fold_model(
            path, values=architecture, image_shape=shape, classes=classes, sha256=sha256, compute=usable
        )
        for path, sha256 in files
    )
    return TrialModel(folds, shape, tuple(classes), usable, architecture, temperature)


def load_fold_model(
    weights: Path,
    *,
    values: dict[str, Any],
    image_shape: tuple[int, int, int],
    classes: Sequence[str],
    sha256: str,
    compute: "Compute",
) -> FoldModel:
    """One fold's model. values: `name` of the model and its options.   sha256: of the weights' file.

    Raises RecordError if the weights are missing, are not those of the hash, or do not fit the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from harness.models.frozen import FrozenModel

    try:
        content = weights.read_bytes()
    except OSError as error:
        raise RecordError(f"{weights}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise RecordError(f"{weights}: damaged: its content does not match its hash")
    options = {name: value for name, value in values.items() if name != "name"}
    with training.session(compute):
        network = models.build(values["name"], image_shape[0], image_shape[1], classes, options)
    try:
        tensors = load(content)
        mean, std = tensors.pop(MEAN), tensors.pop(STD)
        if isinstance(network, FrozenModel):
            network.load_kept_state(tensors)
        else:
            network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, KeyError, OverflowError) as error:
        raise RecordError(f"{weights}: not the weights of this {values['name']}: {error}") from None
    network.eval().to(compute.device)
    # On random frozen features a fold keeps a constant for every one of these, all the same; images have few channels.
    mean, std = mean[: image_shape[0]], std[: image_shape[0]]
    return FoldModel(network, training.Statistics(tuple(mean.tolist()), tuple(std.tolist())))


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from None
    if not isinstance(document, dict) or not document.keys() >= KEYS:
        raise RecordError(f"{path}: not the description of a model ({', '.join(sorted(KEYS))})")
    if not isinstance(document["schema"], int) or document["schema"] > SCHEMA:
        raise RecordError(f"{path}: written by a newer harness (schema {document['schema']}); please upgrade")
    return document
