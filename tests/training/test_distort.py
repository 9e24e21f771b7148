from collections.abc import Callable

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from harness.training import distort

FACTORS = [0.0, 0.3, 1.0, 1.7, 2.0]
BY_FACTOR = {
    distort.brightness: reference.adjust_brightness,
    distort.contrast: reference.adjust_contrast,
    distort.saturation: reference.adjust_saturation,
    distort.sharpness: reference.adjust_sharpness,
}
NOTHING = {  # the amount that leaves images as they are
    **dict.fromkeys(BY_FACTOR, 1.0),
    distort.hue: 0.0,
    distort.posterize: 8.0,
    distort.solarize: 1.0,
    distort.autocontrast: 0.0,
    distort.equalize: 0.0,
}
Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def named(value: object) -> str:
    return getattr(value, "__name__", str(value))


def make_images(num_images: int = 5, channels: int = 3, height: int = 20, width: int = 18) -> torch.Tensor:
    """Of every kind: with greys that occur often, and one that has a single colour."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(20, 230, (num_images, channels, height, width), generator=generator)
    images[0, :, : height // 2] = 77
    images[1] = torch.tensor([10, 200, 30, 40])[:channels, None, None]
    return images / 255


def as_bytes(images: torch.Tensor) -> torch.Tensor:
    return (images * 255).round().to(torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("function", "theirs"), BY_FACTOR.items(), ids=named)
def test_each_image_has_its_own_factor_and_looks_like_torchvisions(
    function: Function, theirs: Callable[[torch.Tensor, float], torch.Tensor], channels: int
) -> None:
    images = make_images(channels=channels)
    expected = [theirs(image, factor) for image, factor in zip(images, FACTORS, strict=True)]
    torch.testing.assert_close(
        function(images, torch.tensor(FACTORS)), torch.stack(expected), atol=1e-6, rtol=0
    )


def test_hues_are_torchvisions() -> None:
    images, turns = make_images(), [-0.5, -0.2, 0.1, 0.33, 0.5]
    expected = [reference.adjust_hue(image, turn) for image, turn in zip(images, turns, strict=True)]
    torch.testing.assert_close(
        distort.hue(images, torch.tensor(turns)), torch.stack(expected), atol=1e-5, rtol=0
    )


def test_bits_are_cut_off_as_torchvision_does() -> None:
    images, bits = make_images(8), range(1, 9)
    expected = [reference.posterize(as_bytes(image), kept) for image, kept in zip(images, bits, strict=True)]
    coarse = distort.posterize(images, torch.tensor(bits, dtype=torch.float32))
    assert torch.equal(as_bytes(coarse), torch.stack(expected))


def test_values_above_the_threshold_are_inverted_as_torchvision_does() -> None:
    images, thresholds = make_images(), [-0.1, 0.2501, 0.5001, 0.75001, 0.999]
    expected = [reference.solarize(image, value) for image, value in zip(images, thresholds, strict=True)]
    assert torch.equal(distort.solarize(images, torch.tensor(thresholds)), torch.stack(expected))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_stretched_as_torchvision_does(channels: int) -> None:
    images = make_images(channels=channels)
    expected = reference.autocontrast(images)
    torch.testing.assert_close(distort.autocontrast(images, torch.ones(5)), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [8, 16, 40])
@pytest.mark.parametrize("channels", [1, 3])
def test_histograms_are_evened_out_as_torchvision_does(channels: int, size: int) -> None:
    images = make_images(channels=channels, height=size, width=size)
    spread = distort.equalize(images, torch.ones(5))
    assert torch.equal(as_bytes(spread), reference.equalize(as_bytes(images)))


@pytest.mark.parametrize("function", [distort.autocontrast, distort.equalize], ids=named)
def test_half_an_amount_is_half_of_the_way(function: Function) -> None:
    images = make_images()
    halfway = function(images, torch.full((5,), 0.5))
    torch.testing.assert_close(halfway, (images + function(images, torch.ones(5))) / 2)


@pytest.mark.parametrize(("function", "nothing"), NOTHING.items(), ids=named)
def test_one_amount_leaves_every_bit_as_it_is(function: Function, nothing: float) -> None:
    images = torch.rand(5, 3, 20, 18, generator=torch.Generator().manual_seed(0))
    amounts = torch.tensor([0.2, nothing, 0.2, nothing, 0.2])
    changed = function(images, amounts)
    assert torch.equal(changed[1::2], images[1::2])
    assert not torch.equal(changed[::2], images[::2])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("function", NOTHING, ids=named)
def test_any_number_of_channels_works_and_the_images_given_stay(function: Function, channels: int) -> None:
    images = make_images(channels=channels)
    before = images.clone()
    changed = function(images, torch.linspace(0, 0.5, 5))
    assert changed.shape == images.shape
    assert changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(images, before)
    if channels != 3 and function in (distort.saturation, distort.hue):
        assert torch.equal(changed, images)


@pytest.mark.parametrize("degrees", [10.0, 90.0, -33.0])
def test_turned_images_are_torchvisions_away_from_the_border(degrees: float) -> None:
    images = make_images()
    turned = distort.move(images, distort.rotation(torch.full((5,), degrees)))
    expected = reference.rotate(images, degrees, interpolation=InterpolationMode.BILINEAR)
    inner = (..., slice(6, -6), slice(6, -6))
    torch.testing.assert_close(turned[inner], expected[inner], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("right", "down"), [(0.2, 0.0), (0.0, 0.2)])
def test_slanted_images_are_torchvisions_away_from_the_border(right: float, down: float) -> None:
    images, tenth = make_images(), 11.309932474  # degrees whose tangent is 0.2
    slanted = distort.move(images, distort.shear(torch.full((5,), right), torch.full((5,), down)))
    degrees = [-tenth * (right > 0), -tenth * (down > 0)]
    expected = reference.affine(images, 0.0, [0, 0], 1.0, degrees, interpolation=InterpolationMode.BILINEAR)
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(slanted[inner], expected[inner], atol=1e-5, rtol=0)


def test_shifted_images_are_mirrored_at_their_border() -> None:
    images = make_images()
    shifted = distort.move(images, distort.translation(torch.full((5,), 3.0), torch.full((5,), -2.0)))
    torch.testing.assert_close(shifted[:, :, :-2, 3:], images[:, :, 2:, :-3], atol=1e-5, rtol=0)
    torch.testing.assert_close(shifted[:, :, :-2, :3], images[:, :, 2:, :3].flip(3), atol=1e-5, rtol=0)


def test_the_product_of_two_maps_is_one_move_after_the_other() -> None:
    images = make_images(height=16, width=16)
    turn = distort.rotation(torch.full((5,), 90.0))
    shift = distort.translation(torch.full((5,), 4.0), torch.full((5,), 0.0))
    at_once = distort.move(images, turn @ shift)
    torch.testing.assert_close(at_once, distort.move(distort.move(images, turn), shift), atol=1e-5, rtol=0)
    torch.testing.assert_close(at_once[..., 4:], images.rot90(1, (2, 3))[..., :-4], atol=1e-5, rtol=0)


def test_boxes_are_blanked_and_nothing_else_is() -> None:
    images = make_images(3)
    boxes = torch.tensor([[2, 5, 3, 7], [-2, 2, 15, 25], [0, 0, 0, 0]])
    expected = images.clone()
    expected[0, :, 2:5, 3:7] = 0
    expected[1, :, :2, 15:] = 0
    assert torch.equal(distort.cut_out(images, boxes), expected)
