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
from harness.data.grouping import components
from harness.data.image_similarity import SURE
from harness.data.near_duplicates import Duplicates, copies, find, remembered
from tests.data.fixed_cameras import seen
from tests.data.photographs import (
    COPIES,
    brighter,
    flipped,
    jpeg,
    more_contrast,
    pieces,
    shifted,
    views,
)

NUM_PHOTOGRAPHS = 50
HARDER = {"watermarked": 0.55, "JPEG 10": 0.65, "set into a frame": 0.8}  # of what is a little out of focus
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **COPIES,
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
    return pieces(NUM_PHOTOGRAPHS)


def pairs_of(found: Duplicates) -> set[tuple[int, int]]:
    """Those that are sure."""
    return set(map(tuple, found.pairs[found.sure].tolist()))


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_and_nothing_else(photographs: np.ndarray, change: str) -> None:
    copies = np.stack([CHANGES[change](image) for image in photographs])
    found = find(photographs, copies)
    right = {(index, index) for index in range(len(photographs))}
    assert len(pairs_of(found) & right) >= HARDER.get(change, 0.92) * NUM_PHOTOGRAPHS
    assert not pairs_of(found) - right
    assert found.only_exact().pairs.tolist() == (
        [[index, index] for index in range(NUM_PHOTOGRAPHS)] if change == "nothing" else []
    )


def test_copies_are_found_among_all_images(photographs: np.ndarray) -> None:
    changes = list(CHANGES.values())
    copies = [changes[index % len(changes)](image) for index, image in enumerate(photographs)]
    found = find(np.concatenate([photographs, np.stack(copies)]))
    assert len(pairs_of(found)) >= 45 and {two - one for one, two in pairs_of(found)} == {50}
    assert found.exact.sum() == 2 and (found.similarity[found.exact] == 1).all()
    assert (found.only_exact().pairs == found.pairs[found.exact]).all()
    assert (np.diff(found.joined(100).pairs, axis=1) == 50).all()


def test_views_that_overlap_by_three_quarters_are_no_duplicates() -> None:
    assert len(pairs_of(find(views(270)))) <= 6  # of 1,000 that overlap, all out of focus


@pytest.mark.parametrize("size", [64, 160])
def test_larger_images_are_found_too(size: int) -> None:
    photographs = pieces(20, size)
    again = np.stack([jpeg(flipped(image), 70) for image in photographs])
    assert pairs_of(find(photographs, again)) == {(index, index) for index in range(20)}


def test_grey_images_are_found_too(photographs: np.ndarray) -> None:
    grey = photographs.mean(1, keepdims=True).astype(np.uint8)
    copies = np.stack([brighter(flipped(image), 0.9) for image in grey])
    assert pairs_of(find(grey, copies)) == {(index, index) for index in range(len(grey))}


def test_different_pictures_in_one_frame_or_before_one_sky_are_no_duplicates(photographs: np.ndarray) -> None:
    inside = photographs[:, :, 6:-6, 6:-6]
    framed = np.pad(inside[inside.mean(1).std((1, 2)) >= 20], ((0, 0), (0, 0), (6, 6), (6, 6)))
    assert len(framed) > 20 and len(pairs_of(find(framed))) <= 1
    sky = np.broadcast_to(np.linspace(220, 120, 32).astype(np.uint8)[:, None], (2, 3, 32, 32)).copy()
    sky[0, :, 12:16, 10:20], sky[1, :, 10:20, 12:16] = 90, 90  # a plane, and a balloon
    assert np.corrcoef(sky.reshape(2, -1))[0, 1] > 0.8
    assert not pairs_of(find(sky))


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
    coloured = pieces(1)[0]
    recoloured = np.stack([coloured, coloured[[2, 0, 1]]])
    for two in (squares, grounds, before_blue, recoloured):
        assert not pairs_of(find(two))


def test_scans_of_the_same_digit_are_no_duplicates_and_equal_ones_are() -> None:
    from harness.data import load_training

    digits = load_training({"name": "digits", "test_fraction": 0.2})
    assert not len(find(digits.pixels).pairs)
    again = np.concatenate([digits.pixels[:50], digits.pixels[50:100, :, :, ::-1]])
    darker = np.rint(digits.pixels[100:150] * 0.9).astype(np.uint8)
    found = find(digits.pixels, np.concatenate([again, darker]))
    assert pairs_of(found) == {(index, index) for index in range(150)}
    assert found.exact.sum() == 50
    half = digits.pixels[::2]
    larger = [Image.fromarray(digit[0]).resize((28, 28), Image.Resampling.BICUBIC) for digit in half]
    groups = find(np.stack([np.asarray(digit)[None] for digit in larger])).groups(
        len(half), digits.labels[::2]
    )
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
    image, another = pieces(2)
    copy = jpeg(image, 80)
    here, there = np.stack([image, another, image, flipped(another)]), np.stack([copy, image, copy, another])
    found = find(here, there)
    assert set(found.pairs[:, 0]) == set(found.pairs[:, 1]) == {0, 1, 2, 3}
    assert pairs_of(found) <= {*product((0, 2), (0, 1, 2)), (1, 3), (3, 3)}
    assert {tuple(pair) for pair in found.only_exact().pairs.tolist()} == {(0, 1), (2, 1), (1, 3)}


