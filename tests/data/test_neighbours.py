"""The most similar images are found, however they lie, by whole numbers."""

import numpy as np
import pytest

from harness.data.looks import resized, turned
from harness.data.neighbours import CHROMA_FREQUENCIES, CLOSEST, FREQUENCIES, SCALE, TURNS, described, nearest
from tests.data.photographs import brighter, pieces, views


def test_images_that_all_look_alike_are_compared_a_few_times_each() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (400, 3, 32, 32))
    images = np.clip(views(1) + noise, 0, 255).astype(np.uint8)
    pairs, _ = nearest(described(resized(images)), None)
    assert 400 < len(pairs) <= CLOSEST * 400  # there are 79,800


def test_descriptions_ignore_brightness_and_contrast_and_know_turns() -> None:
    photographs = pieces(50)
    scaled = resized(photographs)
    descriptions = described(scaled)
    np.testing.assert_allclose(np.linalg.norm(descriptions, axis=1), SCALE, rtol=1e-3)
    assert (descriptions == np.rint(descriptions)).all()
    darker = described(resized(np.stack([brighter(image, 0.5) for image in photographs])))
    assert np.einsum("ij,ij->i", descriptions, darker).min() > 0.99 * SCALE**2
    for turn in range(TURNS):
        lying = described(turned(scaled, np.full(len(scaled), turn)))
        pairs, turns = nearest(descriptions, lying)
        ways = {(int(one), int(way)) for (one, two), way in zip(pairs, turns, strict=True) if one == two}
        back = {0: 0, 2: 6, 6: 2}.get(turn, turn)  # a quarter is undone by three; a mirroring by itself
        assert {(one, back) for one in range(len(scaled))} <= ways
    assert not described(np.full((1, 3, 32, 32), 7, np.float32)).any()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 7, 8, 63, 1100])
def test_the_nearest_are_those_of_all_likenesses(count: int) -> None:
    random = np.random.default_rng(count)
    width = FREQUENCIES**2 + 2 * CHROMA_FREQUENCIES**2
    described_ = random.normal(size=(count, width)) + 1
    described_ *= SCALE / np.linalg.norm(described_, axis=1, keepdims=True)
    described_ = np.rint(described_).astype(np.float32)
    pairs, turns = nearest(described_, described_, turns=1)
    likeness = described_.astype(np.int64) @ described_.T.astype(np.int64)
    for one in range(count):
        expected = sorted((value for value in likeness[one] if value > 0.6 * SCALE**2), reverse=True)[
            :CLOSEST
        ]
        assert likeness[one, pairs[pairs[:, 0] == one, 1]].tolist() == expected
    within, _ = nearest(described_, None, turns=1)
    assert (within[:, 0] < within[:, 1]).all() and len(np.unique(within, axis=0)) == len(within)
    later = np.triu(likeness, 1)
    for one in range(0, count, 50):
        expected = sorted((value for value in later[one] if value > 0.6 * SCALE**2), reverse=True)[:CLOSEST]
        assert later[one, within[within[:, 0] == one, 1]].tolist() == expected
    assert not turns.any()
