"""What looks unlike the other images of a folder is told, and nothing of images that are alike."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data.odd_images import odd_images
from harness.search.image_warnings import warn_of_images


def coloured(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


def told(pixels: np.ndarray, width: list[int] | None = None, height: list[int] | None = None) -> list[str]:
    names = [f"a/{number}.png" for number in range(len(pixels))]
    facts = {"width": np.array(width), "height": np.array(height)} if width and height else {}
    return list(odd_images(pixels, names, facts))


def test_images_that_are_alike_are_not_told() -> None:
    assert told(coloured(20), [30, 40] * 10, [40, 30] * 10) == []


def test_an_image_of_one_colour_and_a_grey_one_are_told() -> None:
    pixels = coloured(20)
    pixels[3], pixels[5] = 0, pixels[5, :1]
    assert told(pixels) == [
        "1 image is of one colour all over: a/3.png; look whether it is meant",
        "1 image is grey among images in colour: a/5.png; look whether it is meant",
    ]


def test_sizes_and_shapes_unlike_the_others_are_told() -> None:
    width, height = [32] * 20, [32] * 20
    width[1], height[1], width[2], height[2] = 8, 8, 400, 40
    small, long = told(coloured(20), width, height)
    assert small.startswith(
        "1 image is much smaller than the others, of which 32×32 pixels are usual: a/1.png (8×8)"
    )
    assert long.startswith("1 image is much longer or wider than the others: a/2.png (400×40)")


def test_what_many_images_have_is_no_oddity() -> None:
    pixels = coloured(20)
    pixels[:10] = pixels[:10, :1]
    assert told(pixels, [32] * 15 + [8] * 5, [32] * 20) == []
    assert told(np.repeat(coloured(20)[:, :1], 3, axis=1)) == []


def test_many_are_named_in_part() -> None:
    pixels = coloured(80)
    pixels[:5] = 255
    (line,) = told(pixels)
    assert line.startswith("5 images are of one colour all over: a/0.png, a/1.png, a/2.png and 2 more;")


def test_a_study_is_told_of_the_images_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from harness.config.study_file import load_study_file
    from harness.data.data_set import load_data

    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    random, photos = np.random.default_rng(0), tmp_path / "photos"
    for name in "ab":
        for part in ("train", "test"):
            (photos / part / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / "train" / name / f"{number}.png")
        Image.new("RGB", (32, 32), "red").save(photos / "test" / name / "sealed.png")
    Image.new("RGB", (400, 40)).save(photos / "train" / "a" / "strip.png")
    study = tmp_path / "s.yaml"
    study.write_text(
        f"data: {{name: folder, root: {photos}, image_size: 16}}\nmodel: {{name: resnet}}\n", encoding="utf-8"
    )
    loaded = load_study_file(str(study), ())
    warn_of_images(loaded, load_data(loaded.data))
    assert "1 image is of one colour all over: a/strip.png" in caplog.text
    assert "longer or wider than the others: a/strip.png (400×40)" in caplog.text
    assert "sealed" not in caplog.text  # nothing is said of test images
