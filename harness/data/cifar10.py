"""CIFAR-10: 60,000 colour images of 32×32 pixels, 10 classes of animals and vehicles; official split.

Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images
"""

from pathlib import Path
from typing import Literal

import numpy as np

from harness.data.cache import cached, fetching
from harness.data.images import Images

ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
BATCHES = "cifar-10-batches-py"


def load(home: Path, part: Literal["train", "test"], *, root: str | None = None) -> Images:
    """50,000 training or 10,000 test images, from `root` or, without one, from `home`.

    There the archive or torchvision's unpacked folder is looked for and checked by MD5, else downloaded.
    root: the folder where the files lie; null is the folder of all data sets.
    Raises DataError if it can be had from nowhere.
    """
    place = Path(root).expanduser() if root else home
    place = place.parent if place.name == BATCHES else place
    folder = home / "cache" / f"cifar10-{part}-{ARCHIVE_MD5[:12]}"
    return cached(
        folder, lambda folder: _decode(place, part).save(folder), lock=folder.parent / "cifar10.lock"
    )


def is_here(home: Path) -> bool:
    """Whether the images can be loaded without a download."""
    decoded = home / "cache" / f"cifar10-train-{ARCHIVE_MD5[:12]}"
    return any(place.exists() for place in (decoded, home / ARCHIVE, home / BATCHES))


def _decode(place: Path, part: Literal["train", "test"]) -> Images:
    from torchvision.datasets import CIFAR10

    with fetching("cifar10", ARCHIVE, place, CIFAR10.url):
        dataset = CIFAR10(place, train=part == "train", download=True)
    pixels = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
    return Images(pixels, np.array(dataset.targets, dtype=np.int64), tuple(dataset.classes))
