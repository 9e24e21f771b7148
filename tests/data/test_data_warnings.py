"""What of a data set may be meant: told where it is so, and not where chance made it."""

from typing import Any

import numpy as np
import pytest

from harness.data.data_warnings import joined, warnings_of

RANDOM = np.random.default_rng(0)
HALVES = np.arange(100) % 2
CLASSES = ("cat", "dog")


def told(labels: np.ndarray = HALVES, classes: tuple[str, ...] = CLASSES, **given: Any) -> list[str]:
    return warnings_of(labels, classes, **given)


def pictures(numbers: list[int]) -> np.ndarray:
    """Hashes, equal for equal numbers: uint8 (N, 16)."""
    return np.repeat(np.array(numbers, np.uint8)[:, None], 16, axis=1)


def test_nothing_is_told_of_even_classes() -> None:
    assert told(hashes=pictures(list(range(100))), names=[f"{number}.png" for number in range(100)]) == []


def test_the_score_of_always_saying_the_same_is_told() -> None:
    labels = np.array([0] * 990 + [1] * 10)
    (line,) = told(labels)
    assert line.startswith(
        "cat has 990 images and dog has 10, which accuracy hardly sees: a network that always says "
    )
    assert "always says cat scores 0.9900; consider objective: balanced_accuracy" in line
    assert told(labels, objective="balanced_accuracy") == []
    assert told(np.array([0] * 90 + [1] * 10)) == []


@pytest.mark.parametrize(
    "pair", [("Cat", "cat"), ("sea lion", "sea_lion"), ("a", "a "), ("tree-frog", "Tree Frog")]
)
def test_classes_that_are_written_differently_alone_are_told(pair: tuple[str, str]) -> None:
    (line,) = told(np.arange(90) % 3, (*pair, "dog"))
    assert line.startswith(
        f"classes {pair[0]}, {pair[1]} are told apart by how their names are written alone"
    )
    assert told(np.arange(90) % 3, ("cat", "cats", "dog")) == []


def test_equal_pictures_of_several_classes_are_counted_and_named() -> None:
    numbers = list(range(100))
    numbers[1], numbers[7] = 0, 4  # images 0 and 1, of cat and dog; 4 and 7
    numbers[6] = 2  # both of cat
    (line,) = told(hashes=pictures(numbers), names=[f"{CLASSES[n % 2]}/{n}.png" for n in range(100)])
    assert line == (
        "2 pictures are in more than one class, so no network can be right about them: cat/0.png = dog/1.png, "
        "cat/4.png = dog/7.png; leave each in its class alone"
    )
    (line,) = told(hashes=pictures([0, 0, *range(2, 100)]))
    assert line.startswith("1 picture is in more than one class") and "image 0 (cat) = image 1 (dog)" in line


def test_a_class_of_one_picture_is_told() -> None:
    (line,) = told(hashes=pictures([number if number % 2 else 0 for number in range(100)]))
    assert line == "class cat is one picture, 50 times over; add others"


DOGS = HALVES == 1
TELLING = {
    "format": (np.where(DOGS, "PNG", "JPEG"), "100% of class cat and 0% of all others have the file format JPEG"),
    "mode": (np.where(DOGS, "L", "RGB"), "100% of class dog and 0% of all others have pixels of the kind L"),
    "has_alpha": (DOGS, "100% of class dog and 0% of all others have transparency"),
    "width": (np.where(DOGS, 640, 800), "100% of class cat and 0% of all others have a width above 640"),
    "height": (np.where(DOGS, 3000, 20), "100% of class cat and 0% of all others have a height of at most 20"),
    "quality": (np.where(DOGS, 75, 95), "100% of class cat and 0% of all others have a JPEG quality above 75"),
}  # fmt: skip


@pytest.mark.parametrize("fact", TELLING)
def test_a_fact_of_files_that_tells_a_class_is_told(fact: str) -> None:
    values, said = TELLING[fact]
    (line,) = told(facts={fact: values})
    assert line == (
        f"{said}: a network may tell the class by how its files were made, and not by what they show; make the files "
        "of all classes in the same way"
    )
    assert told(facts={fact: RANDOM.permutation(values)}) == []


def test_one_class_of_many_and_a_tenth_of_exceptions_are_found() -> None:
    labels = np.arange(200) % 10
    widths = np.where(labels == 3, 100, 200)
    widths[::37] = 200
    (line,) = told(labels, tuple("abcdefghij"), facts={"width": widths})
    assert "of class d and 0% of all others have a width of at most 100" in line


def test_what_is_not_known_of_all_files_is_not_looked_at() -> None:
    quality = np.array([None if dog else 90 for dog in DOGS], dtype=object)
    assert told(facts={"quality": quality}) == told(facts={}) == []
    assert told(facts={"format": np.array([f"kind {number}" for number in range(100)])}) == []


def test_a_fact_that_all_images_of_a_group_share_is_one_observation() -> None:
    groups = np.repeat(np.arange(10), 10)  # five patients a class, each with an image size of its own
    labels = groups % 2
    widths = np.where(labels == 1, 640, 800)
    assert len(told(labels, facts={"width": widths})) == 1
    assert told(labels, facts={"width": widths}, groups=groups) == []


def test_facts_that_say_nothing_are_hardly_ever_told() -> None:
    """At most one set in a hundred, over all facts and classes together."""
    alarms = 0
    for _ in range(200):
        num_images, num_classes = int(RANDOM.integers(8, 80)), int(RANDOM.integers(2, 6))
        labels = RANDOM.integers(0, num_classes, num_images)
        facts = {
            "format": RANDOM.choice(["JPEG", "PNG"], num_images, p=[0.8, 0.2]),
            "mode": RANDOM.choice(["RGB", "L", "P"], num_images),
            "has_alpha": RANDOM.random(num_images) < 0.3,
            "width": RANDOM.choice([100, 640, 1024], num_images),
            "height": RANDOM.integers(30, 4000, num_images),
        }
        alarms += bool(told(labels, tuple("abcdef"[:num_classes]), facts=facts, objective="log_loss"))
    assert alarms <= 2


def test_duplicates_that_are_held_out_together_are_counted_and_named() -> None:
    names = [f"{number}.png" for number in range(6)]
    assert joined(np.arange(6), None, names) == ""
    said = joined(np.array([0, 1, 0, 3, 3, 3]), None, names)
    assert said == (
        "5 images show 2 pictures more than once, and are held out together: 0.png and 2.png, say (cv.duplicates)"
    )
    groups = np.array([0, 0, 0, 1, 1, 2])
    assert joined(groups, groups, names) == "", "these belong together whatever they show"
    assert joined(np.array([0, 0, 0, 1, 1, 1]), groups, ()).startswith(
        "3 images show 1 picture more than once"
    )
    assert "image 3 and image 5, say" in joined(np.array([0, 0, 0, 1, 1, 1]), groups, ())
