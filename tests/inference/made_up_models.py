"""Models of random weights, without any training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from harness import models
from harness.inference.model import FoldModel, TrialModel
from harness.training import Compute, Statistics

TINY_CLIP = str(Path(__file__).parents[1] / "models" / "tiny_clip.json")
CLASSES = ("cat", "dog", "sea lion")
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 2, "width": 4},
    "simple_cnn": {"width": 4, "dense": 8},
    "staged_cnn": {"width": 4, "attention": "cbam", "norm": "batch"},
    "block_mixture": {"width": 4, "blocks": 3},
    "speednet": {"width": 4},
    "torchvision_net": {"architecture": "squeezenet1_1", "tune": "head", "input_size": 48},
    "timm_net": {"architecture": "test_resnet", "tune": "all"},
    "clip_fusion": {"architecture": TINY_CLIP},
}


def made(name: str, num_networks: int = 1, size: int = 16, **options: Any) -> TrialModel:
    chosen = NETWORKS[name] | options
    folds = []
    for fold in range(num_networks):
        torch.manual_seed(fold)
        network = models.build(name, 3, size, CLASSES, chosen).eval()
        folds.append(FoldModel(network, Statistics((0.4, 0.5, 0.3), (0.25, 0.2, 0.3))))
    compute = Compute("cpu", "fp32", channels_last=False, threads=1)
    return TrialModel(tuple(folds), (3, size, size), CLASSES, compute, {"name": name, **chosen}, 0.5)


def noise(count: int, size: int = 16, seed: int = 0) -> np.ndarray:
    """uint8 (count, 3, size, size)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)


def save(pixels: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return path
