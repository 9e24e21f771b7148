"""Duplicates: planted ones are found, pictures that merely look alike are not, and the work does not explode."""

import logging
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from harness.data import near_duplicates
from harness.data.image_similarity import similarity
from harness.data.near_duplicates import Duplicates, descriptors, find, remembered
from tests.data.photographs import brighter, flipped, jpeg, more_contrast, shifted, views

CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nothing": lambda image: image,
    "flip": flipped,
    "darker": lambda image: brighter(image, 0.9),
    "brighter": lambda image: brighter(image, 1.1),
    "less contrast": lambda image: more_contrast(image, 0.8),
    "more contrast": lambda image: more_contrast(image, 1.2),
    "jpeg 60": lambda image: jpeg(image, 60),
    "jpeg 95": lambda image: jpeg(image, 95),
    "all": lambda image: jpeg(brighter(flipped(image), 1.1), 60),
    "a pixel beside": shifted,
}


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return views(100)


def pairs_of(found: Duplicates) -> set[tuple[int, int]]:
    return set(map(tuple, found.pairs.tolist()))


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(photographs: np.ndarray, change: str) -> None:
    copies = np.stack([CHANGES[change](image) for image in photographs])
    found = find(photographs, copies)
    right = {(index, index) for index in range(len(photographs))}
    least = 95 if change == "a pixel beside" else 98
    assert len(photographs) == 100 and len(pairs_of(found) & right) >= least
    assert not pairs_of(found) - right
    assert found.exact.all() == (change == "nothing")


def test_copies_are_found_among_all_images(photographs: np.ndarray) -> None:
    changes = list(CHANGES.values())
    copies = [changes[index % len(changes)](image) for index, image in enumerate(photographs)]
    found = find(np.concatenate([photographs, np.stack(copies)]))
    assert len(found.pairs) >= 98 and (np.diff(found.pairs, axis=1) == 100).all()
    assert found.exact.sum() == 10 and (found.similarity[found.exact] == 1).all()
    assert (found.only_exact().pairs == found.pairs[found.exact]).all()


def test_views_that_overlap_by_three_quarters_are_no_duplicates() -> None:
    assert not len(find(views(270)).pairs)


@pytest.mark.parametrize("size", [64, 160])
def test_larger_images_are_found_too(size: int) -> None:
    photographs = views(20, size)
    copies = np.stack([jpeg(flipped(image), 70) for image in photographs])
    assert pairs_of(find(photographs, copies)) == {(index, index) for index in range(20)}


def test_grey_images_are_found_too(photographs: np.ndarray) -> None:
    grey = photographs.mean(1, keepdims=True).astype(np.uint8)
    copies = np.stack([brighter(flipped(image), 0.9) for image in grey])
    assert pairs_of(find(grey, copies)) == {(index, index) for index in range(len(grey))}


def test_different_pictures_in_one_frame_or_before_one_sky_are_no_duplicates(photographs: np.ndarray) -> None:
    inside = photographs[:, :, 6:-6, 6:-6]
    framed = np.pad(inside[inside.mean(1).std((1, 2)) >= 20], ((0, 0), (0, 0), (6, 6), (6, 6)))
    assert len(framed) > 60 and not len(find(framed).pairs)
    sky = np.broadcast_to(np.linspace(220, 120, 32).astype(np.uint8)[:, None], (2, 3, 32, 32)).copy()
    sky[0, :, 12:16, 10:20], sky[1, :, 10:20, 12:16] = 90, 90  # a plane, and a balloon
    assert np.corrcoef(sky.reshape(2, -1))[0, 1] > 0.8
    assert similarity(sky[:1], sky[1:])[0] < 0.8


