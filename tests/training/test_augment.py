import hashlib
import logging
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from harness.training import distort
from harness.training.augment import AugmentOptions, Change, Draws, _reflect, draw

ALL = {
    "rotation": 20.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "randaugment": 1,
    "cutout": 0.5,
}  # fmt: skip
FUNCTIONS: dict[str, Any] = {  # of distort.py, that no other option calls
    "rotation": distort.move, "brightness": distort.brightness, "contrast": distort.contrast,
    "saturation": distort.saturation, "hue": distort.hue, "randaugment": distort.posterize,
    "cutout": distort.cut_out,
}  # fmt: skip


def drawn(options: AugmentOptions, *, num_images: int = 500, seed: int = 0, epoch: int = 1) -> Draws:
    return draw(options, np.arange(num_images), 8, 8, seed=seed, epoch=epoch)


def flipped(draws: Draws) -> torch.Tensor:
    """(N,) whether the columns run backwards, for draws without a crop."""
    return draws.columns[:, 0] == 7


def amounts(draws: Draws, function: Any) -> torch.Tensor:
    """What is drawn for the only change of that function."""
    (change,) = [change for change in (*draws.changes, *draws.blanks) if change.function is function]
    return change.amounts


def equal(first: Draws, second: Draws) -> bool:
    def tensors(draws: Draws) -> list[torch.Tensor]:
        more = [part for change in (*draws.changes, *draws.blanks) for part in (change.which, change.amounts)]
        return [draws.rows, draws.columns, *more]

    pairs = list(zip(tensors(first), tensors(second), strict=False))
    return len(tensors(first)) == len(tensors(second)) and all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("padding", [0, 1, 7, 8, 20])
def test_borders_are_mirrored_as_numpy_pads_them(size: int, padding: int) -> None:
    expected = np.pad(np.arange(size), padding, mode="reflect")
    assert np.array_equal(_reflect(torch.arange(-padding, size + padding), size).numpy(), expected)


def test_none_shows_every_pixel_where_it_is() -> None:
    draws = drawn(AugmentOptions(augment="none"))
    assert (draws.rows == torch.arange(8)).all()
    assert (draws.columns == torch.arange(8)).all()
    assert draws.changes == draws.blanks == ()


def test_each_image_has_its_own_crop_and_all_distances_occur_equally() -> None:
    draws = drawn(AugmentOptions(crop_padding=2, flip="none"), num_images=5000)
    middle = draws.rows[:, 4] - 4, draws.columns[:, 4] - 4
    for distances in middle:
        counts = torch.bincount(distances + 2, minlength=5)
        assert ((counts - 1000).abs() < 150).all()
    assert abs(np.corrcoef(middle[0], middle[1])[0, 1]) < 0.05


def test_the_default_padding_is_an_eighth_of_the_side() -> None:
    draws = draw(AugmentOptions(flip="none"), np.arange(500), 32, 32, seed=0, epoch=1)
    assert draws.rows[:, 16].min() == 12
    assert draws.rows[:, 16].max() == 20


def test_random_flips_change_from_epoch_to_epoch_for_half_of_the_images() -> None:
    options = AugmentOptions(crop_padding=0)
    first, second = flipped(drawn(options)), flipped(drawn(options, epoch=2))
    assert 0.4 < first.double().mean() < 0.6
    assert 0.4 < (first == second).double().mean() < 0.6


def test_alternating_flips_show_each_image_both_ways_in_two_epochs_in_whatever_order() -> None:
    options = AugmentOptions(crop_padding=0, flip="alternating")
    orders = [np.random.default_rng(epoch).permutation(np.arange(100, 600)) for epoch in (1, 2, 3)]
    seen = []
    for epoch, order in enumerate(orders, 1):
        draws = draw(options, order, 8, 8, seed=0, epoch=epoch)
        seen.append(flipped(draws)[torch.from_numpy(np.argsort(order))])
    assert (seen[0] != seen[1]).all()
    assert (seen[0] == seen[2]).all()
    assert 0.4 < seen[0].double().mean() < 0.6


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        (AugmentOptions(), (32, 32), "b49315d98214a34f"),
        (AugmentOptions(flip="none", crop_padding=3), (12, 9), "d0bc7a02b6a82e9f"),
        (AugmentOptions(flip="alternating"), (32, 32), "c72325341907ce72"),
    ],
    ids=["default", "crop", "alternating"],
)
def test_crops_and_flips_are_for_ever_the_same(
    options: AugmentOptions, size: tuple[int, int], expected: str
) -> None:
    """What was drawn when the first studies ran, so that their folds can be trained again to the bit."""
    draws = draw(options, np.arange(500), *size, seed=3, epoch=2)
    content = draws.rows.contiguous().numpy().tobytes() + draws.columns.contiguous().numpy().tobytes()
    assert hashlib.sha256(content).hexdigest()[:16] == expected
    assert draws.changes == draws.blanks == ()


