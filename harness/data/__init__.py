"""Data sets: one file each, found by its name. What they all return is `images.Images`.

Only training images come from here; `test_set.py` alone gives out the test part.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Literal

import numpy as np

from harness.config import catalog, plugins
from harness.config.plugins import Plugin
from harness.config.settings import expanded
from harness.data.conversion import as_images
from harness.data.holdout import Growth, parts_of
from harness.data.images import Images
from harness.errors import DataError, HarnessError, did_you_mean
from harness.records import Map, Scalar

__all__ = ["Images", "data_home", "is_here", "load_part", "load_parts", "load_training"]
FOLDER = "folder"  # the data set whose files a snapshot knows
Part = Literal["train", "test"]
DUPLICATES = "duplicates"  # an option of folders, and of data whose code knows no parts
TEST_FRACTION = 0.2  # of a data set whose code knows no parts


def load_training(settings: Mapping[str, Scalar | Map]) -> Images:
    """The training images of a study's `data:` map: {"name": "digits", option: value, …}.

    Raises DataError if they are missing, unreadable or cannot be trained on.
    """
    return load_part(data_home(), settings, "train")


def is_here(name: str) -> bool:
    """Whether a data set can be loaded without a download; those that come with harness always can."""
    module = import_module(f"harness.data.{name}")
    return bool(module.is_here(data_home())) if hasattr(module, "is_here") else True


def data_home() -> Path:
    """Where data sets and their decoded copies lie: HARNESS_DATA, else a folder in the user's cache."""
    chosen = os.environ.get("HARNESS_DATA")
    if chosen:
        return expanded(Path(chosen)).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("harness", appauthor=False) / "data"


def load_part(home: Path, settings: Mapping[str, Scalar | Map], part: Part) -> Images:
    """The images of one part of the data set that `settings` describes, checked.

    home: where data sets lie that have no `root` of their own, and decoded copies of all.
    """
    return load_parts(home, settings, [part])[part]


def load_parts(
    home: Path, settings: Mapping[str, Scalar | Map], parts: Sequence[Part], growth: Growth | None = None
) -> dict[Part, Images]:
    """As `load_part`, several at once.

    growth: which part each image was in before, for data whose test part harness holds out.
    """
    options = dict(settings)
    name = str(options.pop("name", ""))
    entry = catalog.entry("data", name)
    if entry is None:
        raise DataError(f"unknown data set {name!r}{did_you_mean(name, list(catalog.known('data')))}")
    plugin = plugins.find("data", name)
    if plugin is not None:
        found = _of_plugin(plugin, home, parts, options, growth)
    elif name == FOLDER:
        folder = import_module(f"harness.data.{FOLDER}").of_folder(home, options, growth)
        found = {part: folder.images(part) for part in parts}
        folder.tell(found[parts[0]])
    else:
        load = import_module(f"harness.data.{name}").load
        found = {part: load(home, part, **options) for part in parts}
    for part, images in found.items():
        _check(images, name, part)
    return {part: images.hard if part == "test" else images for part, images in found.items()}


def _of_plugin(
    plugin: Plugin,
    home: Path,
    parts: Sequence[Part],
    options: Mapping[str, Scalar | Map],
    growth: Growth | None,
) -> dict[Part, Images]:
    """What somebody's code gives; where it knows no parts, a fifth of it is held out as the test part."""
    function = plugins.load(plugin)
    if "part" in signature(function).parameters:
        return {part: _called(plugin, function, home, part, options) for part in parts}
    options = dict(options)
    duplicates = "near" if DUPLICATES in signature(function).parameters else options.pop(DUPLICATES, "near")
    images = _called(plugin, function, home, "train", options)
    divided = parts_of(images, fraction=TEST_FRACTION, duplicates=duplicates, growth=growth)  # type: ignore[arg-type]
    return {part: images.take(np.flatnonzero(divided == part)) for part in parts}


def _called(
    plugin: Plugin,
    function: Callable[..., object],
    home: Path,
    part: Part,
    options: Mapping[str, Scalar | Map],
) -> Images:
    what, advice = plugin.name, ""
    if part == "test":
        what += ", test part"
        advice = (
            "; where there is none, leave out the argument `part`: a fifth of the images is held out then"
        )
    try:
        return as_images(plugins.call(function, {"home": home, "part": part}, options), what)
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:  # whatever it may raise
        raise DataError(f"data set {what}: {plugins.where(error, plugin.root)}{advice}") from error


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
