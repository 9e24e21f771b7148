"""Means over pixels and every n-th pixel, with gradients in the layout of the images.

torch's own gradients of `images.mean((2, 3))` and `images[:, :, ::2, ::2]` are (N, C, H, W) in memory whatever the
images are. Where images are channels_last, what meets such a gradient, a ReLU's backward say, then takes 15 times as
long. Values are the same to the bit.
"""

from typing import Any

import torch
from torch.nn import functional as F


def every(images: torch.Tensor, stride: int) -> torch.Tensor:
    """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)): every `stride`-th pixel of each row and column."""
    return images if stride == 1 else F.avg_pool2d(images, 1, stride)


def mean(images: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) to (N, C), the means over all pixels."""
    if torch.is_grad_enabled() and images.requires_grad:
        means: torch.Tensor = _Mean.apply(images)
        return means
    return images.mean((2, 3))


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, images: torch.Tensor) -> torch.Tensor:
        context.shape = images.shape
        context.is_channels_last = images.is_contiguous(memory_format=torch.channels_last)
        return images.mean((2, 3))

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        layout = torch.channels_last if context.is_channels_last else torch.contiguous_format
        shape: torch.Size = context.shape
        each = gradient / (shape[2] * shape[3])
        return each[:, :, None, None].expand(shape).contiguous(memory_format=layout)
