"""Folds: scikit-learn's, with groups and without; complete, stratified, repeatable, groups whole."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from harness.data.folds import inner_split, make_folds
from harness.errors import DataError


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """Labels in random order, a number of folds no class is too small for, and a seed."""
    num_folds = draw(st.integers(2, 7))
    counts = draw(st.lists(st.integers(num_folds, 40), min_size=2, max_size=6))
    classes = draw(st.permutations(range(len(counts) + 2)))[: len(counts)]
    labels = np.repeat(classes, counts)
    seed = draw(st.integers(0, 2**63 - 1))
    return np.random.default_rng(seed).permutation(labels), num_folds, seed


def test_classes_are_named_where_their_names_are_known() -> None:
    labels, names = np.array([0] * 9 + [1]), ("dog", "okapi")
    with pytest.raises(DataError, match="class okapi has 1 training image, fewer than the 2 folds"):
        make_folds(labels, num_folds=2, seed=0, classes=names)
    with pytest.raises(DataError, match="class okapi has 1 training image; early stopping"):
        inner_split(labels, np.arange(10), fraction=0.5, seed=0, classes=names)


@settings(max_examples=60, deadline=None)
@given(labelled())
def test_folds_are_those_of_scikit_learn(case: tuple[np.ndarray, int, int]) -> None:
    labels, num_folds, seed = case
    reference = np.full(len(labels), -1)
    splitter = StratifiedKFold(num_folds, shuffle=True, random_state=seed % 2**32)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels)):
        reference[held_out] = fold
    assert (make_folds(labels, num_folds=num_folds, seed=seed) == reference).all()


@settings(max_examples=60, deadline=None)
@given(labelled())
def test_every_class_is_spread_over_the_folds_to_within_one_image(case: tuple[np.ndarray, int, int]) -> None:
    labels, num_folds, seed = case
    fold_of = make_folds(labels, num_folds=num_folds, seed=seed)
    assert fold_of.dtype == np.int64 and set(fold_of) == set(range(num_folds))
    for label in np.unique(labels):
        shares = np.bincount(fold_of[labels == label], minlength=num_folds)
        assert shares.max() - shares.min() <= 1


@settings(max_examples=25, deadline=None)
@given(labelled(), st.floats(0, 1))
def test_folds_of_groups_are_those_of_scikit_learn(case: tuple[np.ndarray, int, int], alone: float) -> None:
    labels, num_folds, seed = case
    random = np.random.default_rng(seed)
    groups = random.integers(0, len(labels), len(labels))
    groups = np.where(random.random(len(labels)) < alone, 1000 + np.arange(len(labels)), groups)
    assume(len(np.unique(groups)) >= num_folds)
    reference = np.full(len(labels), -1)
    splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed % 2**32)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
        reference[held_out] = fold
    try:
        found = make_folds(labels, num_folds=num_folds, seed=seed, groups=groups)
    except DataError as error:
        assert "groups are too few or too large" in str(error)
        return
    if len(set(groups)) < len(groups):  # else the folds are those without groups
        assert (found == reference).all()


def test_a_few_pairs_leave_many_images_evenly_spread() -> None:
    labels, groups = np.arange(3000) % 3, np.arange(3000)
    groups[:60:2] = groups[1:60:2]
    fold_of = make_folds(labels, num_folds=5, seed=1, groups=groups)
    for label in range(3):
        assert np.bincount(fold_of[labels == label]).tolist() == [200] * 5


def test_the_same_seed_gives_the_same_folds_and_another_one_others() -> None:
    labels = np.arange(300) % 10
    first, again, other = (make_folds(labels, num_folds=5, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_groups_never_cross_folds() -> None:
    random = np.random.default_rng(0)
    for seed in range(10):
        groups = random.integers(0, 40, 200)
        labels = (groups + (random.random(200) < 0.2)) % 3
        fold_of = make_folds(labels, num_folds=4, seed=seed, groups=groups)
        assert all(len(set(fold_of[groups == group])) == 1 for group in np.unique(groups))
        assert set(fold_of) == set(range(4))
        assert (fold_of == make_folds(labels, num_folds=4, seed=seed, groups=groups)).all()


def test_groups_of_one_image_are_no_groups() -> None:
    labels = np.arange(60) % 3
    alone = make_folds(labels, num_folds=5, seed=7, groups=np.arange(60)[::-1])
    assert (alone == make_folds(labels, num_folds=5, seed=7)).all()


@pytest.mark.parametrize(
    ("labels", "num_folds", "groups", "message"),
    [
        ([0] * 9 + [4] * 4, 5, None, "class 4 has 4 training images, fewer than the 5 folds"),
        ([0, 1], 1, None, "at least 2 folds"),
        ([], 3, None, "needs images"),
        ([0, 1] * 5, 3, [0, 1] * 5, "2 groups, fewer than the 3 folds"),
        ([0] * 8 + [1] * 4, 2, [0, 0, 1, 1, 2, 2, 3, 3, 9, 9, 9, 9], "trains on no image of class 1"),
    ],
)
def test_what_cannot_be_split_is_named(
    labels: list[int], num_folds: int, groups: list[int] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make_folds(
            np.array(labels, dtype=np.int64),
            num_folds=num_folds,
            seed=0,
            groups=None if groups is None else np.array(groups),
        )


@settings(max_examples=60, deadline=None)
@given(labelled(), st.floats(0.01, 0.9))
def test_the_inner_split_parts_the_training_images_of_a_fold(
    case: tuple[np.ndarray, int, int], fraction: float
) -> None:
    labels, num_folds, seed = case
    labels = np.concatenate([labels, labels])  # at least 2 training images of each class
    indices = np.flatnonzero(make_folds(labels, num_folds=num_folds, seed=seed) != 0)
    train, inner = inner_split(labels, indices, fraction=fraction, seed=seed)
    assert train.dtype == inner.dtype == np.int64
    assert (np.sort(np.concatenate([train, inner])) == indices).all()
    assert (np.diff(train) > 0).all() and (np.diff(inner) > 0).all()
    for label in np.unique(labels):
        count = (labels[indices] == label).sum()
        taken = (labels[inner] == label).sum()
        assert 1 <= taken <= count - 1
        assert abs(taken - fraction * count) <= 1
    again = inner_split(labels, indices, fraction=fraction, seed=seed)
    assert (again[0] == train).all() and (again[1] == inner).all()


def test_the_inner_split_depends_on_the_seed_and_refuses_a_lonely_image() -> None:
    labels = np.arange(100) % 2
    first, other = (inner_split(labels, np.arange(100), fraction=0.2, seed=seed)[1] for seed in (0, 1))
    assert (first != other).any()
    with pytest.raises(DataError, match="class 2 has 1 training image"):
        inner_split(np.array([0, 0, 2]), np.arange(3), fraction=0.5, seed=0)


def test_the_inner_split_leaves_an_image_of_each_class_to_train_on() -> None:
    train, inner = inner_split(np.array([0, 0, 1, 1, 1]), np.arange(5), fraction=0.9, seed=0)
    assert len(train) == 2 and len(inner) == 3 and (train < 2).sum() == 1


@st.composite
def grouped(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Labels and groups of images in random order, at least 2 groups to each class and some in two; and a seed."""
    num_classes, seed = draw(st.integers(2, 4)), draw(st.integers(0, 2**63 - 1))
    sizes = draw(st.lists(st.integers(1, 6), min_size=2 * num_classes, max_size=25))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = groups % num_classes
    random = np.random.default_rng(seed)
    also = random.choice(len(groups), draw(st.integers(0, 3)), replace=False)
    labels[also] = (labels[also] + 1) % num_classes
    order = random.permutation(len(groups))
    return labels[order], groups[order] * 3, seed


