"""The files of a servable model: weights of each fold and a `model.json` that says how to rebuild it.

    model.json   architecture, input shape, classes, temperature, per-channel statistics of each fold
    fold0.safetensors, fold1.safetensors, …

Nothing in it is code. `inference/model.py` reads it.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import RecordError
from harness.files import digest_of
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.store.store import WEIGHTS

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
    """Fill the new `folder`.

    Raises FileNotFoundError where a fold's weights are not kept (any more), RecordError where they are damaged.

    temperature: of the probabilities, fitted on the trial's held-out images, if that is known.
    """
    folder.mkdir(parents=True)
    members = []
    for fold in folds:
        name = f"fold{fold.fold}.safetensors"
        shutil.copyfile(fold.folder / WEIGHTS, folder / name)
        sha256 = digest_of(folder / name)
        if sha256 != fold.hashes[WEIGHTS]:
            raise RecordError(f"{fold.folder / WEIGHTS}: damaged: its content does not match its hash")
        members.append(
            {
                "fold": fold.fold,
                "weights": name,
                "sha256": sha256,
                **statistics_of(folder / name),
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
    write_document(folder, document)


def write_document(folder: Path, document: Mapping[str, Any]) -> None:
    """Say in `model.json` how the weights beside it are to be read."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")


def statistics_of(path: Path) -> dict[str, list[float]]:
    """`mean` and `std` per channel that lie in a file of weights."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as weights:
        mean, std = weights.get_tensor(MEAN), weights.get_tensor(STD)
    return {"mean": np.asarray(mean).tolist(), "std": np.asarray(std).tolist()}
