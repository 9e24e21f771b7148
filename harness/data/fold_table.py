"""Folds that a table says: `cv.split: folds.csv`, with a column for the image and one for its fold.

The table is read as that of `data.groups.csv` is, and images are named in it alike; those without names are numbered
from 0. Rows of images that are not among the training images, as of the sealed ones, are passed over.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.data.group_table import plain, read_table
from harness.data.grouping import from_table
from harness.errors import DataError, UsageError

FOLDS = ("fold", "folds", "fold_id", "cv_fold", "kfold", "k_fold", "split", "partition")
NUM_NAMED = 3  # images that a message names


def folds_in_table(name: str, images: Sequence[str], *, num_folds: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The fold of each image, int64 (N,), values 0..num_folds-1, and what the table calls the folds.

    name: of the table's file.   images: (N,) their names.
    Folds are in the order of their numbers, or else of their names.
    Raises UsageError for a file that is no such table, lacks an image, or has another number of folds.
    """
    path = Path(name)
    try:
        table = read_table(path, FOLDS)
        found = from_table(path, table.groups, [plain(image) for image in images], "train")
    except DataError as error:
        raise UsageError(str(error)) from None
    without = [image for image, fold in zip(images, found, strict=True) if not fold]
    if without:
        more = ", …" if len(without) > NUM_NAMED else ""
        named = ", ".join(without[:NUM_NAMED])
        also = table.said_of_incomplete("fold")
        raise UsageError(
            f"{path}: {len(without)} of {len(images)} training images have no fold there: {named}{more}{also}"
        )
    called = sorted(set(found), key=_order)
    if len(called) != num_folds:
        named = ", ".join(called[:5]) + ", …" * (len(called) > 5)
        advice = f"set cv.folds: {len(called)}" if len(called) > 1 else "it needs two or more"
        raise UsageError(
            f"{path}: has {len(called)} fold{'s' * (len(called) > 1)} ({named}), and cv.folds is {num_folds}; {advice}"
        )
    number = {fold: place for place, fold in enumerate(called)}
    return np.array([number[fold] for fold in found], dtype=np.int64), tuple(called)


def _order(fold: str) -> tuple[bool, float, str]:
    """Numbers before text."""
    try:
        return False, float(fold), fold
    except ValueError:
        return True, 0.0, fold
