"""The model and its test that `harness init --model NAME` writes, to be changed by their owner."""

MODEL = '''"""{name}: a small convolutional network to begin with; change it as you like.

A study uses it as `model: {{name: {name}, depth: {{low: 1, high: 3}}, width: [16, 32]}}`. The options of `build` are
read from this file without running it, so their types, limits and defaults have to be written out.
"""

from typing import Annotated

from torch import nn

from harness import Between


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    depth: Annotated[int, Between(1, 5)] = 3,
    width: Annotated[int, Between(1, 512)] = 32,
) -> nn.Module:
    """A network from (N, in_channels, image_size, image_size) images to (N, num_classes) logits.

    Images come normalised. Logits are the scores before a softmax, which the loss has.
    depth: convolutions.   width: channels of the first one; each further one has twice as many.
    """
    layers: list[nn.Module] = []
    channels, size = in_channels, image_size
    for number in range(depth):
        wider = width * 2**number
        layers += [nn.Conv2d(channels, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
        if size >= 4:  # images stay at least 2 pixels wide
            layers.append(nn.MaxPool2d(2))
            size //= 2
        channels = wider
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))
'''

TEST = '''"""models/{name}.py can be trained: what `harness tune` tries before its first trial.

python -m pytest tests/test_{name}.py
"""

import runpy
from pathlib import Path

import pytest

import harness

build = runpy.run_path(str(Path(__file__).parents[1] / "models" / "{name}.py"))["build"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [8, 32])
def test_it_can_be_trained_on_grey_and_colour_images_of_any_size(channels: int, image_size: int) -> None:
    harness.check_network(build, channels, image_size, num_classes=5)


@pytest.mark.parametrize("options", [{{"depth": 1}}, {{"depth": 5, "width": 1}}, {{"width": 64}}], ids=str)
def test_it_can_be_trained_with_other_options(options: dict[str, int]) -> None:
    harness.check_network(build, **options)
'''
