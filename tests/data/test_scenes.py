"""Frames of a fixed camera are not joined, and copies are, also where labels are wrong."""

import numpy as np
import pytest

from harness.data.grouping import components
from harness.data.holdout import parts_of
from harness.data.image_similarity import LIKELY, PARTLY, SURE
from harness.data.images import Images
from harness.data.near_duplicates import find
from harness.data.scenes import frames, joined
from harness.data.snapshot import TEST, TRAIN
from tests.data.fixed_cameras import SCENES, seen
from tests.data.photographs import COPIES, pieces


@pytest.mark.parametrize("shake", [0, 2])
@pytest.mark.parametrize("scene", SCENES)
def test_images_of_one_scene_are_not_joined_and_both_parts_get_all_classes(scene: str, shake: int) -> None:
    for count in (10, 60):
        pixels, labels = seen(scene, count, shake=shake)
        found = find(pixels)
        groups = found.groups(count, labels)
        assert np.bincount(groups).max() <= 2 and len(set(groups)) >= 0.9 * count
        parts = parts_of(Images(pixels, labels, ("go", "stop")), fraction=0.2)
        assert [set(labels[parts == part]) for part in (TRAIN, TEST)] == [{0, 1}, {0, 1}]


def test_equal_frames_are_joined_all_the_same() -> None:
    pixels, labels = seen("defect", 40)
    pixels = np.concatenate([pixels, pixels[:4]])
    groups = find(pixels).groups(44, np.concatenate([labels, labels[:4]]))
    assert (groups[:4] == groups[40:]).all() and len(set(groups)) == 40


def test_copies_beside_a_fixed_camera_are_joined() -> None:
    scene, labels = seen("shelf", 40, shake=2)
    originals = pieces(50)
    copies = np.stack([COPIES["rotated by 5°"](image) for image in originals[:30]])
    pixels = np.concatenate([scene, originals, copies])
    labels = np.concatenate([labels, np.full(80, 2)])
    groups = find(pixels).groups(len(pixels), labels)
    assert len(set(groups[:40])) == 40
    assert (groups[40:70] == groups[90:]).mean() >= 0.9


def of(pairs: list[tuple[int, int]], labels: list[int], level: int = SURE) -> tuple[list[bool], list[bool]]:
    """Which pairs are joined, and which images are frames."""
    array, exact = np.array(pairs).reshape(-1, 2), np.zeros(len(pairs), bool)
    levels = np.full(len(pairs), level, np.uint8)
    arguments = array, exact, levels, len(labels), np.array(labels)
    return joined(*arguments).tolist(), frames(*arguments).tolist()


def complete(images: list[int]) -> list[tuple[int, int]]:
    return [(one, two) for place, one in enumerate(images) for two in images[place + 1 :]]


def test_copies_with_a_wrong_label_are_joined_but_for_that_one() -> None:
    pairs = [*complete([0, 1, 2, 3]), (10, 30)]
    labels = [0] * 20 + [1] * 20
    labels[3] = 1
    are_joined, are_frames = of(pairs, labels)
    assert [pair for pair, is_joined in zip(pairs, are_joined, strict=True) if is_joined] == complete(
        [0, 1, 2]
    )
    assert not any(are_frames)


def test_images_that_are_alike_and_have_mixed_labels_are_frames() -> None:
    are_joined, are_frames = of(complete([0, 1, 20, 21]), [0] * 20 + [1] * 20)
    assert not any(are_joined)
    assert np.flatnonzero(are_frames).tolist() == [0, 1, 20, 21]


@pytest.mark.parametrize(
    ("count", "of_class", "expected"), [(4, 20, 4), (5, 20, 0), (5, 30, 5), (3, 5, 0), (2, 3, 2)]
)
def test_a_class_of_which_more_than_a_fold_is_alike_is_a_scene(
    count: int, of_class: int, expected: int
) -> None:
    labels = [0] * of_class + [1] * 40
    are_joined, _ = of(complete([*range(count)]), labels)
    assert sum(are_joined) == len(complete([*range(expected)]))


def test_what_is_only_likely_is_not_joined() -> None:
    for level in (PARTLY, LIKELY):
        are_joined, are_frames = of([(0, 1)], [0] * 20, level)
        assert are_joined == [False] and not any(are_frames)


def test_without_labels_a_large_part_of_all_is_a_scene() -> None:
    pixels, _ = seen("signal", 20)
    assert len(set(find(pixels).groups(20))) == 20
    found = find(np.concatenate([pixels[::2][:6], pieces(50)]))  # of one class: few among many are copies
    assert (components(found.pairs, 56)[:6] == 0).all() and len(set(found.groups(56)[:6])) == 1
