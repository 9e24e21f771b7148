"""Repeated cross-validation and hold-outs, as the split has them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import Manifest
from harness.data.split_makers import deal
from harness.errors import CheckFailed, DataError, UsageError
from harness.folds import guards

LABELS = np.repeat([0, 1, 2], [40, 30, 20])
RANDOM = np.random.default_rng(0)
IMAGES = Images(RANDOM.integers(0, 256, (90, 1, 4, 4), dtype=np.uint8), LABELS, ("a", "b", "c"))
GROUPS = np.arange(90) // 2 * 2  # pairs, none of two classes


def manifest(cv: dict[str, Any], groups: np.ndarray = GROUPS) -> Manifest:
    fold_of = deal(cv, IMAGES, groups, seed=7)
    num_folds = cv["folds"] * cv.get("repeats", 1)
    return Manifest.make(IMAGES, fold_of, groups, num_folds=num_folds, seed=7)


def test_every_image_is_held_out_once_in_every_repetition() -> None:
    split = manifest({"folds": 3, "repeats": 4})
    assert split.fold_of.shape == (90, 4) and split.num_parts == 3
    for repeat in range(4):
        held_out = [split.held_out(fold) for fold in range(3 * repeat, 3 * repeat + 3)]
        assert sorted(np.concatenate(held_out).tolist()) == list(range(90))
    for fold in range(12):
        train, held_out = split.train_indices(fold), split.held_out(fold)
        assert len(train) + len(held_out) == 90 and not set(train) & set(held_out)
        guards.division(split, fold, train, held_out)
        assert np.bincount(LABELS[held_out]).min() >= 6


def test_the_first_repetition_is_that_of_a_study_without_repeats_and_the_others_are_new() -> None:
    split = manifest({"folds": 3, "repeats": 3})
    plain = make_folds(LABELS, num_folds=3, seed=7, groups=GROUPS)
    np.testing.assert_array_equal(split.fold_of[:, 0], plain)
    assert manifest({"folds": 3}).fold_of.shape == (90,)
    assert (
        len({tuple(column % 3) for column in split.fold_of.T.tolist() for column in [np.array(column)]}) == 3
    )


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_hold_out_has_a_share_of_each_class_and_whole_groups(repeats: int) -> None:
    split = manifest({"folds": 1, "repeats": repeats, "fraction": 0.3})
    assert split.num_parts == 1
    for fold in range(repeats):
        held_out = split.held_out(fold)
        np.testing.assert_allclose(np.bincount(LABELS[held_out]), [12, 9, 6], atol=1)
        assert not set(GROUPS[held_out]) & set(GROUPS[split.train_indices(fold)])
        guards.division(split, fold, split.train_indices(fold), held_out)
    assert split.fold_of.min() == -1


def test_a_split_survives_its_file(tmp_path: Path) -> None:
    for cv in ({"folds": 3}, {"folds": 3, "repeats": 2}, {"folds": 1}):
        split = manifest(cv)
        split.save(tmp_path / "split.npz")
        again = Manifest.load(tmp_path / "split.npz")
        assert again.hash == split.hash and np.array_equal(again.fold_of, split.fold_of)


@pytest.mark.parametrize(
    ("cv", "change", "why"),
    [
        ({"folds": 3, "repeats": 2}, {"fold_of": "again"}, "is held out 1 times, not 2"),
        ({"folds": 3, "repeats": 2}, {"fold_of": "torn"}, "in more than one fold"),
    ],
)
def test_a_split_whose_repetitions_are_none_is_refused(cv: Any, change: Any, why: str) -> None:
    fold_of = deal(cv, IMAGES, GROUPS, seed=7)
    if change["fold_of"] == "again":
        fold_of[4, 1] = fold_of[4, 0]
    else:
        fold_of[4, 1] = 3 + (fold_of[4, 1] - 3 + 1) % 3
    with pytest.raises(CheckFailed, match=why):
        Manifest.make(IMAGES, fold_of, GROUPS, num_folds=6, seed=7)


def test_what_deals_the_same_folds_from_another_seed_cannot_be_repeated() -> None:
    cv = {"folds": 3, "repeats": 2, "split": "sklearn.model_selection:GroupKFold", "shuffle": False}
    with pytest.raises(UsageError, match=r"cv\.repeats: .* deals the same folds again from another seed"):
        deal(cv, IMAGES, GROUPS, seed=7)


def test_a_class_of_one_image_cannot_be_held_out() -> None:
    lone = Images(IMAGES.pixels[:5], np.array([0, 0, 0, 0, 1]), ("a", "b"))
    with pytest.raises(DataError, match="class b has 1 training image; a hold-out needs 2 of each class"):
        deal({"folds": 1}, lone, np.arange(5), seed=0)


def test_the_guard_counts_how_often_an_image_was_predicted() -> None:
    split = manifest({"folds": 3, "repeats": 2})
    held_out = [split.held_out(fold) for fold in range(6)]
    wanted = (split.by_repeat >= 0).sum(1)
    guards.covered_once(0, held_out, 90, wanted=wanted)
    with pytest.raises(CheckFailed, match="was predicted 1 times, not 2"):
        guards.covered_once(0, held_out[:5], 90, wanted=wanted)