@settings(max_examples=100, deadline=None)
@given(grouped(), st.floats(0.01, 0.5))
def test_the_inner_split_keeps_groups_together(
    case: tuple[np.ndarray, np.ndarray, int], fraction: float
) -> None:
    labels, groups, seed = case
    indices = np.flatnonzero(np.random.default_rng(seed).random(len(labels)) < 0.9)
    try:
        train, inner = inner_split(labels, indices, fraction=fraction, seed=seed, groups=groups)
    except DataError as error:
        assert "class" in str(error)
        alone = [len(set(groups[indices][labels[indices] == label])) < 2 for label in set(labels[indices])]
        mixed = any(len(set(labels[groups == group])) > 1 for group in groups)
        single = (np.bincount(labels[indices]) == 1).any()
        assert any(alone) or mixed or single
        return
    assert (np.sort(np.concatenate([train, inner])) == indices).all()
    assert (
        train.dtype == inner.dtype == np.int64 and (np.diff(train) > 0).all() and (np.diff(inner) > 0).all()
    )
    assert not set(groups[train]) & set(groups[inner])
    assert set(labels[train]) == set(labels[inner]) == set(labels[indices])
    again = inner_split(labels, indices, fraction=fraction, seed=seed, groups=groups)
    assert (again[0] == train).all() and (again[1] == inner).all()


def test_the_inner_split_takes_about_its_fraction_of_many_groups() -> None:
    groups = np.arange(3000) // 3
    labels = groups % 4
    for seed in range(5):
        _, inner = inner_split(labels, np.arange(3000), fraction=0.2, seed=seed, groups=groups)
        assert np.bincount(labels[inner]).tolist() == [150] * 4
    other = inner_split(labels, np.arange(3000), fraction=0.2, seed=9, groups=groups)[1]
    assert (other != inner).any()


def test_the_inner_split_without_groups_or_with_one_for_each_image_is_the_same() -> None:
    labels = np.random.default_rng(0).integers(0, 3, 90)
    indices = np.arange(5, 85)
    plain = inner_split(labels, indices, fraction=0.3, seed=4)
    grouped = inner_split(labels, indices, fraction=0.3, seed=4, groups=np.arange(90)[::-1])
    assert (plain[1] == grouped[1]).all()
    assert plain[1][:8].tolist() == [7, 8, 12, 13, 16, 17, 19, 21]  # as in every release


def test_a_class_of_one_group_has_no_inner_split() -> None:
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    with pytest.raises(DataError, match=r"class 1 cannot be on both sides \(training images: 2, groups: 1\)"):
        inner_split(np.array([0, 0, 0, 0, 0, 0, 1, 1]), np.arange(8), fraction=0.3, seed=0, groups=groups)
