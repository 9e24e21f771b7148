"""The test images. Nothing that tunes, compares or reproduces imports this module; only `final` does."""

from collections.abc import Mapping

from harness.datasets import data_home
from harness.datasets.images import Images
from harness.datasets.parts import load_part
from harness.records import Map, Scalar


def load_test(settings: Mapping[str, Scalar | Map]) -> Images:
    """The test images of a study's `data:` map. Raises DataError if there are none."""
    return load_part(data_home(), settings, "test")
