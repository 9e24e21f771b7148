"""The files of a servable model: weights of each fold and a `model.json` that says how to rebuild it.

    model.json   architecture, input shape, classes, per-channel statistics of each fold
    fold0.safetensors, fold1.safetensors, …

Nothing in it is code. `model.py` reads it.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.records import FoldRecord, StudyRecord, TrialRecord

WEIGHTS = "weights.safetensors"
DOCUMENT = "model.json"
SCHEMA = 1
MEAN, STD = "harness.mean", "harness.std"  # tensors beside the network's own, in a fold's weights


def has_weights(folds: Sequence[FoldRecord]) -> bool:
    return bool(folds) and all((fold.folder / WEIGHTS).is_file() for fold in folds)


def write_model(folder: Path, study: StudyRecord, trial: TrialRecord, folds: Sequence[FoldRecord]) -> None:
    """Fill the new `folder`. Raises FileNotFoundError where a fold's weights are not kept (any more)."""
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
        "folds": members,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")


def _statistics(path: Path) -> dict[str, list[float]]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        mean, std = weights.get_tensor(MEAN), weights.get_tensor(STD)
    return {"mean": np.asarray(mean).tolist(), "std": np.asarray(std).tolist()}
