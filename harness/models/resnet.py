"""Residual network for small images: a 3×3 stem, then stages of basic blocks.

Source: He, Zhang, Ren and Sun 2016, Deep residual learning (section 4.2), with projection shortcuts.
Parameters: 78,042
"""

from math import gcd
from typing import Annotated, Literal, assert_never

import torch
from torch import nn
from torch.nn import functional as F

from harness.config.signatures import Between
from harness.models import pooling

Norm = Literal["batch", "group"]


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    depth: Annotated[int, Between(1, 6)] = 3,
    blocks: Annotated[int, Between(1, 32)] = 1,
    width: Annotated[int, Between(1, 1024)] = 16,
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.0,
    norm: Literal["batch", "group"] = "batch",
) -> nn.Module:
    """ResNet with `depth` stages of `blocks` basic blocks: 2·depth·blocks + 2 layers, ResNet-8 by default.

    Each stage after the first doubles the width and, while at least 2×2 pixels remain, halves the resolution.
    Three stages of three blocks, 16 wide, are ResNet-20.
    depth: stages. Default: the paper's for 32×32 images.
    blocks: residual blocks of a stage. Default: a ResNet-8, which two processors train in minutes; 3 is ResNet-20.
    width: channels of the first stage. Default: the paper's.
    dropout: before the last layer.
    norm: what normalises activations; group does not depend on the batch. Default: it trains faster, from batches of 16
    on.
    """
    return ResNet(in_channels, image_size, num_classes, depth, blocks, width, dropout, norm)


class ResNet(nn.Module):
    """(N, C, H, W) images to (N, classes) logits."""

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        num_classes: int,
        depth: int,
        blocks: int,
        width: int,
        dropout: float,
        norm: Norm,
    ):
        super().__init__()
        self.stem = nn.Sequential(_conv3x3(in_channels, width), _norm(norm, width), nn.ReLU(inplace=True))
        stages, channels, size = [], width, image_size
        for stage in range(depth):
            wider = width * 2**stage
            stride = 2 if stage > 0 and size >= 4 else 1
            size = -(-size // stride)
            for block in range(blocks):
                stages.append(BasicBlock(channels, wider, stride if block == 0 else 1, norm))
                channels = wider
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = pooling.mean(self.stages(self.stem(images)))
        logits: torch.Tensor = self.head(self.dropout(features))
        return logits


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, which is a 1×1 projection where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: Norm):
        super().__init__()
        self.conv1 = _conv3x3(in_channels, out_channels, stride)
        self.norm1 = _norm(norm, out_channels)
        self.conv2 = _conv3x3(out_channels, out_channels)
        self.norm2 = _norm(norm, out_channels)
        self.stride = stride
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(projection, _norm(norm, out_channels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = F.relu(self.norm1(self.conv1(images)), inplace=True)
        hidden = self.norm2(self.conv2(hidden))
        # Strided here and not in the 1×1 convolution, whose gradient torch 2.15 writes beyond its end: seen with 3 to 6
        # input channels, channels_last, on a processor with AVX2 and without AVX-512.
        kept = self.shortcut(pooling.every(images, self.stride))
        return F.relu(hidden + kept, inplace=True)


def _conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


def _norm(name: Norm, channels: int) -> nn.Module:
    match name:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(gcd(8, channels), channels)
        case _:
            assert_never(name)
