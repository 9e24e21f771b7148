from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.training import Compute, FoldData, Statistics, predict_logits
from harness.training.augment import AugmentOptions, draw, unchanged
from harness.training.pixels import Pixels, measure
from tests.training.conftest import CPU, make_data, make_model


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_numpys_of_the_training_part(channels: int) -> None:
    data = make_data(channels=channels)
    images = data.pixels[data.train] / 255
    statistics = measure(data.pixels, data.train)
    np.testing.assert_allclose(statistics.mean, images.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(statistics.std, images.std((0, 2, 3)), rtol=1e-12)


def test_statistics_do_not_see_the_held_out_images(data: FoldData) -> None:
    changed = data.pixels.copy()
    changed[data.held_out] = 255
    assert measure(changed, data.train) == measure(data.pixels, data.train)


def test_statistics_do_not_depend_on_the_order(data: FoldData) -> None:
    assert measure(data.pixels, data.train[::-1]) == measure(data.pixels, data.train)


def test_a_channel_that_never_changes_is_not_divided_by_zero() -> None:
    pixels = np.full((4, 1, 8, 8), 51, np.uint8)
    assert measure(pixels, np.arange(4)) == Statistics(mean=(0.2,), std=(1.0,))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("channels_last", [True, False])
def test_an_augmented_batch_is_a_crop_and_flip_of_every_padded_image(
    channels: int, channels_last: bool
) -> None:
    data, padding = make_data(channels=channels), 2
    statistics = measure(data.pixels, data.train)
    images = Pixels(data.pixels, statistics, replace(CPU, channels_last=channels_last))
    draws = draw(AugmentOptions(crop_padding=padding), data.train, 8, 8, seed=0, epoch=1)
    batches = list(images.batches(data.train, draws, [0, 30, len(data.train)]))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert all(batch.is_contiguous(memory_format=layout) for batch in batches)
    for index, image in zip(data.train, torch.cat(batches).numpy(), strict=True):
        matches = [
            np.allclose(image, slowly_normalised(candidate, statistics), atol=1e-5)
            for candidate in crops_and_flips(data.pixels[index], padding)
        ]
        assert sum(matches) == 1


def crops_and_flips(image: np.ndarray, padding: int) -> list[np.ndarray]:
    """Everything that random cropping and flipping can make of a (C, H, W) image, the slow way."""
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode="reflect")
    windows = [
        padded[:, top : top + height, left : left + width]
        for top in range(2 * padding + 1)
        for left in range(2 * padding + 1)
    ]
    return windows + [window[:, :, ::-1] for window in windows]


def slowly_normalised(image: np.ndarray, statistics: Statistics) -> np.ndarray:
    mean, std = (np.array(value)[:, None, None] for value in (statistics.mean, statistics.std))
    normalised: np.ndarray = (image / 255 - mean) / std
    return normalised


def test_crops_and_flips_alone_are_one_gather_and_one_multiplication(data: FoldData) -> None:
    """To the bit: what else can be done to images must not touch the rounding of those it is not done to."""
    statistics = measure(data.pixels, data.train)
    draws = draw(AugmentOptions(), data.train, 8, 8, seed=0, epoch=1)
    (batch,) = Pixels(data.pixels, statistics, CPU).batches(data.train, draws, [0, len(data.train)])
    pixels = data.pixels[data.train].transpose(0, 2, 3, 1)
    rows, columns = draws.rows.numpy()[:, :, None], draws.columns.numpy()[:, None, :]
    gathered = torch.from_numpy(pixels[np.arange(len(pixels))[:, None, None], rows, columns]).float()
    mean, std = torch.tensor([statistics.mean, statistics.std], dtype=torch.float64)
    expected = torch.addcmul((-mean / std).float(), gathered, (1 / (255 * std)).float())
    assert torch.equal(batch, expected.permute(0, 3, 1, 2))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("channels_last", [True, False])
def test_colours_change_before_normalising_and_squares_are_blanked_after(
    channels: int, channels_last: bool
) -> None:
    data = make_data(channels=channels)
    statistics = measure(data.pixels, data.train)
    images = Pixels(data.pixels, statistics, replace(CPU, channels_last=channels_last))
    options = AugmentOptions(crop_padding=0, flip="none", brightness=0.5, cutout=0.5)
    draws = draw(options, data.train, 8, 8, seed=0, epoch=1)
    batches = list(images.batches(data.train, draws, [0, 30, len(data.train)]))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert all(batch.is_contiguous(memory_format=layout) for batch in batches)
    (brightness,), (blanks,) = draws.changes, draws.blanks
    for place, image in enumerate(torch.cat(batches).numpy()):
        bright = np.clip(data.pixels[data.train[place]] * brightness.amounts[place].item(), 0, 255)
        expected = slowly_normalised(bright, statistics)
        top, bottom, left, right = blanks.amounts[place].clamp(0, 8).tolist()
        expected[:, top:bottom, left:right] = 0
        np.testing.assert_allclose(image, expected, atol=1e-5)


@pytest.mark.parametrize(("size", "channels"), [(4, 1), (5, 2), (33, 3)])
def test_everything_at_once_works_on_images_of_any_size_and_gives_the_same_bits_again(
    compute: Compute, size: int, channels: int
) -> None:
    data = make_data(size=size, channels=channels)
    images = Pixels(data.pixels, measure(data.pixels, data.train), compute)
    options = AugmentOptions(
        rotation=90.0, brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, randaugment=3, cutout=0.3
    )
    first, second = (
        torch.cat(list(images.batches(data.train, draws, [0, 31, 72])))
        for draws in (draw(options, data.train, size, size, seed=0, epoch=1) for _ in range(2))
    )
    assert first.isfinite().all()
    assert torch.equal(first, second)


def test_images_without_augmentation_are_only_normalised(data: FoldData) -> None:
    statistics = measure(data.pixels, data.train)
    images = Pixels(data.pixels, statistics, CPU)
    (batch,) = images.batches(data.held_out, unchanged(len(data.held_out), 8, 8), [0, len(data.held_out)])
    expected = [slowly_normalised(data.pixels[index], statistics) for index in data.held_out]
    np.testing.assert_allclose(batch.numpy(), expected, atol=1e-5)


def test_a_read_only_memory_mapped_array_is_used_without_a_copy(tmp_path: Path, data: FoldData) -> None:
    np.save(tmp_path / "pixels.npy", data.pixels)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    images = Pixels(mapped, measure(mapped, data.train), CPU)
    assert images._flat.data_ptr() == mapped.ctypes.data


@pytest.mark.parametrize("num_images", [1, 5, 96])
def test_predictions_do_not_depend_on_the_batches_and_leave_out_dropout(
    monkeypatch: pytest.MonkeyPatch, data: FoldData, compute: Compute, num_images: int
) -> None:
    model, statistics = make_model(data, dropout=0.5), measure(data.pixels, data.train)
    pixels = data.pixels[:num_images]
    together = predict_logits(model, pixels, statistics, compute)
    monkeypatch.setattr("harness.training.pixels.EVALUATION_PIXELS", {"cpu": 3 * 64})
    in_threes = predict_logits(model, pixels, statistics, compute)
    assert together.dtype == np.float32
    assert together.shape == (num_images, 3)
    np.testing.assert_allclose(together, in_threes, rtol=1e-4, atol=1e-5)
