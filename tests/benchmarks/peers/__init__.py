"""Ways to tune a network on a folder of images, as people write them; whole_study runs each beside harness."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from harness import models

MOMENTUM, WEIGHT_DECAY, PADDING = 0.9, 5e-4, 4
WIDTHS, BATCH_SIZES = (8, 16), (64, 128, 256)
LEAST_LR, MOST_LR, MOST_DROPOUT = 0.01, 0.5, 0.4


@dataclass(frozen=True)
class Task:
    """root: holds train/<class>/*.jpg and test/<class>/*.jpg, the latter not to be looked at."""

    root: str
    trials: int
    epochs: int
    folds: int
    seed: int

    @property
    def train(self) -> Path:
        return Path(self.root) / "train"


@dataclass(frozen=True)
class Found:
    """The best trial's values and fold scores, and how many folds were begun in all."""

    params: dict[str, Any]
    scores: Sequence[float]
    folds_trained: int

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def network(params: dict[str, Any], num_classes: int) -> nn.Module:
    """The same network for all."""
    options = {"width": params["width"], "dropout": params["dropout"]}
    return models.build("resnet", 3, 32, num_classes, options)


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3, 32, 32) and labels of the images in a folder of class folders."""
    from PIL import Image

    files = [
        (file, label) for label, one in enumerate(sorted(folder.iterdir())) for file in sorted(one.iterdir())
    ]
    pixels = [np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1) for file, _ in files]
    return np.stack(pixels), np.array([label for _, label in files])
