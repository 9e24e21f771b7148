"""Images in rows: every pixel of small ones is to be seen, large ones are made smaller, labels stay on the picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.charts.image_rows import image_rows, save_rows


@pytest.mark.parametrize(("size", "shown"), [((8, 8), 96), ((32, 24), 96), ((5, 9), 50)])
def test_small_images_are_enlarged_without_smoothing(
    size: tuple[int, int], shown: int, tmp_path: Path
) -> None:
    """Every pixel becomes a square of that very colour, and all of them are on the picture."""
    images = np.zeros((3, *size, 3))
    images[..., 0] = np.indices((3, *size)).sum(0) % 2  # red and black
    save_rows("title", [("part", {"row": images})], tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        reds = (np.asarray(image.convert("RGB")) == [255, 0, 0]).all(-1).sum()
    assert reds == images[..., 0].sum() * (shown // size[0]) ** 2


def test_large_images_are_made_smaller_and_labels_stay_on_the_picture() -> None:
    images = np.random.default_rng(0).random((10, 300, 200, 3))
    rows = {"a label that is rather long": images, "b": images}
    picture = image_rows("a title", [("one part", rows), ("another", rows)])
    assert 700 < picture.width < 1300 and 400 < picture.height < 700
    edges = np.asarray(picture).copy()
    edges[5:-5, 5:-5] = 255
    assert (edges == 255).all()
