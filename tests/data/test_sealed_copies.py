"""How many sealed images are copies of training images: counted from what was found among all of them."""

from pathlib import Path

import numpy as np
import pytest

from harness.data.image_similarity import LIKELY, SURE
from harness.data.near_duplicates import Duplicates, find, remembered
from harness.data.sealed_copies import among, known
from harness.data.snapshot import LEFT_OUT, TEST, TRAIN
from tests.data.photographs import brighter, pieces

Row = tuple[int, int, int]  # two images, level


def duplicates(*rows: Row, exact: tuple[int, ...] = ()) -> Duplicates:
    count = len(rows)
    return Duplicates(
        np.array([row[:2] for row in rows], np.int64).reshape(-1, 2),
        np.isin(np.arange(count), exact),
        np.ones(count, np.float32),
        np.array([row[2] for row in rows], np.uint8),
        np.zeros(count, np.uint8),
        np.ones((count, 2), np.complex64),
    )


PARTS = np.array([TRAIN] * 20 + [TEST] * 8 + [LEFT_OUT] * 2)
LABELS = np.arange(20) % 2


@pytest.mark.parametrize(
    ("rows", "exact", "number"),
    [
        ([], (), 0),
        ([(0, 20, SURE)], (), 1),
        ([(0, 20, SURE)], (0,), 1),
        ([(0, 20, LIKELY)], (), 0),
        ([(0, 1, SURE), (20, 21, SURE)], (), 0),
        ([(0, 20, SURE), (1, 20, SURE)], (), 1),
        ([(0, 20, SURE), (0, 21, SURE), (3, 22, SURE)], (), 3),
        ([(0, 20, SURE), (20, 21, SURE)], (), 2),  # a pair is named of those that connect
        ([(0, 28, SURE), (20, 28, SURE)], (), 0),  # by a file that was left out
        ([(one, one + 2, SURE) for one in range(0, 14, 2)] + [(0, 20, SURE)], (), 0),  # frames of a scene
        (
            [(one, one + 2, SURE) for one in range(0, 14, 2)] + [(0, 20, SURE)],
            (7,),
            1,
        ),  # an equal one all the same
    ],
)
def test_sealed_images_are_counted_that_a_copy_connects_with_training(
    rows: list[Row], exact: tuple[int, ...], number: int
) -> None:
    assert among(duplicates(*rows, exact=exact), PARTS, LABELS) == number


def test_what_is_kept_is_read_and_what_is_damaged_is_not_searched_again(tmp_path: Path) -> None:
    path, pixels = tmp_path / "found.npz", pieces(8)
    assert known(path) is None
    found = remembered(path, lambda: find(np.concatenate([pixels, [brighter(pixels[0], 0.9)]])))
    read = known(path)
    assert read is not None and read.pairs.tolist() == found.pairs.tolist() == [[0, 8]]
    path.write_bytes(path.read_bytes()[:-100])
    assert known(path) is None
