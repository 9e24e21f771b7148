"""Every guard: silent where the rule holds, heard where it is broken."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import CheckFailed
from harness.folds import guards

FOLD_OF = np.array([0, 0, 1, 1, 2, 2])
GROUPS = np.array([0, 0, 1, 2, 3, 4])


def split(**changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{"fold_of": FOLD_OF, "groups": GROUPS, **changes})


def indices(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_right_division_passes() -> None:
    guards.division(split(), 1, indices(0, 1, 4, 5), indices(2, 3))


@pytest.mark.parametrize(
    ("train", "held_out", "said"),
    [
        (indices(0, 1, 2, 4, 5), indices(2, 3), "image 2 is trained on and scored on"),
        (indices(0, 1, 4), indices(2, 3), "do not make up the data set"),
        (indices(0, 1, 1, 4, 5), indices(2, 3), "do not make up the data set"),
        (indices(2, 3, 4, 5), indices(0, 1), "another fold"),
    ],
)
def test_a_wrong_division_is_caught(train: np.ndarray, held_out: np.ndarray, said: str) -> None:
    with pytest.raises(CheckFailed, match=said):
        guards.division(split(), 1, train, held_out)


def test_a_group_on_both_sides_is_caught() -> None:
    with pytest.raises(CheckFailed, match="group 9 is trained on and scored on"):
        guards.division(split(groups=indices(9, 0, 9, 1, 2, 3)), 1, indices(0, 1, 4, 5), indices(2, 3))


def test_statistics_must_be_of_the_training_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 5), dtype=np.uint8)
    train = np.arange(30)

    def of(indices: np.ndarray) -> SimpleNamespace:
        scaled = pixels[indices] / 255
        return SimpleNamespace(mean=scaled.mean((0, 2, 3)), std=scaled.std((0, 2, 3)))

    guards.statistics(0, pixels, train, of(train))
    with pytest.raises(CheckFailed, match="other statistics than those of its training images"):
        guards.statistics(0, pixels, train, of(np.arange(40)))


def test_statistics_of_a_channel_that_never_changes() -> None:
    pixels = np.full((4, 1, 2, 2), 51, dtype=np.uint8)
    guards.statistics(0, pixels, np.arange(4), SimpleNamespace(mean=[0.2], std=[1.0]))


def test_statistics_over_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (50, 2, 4, 4), dtype=np.uint8)
    monkeypatch.setattr(guards, "CHUNK_BYTES", 7 * 32)
    scaled = pixels / 255
    guards.statistics(
        0, pixels, np.arange(50), SimpleNamespace(mean=scaled.mean((0, 2, 3)), std=scaled.std((0, 2, 3)))
    )


def test_evaluation_must_be_deterministic() -> None:
    first = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    guards.evaluation(0, first, first.copy())
    again = first.copy()
    again[5, 1] += 1e-6
    with pytest.raises(CheckFailed, match="1 of 8 held-out images were predicted differently"):
        guards.evaluation(0, first, again)


def test_no_epoch_may_be_picked_by_the_scored_images() -> None:
    guards.epoch_choice(0, 10, 10, inner_split=False)
    guards.epoch_choice(0, 7, 10, inner_split=True)
    with pytest.raises(CheckFailed, match="epoch 7 of 10 was scored"):
        guards.epoch_choice(0, 7, 10, inner_split=False)


def test_nothing_is_trained_once_the_test_images_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.data import test_set

    monkeypatch.setattr(test_set, "opened", False, raising=False)
    guards.sealed_test()
    monkeypatch.setattr(test_set, "opened", True, raising=False)
    with pytest.raises(CheckFailed, match="have been opened"):
        guards.sealed_test()


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        ([indices(0, 1), indices(1, 2, 3)], "image 1 was predicted 2 times"),
        ([indices(0, 1), indices(3)], "image 2 was predicted 0 times"),
        ([indices(0, 1), indices(2, 3, 4)], "image 4 was predicted 1 times"),
    ],
)
def test_every_image_is_predicted_once(held_out: list[np.ndarray], said: str) -> None:
    with pytest.raises(CheckFailed, match=said):
        guards.covered_once(0, held_out, 4)
    guards.covered_once(0, [indices(0, 3), indices(1, 2)], 4)
