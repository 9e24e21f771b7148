"""Marks in the pixels: planted ones are found, and honest images that tell the class by their border are not failed."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from harness.analysis import marks, repeated_patterns, watermarks
from harness.analysis.audit import of_pixels
from harness.data.images import Images
from tests.data import honest_sets
from tests.data.fixed_cameras import SCENES, seen
from tests.data.honest_sets import named
from tests.data.photographs import dead_leaves
from tests.data.planted_leaks import MARKS


@cache
def photographs(count: int = 180) -> Images:
    """Of three classes that differ in nothing."""
    return named(dead_leaves(count), np.arange(count) % 3, np.random.default_rng(0))


def marked(name: str) -> Images:
    """The first class has a mark."""
    images = photographs()
    pixels, of_class = images.pixels.copy(), images.labels == 0
    pixels[of_class] = MARKS[name](pixels[of_class], np.random.default_rng(0))
    return replace(images, pixels=pixels)


MISSED = [
    "mark anywhere, then JPEG 90",
    "watermark, opacity 5 %",
]  # of 60 images: of 200 the watermark is found
FAINT = [name for name in MARKS if name.startswith("watermark") and name not in MISSED]
ANYWHERE = ["mark of 4×4 pixels anywhere"]
NOTED = ["tag in the corner of a fifth of the class"]


@pytest.mark.parametrize("name", sorted(set(MARKS) - {*FAINT, *ANYWHERE, *MISSED, *NOTED}))
def test_a_mark_at_one_place_fails(name: str) -> None:
    found = marks.check(marked(name))
    assert found.verdict == "failed" and "of class class0" in found.sentence, found.sentence


def test_a_tag_of_a_fifth_of_a_class_is_noted() -> None:
    assert marks.check(marked(NOTED[0])).verdict == "noted"


@pytest.mark.parametrize("name", sorted(FAINT))
def test_a_watermark_fails(name: str) -> None:
    found = watermarks.check(marked(name))
    assert found.verdict == "failed" and "tell class class0" in found.sentence, found.sentence


@pytest.mark.parametrize("name", ANYWHERE)
def test_a_pattern_that_is_pasted_anywhere_fails(name: str) -> None:
    found = repeated_patterns.check(marked(name))
    assert found.verdict == "failed" and found.sentence.startswith("100% of class class0 and 0%")


def test_the_place_of_a_mark_is_told() -> None:
    found = marks.check(marked("one pixel within"))
    assert found.sentence.startswith(
        "1 pixel in row 9, column 20 is alike in 100% of class class0 and in 0% of all"
    )


def failures(images: Images) -> list[str]:
    return [check.sentence for check in of_pixels(images) if check.verdict == "failed"]


def test_images_that_differ_in_nothing_have_no_mark() -> None:
    assert [check.verdict for check in of_pixels(photographs())] == ["passed"] * 4


@pytest.mark.parametrize("make", [make for name, make, _ in honest_sets.KINDS if name != "photographs"])
@pytest.mark.parametrize("seed", range(2))
def test_honest_images_are_not_failed(
    make: Callable[[np.random.Generator], honest_sets.Made], seed: int
) -> None:
    random = np.random.default_rng(seed)
    pixels, labels, what = make(random)
    some = slice(0, 200)
    assert not failures(named(pixels[some], labels[some], random)), what


@pytest.mark.parametrize("scene", sorted(SCENES))
def test_fixed_cameras_are_not_failed(scene: str) -> None:
    pixels, labels = seen(scene, 100)
    assert not failures(named(pixels, labels, np.random.default_rng(0)))


def test_a_border_that_tells_the_class_by_what_it_shows_is_no_mark() -> None:
    """Blue sky or green grass around an object: the whole border, as no weak network would tell it."""
    pixels, labels, _ = honest_sets._backgrounds(np.random.default_rng(1))
    border = pixels[:, :, 0].mean(2)
    assert roc_auc_score(labels == 0, border[:, 2].astype(float) - border[:, 1]) > 0.95
    assert not failures(named(pixels, labels, np.random.default_rng(0)))


def test_an_object_of_one_colour_in_the_middle_is_noted_at_most() -> None:
    pixels, labels = photographs().pixels.copy(), photographs().labels
    down, right = np.mgrid[:32, :32] - 16
    pixels[np.ix_(labels == 0, range(3))] = np.where(
        np.hypot(down, right) < 9, np.array([200, 40, 40])[:, None, None], pixels[labels == 0]
    )
    found = marks.check(replace(photographs(), pixels=pixels))
    assert found.verdict == "noted" and "if that is not the object itself" in found.sentence


def test_large_images_are_looked_at_in_parts() -> None:
    images = photographs(60)
    pixels = images.pixels.repeat(4, 2).repeat(4, 3)
    pixels[images.labels == 1, :, 120:, :8] = 77
    found = marks.check(replace(images, pixels=pixels))
    assert found.verdict == "failed" and "rows 120 to 127, columns 0 to 7" in found.sentence
