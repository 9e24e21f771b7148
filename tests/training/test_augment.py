import numpy as np
import pytest
import torch

from harness.training.augment import AugmentOptions, Positions, _reflect, draw


def drawn(options: AugmentOptions, *, num_images: int = 500, seed: int = 0, epoch: int = 1) -> Positions:
    return draw(options, num_images, 8, 8, seed=seed, epoch=epoch)


def flipped(positions: Positions) -> torch.Tensor:
    """(N,) whether the columns run backwards, for positions without a crop."""
    return positions.columns[:, 0] == 7


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("padding", [0, 1, 7, 8, 20])
def test_borders_are_mirrored_as_numpy_pads_them(size: int, padding: int) -> None:
    expected = np.pad(np.arange(size), padding, mode="reflect")
    assert np.array_equal(_reflect(torch.arange(-padding, size + padding), size).numpy(), expected)


def test_none_shows_every_pixel_where_it_is() -> None:
    positions = drawn(AugmentOptions(augment="none"))
    assert (positions.rows == torch.arange(8)).all()
    assert (positions.columns == torch.arange(8)).all()


def test_each_image_has_its_own_crop_and_all_distances_occur_equally() -> None:
    positions = drawn(AugmentOptions(crop_padding=2, flip="none"), num_images=5000)
    middle = positions.rows[:, 4] - 4, positions.columns[:, 4] - 4
    for distances in middle:
        counts = torch.bincount(distances + 2, minlength=5)
        assert ((counts - 1000).abs() < 150).all()
    assert abs(np.corrcoef(middle[0], middle[1])[0, 1]) < 0.05


def test_the_default_padding_is_an_eighth_of_the_side() -> None:
    positions = draw(AugmentOptions(flip="none"), 500, 32, 32, seed=0, epoch=1)
    assert positions.rows[:, 16].min() == 12
    assert positions.rows[:, 16].max() == 20


def test_random_flips_change_from_epoch_to_epoch_for_half_of_the_images() -> None:
    options = AugmentOptions(crop_padding=0)
    first, second = flipped(drawn(options)), flipped(drawn(options, epoch=2))
    assert 0.4 < first.double().mean() < 0.6
    assert 0.4 < (first == second).double().mean() < 0.6


def test_alternating_flips_show_each_image_both_ways_in_two_epochs() -> None:
    options = AugmentOptions(crop_padding=0, flip="alternating")
    first, second, third = (flipped(drawn(options, epoch=epoch)) for epoch in (1, 2, 3))
    assert (first != second).all()
    assert (first == third).all()
    assert 0.4 < first.double().mean() < 0.6


@pytest.mark.parametrize("flip", ["random", "alternating"])
def test_draws_depend_on_seed_and_epoch_and_nothing_else(flip: str) -> None:
    options = AugmentOptions(flip=flip)  # type: ignore[arg-type]
    first = drawn(options)
    torch.manual_seed(99)
    again, other_seed, other_epoch = drawn(options), drawn(options, seed=1), drawn(options, epoch=2)
    assert torch.equal(first.rows, again.rows)
    assert torch.equal(first.columns, again.columns)
    assert not torch.equal(first.columns, other_seed.columns)
    assert not torch.equal(first.rows, other_epoch.rows)