@pytest.mark.parametrize("values", [{"flip": "random"}, {"flip": "alternating"}, ALL], ids=str)
def test_draws_depend_on_seed_and_epoch_and_nothing_else(values: dict[str, Any]) -> None:
    options = AugmentOptions(**values)
    first = drawn(options)
    torch.manual_seed(99)
    assert equal(first, drawn(options))
    assert not equal(first, drawn(options, seed=1))
    assert not equal(first, drawn(options, epoch=2))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_option_changes_what_is_drawn_for_another(name: str) -> None:
    """So trials that differ in one option meet the same draws of all others."""
    without = "rotation" if name == "randaugment" else "randaugment"  # their moves are made at once
    alone = drawn(AugmentOptions(**{name: ALL[name]}))
    together = drawn(AugmentOptions(**{key: value for key, value in ALL.items() if key != without}))
    assert torch.equal(alone.rows, together.rows) and torch.equal(alone.columns, together.columns)
    assert torch.equal(amounts(alone, FUNCTIONS[name]), amounts(together, FUNCTIONS[name]))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("brightness", 0.6, 1.4), ("contrast", 0.6, 1.4), ("saturation", 0.6, 1.4), ("hue", -0.4, 0.4)],
)
def test_colours_are_drawn_evenly_around_what_they_are(name: str, low: float, high: float) -> None:
    found = amounts(drawn(AugmentOptions(**{name: 0.4}), num_images=5000), FUNCTIONS[name])
    counts = torch.histc(found, bins=5, min=low, max=high)
    assert counts.sum() == 5000
    assert ((counts - 1000).abs() < 150).all()


def test_images_are_turned_to_both_sides_by_up_to_the_angle() -> None:
    maps = amounts(drawn(AugmentOptions(rotation=40.0), num_images=5000), distort.move)
    angles = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))
    counts = torch.histc(angles, bins=4, min=-40, max=40)
    assert counts.sum() == 5000
    assert ((counts - 1250).abs() < 150).all()


@pytest.mark.parametrize(("cutout", "side"), [(0.01, 1), (0.5, 4), (1.0, 8)])
def test_squares_of_a_fraction_of_the_side_may_be_centred_on_any_pixel(cutout: float, side: int) -> None:
    boxes = amounts(drawn(AugmentOptions(cutout=cutout), num_images=2000), distort.cut_out)
    assert (boxes[:, 1] - boxes[:, 0] == side).all()
    assert (boxes[:, 3] - boxes[:, 2] == side).all()
    for edges in (boxes[:, 0], boxes[:, 2]):
        assert torch.bincount(edges + side // 2, minlength=8).min() > 150


def test_randaugment_does_each_of_its_operations_to_as_many_images() -> None:
    draws = drawn(AugmentOptions(randaugment=1), num_images=14_000)
    done = {change.function: len(change.which) for change in draws.changes}
    assert len(done) == 9
    assert 4700 < done.pop(distort.move) < 5300  # five kinds of moves
    assert all(900 < count < 1100 for count in done.values())


def test_randaugment_is_as_strong_as_its_magnitude() -> None:
    strong = drawn(AugmentOptions(randaugment=1, randaugment_magnitude=1.0))
    assert amounts(strong, distort.brightness).unique().tolist() == pytest.approx([0.1, 1.9])
    assert amounts(strong, distort.posterize).unique().tolist() == [4.0]
    assert amounts(strong, distort.solarize).unique().tolist() == [0.0]
    maps = amounts(strong, distort.move)
    assert maps[:, 0, 2].abs().max() == round(150 / 331 * 8)
    none = drawn(AugmentOptions(randaugment=1, randaugment_magnitude=0.0))
    assert distort.move not in [change.function for change in none.changes]
    assert (amounts(none, distort.brightness) == 1).all()
    assert (amounts(none, distort.solarize) == 1).all()


def test_a_change_finds_its_images_in_any_batch() -> None:
    images = torch.rand(10, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    which = torch.tensor([1, 4, 5, 9])
    change = Change(distort.brightness, which, torch.tensor([0.0, 0.1, 0.2, 0.3]))
    expected = images.clone()
    expected[which] *= torch.tensor([0.0, 0.1, 0.2, 0.3])[:, None, None, None]
    for bounds in ([0, 10], [0, 4, 6, 10], [0, 1, 2, 4, 10]):
        parts = [change.on(images[start:stop].clone(), start) for start, stop in pairwise(bounds)]
        assert torch.equal(torch.cat(parts), expected)


def test_options_that_none_ignores_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        options = AugmentOptions(augment="none", rotation=10.0, cutout=0.5, mix="mixup", mix_alpha=0.2)
        for epoch in (1, 2):
            drawn(options, epoch=epoch)
    assert [record.getMessage() for record in caplog.records] == [
        "ignored, because augment is none: rotation, cutout"
    ]
    caplog.clear()
    AugmentOptions(augment="none", flip="none", crop_padding=0, brightness=0.0)
    AugmentOptions(**ALL)
    assert not caplog.records


def test_images_change_with_augmentation_or_mixing() -> None:
    assert AugmentOptions().changes_images
    assert AugmentOptions(augment="none", mix="cutmix").changes_images
    assert not AugmentOptions(augment="none").changes_images
