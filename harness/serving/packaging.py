"""The files of a servable model: weights of each fold and a `model.json` that says how to rebuild it.

    model.json   architecture, input shape, classes, temperature, per-channel statistics of each fold
    fold0.safetensors, fold1.safetensors, …

Nothing in it is code. `model.py` reads it.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records import FoldRecord, StudyRecord, TrialRecord

if TYPE_CHECKING:
    from harness.serving.model import TrialModel

WEIGHTS = "weights.safetensors"
DOCUMENT = "model.json"
SCHEMA = 1
MEAN, STD = "harness.mean", "harness.std"  # tensors beside the network's own, in a fold's weights


def has_weights(folds: Sequence[FoldRecord]) -> bool:
    return bool(folds) and all((fold.folder / WEIGHTS).is_file() for fold in folds)


def write_model(
    folder: Path,
    study: StudyRecord,
    trial: TrialRecord,
    folds: Sequence[FoldRecord],
    *,
    temperature: float | None = None,
) -> None:
    """Fill the new `folder`. Raises FileNotFoundError where a fold's weights are not kept (any more).

    temperature: of the probabilities, fitted on the trial's held-out images, if that is known.
    """
    folder.mkdir(parents=True)
    members = []
    for fold in folds:
        name = f"fold{fold.fold}.safetensors"
        shutil.copyfile(fold.folder / WEIGHTS, folder / name)
        members.append(
            {
                "fold": fold.fold,
                "weights": name,
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
                **_statistics(folder / name),
            }
        )
    document = {
        "schema": SCHEMA,
        "study": study.name,
        "trial": trial.number,
        "model": {
            key.removeprefix("model."): value
            for key, value in trial.values.items()
            if key.startswith("model.")
        },
        "image_shape": study.data["image_shape"],
        "classes": study.data["classes"],
        "compute": study.compute,
        "temperature": temperature,
        "folds": members,
    }
    _write_document(folder, document)


def save_model(folder: Path, model: "TrialModel", *, study: str, trial: int) -> None:
    """Fill the new `folder` with a model that is in memory, from wherever it came. study, trial: its origin."""
    from safetensors.torch import save

    folder.mkdir(parents=True)
    members = []
    for number, fold in enumerate(model.folds):
        state = {key: value.detach().cpu().contiguous() for key, value in fold.network.state_dict().items()}
        content = save(state | fold.statistics_tensors())
        name = f"fold{number}.safetensors"
        (folder / name).write_bytes(content)
        members.append(
            {
                "fold": number,
                "weights": name,
                "sha256": hashlib.sha256(content).hexdigest(),
                **_statistics(folder / name),
            }
        )
    document = {
        "schema": SCHEMA,
        "study": study,
        "trial": trial,
        "model": dict(model.architecture),
        "image_shape": list(model.image_shape),
        "classes": list(model.classes),
        "compute": asdict(model.compute),
        "temperature": model.temperature,
        "folds": members,
    }
    _write_document(folder, document)


def _write_document(folder: Path, document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")


def _statistics(path: Path) -> dict[str, list[float]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        mean, std = weights.get_tensor(MEAN), weights.get_tensor(STD)
    return {"mean": np.asarray(mean).tolist(), "std": np.asarray(std).tolist()}
