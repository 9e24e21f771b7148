"""Attention against its formulas, and what the options of the staged network add."""

from typing import Any

import pytest
import torch
from torch import nn

from harness.models.staged_cnn import CBAM, Block, SqueezeExcitation, build


def images(channels: int = 16) -> torch.Tensor:
    return torch.randn(3, channels, 9, 9, generator=torch.Generator().manual_seed(0))


def zeroed(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def test_without_excitation_squeeze_excitation_halves_its_input() -> None:
    assert torch.equal(zeroed(SqueezeExcitation(16))(images()), images() / 2)


def test_without_excitation_cbam_quarters_its_input() -> None:
    assert torch.equal(zeroed(CBAM(16))(images()), images() / 4)


def test_squeeze_excitation_depends_on_the_channel_means_alone() -> None:
    attention, shuffled = SqueezeExcitation(16), images().flatten(2).flip(2).unflatten(2, (9, 9))
    torch.testing.assert_close(
        attention(shuffled), attention(images()).flatten(2).flip(2).unflatten(2, (9, 9))
    )


def test_spatial_attention_gives_all_channels_of_a_pixel_one_factor() -> None:
    attention = CBAM(16)
    zeroed(attention.excite)
    factors = attention(images()) / images()
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert factors[:, 0].std() > 0.001


def test_channel_attention_of_cbam_sees_the_maxima_too() -> None:
    attention, peak = CBAM(16), images()
    zeroed(attention.locate)
    peak[:, 0, 0, 0] += 9
    peak[:, 0] -= 1 / 9  # 81 pixels: the mean stays
    assert not torch.allclose(attention(peak)[:, 1], attention(images())[:, 1], atol=1e-4)


def test_a_block_whose_layers_give_nothing_passes_its_input_on_by_the_shortcut() -> None:
    block = Block(16, 16, 2, "none", "none", residual=True)
    zeroed(block.layers)
    assert torch.equal(block(images()), images())


@pytest.mark.parametrize(
    ("options", "kind", "expected"),
    [
        ({}, nn.Conv2d, 6),
        ({"convs": 2}, nn.Conv2d, 12),
        ({"residual": True}, nn.Conv2d, 9),  # projections: where the width changes
        ({"norm": "batch"}, nn.BatchNorm2d, 6),
        ({"attention": "squeeze_excitation"}, SqueezeExcitation, 6),
        ({"attention": "cbam"}, CBAM, 6),
        ({}, nn.MaxPool2d, 2),
        ({"pool_every": 1}, nn.MaxPool2d, 4),  # 32 → 2 pixels, and no further
    ],
)
def test_each_option_adds_its_modules(options: dict[str, Any], kind: type[nn.Module], expected: int) -> None:
    modules = build(3, 32, 10, width=4, **options).modules()
    assert sum(isinstance(module, kind) for module in modules) == expected
