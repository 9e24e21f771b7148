"""The sealed part of data sets without one: by content, whole groups, as many of each class as asked for."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.data.holdout import hold_out
from harness.data.holdout import test_part as held_out_part
from harness.data.images import Images
from harness.errors import DataError
from tests.data.photographs import brighter, flipped, jpeg, pieces

CLASSES = ("a", "b", "c")


def keys_of(count: int) -> list[bytes]:
    return [str(index).encode() for index in range(count)]


def test_each_class_gives_its_share() -> None:
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    for fraction in (0.1, 0.2, 0.5, 0.9):
        mask = held_out_part(labels, keys_of(150), fraction=fraction, classes=CLASSES)
        assert np.bincount(labels[mask]).tolist() == [round(n * fraction) for n in (100, 40, 10)]


def test_the_order_of_the_images_does_not_matter() -> None:
    random = np.random.default_rng(0)
    labels, keys = random.integers(0, 3, 200), keys_of(200)
    mask = held_out_part(labels, keys, fraction=0.3, classes=CLASSES)
    order = random.permutation(200)
    shuffled = held_out_part(labels[order], [keys[index] for index in order], fraction=0.3, classes=CLASSES)
    assert (shuffled == mask[order]).all()


def test_the_test_part_is_the_same_in_every_release() -> None:
    mask = held_out_part(np.arange(30) % 3, keys_of(30), fraction=0.3, classes=CLASSES)
    assert np.flatnonzero(mask).tolist() == [1, 2, 4, 6, 11, 17, 18, 24, 25]


def test_a_data_set_that_grows_keeps_nearly_all_of_its_test_part() -> None:
    labels = np.arange(3000) % 3
    before = held_out_part(labels[:2700], keys_of(2700), fraction=0.2, classes=CLASSES)
    after = held_out_part(labels, keys_of(3000), fraction=0.2, classes=CLASSES)[:2700]
    assert (before & ~after).sum() <= 0.1 * before.sum()  # a random draw would lose 80 %


def test_equal_images_and_groups_are_never_on_both_sides() -> None:
    random = np.random.default_rng(1)
    groups = random.integers(0, 60, 300)
    labels = random.integers(0, 3, 300)
    mask = held_out_part(labels, [str(group).encode() for group in groups], fraction=0.2, classes=CLASSES)
    assert not set(groups[mask]) & set(groups[~mask])
    assert 0.1 < mask.mean() <= 0.21

    pixels = random.integers(0, 256, (300, 1, 2, 2), dtype=np.uint8)[groups]
    images = Images(pixels, groups % 3, CLASSES)
    train, test = (hold_out(images, part, fraction=0.2) for part in ("train", "test"))  # type: ignore[arg-type]
    assert not {image.tobytes() for image in train.pixels} & {image.tobytes() for image in test.pixels}
    assert len(train) + len(test) == 300


def test_images_of_a_group_stay_together_whatever_they_show() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 1, 2, 2), dtype=np.uint8)
    groups = np.arange(40) // 4
    for equal in (None, (3, 39)):  # the first group and the last one then have an equal image
        if equal:
            pixels[equal[0]] = pixels[equal[1]]
        images = Images(pixels, np.arange(40) % 2, ("a", "b"), groups=groups)
        train, test = (hold_out(images, part, fraction=0.3) for part in ("train", "test"))  # type: ignore[arg-type]
        assert train.groups is not None and test.groups is not None
        assert not set(train.groups) & set(test.groups) and len(test) == 12
        assert equal is None or len({0, 9} & set(test.groups)) in (0, 2)


@st.composite
def with_duplicates(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    """Labels, which images are alike, and the fraction to hold out."""
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=30, max_size=120)))
    alike = np.arange(len(labels))
    places = st.integers(0, len(labels) - 1)
    for one, two in draw(st.lists(st.tuples(places, places), max_size=30)):
        alike[alike == alike[one]] = alike[two]
    return labels, alike, draw(st.floats(0.05, 0.6))


@settings(max_examples=60, deadline=None)
@given(with_duplicates())
def test_duplicates_stay_together_and_only_those_that_were_divided_move(
    case: tuple[np.ndarray, np.ndarray, float],
) -> None:
    labels, alike, fraction = case
    keys = keys_of(len(labels))
    try:
        before = held_out_part(labels, keys, fraction=fraction, classes=CLASSES)
        after = held_out_part(labels, keys, alike, fraction=fraction, classes=CLASSES)
    except DataError:
        assume(False)
    assert all(len(set(after[alike == group])) == 1 for group in set(alike.tolist()))
    divided = [group for group in set(alike.tolist()) if len(set(before[alike == group])) == 2]
    moved = set(alike[before != after].tolist())
    if not moved <= set(divided):  # then a class had nothing else to give
        kept = before & ~np.isin(alike, divided)
        assert set(labels[kept]) < set(labels)
    else:
        shares = [np.bincount(labels[mask], minlength=3) for mask in (before, after)]
        assert (shares[1] <= shares[0]).all()


def test_where_all_images_have_a_copy_every_class_still_gives_some() -> None:
    labels, alike = np.repeat([0, 1, 2], 10), np.arange(30) // 2
    mask = held_out_part(labels, keys_of(30), alike, fraction=0.1, classes=CLASSES)
    assert np.bincount(labels[mask]).tolist() == [2, 2, 2]
    assert (mask[::2] == mask[1::2]).all()


def test_groups_with_images_that_are_alike_stay_together() -> None:
    groups, alike = np.arange(60) // 3, np.arange(60)
    alike[[5, 40]] = alike[[11, 50]]
    keys = [str(group).encode() for group in groups]
    joined = [{1, 3}, {13, 16}]
    for fraction in (0.2, 0.35, 0.5):
        mask = held_out_part(np.arange(60) % 3, keys, alike, fraction=fraction, classes=CLASSES)
        in_test = set(groups[mask].tolist())
        assert not in_test & set(groups[~mask].tolist())
        assert all(len(pair & in_test) in (0, 2) for pair in joined)


@pytest.mark.parametrize(
    "change", [flipped, lambda image: brighter(image, 1.1), lambda image: jpeg(image, 70)]
)
def test_a_copy_is_never_sealed_while_its_original_is_trained_on(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    originals = pieces(50)
    pixels = np.concatenate([originals, np.stack([change(image) for image in originals])])
    names = tuple(f"{index % 50}" for index in range(100))
    images = Images(pixels, np.arange(100) % 2, ("a", "b"), names)
    train, test = (hold_out(images, part, fraction=0.25) for part in ("train", "test"))  # type: ignore[arg-type]
    assert not set(train.names) & set(test.names)
    assert len(train) + len(test) == 100 and 22 <= len(test) <= 25


def test_a_class_of_large_groups_gives_its_smallest_one() -> None:
    labels = np.repeat([0, 1], [100, 20])
    keys = [*keys_of(100), *(f"group {number}".encode() for number in np.repeat([0, 1, 2], [8, 5, 7]))]
    mask = held_out_part(labels, keys, fraction=0.2, classes=("a", "b"))
    assert mask[:100].sum() == 20 and np.flatnonzero(mask[100:]).tolist() == [8, 9, 10, 11, 12]


@pytest.mark.parametrize(("counts", "keys"), [((5, 1, 5), keys_of(11)), ((4, 3, 4), [b"same"] * 11)])
def test_a_class_that_cannot_be_on_both_sides_is_named(counts: tuple[int, ...], keys: list[bytes]) -> None:
    with pytest.raises(DataError, match=r"class(es)? [ab] \(.* cannot be in both"):
        held_out_part(np.repeat([0, 1, 2], counts), keys, fraction=0.2, classes=CLASSES)


def copied(count: int, change: Callable[[np.ndarray], np.ndarray] = lambda image: image) -> Images:
    """A class that is one picture over and over, and one of different pictures."""
    picture, *others = pieces(41)
    pixels = np.stack([picture, *[change(picture) for _ in range(count - 1)], *others])
    return Images(pixels, np.repeat([0, 1], [count, 40]), ("one", "many"))


def test_the_advice_for_a_class_that_is_one_picture_works() -> None:
    images = copied(30)
    for kind in ("near", "exact"):
        with pytest.raises(
            DataError, match=r"one \(30 images\) .* all equal, which data.duplicates: ignore lets be divided"
        ):
            hold_out(images, "train", fraction=0.2, duplicates=kind)  # type: ignore[arg-type]
    parts = [hold_out(images, part, fraction=0.2, duplicates="ignore") for part in ("train", "test")]  # type: ignore[arg-type]
    assert [np.bincount(part.labels).tolist() for part in parts] == [[24, 32], [6, 8]]


def test_the_advice_for_two_copies_of_a_picture_works() -> None:
    images = copied(2, flipped)
    with pytest.raises(
        DataError, match=r"one \(2 images\) .* copies of one picture, which data.duplicates: exact"
    ):
        hold_out(images, "train", fraction=0.2)
    parts = [hold_out(images, part, fraction=0.2, duplicates="exact") for part in ("train", "test")]  # type: ignore[arg-type]
    assert [np.bincount(part.labels).tolist() for part in parts] == [[1, 32], [1, 8]]


def test_the_advice_for_a_class_of_one_group_and_of_one_image() -> None:
    images = copied(4, flipped)
    grouped = Images(images.pixels, images.labels, images.classes, groups=np.r_[np.zeros(4, int), 1:41])
    with pytest.raises(DataError, match=r"one \(4 images\) .* one group: add images of another one"):
        hold_out(grouped, "train", fraction=0.2, duplicates="ignore")
    with pytest.raises(DataError, match=r"one \(1 image\) .* add images, or give a test folder"):
        hold_out(copied(1), "train", fraction=0.2)


def test_duplicates_that_are_ignored_do_not_keep_the_others_from_their_place() -> None:
    originals = pieces(40)
    images = Images(originals, np.arange(40) % 2, ("a", "b"))
    near, ignored = (
        hold_out(images, "test", fraction=0.2, duplicates=kind)  # type: ignore[arg-type]
        for kind in ("near", "ignore")
    )
    assert near.content_hash == ignored.content_hash


def test_a_class_of_one_image_is_told_what_it_needs() -> None:
    images = Images(
        np.arange(80, dtype=np.uint8).reshape(5, 1, 4, 4), np.array([0, 1, 2, 2, 2]), ("a", "b", "c")
    )
    with pytest.raises(
        DataError,
        match=r"^classes a \(1 image\), b \(1 image\) .* for every fold; add images, or give a test folder$",
    ):
        hold_out(images, "train", fraction=0.2)
