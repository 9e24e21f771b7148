"""Fashion-MNIST: 70,000 grey images of 28×28 pixels, 10 classes of clothing; official split.

Source: Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747
"""

import gzip
from pathlib import Path
from typing import Literal

import numpy as np

from harness.data.cache import cached, fetching
from harness.data.images import Images

RAW = Path("FashionMNIST", "raw")  # torchvision's layout
PREFIX = {"train": "train", "test": "t10k"}
IMAGES_MD5 = {"train": "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "test": "bef4ecab320f06d8554ea6380940ec79"}


def load(home: Path, part: Literal["train", "test"], *, root: str | None = None) -> Images:
    """60,000 training or 10,000 test images, from `root` or, without one, from `home`.

    There the packed files are looked for, in torchvision's folders too, and checked by MD5; else they are
    downloaded. Unpacked files are not used: nothing says whether they are intact.
    root: the folder where the files lie; null is the folder of all data sets.
    Raises DataError if they can be had from nowhere.
    """
    place = Path(root).expanduser() if root else home
    folder = home / "cache" / f"fashion_mnist-{part}-{IMAGES_MD5[part][:12]}"
    return cached(
        folder, lambda folder: _decode(place, part).save(folder), lock=folder.parent / "fashion_mnist.lock"
    )


def is_here(home: Path) -> bool:
    """Whether the images can be loaded without a download."""
    decoded = home / "cache" / f"fashion_mnist-train-{IMAGES_MD5['train'][:12]}"
    packed = f"{PREFIX['train']}-images-idx3-ubyte.gz"
    return any(
        place.exists() for place in (decoded, home / RAW / packed, home / "raw" / packed, home / packed)
    )


def _decode(place: Path, part: Literal["train", "test"]) -> Images:
    from torchvision.datasets import FashionMNIST

    pixels = _unpack(place, f"{PREFIX[part]}-images-idx3-ubyte.gz", header_bytes=16)
    labels = _unpack(place, f"{PREFIX[part]}-labels-idx1-ubyte.gz", header_bytes=8)
    return Images(pixels.reshape(-1, 1, 28, 28), labels.astype(np.int64), tuple(FashionMNIST.classes))


def _unpack(place: Path, name: str, *, header_bytes: int) -> np.ndarray:
    content = gzip.decompress(_find(place, name).read_bytes())
    return np.frombuffer(content, dtype=np.uint8, offset=header_bytes)


def _find(place: Path, name: str) -> Path:
    """The packed file, downloaded if it is nowhere, or not intact."""
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import check_integrity, download_url

    md5 = dict(FashionMNIST.resources)[name]
    for folder in (place / RAW, place / "raw", place):
        if check_integrity(folder / name, md5):
            return folder / name
    url = FashionMNIST.mirrors[0] + name
    with fetching("fashion_mnist", name, place / RAW, url):
        download_url(url, place / RAW, name, md5)
    return place / RAW / name
