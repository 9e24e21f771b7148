"""Images that may belong together and are held out apart: patients by their order, likely copies, two labels."""

from dataclasses import replace

import numpy as np

from harness.analysis import look_alikes
from harness.data import near_duplicates
from tests.analysis.test_marks import photographs
from tests.data.photographs import dead_leaves
from tests.data.planted_leaks import patients


def test_images_of_patients_lie_beside_their_likest() -> None:
    images = patients(dead_leaves(30), np.arange(30) % 3, np.random.default_rng(0))
    alone = np.arange(len(images))
    found = look_alikes.neighbours_in_order(images, alone)
    assert found is not None and found.verdict == "noted" and found.figure is not None and found.figure > 0.5
    assert "set data.groups" in found.sentence and images.names[0] in found.sentence
    of_patient = np.array([int(name[-10:-4]) // 5 for name in images.names])
    declared = look_alikes.neighbours_in_order(images, of_patient)
    assert declared is not None and declared.verdict == "passed", declared.sentence


def test_images_that_are_taken_one_by_one_do_not() -> None:
    images = photographs()
    found = look_alikes.neighbours_in_order(images, np.arange(len(images)))
    assert found is not None and found.verdict == "passed"
    assert look_alikes.neighbours_in_order(images.take(np.arange(9)), np.arange(9)) is None


def test_two_labels_for_one_picture_are_noted_with_the_names() -> None:
    images = photographs()
    copied = np.concatenate([np.arange(len(images)), np.arange(3)])
    labels = np.concatenate([images.labels, (images.labels[:3] + 1) % 3])
    both = replace(images.take(copied), labels=labels)
    found = near_duplicates.find(both.pixels)
    checks = {
        check.probe: check for check in look_alikes.checks(both, found, found.groups(len(both), both.labels))
    }
    labels_differ = checks["two labels"]
    assert labels_differ.verdict == "noted" and images.names[0] in labels_differ.sentence
    found = near_duplicates.find(images.pixels)
    honest = look_alikes.checks(images, found, found.groups(len(images), images.labels))
    assert {check.verdict for check in honest} == {"passed"}
