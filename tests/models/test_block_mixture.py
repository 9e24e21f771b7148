"""One convolution with a mixed kernel for each image is the weighted sum of the convolutions that define it."""

from typing import Any

import pytest
import torch
from torch import nn

from harness.models.block_mixture import EVALUATION_BATCH, BlockMixture, Mixture, build


def weighted_sum(mixture: Mixture, images: torch.Tensor) -> torch.Tensor:
    """The definition: all L convolutions, then the sum of their outputs times a."""
    outputs = mixture.convolutions(images).unflatten(1, (mixture.branches, -1))
    return (outputs * mixture.weights(images)[:, :, None, None, None]).sum(1)


def make(mixing: str = "softmax", branches: int = 4, kernel_size: int = 3, bias: bool = False) -> Mixture:
    torch.manual_seed(0)
    return Mixture(5, 6, branches, kernel_size, mixing, bias=bias)


@pytest.mark.parametrize("mixing", ["linear", "softmax"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("channels_last", [True, False])
def test_both_ways_agree_in_values_and_gradients(
    mixing: str, bias: bool, kernel_size: int, channels_last: bool
) -> None:
    mixture = make(mixing, kernel_size=kernel_size, bias=bias)
    if bias:
        nn.init.normal_(mixture.convolutions.bias)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    mixture = mixture.double().to(memory_format=layout)  # type: ignore[call-overload]
    images = torch.randn(3, 5, 7, 7, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    leaves, goal = [images, *mixture.parameters()], torch.randn(3, 6, 7, 7, dtype=torch.float64)
    mixed, summed = mixture(images), weighted_sum(mixture, images)
    torch.testing.assert_close(mixed, summed)
    for ours, reference in zip(
        torch.autograd.grad((mixed * goal).sum(), leaves), torch.autograd.grad((summed * goal).sum(), leaves),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(ours, reference)


def test_in_bf16_both_ways_agree_to_its_precision() -> None:
    mixture, images = make(bias=True), torch.randn(3, 5, 7, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, summed = mixture(images), weighted_sum(mixture, images)
    assert mixed.dtype == torch.bfloat16
    assert (mixed - summed).norm() < 0.02 * summed.norm()


@pytest.mark.parametrize("mixing", ["linear", "softmax"])
@pytest.mark.parametrize("branches", [1, 4, 16])
def test_a_new_mixture_has_the_scale_of_one_kaiming_convolution(mixing: str, branches: int) -> None:
    torch.manual_seed(0)
    images = torch.randn(64, 32, 8, 8)
    mixture = Mixture(32, 64, branches, 3, mixing, bias=False)
    one = nn.Conv2d(32, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
    assert (mixture(images).std() / one(images).std()).item() == pytest.approx(1, abs=0.1)


def test_images_of_one_batch_have_kernels_of_their_own() -> None:
    mixture = make("linear")
    image = torch.randn(1, 5, 7, 7)
    first, second = mixture(torch.cat([image, image + 1]))
    torch.testing.assert_close(first, mixture(image)[0])
    torch.testing.assert_close(second, mixture(image + 1)[0])
    assert not torch.allclose(mixture.weights(image), mixture.weights(image + 1), atol=0.01)


def test_a_large_batch_is_evaluated_in_parts_with_equal_results() -> None:
    model = build(1, 4, 3, width=2, blocks=2).eval()
    images = torch.randn(EVALUATION_BATCH + 2, 1, 4, 4)
    torch.testing.assert_close(model(images)[-2:], model(images[-2:]))


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        (32, {}, (2, 32, 8, 8)),
        (32, {"pool_every": 1, "growth": 1.5}, (2, 61, 2, 2)),
        (6, {"pool_every": 1, "growth": 1.0}, (2, 8, 3, 3)),
        (4, {}, (2, 32, 2, 2)),
    ],
)
def test_pooling_places_and_growth_give_these_features(
    size: int, options: dict[str, Any], expected: tuple[int, ...]
) -> None:
    model = build(3, size, 10, width=8, **options)
    assert isinstance(model, BlockMixture)
    assert model.blocks(torch.randn(2, 3, size, size)).shape == expected