def test_many_versions_of_one_image_make_one_group() -> None:
    image, *others = pieces(40)
    random = np.random.default_rng(0)
    versions = [
        jpeg(brighter(image, random.uniform(0.9, 1.1)), int(random.integers(70, 96))) for _ in range(150)
    ]
    found = find(np.stack([*versions, *others]))
    connected = components(found.pairs[found.sure], 189)
    assert set(connected[:150]) == {0} and len(set(connected[150:])) == 39


def test_how_a_copy_lies_is_told(photographs: np.ndarray) -> None:
    lying = np.stack([COPIES["mirrored, rotated by 5°, JPEG 40"](image) for image in photographs])
    found = find(photographs, lying)
    right = found.of((found.pairs[:, 0] == found.pairs[:, 1]) & found.sure)
    angles = np.abs(np.rad2deg(np.angle(right.motion[:, 0])))
    assert (right.turn == 1).mean() > 0.95 and np.median(np.abs(angles[angles > 0] - 5)) < 0.5
    moved = find(photographs, np.stack([COPIES["zoomed by 2 px"](image) for image in photographs]))
    right = moved.of((moved.pairs[:, 0] == moved.pairs[:, 1]) & moved.sure)
    zooms = np.abs(right.motion[:, 0])
    assert np.abs(zooms[zooms > 1.01] - 32 / 28).mean() < 0.01 and (zooms > 1.01).mean() > 0.5


def test_copies_across_two_sets_leave_frames_of_a_scene_out(photographs: np.ndarray) -> None:
    scene, labels = seen("defect", 40)
    training = np.concatenate([scene[:30], photographs[:50]])
    labels = np.concatenate([labels[:30], np.full(50, 2)])
    test = np.concatenate([scene[30:], [COPIES["rotated by -6°"](image) for image in photographs[:50]]])
    found = copies(training, labels, test)
    assert set(found.pairs[:, 0]) <= set(range(30, 80)) and len(found.pairs) >= 45
    assert len(copies(training, labels, scene[:5]).pairs) == 5  # equal ones are named


def test_images_are_read_in_pieces_and_the_result_does_not_depend_on_them(
    photographs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = np.stack([jpeg(image, 80) for image in photographs])
    whole = find(photographs, again)
    monkeypatch.setattr(near_duplicates, "CHUNK_BYTES", 16 * 3 * 32 * 32)
    monkeypatch.setattr(near_duplicates, "BATCH", 16)
    largest = [0]

    class Watched:
        shape = photographs.shape

        def __getitem__(self, index: object) -> np.ndarray:
            taken: np.ndarray = photographs[index]  # type: ignore[index]
            largest[0] = max(largest[0], len(taken))
            return taken

    pieces = find(Watched(), again)
    assert largest == [16]
    assert (pieces.pairs == whole.pairs).all()
    np.testing.assert_allclose(pieces.similarity, whole.similarity, atol=1e-3)


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
    found = Duplicates(
        pairs, np.ones(len(pairs), bool), np.ones(len(pairs), np.float32), np.full(len(pairs), SURE, np.uint8),
        np.zeros(len(pairs), np.uint8), np.ones((len(pairs), 2), np.complex64),
    )  # fmt: skip
    groups = found.groups(20)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(20, 20))
    components = connected_components(graph, directed=False)[1]
    _, first = np.unique(components, return_index=True)
    expected = np.searchsorted(np.sort(first), first[components])
    assert groups.dtype == np.int64 and (groups == expected).all()


def test_what_was_found_is_kept_and_a_damaged_file_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.concatenate([pieces(5), pieces(5)[..., ::-1]])
    path, searches = tmp_path / "a folder" / "kept.npz", [0]

    def search() -> Duplicates:
        searches[0] += 1
        return find(images)

    first, again = remembered(path, search), remembered(path, search)
    assert searches == [1] and len(pairs_of(first)) == 5
    for name in ("pairs", "exact", "similarity", "level", "turn", "motion"):
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


@pytest.mark.parametrize(
    ("num_images", "said"), [(10_000, ""), (115_000, ""), (120_000, "some 5 m"), (500_000, "92 m")]
)
def test_a_search_that_takes_minutes_says_so(num_images: int, said: str) -> None:
    found = near_duplicates._how_long(num_images)
    assert (said in found) if said else not found


def test_equal_images_are_found_without_looking_for_near_ones(
    photographs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = np.roll(photographs[:5], 1, axis=3)
    images = np.concatenate([photographs, photographs[[7, 3, 7]], moved, np.zeros_like(moved[:2])])
    expected = find(images).only_exact()
    found = near_duplicates.find_equal(images)
    assert found.pairs.tolist() == expected.pairs.tolist() == [[3, 51], [7, 50], [7, 52], [58, 59]]
    assert found.exact.all() and found.sure.all() and found.motion.shape == expected.motion.shape

    def never() -> near_duplicates.Duplicates:
        raise AssertionError("near copies are looked for")

    labels = np.zeros(len(images), np.int64)
    groups = near_duplicates.alike("exact", images, never, labels)
    assert (groups == expected.groups(len(images))).all() and len({*groups}) == len(images) - 4
    assert len({*near_duplicates.alike("ignore", images, never, labels)}) == len(images)
