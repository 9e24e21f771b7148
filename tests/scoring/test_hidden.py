"""What a mean over all images does not say."""

import numpy as np
import pytest

from harness.scoring.hidden import hidden

CLASSES = ("cat", "dog", "owl")


def called(calls: list[int]) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[calls]


def test_a_score_that_naming_one_class_has_too_is_said_so() -> None:
    labels = np.array([0] * 80 + [1] * 10 + [2] * 10)
    said = hidden(labels, called([0] * 100), CLASSES)
    assert said[0] == (
        "naming cat every time would be right for 80.0% of the images; the best trial is right for 80.0%"
    )
    assert said[1] == "2 of 3 classes are never found by the best trial: dog, owl (20 images)"


@pytest.mark.parametrize(("right", "is_said"), [(82, True), (95, False)])
def test_no_better_means_within_the_interval(right: int, is_said: bool) -> None:
    labels = np.array([0] * 80 + [1] * 10 + [2] * 10)
    calls = labels.copy()
    calls[: 100 - right] = 1
    assert any("every time" in line for line in hidden(labels, called(calls.tolist()), CLASSES)) == is_said


def test_an_honest_score_hides_nothing_and_a_class_without_images_is_not_lost() -> None:
    labels = np.array([0, 1] * 50)
    assert hidden(labels, called(labels.tolist()), CLASSES) == []


def test_one_class_and_many_are_named_in_a_line() -> None:
    labels = np.repeat(np.arange(12), 10)
    probabilities = np.eye(12, dtype=np.float32)[np.minimum(labels, 3)]
    names = [f"class{number}" for number in range(12)]
    (said,) = hidden(labels, probabilities, names)
    assert said == (
        "8 of 12 classes are never found by the best trial: class4, class5, class6, class7, class8 and 3 more "
        "(80 images)"
    )
    (said,) = hidden(labels, np.eye(12, dtype=np.float32)[np.minimum(labels, 10)], names)
    assert said == "one class is never found by the best trial: class11 (10 images)"
