"""Staged CNN: blocks of 3×3 convolutions with optional attention, batch norm, dropout and shortcuts.

One network from plain to advanced; what is switched on makes the stage.

Source: attention of Hu, Shen and Sun 2018 (squeeze-and-excitation) and of Woo, Park, Lee and Kweon 2018 (CBAM).
Parameters: 288,298
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import nn

from harness.config.signatures import Between

REDUCTION = 8  # channels per hidden unit of an attention; Hu et al. found 4 to 32 about equally good
OPEN = 2.0  # first bias of an attention: factors near 0.9. From 0.5 on, six blocks without norm did not begin to learn.
NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda channels: [],
    "batch": lambda channels: [nn.BatchNorm2d(channels)],
}


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    blocks: Annotated[int, Between(1, 32)] = 6,
    convs: Annotated[int, Between(1, 8)] = 1,
    width: Annotated[int, Between(1, 1024)] = 32,
    pool_every: Annotated[int, Between(1, 32)] = 2,
    attention: Literal["none", "squeeze_excitation", "cbam"] = "none",
    norm: Literal["none", "batch"] = "none",
    residual: bool = False,
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.0,
) -> nn.Module:
    """`blocks` blocks of `convs` convolutions each, then channel means, dropout and a linear layer.

    After every `pool_every` blocks, but the last one, the width is doubled and the sides are halved by max-pooling,
    if at least 4 pixels long.
    blocks: one after the other.   convs: 3×3 convolutions of a block.   width: channels of the first blocks.
    pool_every: blocks from one pooling to the next.   attention: what weighs a block's channels, cbam its pixels too.
    norm: what normalises activations after each convolution.
    residual: whether a block's input is added to its output.
    dropout: before the last layer.
    """
    layers: list[nn.Module] = []
    channels, size = in_channels, image_size
    for block in range(blocks):
        wider = width * 2 ** (block // pool_every)
        layers.append(Block(channels, wider, convs, attention, norm, residual=residual))
        if (block + 1) % pool_every == 0 and block + 1 < blocks and size >= 4:
            layers.append(nn.MaxPool2d(2))
            size //= 2
        channels = wider
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, num_classes))
    return nn.Sequential(*layers, *head)


class Block(nn.Module):
    """Convolutions with ReLU after each, attention, and a shortcut: a 1×1 projection where the width changes."""

    def __init__(
        self, in_channels: int, out_channels: int, convs: int, attention: str, norm: str, *, residual: bool
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for conv in range(convs):
            channels = in_channels if conv == 0 else out_channels
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=norm == "none"))
            nn.init.kaiming_normal_(layers[-1].weight, nonlinearity="relu")  # type: ignore[arg-type]
            layers += NORMS[norm](out_channels)
            layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)
        self.attention = ATTENTIONS[attention](out_channels)
        self.shortcut = None
        if residual:
            same = in_channels == out_channels
            self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.attention(self.layers(images))
        return features if self.shortcut is None else features + self.shortcut(images)


class SqueezeExcitation(nn.Module):
    """Multiplies each channel by a factor in 0..1 that is computed from the means of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.excite = _bottleneck(channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        factors: torch.Tensor = self.excite(images.mean((2, 3))).sigmoid()
        return images * factors[:, :, None, None]


class CBAM(nn.Module):
    """Channel attention from means and maxima, then spatial attention: one factor in 0..1 for each pixel."""

    def __init__(self, channels: int):
        super().__init__()
        self.excite = _bottleneck(channels)
        self.locate = nn.Conv2d(2, 1, 7, padding=3)
        nn.init.constant_(self.locate.bias, OPEN)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores = self.excite(images.mean((2, 3))) + self.excite(images.amax((2, 3)))
        images = images * scores.sigmoid()[:, :, None, None]
        maps = torch.stack([images.mean(1), images.amax(1)], 1)
        places: torch.Tensor = self.locate(maps).sigmoid()
        return images * places


ATTENTIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": nn.Identity, "squeeze_excitation": SqueezeExcitation, "cbam": CBAM
}  # fmt: skip


def _bottleneck(channels: int) -> nn.Sequential:
    hidden = max(channels // REDUCTION, 4)
    last = nn.Linear(hidden, channels)
    nn.init.constant_(last.bias, OPEN)
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(inplace=True), last)
