"""Loads one part of a data set by the settings that name it. Use `load_training` or `sealed.load_test`."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np

from harness.config import catalog
from harness.data.images import Images
from harness.errors import DataError, did_you_mean
from harness.records import Map, Scalar

Part = Literal["train", "test"]


def load_part(home: Path, settings: Mapping[str, Scalar | Map], part: Part) -> Images:
    """The images of one part of the data set that `settings` describes, checked.

    home: where data sets lie that have no `root` of their own, and decoded copies of all.
    """
    options = dict(settings)
    name = str(options.pop("name", ""))
    known = catalog.datasets()
    if name not in known:
        raise DataError(f"unknown data set {name!r}{did_you_mean(name, list(known))}")
    images: Images = import_module(f"harness.data.{name}").load(home, part, **options)
    _check(images, name, part)
    return images


def _check(images: Images, name: str, part: Part) -> None:
    if len(images.classes) < 2:
        got = ", ".join(images.classes) or "none"
        raise DataError(f"{name}: a classifier needs at least 2 classes (got {got})")
    counts = np.bincount(images.labels, minlength=len(images.classes))
    if part == "train" and not counts.all():
        missing = ", ".join(images.classes[i] for i in np.flatnonzero(counts == 0)[:5])
        raise DataError(f"{name}: no training image of class {missing}")
    if not len(images.labels):
        raise DataError(f"{name}: the {part} part has no image")
