"""Handwritten digits: 1,797 real grey images of 8×8 pixels, 10 classes; come with scikit-learn, offline.

Source: Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80 (its test part)
"""

import gzip
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from harness.config.signatures import Between
from harness.data.holdout import parts_of
from harness.data.images import Images
from harness.errors import DataError


def load(
    home: Path,
    part: Literal["train", "test"],
    *,
    test_fraction: Annotated[float, Between(above=0.0, high=0.9)] = 0.2,
) -> Images:
    """The digits, values 0..16 scaled to 0..255. They have no official split: a fixed part is held out.

    test_fraction: share of the images that is sealed as the test part. Default: as much as one of five folds.
    """
    images, parts = _divided(test_fraction)
    return images.take(np.flatnonzero(parts == part))


@lru_cache(1)
def _divided(test_fraction: float) -> tuple[Images, np.ndarray]:
    """All images, and the part of each."""
    table = _read_table()
    pixels = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    images = Images(pixels, table[:, 64].astype(np.int64), tuple("0123456789"))
    return images, parts_of(images, fraction=test_fraction)


def _read_table() -> np.ndarray:
    """(1797, 65): 64 pixels and a label a row, from scikit-learn's own file; importing it takes seconds."""
    package = find_spec("sklearn")
    assert package is not None and package.origin is not None, "scikit-learn is a dependency of harness"
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
    except OSError as error:
        raise DataError(f"{path}: the digits that come with scikit-learn cannot be read: {error}") from None
    return np.array([line.split(",") for line in text.split()], dtype=np.float64)
