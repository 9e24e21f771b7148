"""The test images. Nothing that tunes, compares or reproduces imports this module; only `final` and `audit` do."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from harness.data import data_home, load_parts
from harness.data.data_set import Sealed
from harness.data.holdout import Growth
from harness.data.images import Images
from harness.errors import DataError
from harness.records import Map, Scalar

opened = False  # in this process: from then on nothing may be trained


def load_test(settings: Mapping[str, Scalar | Map], sealed: Sealed | None = None) -> Images:
    """The test images of a study's `data:` map.

    sealed: those that the study began with; None for what there is now.
    Raises DataError if there are none, or others than were sealed.
    """
    global opened
    images = _load(settings, sealed)
    opened = True
    return images


def test_pixels(settings: Mapping[str, Scalar | Map], sealed: Sealed | None = None) -> np.ndarray:
    """The test images without their labels, to look for duplicates: uint8 (N, C, H, W). Raises DataError."""
    return _load(settings, sealed).pixels


def _load(settings: Mapping[str, Scalar | Map], sealed: Sealed | None) -> Images:
    if sealed is None:
        return load_parts(data_home(), settings, ["test"])["test"]
    with suppress(DataError):
        kept = Images.open(sealed.folder)
        if kept.content_hash == sealed.hash:
            return kept
    growth = None if sealed.snapshot is None else Growth(sealed.snapshot, takes_new=False)
    images = load_parts(data_home(), settings, ["test"], growth)["test"]
    if images.content_hash != sealed.hash:
        raise DataError(
            "the test images are not those that were sealed when the study began (hash "
            f"{sealed.hash[:12]}, now {images.content_hash[:12]}); nothing was opened"
        )
    return images