def test_another_colour_is_another_picture() -> None:
    squares = np.full((2, 3, 32, 32), 255, np.uint8)
    squares[:, :, 8:24, 8:24] = 0
    squares[0, 0, 8:24, 8:24] = squares[1, 2, 8:24, 8:24] = 255  # a red and a blue one
    grounds = np.full((2, 3, 32, 32), 120, np.uint8)
    grounds[0, 0] = grounds[1, 2] = 250  # red and blue, with the same square
    grounds[:, :, 8:24, 8:24] -= 30
    before_blue = np.zeros((2, 3, 32, 32), np.uint8)
    before_blue += np.array([0, 120, 255], np.uint8)[:, None, None]
    before_blue[:, :, 11:21, 11:21] = np.array([[90, 20, 160], [10, 70, 90]])[
        :, :, None, None
    ]  # equally bright
    for one, two in (squares, grounds, before_blue):
        assert similarity(one[None], two[None])[0] < 0.8


def test_a_faint_image_is_not_the_strong_one(photographs: np.ndarray) -> None:
    faint = np.stack([more_contrast(image, 0.5) for image in photographs])
    assert not similarity(photographs, faint).any()


def test_scans_of_the_same_digit_are_no_duplicates_and_equal_ones_are() -> None:
    from harness.data import load_training

    digits = load_training({"name": "digits", "test_fraction": 0.2})
    assert not len(find(digits.pixels).pairs)
    copies = np.concatenate([digits.pixels[:50], digits.pixels[50:100, :, :, ::-1]])
    darker = np.rint(digits.pixels[100:150] * 0.9).astype(np.uint8)
    found = find(digits.pixels, np.concatenate([copies, darker]))
    assert pairs_of(found) == {(index, index) for index in range(150)}
    assert found.exact.sum() == 50
    larger = [Image.fromarray(digit[0]).resize((28, 28), Image.Resampling.BICUBIC) for digit in digits.pixels]
    groups = find(np.stack([np.asarray(digit)[None] for digit in larger])).groups(len(larger))
    assert np.bincount(groups).max() <= 3 and len(set(groups)) > 0.97 * len(groups)


def test_images_of_one_colour_are_duplicates_only_if_they_are_equal() -> None:
    levels = np.arange(300) // 2
    plain = np.broadcast_to(levels[:, None, None, None], (300, 3, 16, 16)).astype(np.uint8)
    found = find(plain)
    assert found.exact.all() and (found.groups(300) == levels).all()


def test_many_equal_images_make_few_pairs() -> None:
    images = np.repeat(views(2), 300, axis=0)
    found = find(images)
    assert len(found.pairs) == 598 and found.exact.all()
    assert (found.groups(600) == np.repeat([0, 1], 300)).all()


def test_every_image_with_a_duplicate_in_the_other_set_is_named() -> None:
    image, another = views(2)
    copy = jpeg(image, 80)
    here, there = np.stack([image, another, image, flipped(another)]), np.stack([copy, image, copy, another])
    found = find(here, there)
    assert set(found.pairs[:, 0]) == set(found.pairs[:, 1]) == {0, 1, 2, 3}
    assert pairs_of(found) <= {*product((0, 2), (0, 1, 2)), (1, 3), (3, 3)}
    assert {tuple(pair) for pair in found.only_exact().pairs.tolist()} == {(0, 1), (2, 1), (1, 3)}


def test_many_versions_of_one_image_make_one_group() -> None:
    image, *others = views(40)
    random = np.random.default_rng(0)
    versions = [
        jpeg(brighter(image, random.uniform(0.9, 1.1)), int(random.integers(70, 96))) for _ in range(150)
    ]
    groups = find(np.stack([*versions, *others])).groups(189)
    assert set(groups[:150]) == {0} and len(set(groups[150:])) == 39


