"""Trains small folds with whatever harness is first on the path, and says what came out of each.

Run as a file by `tests.sources`, once with the sources of the last entry of the table and once with today's:
    python probe.py list PART…                 the trainings that tell other bits of these parts, as JSON
    python probe.py train < TRAININGS          the hash of everything that came of each, as JSON
So it uses only what has been there since that table began.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

Training = dict[str, Any]
Outcome = dict[str, Any]
BASE = {"train.epochs": 2, "train.batch_size": 32, "train.lr": 0.1}
COMPUTE = {"device": "cpu", "precision": "fp32", "channels_last": True, "threads": 1, "micro_batches": 1}
SMALL: dict[str, dict[str, Any]] = {  # options that make a model quick
    "block_mixture": {"blocks": 2, "width": 8},
    "clip_fusion": {"architecture": "tiny_clip.json", "head": "fusion", "width": 8},
    "resnet": {"depth": 1, "width": 4},
    "simple_cnn": {"depth": 1, "width": 4, "dense": 8},
    "speednet": {"width": 4},
    "staged_cnn": {"blocks": 2, "width": 4},
    "torchvision_net": {"architecture": "squeezenet1_1"},
}
FIXED = (
    "loss",
    "architecture",
    "weights",
    "pretrained",
    "input_size",
    "epochs",
    "batch_size",
    "keep_models",
    "lr",
)
WITH = {  # options that say nothing without another
    "randaugment_magnitude": {"randaugment": 2}, "mix_alpha": {"mix": "mixup"}, "peak_at": {"schedule": "triangular"},
    "step_size": {"schedule": "step"}, "gamma": {"schedule": "step"}, "inner_fraction": {"patience": 1},
    "rest": {"optimizer": "muon"}, "rest_lr": {"optimizer": "muon"}, "backbone_lr": {"tune": "last_block"},
}  # fmt: skip


def trainings(parts: list[str]) -> list[Training]:
    """Each a change to BASE: of every option once, and of how it is computed."""
    from harness.config import catalog

    found: list[Training] = [{}]
    if "training" in parts:
        found += _changes("train", catalog.train_options().values())
        found += [{"train.optimizer": "adamw", "train.augment": "none"}, {"fold": -1}]
        found += [{"compute": change} for change in (
            {"channels_last": False}, {"micro_batches": 2}, {"precision": "bf16"}, {"threads": 2}
        )]  # fmt: skip
        found.append({"model.name": "clip_fusion", "train.augment": "none"})
        found.append({"model.name": "speednet"})
    for part in parts:
        kind, _, model = part.partition("/")
        if kind == "models":
            own = [{}, *_changes("model", catalog.models()[model].options)]
            found += [{"model.name": model, **change} for change in own]
    return found


def _changes(part: str, options: Any) -> list[Training]:
    changes = []
    for option in options:
        if option.name in FIXED:
            continue
        values = [choice for choice in option.choices if choice != option.default]
        beside = {f"{part}.{name}": value for name, value in WITH.get(option.name, {}).items()}
        changes += [{**beside, f"{part}.{option.name}": v} for v in values or [_another(option)]]
    return changes


def _another(option: Any) -> Any:
    """A value that is not the default."""
    if option.kind == "bool":
        return not option.default
    if option.kind == "str":
        return f"another {{}} than {option.default}"
    low, high = option.limits.low or 0, option.limits.high
    if option.kind == "int":
        return next(n for n in range(max(int(low), 1), int(low) + 4) if n != option.default)
    return (low + high) / 2 if high is not None and (low + high) / 2 != option.default else 0.5 + low


def outcomes(wanted: list[Training]) -> list[Outcome]:
    """Of each training the hash of its weights, predictions and epochs, and its scores; or the error it ends with."""
    from harness.data.folds import make_folds
    from harness.data.images import Images
    from harness.data.split import Manifest

    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(3), rng.integers(3, size=93)]).astype(np.int64)
    pixels = (rng.integers(128, size=(96, 3, 12, 12)) + 40 * labels[:, None, None, None]).astype(np.uint8)
    images = Images(pixels, labels, ("a", "b", "c"))
    split = Manifest.make(images, make_folds(labels, num_folds=2, seed=0), np.arange(96), num_folds=2, seed=0)
    return [_outcome(training, images, split) for training in wanted]


def _outcome(training: Training, images: Any, split: Any) -> Outcome:
    from harness.folds import fold

    values = {**BASE, "model.name": "resnet", **{k: v for k, v in training.items() if "." in k}}
    own = {f"model.{name}": value for name, value in SMALL.get(values["model.name"], {}).items()}
    values = {**own, **values}
    if "model.architecture" in values and values["model.architecture"].endswith(".json"):
        values["model.architecture"] = str(
            Path(__file__).parents[1] / "models" / values["model.architecture"]
        )
    known: dict[str, Any] = {}
    try:
        from harness.folds import code

        known["code"] = code.identity(values["model.name"])
    except ImportError:  # the release before keys knew of code
        pass
    task = fold.FoldTask(
        values, images.content_hash, split.hash, 2, training.get("fold", 0), 0,
        {**COMPUTE, **training.get("compute", {})}, **known,
    )  # fmt: skip
    steps = fold.train_fold(task, images, split)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return {"bits": _digest(stop.value), "metrics": stop.value.record.metrics}
    except Exception as error:
        return {"bits": f"{type(error).__name__}: {error}", "metrics": {}}


def _digest(trained: Any) -> str:
    found = hashlib.sha256()
    for arrays in (trained.weights, trained.predictions):
        for name in sorted(arrays):
            found.update(
                f"{name} {arrays[name].dtype} {arrays[name].shape}".encode() + arrays[name].tobytes()
            )
    epochs = [[epoch.train_loss, epoch.validation_accuracy] for epoch in trained.record.epochs]
    found.update(json.dumps([epochs, trained.record.confusion]).encode())
    return found.hexdigest()


if __name__ == "__main__":
    if sys.argv[1] == "list":
        print(json.dumps(trainings(sys.argv[2:])))
    else:
        print(json.dumps(outcomes(json.load(sys.stdin))))
