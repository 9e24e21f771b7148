"""The test images. Nothing that tunes, compares or reproduces imports this module; only `final` and `audit` do."""

from collections.abc import Mapping

import numpy as np

from harness.data import data_home, load_part
from harness.data.images import Images
from harness.records import Map, Scalar

opened = False  # in this process: from then on nothing may be trained


def load_test(settings: Mapping[str, Scalar | Map]) -> Images:
    """The test images of a study's `data:` map. Raises DataError if there are none."""
    global opened
    images = load_part(data_home(), settings, "test")
    opened = True
    return images


def test_pixels(settings: Mapping[str, Scalar | Map]) -> np.ndarray:
    """The test images without their labels, to look for duplicates: uint8 (N, C, H, W). Raises DataError."""
    return load_part(data_home(), settings, "test").pixels
