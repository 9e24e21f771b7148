"""Means over pixels and every n-th pixel: the values and gradients of plain torch, in the layout of the images."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from harness import models
from harness.models import pooling

LAYOUTS = [torch.channels_last, torch.contiguous_format]


def both_ways(
    ours: Callable[[torch.Tensor], torch.Tensor],
    plain: Callable[[torch.Tensor], torch.Tensor],
    size: int,
    layout: torch.memory_format,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The gradient, once values and gradients are found equal."""
    torch.manual_seed(0)
    images = torch.randn(5, 6, size, size + 1).to(dtype).contiguous(memory_format=layout)
    found = []
    for function in (ours, plain):
        leaf = images.clone(memory_format=torch.preserve_format).requires_grad_()
        out = function(leaf)
        weights = torch.linspace(-1, 1, out.numel()).to(dtype).reshape(out.shape)
        (out * weights).sum().backward()
        found.append((out.detach(), leaf.grad))
    (out, gradient), (expected, expected_gradient) = found
    assert gradient is not None and expected_gradient is not None
    assert torch.equal(out, expected) and torch.equal(gradient, expected_gradient)
    with torch.no_grad():
        assert torch.equal(ours(images), expected)
    return gradient


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_means_are_those_of_torch_with_gradients_in_the_layout_of_the_images(
    layout: torch.memory_format, dtype: torch.dtype
) -> None:
    gradient = both_ways(pooling.mean, lambda images: images.mean((2, 3)), 7, layout, dtype)
    assert gradient.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(("size", "stride"), [(8, 2), (7, 2), (9, 3), (1, 2), (5, 1)])
def test_every_nth_pixel_is_a_slice_with_gradients_in_the_layout_of_the_images(
    layout: torch.memory_format, size: int, stride: int
) -> None:
    def ours(images: torch.Tensor) -> torch.Tensor:
        return pooling.every(images, stride)

    def plain(images: torch.Tensor) -> torch.Tensor:
        return images[:, :, ::stride, ::stride]

    gradient = both_ways(ours, plain, size, layout, torch.float32)
    assert gradient.is_contiguous(memory_format=layout)


class Layouts(TorchDispatchMode):
    """Notes operations that are given a feature map that is (N, C, H, W) in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.others: set[str] = set()

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: Any = None
    ) -> Any:
        for one in arguments:
            is_map = isinstance(one, torch.Tensor) and one.dim() == 4 and min(one.shape[1:]) > 1
            if is_map and one.is_contiguous() and not one.is_contiguous(memory_format=torch.channels_last):
                self.others.add(str(operation))
        return operation(*arguments, **(options or {}))


@pytest.mark.parametrize("name", ["resnet", "speednet"])
def test_no_gradient_of_a_network_leaves_its_layout(name: str) -> None:
    network = models.build(name, 3, 16, 10, {"width": 8}).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    loss = F.cross_entropy(network(images), torch.arange(4))
    with Layouts() as seen:
        loss.backward()
    assert seen.others == set()
