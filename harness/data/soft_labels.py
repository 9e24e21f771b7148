"""Soft labels: for each image a share of every class, as several annotators or another network give them.

Networks are trained on them in place of the labels; scores, folds and everything else go by the labels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from harness.data.group_table import plain, read_columns
from harness.data.grouping import from_table
from harness.errors import DataError

SoftLabels = TypedDict("SoftLabels", {"csv": str}, total=False)  # noqa: UP013  as options of data are read
NUM_NAMED = 3  # images that a message names


def shares_of(values: np.ndarray, place: str) -> np.ndarray:
    """Counts, votes or shares of classes (N, classes) as shares: float32 (N, classes), of which each row sums to 1.

    place: for messages.   Raises DataError for what is negative or not finite, and for a row of zeros.
    """
    values = np.asarray(values, np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        row = int((~np.isfinite(values) | (values < 0)).any(1).argmax())
        raise DataError(
            f"{place}: soft labels are counts or shares of 0 and more, not as in row {row + 1}: "
            f"{', '.join(f'{value:g}' for value in values[row])}"
        )
    totals = values.sum(1, keepdims=True)
    if not (totals > 0).all():
        raise DataError(f"{place}: row {int((totals[:, 0] == 0).argmax()) + 1} has a share of no class")
    shares: np.ndarray = (values / totals).astype(np.float32)
    return shares


def read_soft_labels(
    path: Path, names: Sequence[str], labels: np.ndarray, classes: Sequence[str], part: str
) -> tuple[np.ndarray, list[str]]:
    """The shares of images as a table says them, float32 (N, classes), and what should be known of them.

    names: (N,) of the images, as `grouping.group_names` has them.   labels: int64 (N,), of images without a row, whose
    label gets all.   part: train or test.
    The table has a column for the image's name and one for each class, called as the class is; other columns are
    passed over, and so are rows of other images, as of the sealed ones.
    Raises DataError for a file that is no such table, or has a row for none of the images.
    """
    images, columns = read_columns(path, classes)
    numbers = dict(zip(images, map(str, range(len(images))), strict=True))
    if len(numbers) < len(images):
        twice = next(name for row, name in enumerate(images) if numbers[name] != str(row))
        raise DataError(f"{path}: {twice or 'an image without a name'} has two rows")
    found = from_table(path, numbers, [plain(name) for name in names], part)
    known = np.array([bool(row) for row in found], bool)
    if not known.any():
        raise DataError(
            f"{path}: has a row for none of the {len(names)} images, which are called like {names[0]}, say"
        )
    shares = np.eye(len(classes), dtype=np.float32)[labels]
    shares[known] = shares_of(_numbers(path, columns), str(path))[[int(row) for row in found if row]]
    return shares, list(_notes(path, shares, known, names, labels))


def _numbers(path: Path, columns: Sequence[Sequence[str]]) -> np.ndarray:
    """The cells of each class's column as numbers: float64 (rows, classes)."""
    try:
        return np.array(columns, np.float64).T
    except ValueError as error:
        raise DataError(f"{path}: soft labels must be numbers ({error})") from None


def _notes(
    path: Path, shares: np.ndarray, known: np.ndarray, names: Sequence[str], labels: np.ndarray
) -> Iterator[str]:
    if not known.all():
        some = ", ".join(names[row] for row in np.flatnonzero(~known)[:NUM_NAMED])
        which = f"{(~known).sum():,} of {len(known):,} images ({some}, …)"
        yield f"{path} has no row for {which}, which are trained on with their label"
    others = np.flatnonzero(shares[np.arange(len(labels)), labels] < shares.max(1))
    if len(others):
        some = ", ".join(names[row] for row in others[:NUM_NAMED])
        more = ", …" if len(others) > NUM_NAMED else ""
        count = f"{len(others):,} image{'s' * (len(others) > 1)}"
        yield (
            f"{path}: the likeliest class of {count} is not the label that they are scored by ({some}{more})"
        )
