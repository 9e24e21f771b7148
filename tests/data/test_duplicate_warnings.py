"""Images that are alike and not held out together are told of, by name, and others are not."""

import numpy as np

from harness.data.duplicate_warnings import warnings_of
from harness.data.near_duplicates import find
from tests.data.photographs import brighter, pieces

CLASSES = ("cat", "dog")


def test_nothing_is_said_of_different_pictures() -> None:
    pixels = pieces(30)
    assert warnings_of(find(pixels), np.arange(30) % 2, CLASSES) == []


def test_copies_with_several_labels_are_named_and_copies_of_one_class_are_not() -> None:
    pixels = pieces(30)
    copies = np.stack([brighter(pixels[0], 0.9), brighter(pixels[1], 0.9), pixels[2]])
    labels = np.array([*np.arange(30) % 2, 1, 1, 1])  # image 0 is a cat, 1 a dog; the last is an equal one
    names = [f"{CLASSES[label]}/{number}.png" for number, label in enumerate(labels.tolist())]
    (line,) = warnings_of(find(np.concatenate([pixels, copies])), labels, CLASSES, names)
    assert line.startswith(
        "1 pair of images of different classes show the same picture, cat/0.png and dog/30.png"
    )


def test_frames_of_a_fixed_camera_are_told_as_such() -> None:
    random = np.random.default_rng(0)
    scene = random.integers(60, 190, (3, 8, 8)).repeat(4, 1).repeat(4, 2)
    pixels = np.clip(scene + random.normal(0, 4, (40, 3, 32, 32)), 0, 255).astype(np.uint8)
    pixels[::2, 1, 4:13, 4:13] = 250
    pixels[1::2, 0, 19:28, 4:13] = 250
    (line,) = warnings_of(find(pixels), np.arange(40) % 2, CLASSES)
    assert line.startswith("40 images are alike and no copies, as frames of a fixed camera are")
