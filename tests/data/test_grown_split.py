"""Folds of a data set that has grown: nothing old moves, nothing leaks, and folds stay even."""

import numpy as np
import pytest

from harness.data.folds import make_folds
from harness.data.grown_split import GrownFolds, grown_folds


def grown(
    labels: np.ndarray, old: np.ndarray, together: np.ndarray | None = None, num_folds: int = 5
) -> GrownFolds:
    everybody = np.arange(len(labels))
    return grown_folds(
        labels,
        everybody if together is None else together,
        old,
        np.where(old < 0, -1, everybody),
        num_folds=num_folds,
    )


@pytest.mark.parametrize("seed", range(6))
def test_folds_stay_stratified_to_within_one_image_of_each_class(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_folds = int(random.integers(2, 7))
    labels = random.integers(0, 4, 300)
    num_old = int(random.integers(60, 250))
    old = np.full(300, -1)
    old[:num_old] = make_folds(labels[:num_old], num_folds=num_folds, seed=seed)
    found = grown(labels, old, num_folds=num_folds)
    assert (found.fold_of[:num_old] == old[:num_old]).all() and (found.fold_of >= 0).all()
    counts = np.array([np.bincount(labels[found.fold_of == fold], minlength=4) for fold in range(num_folds)])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert (found.groups == np.arange(300)).all()


def test_removed_images_leave_room_that_new_ones_take_first() -> None:
    labels = np.zeros(12, np.int64)
    old = np.array([0, 0, 0, 0, 1, 2, 2, 2, -1, -1, -1, -1])  # three of fold 1 are gone, and one of fold 2
    assert np.bincount(grown(labels, old, num_folds=3).fold_of).tolist() == [4, 4, 4]


def test_a_new_image_goes_where_its_group_is_and_groups_of_new_ones_stay_together() -> None:
    labels = np.zeros(10, np.int64)
    old = np.array([0, 1, 2, 0, 1, 2, -1, -1, -1, -1])
    together = np.array([0, 1, 2, 3, 4, 5, 1, 1, 8, 8])
    found = grown(labels, old, together, num_folds=3)
    assert found.fold_of[6:8].tolist() == [1, 1] and found.groups[6:8].tolist() == [1, 1]
    assert found.fold_of[8] == found.fold_of[9] != -1 and found.groups[8] == found.groups[9] > 5


def test_a_new_image_that_belongs_to_two_folds_is_left_out_and_old_ones_keep_their_groups() -> None:
    labels = np.zeros(6, np.int64)
    old = np.array([0, 1, 2, 0, -1, -1])
    together = np.array([0, 0, 2, 3, 0, 5])  # image 4 is like 0 and 1, which are in two folds
    found = grown(labels, old, together, num_folds=3)
    assert (
        found.fold_of[:4].tolist() == [0, 1, 2, 0] and found.fold_of[4] == -1 and found.fold_of[5] in (1, 2)
    )
    assert len(set(found.groups[[0, 1, 2, 3, 5]].tolist())) == 5


def test_large_groups_of_new_images_find_their_place_before_small_ones() -> None:
    labels = np.zeros(25, np.int64)
    old = np.array([0, 1, 2, *[-1] * 22])
    together = np.array([0, 1, 2, *[3] * 2, *[4] * 8, *[5] * 6, *[6] * 6])
    found = grown(labels, old, together, num_folds=3)
    assert sorted(np.bincount(found.fold_of).tolist()) == [7, 9, 9]
