"""Small images that can be learned: each class has its own pattern under the noise."""

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from harness import models
from harness.records import Epoch
from harness.training import Compute, Fitted, FoldData, fit, options_from, session

CPU = Compute("cpu", "fp32", channels_last=True, threads=1)
PLAIN = {"augment": "none", "weight_decay": 0.0}


@pytest.fixture
def compute() -> Iterator[Compute]:
    with session(CPU):
        yield CPU


@pytest.fixture
def data() -> FoldData:
    return make_data()


def make_data(*, num_images: int = 96, size: int = 8, channels: int = 3, num_train: int = 72) -> FoldData:
    generator = np.random.default_rng(0)
    labels = np.arange(num_images) % 3
    patterns = generator.integers(0, 128, (3, channels, size, size))
    noise = generator.integers(0, 128, (num_images, channels, size, size))
    pixels = (patterns[labels] + noise).astype(np.uint8)
    order = generator.permutation(num_images)
    return FoldData(pixels, labels, np.sort(order[:num_train]), np.sort(order[num_train:]), num_classes=3)


def make_model(data: FoldData, *, seed: int = 0, **options: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    _, channels, size, _ = data.pixels.shape
    return models.build("resnet", channels, size, data.num_classes, {"width": 4, "depth": 2, **options})


def train(
    model: torch.nn.Module, data: FoldData, values: dict[str, Any], *, seed: int = 0, **more: Any
) -> tuple[list[Epoch], Fitted]:
    """All epochs of a training and what its generator returned."""
    options = options_from({"epochs": 3, "batch_size": 16, "lr": 0.05, **values})
    return exhausted(fit(model, data, options=options, **{"compute": CPU, "seed": seed, **more}))


def exhausted(fitting: Generator[Epoch, None, Fitted]) -> tuple[list[Epoch], Fitted]:
    epochs = []
    while True:
        try:
            epochs.append(next(fitting))
        except StopIteration as stop:
            return epochs, stop.value


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
