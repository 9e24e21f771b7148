"""Confident learning on small cases worked by hand, and on labels that were changed on purpose."""

from functools import cache

import numpy as np
import pytest

from harness.scoring import softmax
from harness.scoring.label_errors import confident_joint, label_issues
from tests.benchmarks.label_errors import _digits, moved, out_of_fold

# Class 0 is confident from 0.7 on, class 1 from 0.6 on: the means of its own images' probabilities.
LABELS = np.array([0, 0, 0, 1, 1, 1])
PROBABILITIES = np.array([[0.95, 0.05], [0.9, 0.1], [0.25, 0.75], [0.4, 0.6], [0.1, 0.9], [0.7, 0.3]])


def planted(seed: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of which some were moved to another class, where they were, predictions that know the true class."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 5, 2000)
    moved = generator.random(2000) < noise
    labels = np.where(moved, (truth + generator.integers(1, 5, 2000)) % 5, truth)
    return labels, moved, softmax(generator.normal(size=(2000, 5)) + 4 * np.eye(5)[truth])


def test_the_confident_joint_by_hand():
    np.testing.assert_array_equal(confident_joint(LABELS, PROBABILITIES), [[2, 1], [1, 2]])


def test_issues_by_hand_the_least_likely_label_first():
    assert label_issues(LABELS, PROBABILITIES).tolist() == [2, 5]


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
def test_changed_labels_are_found(noise):
    labels, moved, probabilities = planted(1, noise)
    found = label_issues(labels, probabilities)
    assert moved[found].mean() > 0.75
    assert moved[found].sum() / moved.sum() > 0.85
    assert moved[found[: int(moved.sum() / 2)]].mean() > 0.98, "the first ones are the surest"


def test_an_image_that_is_called_its_label_is_not_suspect():
    """The third image is confident for class 1 only, from 0.425 on, and is called class 0 all the same."""
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.99, 0.01], [0.99, 0.01], [0.55, 0.45], [0.6, 0.4], [0.55, 0.45]])
    assert confident_joint(labels, probabilities)[0].tolist() == [2, 1]
    assert label_issues(labels, probabilities).tolist() == []


def test_certain_and_right_predictions_raise_no_suspicion():
    labels = np.arange(20) % 4
    assert label_issues(labels, np.eye(4)[labels]).tolist() == []


def test_a_class_without_images_and_a_class_called_nowhere_are_no_trouble():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1], [0.9, 0.05, 0.05]])
    found = label_issues(labels, probabilities)
    assert set(found.tolist()) <= {1, 2, 3}
    assert confident_joint(labels, probabilities)[:, 2].sum() == 0


@cache
def of_digits(noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """600 digits: labels of which some were moved, which, and out-of-fold probabilities of networks trained on them."""
    pixels, truth = (array[:600] for array in _digits())
    labels = moved(truth, noise, np.random.default_rng(1))
    return labels, labels != truth, out_of_fold(pixels, labels, num_folds=3, epochs=4)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 0.2, 0.4])
def test_the_issues_of_trained_networks_are_those_of_cleanlab(noise: float) -> None:
    """The same method; they part where counts are rounded."""
    from cleanlab.filter import find_label_issues

    labels, _, probabilities = of_digits(noise)
    theirs = find_label_issues(
        labels,
        probabilities,
        filter_by="prune_by_noise_rate",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    ours = label_issues(labels, probabilities)
    shared = np.intersect1d(ours, theirs)
    assert len(shared) >= 0.95 * len(np.union1d(ours, theirs)) and abs(len(ours) - len(theirs)) <= 2
    of_both = set(shared.tolist())
    assert [i for i in ours.tolist() if i in of_both] == [i for i in theirs.tolist() if i in of_both]


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.4])
def test_the_confident_joint_is_that_of_cleanlab_but_for_images_of_several_classes(noise: float) -> None:
    """Of an image that is confident for several it takes the likeliest of all, and the paper that of these."""
    from cleanlab.count import compute_confident_joint

    labels, _, probabilities = of_digits(noise)
    theirs = compute_confident_joint(labels, probabilities, calibrate=False)
    found = confident_joint(labels, probabilities)
    off_diagonal = np.abs(found - theirs) * (1 - np.eye(10))  # it adds 1 to a class that would be empty
    assert off_diagonal.sum() <= 0.01 * len(labels)


@pytest.mark.parametrize(
    ("noise", "precision", "recall"), [(0.1, 0.75, 0.7), (0.2, 0.8, 0.7), (0.4, 0.75, 0.55)]
)
def test_labels_of_digits_that_were_moved_are_found(noise: float, precision: float, recall: float) -> None:
    labels, wrong, probabilities = of_digits(noise)
    found = label_issues(labels, probabilities)
    assert wrong[found].mean() > precision and wrong[found].sum() > recall * wrong.sum()
    assert wrong[found[: int(wrong.sum() / 2)]].mean() > 0.95


def test_counts_are_rounded_so_that_each_label_keeps_its_number() -> None:
    """A third of a class to each of three others: one each, not none, of three images; cleanlab rounds so, too."""
    from harness.scoring.label_errors import _rounded

    exact = np.array([[0.4, 0.3, 0.3], [1.5, 1.5, 0.0], [0.0, 0.0, 0.0], [2.0, 3.0, 4.0]])
    assert _rounded(exact).tolist() == [[1, 0, 0], [2, 1, 0], [0, 0, 0], [2, 3, 4]]
