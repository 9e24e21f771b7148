"""What a network of all images is expected to score, on made-up scores whose truth is known."""

import numpy as np
import pytest

from harness.scoring.learning_curve import Expected, Scale, expected_score, share_of_gain


def from_two_points(folds: int, whole: float, half: float) -> float:
    """What is expected where both are known as well as can be."""
    fresh = np.full((1, 1, folds), whole)
    return expected_score(
        fresh, 0, tuned=fresh, whole=fresh[0, 0], half=np.full(folds, half), half_share=0.5, optimism=0.0,
        image_error=0.01, num_images=1000, fold_images=1000 / folds, test_images=1000, parts=folds,
        limits=(0.0, 1.0),
    ).score  # fmt: skip


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("slope", [30.0, 200.0, 500.0])
def test_a_curve_whose_log_odds_grow_as_one_over_n_is_carried_on_exactly(folds: int, slope: float) -> None:
    of_fold = 1000 * (1 - 1 / folds)
    whole, half, truth = (1 / (1 + np.exp(slope / size - 1.5)) for size in (of_fold, of_fold / 2, 1000))
    assert from_two_points(folds, whole, half) == pytest.approx(truth)


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("exponent", [0.1, 0.4, 1.2])
def test_of_a_steeper_curve_too_little_is_expected_and_not_too_much(folds: int, exponent: float) -> None:
    """Odds of an error that fall as a power of n, without an end."""
    of_fold = 1000 * (1 - 1 / folds)
    whole, half, truth = (1 / (1 + 30 * size**-exponent) for size in (of_fold, of_fold / 2, 1000))
    found = from_two_points(folds, whole, half)
    assert whole + 0.4 * (truth - whole) < found < truth


@pytest.mark.parametrize(
    "limits", [(0.0, 1.0), (-1.0, 1.0), (0.0, float("inf")), (-float("inf"), float("inf"))]
)
def test_a_scale_goes_there_and_back_and_knows_its_slope(limits: tuple[float, float]) -> None:
    scale = Scale(*limits)
    for score in (0.2, 0.5, 0.93):
        assert scale.back(scale.of(score)) == pytest.approx(score)
        rise = (scale.of(score + 1e-6) - scale.of(score - 1e-6)) / 2e-6
        assert scale.slope(score) == pytest.approx(rise, rel=1e-4)


def test_no_score_beyond_what_the_metric_can_be_is_expected() -> None:
    """Nearly perfect networks that were poor on half of the images, and one that is right everywhere."""
    fresh = np.array([[[0.96, 0.97, 1.0]]])
    found = expected_score(
        fresh, 0, tuned=fresh, whole=fresh[0, 0], half=np.array([0.75, 0.8, 0.78]), half_share=0.5, optimism=0.0,
        image_error=0.005, num_images=1000, fold_images=1000 / 3, test_images=300, parts=3, limits=(0.0, 1.0),
    )  # fmt: skip
    assert 0.5 < found.low < 0.9767 < found.score < found.high < 1


def test_the_last_k_th_adds_a_k_th_of_what_the_second_half_has_added() -> None:
    assert [share_of_gain(folds) for folds in (2, 3, 5, 10)] == pytest.approx([1 / 2, 1 / 3, 1 / 5, 1 / 10])
    assert share_of_gain(5, 0.4) < share_of_gain(5, 0.5) < share_of_gain(5, 0.6)


def made_up(
    random: np.random.Generator,
    *,
    folds: int,
    images: int,
    test: int,
    of_training: float,
    parts: float = 0,
    splits: int = 1,
) -> tuple[Expected, float]:
    """What is expected, and one test score.

    of_training: standard deviation of networks that are trained on the same images.   parts: as many as a fold holds
    out make up the images, `folds` where 0.   splits: repetitions.
    """
    gain, scale, parts = 0.06, Scale(0.0, 1.0), parts or folds
    truth = scale.back(scale.of(0.7) + share_of_gain(parts) * (scale.of(0.7) - scale.of(0.7 - gain)))
    held = round(images / parts)
    pooled = min(images, held * folds * splits)

    def scores(level: float, *size: int) -> np.ndarray:
        return random.binomial(held, np.clip(random.normal(level, of_training, size), 0, 1)) / held

    fresh = scores(0.7, 3, splits, folds)
    found = expected_score(
        fresh,
        0,
        tuned=scores(0.7, 3, splits, folds),
        whole=fresh[0, 0],
        half=scores(0.7 - gain, folds),
        half_share=0.5,
        optimism=0.0,
        image_error=float(np.sqrt(0.7 * 0.3 / pooled)),
        num_images=pooled,
        fold_images=held,
        test_images=test,
        parts=parts,
        limits=(0.0, 1.0),
    )
    seen = random.binomial(test, random.normal(truth, of_training)) / test
    return found, seen


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("of_training", [0.0, 0.02, 0.04])
@pytest.mark.parametrize(("images", "test"), [(400, 100), (2000, 10_000)])
def test_nineteen_of_twenty_test_scores_lie_in_the_interval(
    folds: int, of_training: float, images: int, test: int
) -> None:
    random = np.random.default_rng(folds)
    found = [
        made_up(random, folds=folds, images=images, test=test, of_training=of_training) for _ in range(300)
    ]
    assert np.mean([expected.low <= seen <= expected.high for expected, seen in found]) > 0.92


@pytest.mark.parametrize(
    ("folds", "parts", "splits"), [(1, 5, 1), (1, 5, 3), (1, 2.5, 2), (3, 3, 2), (5, 5, 3)]
)
@pytest.mark.parametrize("of_training", [0.0, 0.02, 0.04])
def test_so_they_do_with_hold_outs_and_repeated_folds(
    folds: int, parts: float, splits: int, of_training: float
) -> None:
    random = np.random.default_rng(folds)
    found = [
        made_up(
            random, folds=folds, images=2000, test=2000, of_training=of_training, parts=parts, splits=splits
        )
        for _ in range(300)
    ]
    assert np.mean([expected.low <= seen <= expected.high for expected, seen in found]) > 0.92


@pytest.mark.parametrize("folds", [5, 10])
@pytest.mark.parametrize("of_training", [0.02, 0.04])
def test_the_interval_is_no_wider_than_it_must_be(folds: int, of_training: float) -> None:
    random = np.random.default_rng(folds)
    found = [
        made_up(random, folds=folds, images=2000, test=10_000, of_training=of_training) for _ in range(300)
    ]
    needed = np.quantile([abs(seen - expected.score) for expected, seen in found], 0.95)
    assert np.median([expected.high - expected.low for expected, _ in found]) / 2 < 1.35 * needed


def test_what_is_taken_off_and_added_is_what_is_expected() -> None:
    fresh = np.array([[[0.70, 0.72]], [[0.60, 0.62]]])
    found = expected_score(
        fresh, 0, tuned=fresh, whole=fresh[0, 0], half=fresh[0, 0] - 0.1, half_share=0.5,
        optimism=0.01, image_error=0.02, num_images=500, fold_images=250, test_images=500, parts=2,
    )  # fmt: skip
    assert found.gain == pytest.approx(0.1 * share_of_gain(2))
    assert found.score == pytest.approx(0.71 - 0.01 + found.gain)
    assert found.score - found.low == pytest.approx(found.high - found.score)
    # Folds that differ by no more than their images: what is left is the images' own share, twice.
    assert found.high - found.score >= 1.96 * 0.02 * 2**0.5 * 0.999
