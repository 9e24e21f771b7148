"""The picture of what training sees shows the study's own augmentation, and each kind, for any images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.charts import image_rows
from harness.config.study_file import load_study_file
from harness.data.image_similarity import LIKELY, SURE
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.errors import UsageError
from harness.search import preview

COLOUR = ["saturation: 0.4", "hue: 0.1"]


def make_images(*, size: int = 8, channels: int = 1, num_images: int = 40, num_classes: int = 3) -> Images:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (num_images, channels, size, size)).astype(np.uint8)
    labels = np.sort(np.arange(num_images) % num_classes)
    return Images(pixels, labels, tuple(f"class {number}" for number in range(num_classes)))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The parts of each picture that is made, as the picture gets them."""
    found: list[Any] = []
    real = image_rows.image_rows
    monkeypatch.setattr(
        image_rows, "image_rows", lambda title, parts: found.append(parts) or real(title, parts)
    )
    return found


def pictured(study_file: Path, images: Images, drawn: list[Any], *overrides: str) -> tuple[Any, Any]:
    path = study_file.with_suffix(".png")
    preview.draw_pictures(load_study_file(str(study_file), list(overrides)), images, path)
    assert path.exists()
    return drawn[-1]


@pytest.mark.parametrize(("channels", "size"), [(1, 4), (3, 9), (3, 128)])
def test_every_kind_is_shown_once(channels: int, size: int, study_file: Path, drawn: list[Any]) -> None:
    _, (_, others) = pictured(study_file, make_images(size=size, channels=channels), drawn)
    assert list(others) == [
        f"crop_padding: {max(size // 8, 1)}", "flip: random", "rotation: 15", "brightness: 0.4", "contrast: 0.4",
        *(COLOUR if channels == 3 else []), "randaugment: 2", "cutout: 0.5", "mix: mixup", "mix: cutmix",
    ]  # fmt: skip
    rows = list(others.values())
    assert all(row.shape == (10, size, size, 3) and row.min() >= 0 and row.max() <= 1 for row in rows)
    assert all(not np.allclose(row, other) for row in rows for other in rows if row is not other)


def test_the_images_are_as_stored_and_of_all_classes(study_file: Path, drawn: list[Any]) -> None:
    images = make_images(channels=3, num_classes=4)
    (_, own), _ = pictured(study_file, images, drawn)
    stored = own["as stored"].transpose(0, 3, 1, 2) * 255
    places = [int((images.pixels == image.round()).all((1, 2, 3)).argmax()) for image in stored]
    assert np.bincount(images.labels[places]).tolist() == [3, 3, 2, 2]
    assert len(set(places)) == 10
    np.testing.assert_allclose(own["epoch 1"], own["as stored"], atol=1e-6)  # augment: none


def test_the_studys_own_augmentation_is_that_of_trial_0_and_changes_from_epoch_to_epoch(
    study_file: Path, drawn: list[Any]
) -> None:
    overrides = ["train.augment=standard", "train.rotation={low: 0, high: 20}", "train.mix=mixup"]
    (words, own), _ = pictured(study_file, make_images(size=16), drawn, *overrides)
    assert words == "trial 0: augment: standard, crop_padding: 2, flip: random, mix: mixup, mix_alpha: 1"
    assert list(own) == ["as stored", "epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    rows = list(own.values())
    assert all(not np.allclose(row, other) for row in rows for other in rows if row is not other)


def test_a_single_image_can_be_pictured(study_file: Path, drawn: list[Any]) -> None:
    (_, own), _ = pictured(study_file, make_images(num_images=1, num_classes=1), drawn, "train.mix=cutmix")
    assert own["epoch 1"].shape == (1, 8, 8, 3)


def test_a_file_that_cannot_be_written_is_told_in_one_line(study_file: Path) -> None:
    with pytest.raises(UsageError, match=r"^--images .*: Not a directory$"):
        preview.draw_pictures(load_study_file(str(study_file)), make_images(), study_file / "seen.png")


def test_pairs_that_are_alike_stand_below_each_named_and_so_many_of_them(
    study_file: Path, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "MOST_PAIRS", 2)
    images = replace(make_images(), names=tuple(f"{'x' * 50}/{number}.png" for number in range(40)))
    found = Duplicates(
        np.array([[3, 7], [1, 2], [5, 9]]), np.array([True, False, False]), np.ones(3, np.float32),
        np.array([SURE, LIKELY, LIKELY], np.uint8), np.zeros(3, np.uint8), np.ones((3, 2), np.complex64),
    )  # fmt: skip
    path = study_file.with_suffix(".png")
    preview.draw_pictures(load_study_file(str(study_file)), images, path, found)
    _, _, (words, rows) = drawn[-1]
    assert words.startswith("2 of 3 pairs") and "data.groups" in words
    first, second = rows
    assert first.startswith("equal: ") and second.startswith("likely: ")
    assert all(name in first for name in ("x/3.png", "x/7.png")) and len(first) < 90
    np.testing.assert_allclose(rows[first][:, :, :, 0] * 255, images.pixels[[3, 7], 0])
    preview.draw_pictures(load_study_file(str(study_file)), images, path, found.of(np.array([], np.int64)))
    assert len(drawn[-1]) == 2
