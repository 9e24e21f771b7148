"""How many sealed test images show a picture that is in training, too: of pixels alone, and only the number is told."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from harness.data import near_duplicates
from harness.data.grouping import components
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.data.scenes import frames
from harness.data.snapshot import TEST, TRAIN
from harness.errors import RecordError, StoreError
from harness.files import read_json, write_json

VERSION = 1  # raised when other pictures count


def known(path: Path) -> Duplicates | None:
    """What an earlier search has kept there, where it is whole and of this release; nothing is searched."""
    if not path.exists():
        return None
    with suppress(_UnknownError):
        return near_duplicates.remembered(path, _unknown)
    return None


def among(found: Duplicates, parts: np.ndarray, train_labels: np.ndarray) -> int:
    """The number, from what was found among the images of both parts.

    parts: str (N,), see snapshot.py.   train_labels: int, of the training images, in their order.
    """
    in_train = parts == TRAIN
    place = np.cumsum(in_train) - 1  # of an image among the training images
    inside = found.of(in_train[found.pairs].all(1))
    is_frame = np.zeros(len(parts), dtype=bool)
    is_frame[in_train] = frames(
        place[inside.pairs], inside.exact, inside.level, len(train_labels), train_labels
    )
    is_copy = found.exact | (found.sure & ~is_frame[found.pairs].any(1))
    used = (parts != "")[found.pairs].all(1)
    component = components(found.pairs[is_copy & used], len(parts))
    return int(np.isin(component[parts == TEST], component[in_train]).sum())


def number_of(train: Images, test: Images, within: Duplicates, home: Path) -> int:
    """The number, searched once for both parts and then kept in the store.

    within: what was found among the training images.   home: the store.
    """
    path = home / "duplicates" / f"{train.content_hash}.{test.content_hash[:32]}.json"
    with suppress(FileNotFoundError, RecordError):
        known = read_json(path)
        if known.get("version") == [VERSION, near_duplicates.VERSION]:
            return int(known["copies"])
    found = near_duplicates.copies(train.pixels, train.labels, test.pixels, within)
    number = len(np.unique(found.pairs[:, 1]))
    with suppress(StoreError):  # it is looked for again
        write_json(path, {"version": [VERSION, near_duplicates.VERSION], "copies": number})
    return number


class _UnknownError(Exception):
    """What was kept is damaged, or of another release."""


def _unknown() -> Duplicates:
    raise _UnknownError