def test_images_that_all_look_alike_are_compared_a_few_times_each(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).normal(0, 20, (400, 3, 32, 32))
    images = np.clip(views(1) + noise, 0, 255).astype(np.uint8)
    compared = [0]

    def counting(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        compared[0] += len(one)
        return similarity(one, two)

    monkeypatch.setattr(near_duplicates, "similarity", counting)
    find(images)
    assert 400 < compared[0] <= near_duplicates.CLOSEST * 400  # there are 79,800 pairs


def test_descriptors_ignore_brightness_and_contrast_and_know_flips(photographs: np.ndarray) -> None:
    described = descriptors(photographs)
    assert described.shape == (100, 63) and described.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, atol=1e-5)
    darker = descriptors(np.stack([brighter(image, 0.5) for image in photographs]))
    assert np.einsum("ij,ij->i", described, darker).min() > 0.999
    turned = descriptors(photographs[..., ::-1])
    np.testing.assert_allclose(turned, described * near_duplicates.MIRROR, atol=1e-5)
    assert not descriptors(np.full((1, 3, 8, 8), 7, np.uint8)).any()


def test_descriptors_are_scipys_cosine_transform(photographs: np.ndarray) -> None:
    from scipy.fft import dctn

    grey = np.tensordot(photographs, (0.299, 0.587, 0.114), axes=(1, 0))
    low = dctn(grey, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(100, -1)[:, 1:]
    expected = low / np.linalg.norm(low, axis=1, keepdims=True)
    np.testing.assert_allclose(descriptors(photographs), expected, atol=1e-4)


def test_images_are_read_in_pieces_and_the_result_does_not_depend_on_them(
    photographs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = np.stack([jpeg(image, 80) for image in photographs])
    whole = find(photographs, copies)
    monkeypatch.setattr(near_duplicates, "CHUNK_BYTES", 16 * 3 * 32 * 32)
    monkeypatch.setattr(near_duplicates, "BLOCK", 7)
    largest = [0]

    class Watched:
        shape = photographs.shape

        def __getitem__(self, index: object) -> np.ndarray:
            taken: np.ndarray = photographs[index]  # type: ignore[index]
            largest[0] = max(largest[0], len(taken))
            return taken

    pieces = find(Watched(), copies)
    assert largest == [16]
    assert (pieces.pairs == whole.pairs).all() and (pieces.similarity == whole.similarity).all()


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("other", [None, 0, 1])
def test_no_image_and_one_image_have_no_duplicate(count: int, other: int | None) -> None:
    here, there = views(2)[:count], views(2)[1:]
    found = find(here, None if other is None else there[:other])
    assert found.pairs.shape == (0, 2) and not len(found.exact) and not len(found.similarity)
    assert len(found.groups(count)) == count


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=25))
def test_groups_are_the_components_of_the_graph_numbered_by_first_appearance(
    edges: list[tuple[int, int]],
) -> None:
    pairs = np.array(edges, dtype=np.int64).reshape(-1, 2)
    groups = Duplicates(pairs, np.ones(len(pairs), bool), np.ones(len(pairs), np.float32)).groups(20)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(20, 20))
    components = connected_components(graph, directed=False)[1]
    _, first = np.unique(components, return_index=True)
    expected = np.searchsorted(np.sort(first), first[components])
    assert groups.dtype == np.int64 and (groups == expected).all()


def test_what_was_found_is_kept_and_a_damaged_file_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.concatenate([views(5), views(5)[..., ::-1]])
    path, searches = tmp_path / "a folder" / "kept.npz", [0]

    def search() -> Duplicates:
        searches[0] += 1
        return find(images)

    first, again = remembered(path, search), remembered(path, search)
    assert searches == [1] and len(first.pairs) == 5
    for name in ("pairs", "exact", "similarity"):
        kept, found = getattr(again, name), getattr(first, name)
        assert kept.dtype == found.dtype and (kept == found).all()
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert (remembered(path, search).pairs == first.pairs).all()
    assert searches == [2] and "damaged" in caplog.text and path.read_bytes() == whole
    monkeypatch.setattr(near_duplicates, "VERSION", -1)
    remembered(path, search)
    assert searches == [3]


def test_a_long_search_says_so(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.INFO)
    find(views(2))
    assert not caplog.messages
    monkeypatch.setattr(near_duplicates, "TELL_FROM", 2)
    find(views(2))
    assert caplog.messages == ["looking for duplicates of 2 images"]
