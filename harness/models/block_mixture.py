"""Block mixture: in each block, parallel convolutions summed with weights that depend on the image.

A block with the convolutions C1…CL maps x to Σ a_l · C_l(x), where a = (a1…aL) is computed from the channel means
of x. As convolution is linear, the sum is one convolution with the kernel Σ a_l · K_l of that image: a single
grouped convolution for the batch, whose work does not grow with L.

Source: like CondConv (Yang, Bender, Le and Ngiam 2019, arXiv 1904.04971) and dynamic convolution (Chen et al. 2020).
Parameters: 648,046
"""

from collections.abc import Callable
from typing import Annotated, Literal, assert_never

import torch
from torch import nn
from torch.nn import functional as F

from harness.config.signatures import Between

EVALUATION_BATCH = 128  # every image has kernels of its own, so memory grows with the batch
NORMS: dict[str, Callable[[int], list[nn.Module]]] = {
    "none": lambda channels: [],
    "batch": lambda channels: [nn.BatchNorm2d(channels)],
}
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    blocks: Annotated[int, Between(1, 32)] = 6,
    branches: Annotated[int, Between(1, 32)] = 4,
    width: Annotated[int, Between(1, 1024)] = 24,
    growth: Annotated[float, Between(1.0, 4.0)] = 2.0,
    pool_every: Annotated[int, Between(1, 32)] = 2,
    kernel_size: Literal[1, 3, 5, 7] = 3,
    mixing: Literal["linear", "softmax"] = "softmax",
    norm: Literal["none", "batch"] = "batch",
    activation: Literal["relu", "gelu", "silu"] = "relu",
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.0,
) -> nn.Module:
    """`blocks` blocks of `branches` convolutions each, then channel means, dropout and a linear layer.

    After every `pool_every` blocks, but the last one, the width is multiplied by `growth` and the sides are halved
    by max-pooling, if at least 4 pixels long.
    blocks: mixtures, one after the other.   branches: parallel convolutions of a block.
    width: channels of the first blocks.   growth: factor on the channels after a pooling.
    pool_every: blocks from one pooling to the next.   kernel_size: of the convolutions, in pixels.
    mixing: how scores become the weights of the branches, as they are or by a softmax.
    norm: what normalises the activations of a block.   activation: after each block.
    dropout: before the last layer.
    """
    layers: list[nn.Module] = []
    channels, size = in_channels, image_size
    for block in range(blocks):
        wider = round(width * growth ** (block // pool_every))
        layers.append(Mixture(channels, wider, branches, kernel_size, mixing, bias=norm == "none"))
        if (block + 1) % pool_every == 0 and block + 1 < blocks and size >= 4:
            layers.append(nn.MaxPool2d(2))  # first, so that the rest has a quarter of the work
            size //= 2
        layers += NORMS[norm](wider)
        layers.append(ACTIVATIONS[activation]())
        channels = wider
    return BlockMixture(nn.Sequential(*layers), nn.Dropout(dropout), nn.Linear(channels, num_classes))


class BlockMixture(nn.Module):
    """(N, C, H, W) images to (N, classes) logits."""

    def __init__(self, blocks: nn.Module, dropout: nn.Module, head: nn.Module):
        super().__init__()
        self.blocks, self.dropout, self.head = blocks, dropout, head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not self.training and not torch.compiler.is_exporting() and len(images) > EVALUATION_BATCH:
            return torch.cat([self(part) for part in torch.split(images, EVALUATION_BATCH)])
        logits: torch.Tensor = self.head(self.dropout(self.blocks(images).mean((2, 3))))
        return logits


class Mixture(nn.Module):
    """(N, C, H, W) images x to Σ a_l(x) · C_l(x), of the same height and width.

    The weights begin near 1/√L each, so that the sum of L independent convolutions has the scale of one of them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        branches: int,
        kernel_size: int,
        mixing: Literal["linear", "softmax"],
        *,
        bias: bool,
    ):
        super().__init__()
        self.branches, self.mixing = branches, mixing
        self.convolutions = nn.Conv2d(
            in_channels, branches * out_channels, kernel_size, padding=kernel_size // 2, bias=bias
        )
        self.weigh = nn.Linear(in_channels, branches)
        nn.init.kaiming_normal_(self.convolutions.weight, nonlinearity="relu")
        nn.init.constant_(self.weigh.bias, branches**-0.5 if mixing == "linear" else 0.0)
        if self.convolutions.bias is not None:
            nn.init.zeros_(self.convolutions.bias)

    def weights(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, L), the mixing weights of each image.

        The means are scaled so that a step of training moves the weights equally far whatever the width; without,
        linear mixing hardly trained at width 24 and a learning rate of 0.05.
        """
        scores: torch.Tensor = self.weigh(images.mean((2, 3)) / images.shape[1] ** 0.5)
        if self.mixing == "linear":
            return scores
        if self.mixing == "softmax":
            return scores.softmax(1).mul(self.branches**0.5)
        assert_never(self.mixing)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        num_images, _, height, width = images.shape
        kernels, weights = self.convolutions.weight, self.weights(images)
        if torch.compiler.is_exporting():
            return self._branch_by_branch(images, weights)
        mixed = weights @ kernels.reshape(self.branches, -1)  # one kernel an image
        bias = self.convolutions.bias
        if bias is not None:
            bias = (weights @ bias.reshape(self.branches, -1)).flatten()
        outputs = F.conv2d(
            images.reshape(1, -1, height, width),
            mixed.reshape(-1, *kernels.shape[1:]),
            bias,
            padding=self.convolutions.padding,
            groups=num_images,
        )
        return outputs.reshape(num_images, -1, height, width)

    def _branch_by_branch(self, images: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The same sum as it is written: a file's graph cannot have as many groups as the batch has images."""
        outputs = self.convolutions(images).unflatten(1, (self.branches, -1))
        mixed: torch.Tensor = (outputs * weights[:, :, None, None, None]).sum(1)
        return mixed
