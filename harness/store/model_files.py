"""The files of a servable model: weights of each fold and a `model.json` that says how to rebuild it.

    model.json   architecture, input shape, classes, temperature, per-channel statistics of each fold
    fold0.safetensors, fold1.safetensors, …
    sources/     the text of the user's own code, where it takes such to rebuild the model

`inference/model.py` reads it, and runs nothing of the sources unless it is told to.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from harness import models
from harness.data.policy import Policy, of_settings
from harness.documents import WHERE_SET, plain_json
from harness.errors import RecordError
from harness.files import digest, digest_of, write_file
from harness.records import FoldRecord, Scalar, StudyRecord, TrialRecord
from harness.store.store import WEIGHTS

DOCUMENT = "model.json"
SOURCES = "sources"  # a folder: of a study, and of a model
SCHEMA = 1
MEAN, STD = "harness.mean", "harness.std"  # tensors beside the network's own, in a fold's weights


@dataclass(frozen=True)
class FoldWeights:
    """One fold's network.   weights: name of its file.   mean, std: per channel, by which its images are normalised."""

    fold: int
    weights: str
    sha256: str
    mean: list[float]
    std: list[float]


@dataclass(frozen=True)
class ModelDocument:
    """What `model.json` says of a model.   study, trial: where it came from.

    model: `name` of the architecture and its options.   image_shape: (C, H, W).
    temperature: what logits are divided by, or None where that is not known.
    sources: SHA-256 of the files of the study's own code, by their place in a project.
    decoding: how image files become its images, where it is not as by default: see `data/policy.py`.
    """

    schema: int = field(default=SCHEMA, init=False)
    study: str
    trial: int
    model: Mapping[str, Scalar]
    image_shape: Sequence[int]
    classes: Sequence[str]
    compute: Mapping[str, Scalar]
    temperature: float | None
    folds: Sequence[FoldWeights]
    sources: Mapping[str, str] = field(default_factory=dict, metadata=WHERE_SET)
    decoding: Mapping[str, Any] = field(default_factory=dict, metadata=WHERE_SET)


def has_weights(folds: Sequence[FoldRecord]) -> bool:
    return bool(folds) and all((fold.folder / WEIGHTS).is_file() for fold in folds)


def write_model(
    folder: Path,
    study: StudyRecord,
    trial: TrialRecord,
    folds: Sequence[FoldRecord],
    *,
    temperature: float | None = None,
    sources: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Fill the new `folder`.

    Raises FileNotFoundError where a fold's weights are not kept (any more), RecordError where they are damaged.

    temperature: of the probabilities, fitted on the trial's held-out images, if that is known.
    sources: files of the study's own code, by their place in a project.
    """
    folder.mkdir(parents=True)
    members = []
    for fold in folds:
        name = f"fold{fold.fold}.safetensors"
        shutil.copyfile(fold.folder / WEIGHTS, folder / name)
        sha256 = digest_of(folder / name)
        if sha256 != fold.hashes[WEIGHTS]:
            raise RecordError(f"{fold.folder / WEIGHTS}: damaged: its content does not match its hash")
        members.append(fold_weights(fold.fold, folder / name, sha256))
    document = ModelDocument(
        study=study.name,
        trial=trial.number,
        model=models.architecture(trial.values),
        image_shape=study.data["image_shape"],
        classes=study.data["classes"],
        compute=study.compute,
        temperature=temperature,
        folds=members,
        sources=write_sources(folder, sources),
        decoding=of_settings(study.data["settings"]).changed(),
    )
    write_document(folder, document)


def preprocessing(
    image_shape: Sequence[int],
    policy: Policy,
    mean: Sequence[Sequence[float]],
    std: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """How the images of a model are made of files, in words and numbers for whoever makes them elsewhere.

    mean, std: of each network, per channel, for pixels scaled to 0..1.
    """
    channels, height, width = image_shape
    of_files = {
        "mode": "RGB" if channels == 3 else "L",
        "orientation": "as EXIF says",
        "transparency": "on white",
        "fit": {"crop": "the square in the middle", "pad": "all of it, black on both sides"}[policy.fit],
        "depth": policy.depth if isinstance(policy.depth, str) else list(policy.depth),
        "resampling": "bilinear with antialiasing, as Pillow's BILINEAR",
    }
    return {
        "size": [height, width],
        "channels": channels,
        **(of_files if height == width and channels in (1, 3) else {}),
        "normalisation": "(pixels / 255 - mean) / std",
        "mean": [list(values) for values in mean],
        "std": [list(values) for values in std],
    }


def fold_weights(fold: int, path: Path, sha256: str) -> FoldWeights:
    """What `model.json` says of a file of weights, in which mean and std lie, too."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        mean, std = (np.asarray(weights.get_tensor(name)).tolist() for name in (MEAN, STD))
    return FoldWeights(fold, path.name, sha256, mean, std)


def write_sources(folder: Path, sources: Mapping[str, bytes]) -> dict[str, str]:
    """Write the files of a study's own code into a model's folder; what `model.json` says of them."""
    for label, content in sources.items():
        write_file(folder / SOURCES / label, content)
    return {label: digest(content) for label, content in sources.items()}


def write_document(folder: Path, document: ModelDocument) -> None:
    """Say in `model.json` how the weights beside it are to be read."""
    text = json.dumps(plain_json(document), indent=1, ensure_ascii=False)
    (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")
