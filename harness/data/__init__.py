"""Data sets: one file each, found by its name. What they all return is `images.Images`.

Only training images come from here; `sealed.py` alone gives out the test part.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from harness.config.settings import expanded
from harness.data.images import Images
from harness.data.parts import load_part
from harness.records import Map, Scalar

__all__ = ["Images", "data_home", "is_here", "load_training"]


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
