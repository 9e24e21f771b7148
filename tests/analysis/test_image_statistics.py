"""How images were made, by class: it is noted where only their making tells a class."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from harness.analysis import image_statistics
from tests.analysis.test_marks import photographs


def blurred(pixels: np.ndarray) -> np.ndarray:
    return gaussian_filter(pixels.astype(float), (0, 0, 1, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (blurred, "by less sharpness"),
        (lambda pixels: pixels.mean(1, keepdims=True).repeat(3, 1), "by less colourfulness"),
        (lambda pixels: 60 + 0.5 * pixels, "by grey levels that it never has"),
        (lambda pixels: np.where(pixels.mean(1, keepdims=True) < 90, 2, pixels), "by grey levels that only it has"),
    ],
    ids=["blurred", "grey", "contrast", "black"],
)  # fmt: skip
def test_a_class_made_otherwise_is_noted(change: object, words: str) -> None:
    images = photographs()
    assert image_statistics.check(images).verdict == "passed"
    pixels, of_class = images.pixels.copy(), images.labels == 2
    if words.endswith("only it has"):
        pixels = np.clip(pixels, 40, 255)
    pixels[of_class] = np.rint(change(pixels[of_class].astype(float)))  # type: ignore[operator]
    found = image_statistics.check(replace(images, pixels=pixels))
    assert found.verdict == "noted" and words in found.sentence and "class2" in found.sentence, found.sentence
