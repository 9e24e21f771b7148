"""Copies of every kind are found of pictures full of detail, of faint ones, and of simple ones, and nothing else."""

import numpy as np
import pytest

from harness.data import near_duplicates
from harness.data.looks import resized
from harness.data.near_duplicates import Duplicates, find
from harness.data.scenes import frames
from tests.data.drawn_digits import drawn_digits
from tests.data.photographs import COPIES, dead_leaves, more_contrast


@pytest.fixture(scope="module")
def leaves() -> np.ndarray:
    return dead_leaves(50)


def pairs_of(found: Duplicates) -> set[tuple[int, int]]:
    """Those that are sure."""
    return set(map(tuple, found.pairs[found.sure].tolist()))


@pytest.mark.parametrize("change", COPIES)
def test_nearly_all_copies_of_what_is_sharp_everywhere_are_found(leaves: np.ndarray, change: str) -> None:
    found = pairs_of(find(leaves, np.stack([COPIES[change](image) for image in leaves])))
    right = {(index, index) for index in range(len(leaves))}
    assert len(found & right) >= 0.94 * len(leaves)
    assert not found - right


@pytest.mark.parametrize("change", ["mirrored", "turned by 90°", "brighter by 1.2", "moved by 2 px"])
def test_copies_of_faint_images_are_found_and_nothing_else(leaves: np.ndarray, change: str) -> None:
    faint = np.stack([more_contrast(image, 0.1) for image in leaves])
    assert np.median(faint.std((1, 2, 3))) < 5  # grey levels
    found = pairs_of(find(faint, np.stack([COPIES[change](image) for image in faint])))
    right = {(index, index) for index in range(len(faint))}
    assert len(found & right) >= 0.9 * len(faint)
    assert not found - right and not len(find(faint).pairs)


def test_drawn_digits_are_no_copies_of_one_another_and_no_scene() -> None:
    digits, labels = drawn_digits(400)
    found = find(digits)
    groups = found.groups(400, labels)
    assert len(set(groups)) >= 0.98 * 400 and np.bincount(groups).max() <= 3
    assert not frames(found.pairs, found.exact, found.level, 400, labels).any()
    for change in ("mirrored", "turned by 90°", "JPEG 60", "brighter by 1.2"):
        copies = np.stack([COPIES[change](image.repeat(3, 0))[:1] for image in digits[:100]])
        again = pairs_of(find(digits[:100], copies))
        assert {(index, index) for index in range(100)} <= again and len(again) <= 106


def test_the_last_bits_of_another_processor_change_no_pair(
    leaves: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = list(COPIES.values())
    copies = [changes[place % len(changes)](image) for place, image in enumerate(leaves)]
    pixels, random = np.concatenate([leaves, copies]), np.random.default_rng(0)
    found = find(pixels)

    def noisy(images: np.ndarray) -> np.ndarray:
        scaled = resized(images)
        return scaled * (1 + 1e-6 * random.normal(size=scaled.shape)).astype(np.float32)

    monkeypatch.setattr(near_duplicates, "resized", noisy)
    again = find(pixels)
    assert len(found.pairs) > 40
    assert (again.pairs == found.pairs).all() and (again.level == found.level).all()
