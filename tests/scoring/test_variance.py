"""Variance components of simulated scores whose parts are known."""

import numpy as np
import pytest

from harness.scoring.variance import Components, Design, variance_components, variance_of, what_pays

NAMES = ("hyperparameters", "split", "initialisation", "residual")


def scores(
    truth: dict[str, float], shape: tuple[int, int, int, int], seed: int, *, common: float = 0.5
) -> np.ndarray:
    """Scores whose parts have these variances; of the split's, the share `common` is the same for all trials.

    Folds of a split differ in how hard their images are, and this cancels in their mean, because they hold all images.
    """
    generator = np.random.default_rng(seed)
    trials, splits, seeds, folds = shape

    def part(name: str, share: float, *size: int) -> np.ndarray:
        return np.sqrt(share * truth[name]) * generator.normal(size=size)

    hard = part("residual", 1, 1, splits, 1, folds)
    return (
        0.8
        + part("hyperparameters", 1, trials, 1, 1, 1)
        + part("split", common, 1, splits, 1, 1)
        + part("split", 1 - common, trials, splits, 1, 1)
        + (hard - hard.mean(3, keepdims=True))
        + part("initialisation", 1, trials, splits, seeds, folds)
    )


def as_confirmed(full: np.ndarray) -> np.ndarray:
    """Seeds repeated on the first split only."""
    kept = full.copy()
    kept[:, 1:, 1:] = np.nan
    return kept


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_the_parts_are_found_on_average(confirmed, common):
    truth = {"hyperparameters": 1.0, "split": 1.0, "initialisation": 2.0, "residual": 3.0}
    found = []
    for seed in range(300):
        full = scores(truth, (6, 4, 3, 5), seed, common=common)
        found.append(variance_components(as_confirmed(full) if confirmed else full).variance)
    for name in NAMES:
        assert np.mean([one[name] for one in found]) == pytest.approx(truth[name], rel=0.12), name


def test_shares_sum_to_one_and_are_never_negative():
    truth = {"hyperparameters": 0.0, "split": 0.0, "initialisation": 1.0, "residual": 0.0}
    for seed in range(20):
        share = variance_components(scores(truth, (3, 2, 2, 5), seed)).share
        assert min(share.values()) >= 0
        assert sum(share.values()) == pytest.approx(1)


def test_what_the_design_cannot_show_is_none():
    truth = dict.fromkeys(NAMES, 1.0)
    one_split = variance_components(scores(truth, (4, 1, 2, 5), 0)).variance
    assert one_split["split"] is None and one_split["hyperparameters"] is not None
    one_seed = variance_components(scores(truth, (4, 3, 1, 5), 0)).variance
    assert one_seed["initialisation"] is None and one_seed["residual"] is not None
    one_trial = variance_components(scores(truth, (1, 3, 2, 5), 0)).variance
    assert one_trial["hyperparameters"] is None and one_trial["split"] is not None
    nothing = variance_components(np.full((1, 1, 1, 1), 0.5))
    assert nothing == Components(dict.fromkeys(NAMES), dict.fromkeys(NAMES))


def test_a_run_that_lacks_a_fold_is_left_out_and_splits_are_judged_where_every_trial_has_them():
    full = scores(dict.fromkeys(NAMES, 1.0), (4, 3, 2, 5), 0)
    gaps = np.concatenate([full, full[:, :1] + 100], axis=1)
    gaps[0, 3, :, 2] = np.nan
    expected = variance_components(full).variance
    found = variance_components(gaps).variance
    for name in (
        "hyperparameters",
        "split",
    ):  # the others still learn from the trials that have the fourth split
        assert found[name] == pytest.approx(expected[name], abs=0.05)
    with pytest.raises(ValueError, match="no split has all folds of every trial"):
        variance_components(np.full((2, 1, 1, 5), np.nan))


def test_equal_scores_have_no_variance():
    found = variance_components(np.full((2, 2, 2, 3), 0.5))
    assert set(found.variance.values()) == {0.0} and set(found.share.values()) == {0.0}


def test_the_expected_error_of_a_mean_is_the_one_seen_in_simulation():
    truth = {"hyperparameters": 0.0, "split": 0.5, "initialisation": 2.0, "residual": 3.0}
    shape = (2000, 3, 2, 5)
    drawn = scores(truth, shape, 0, common=0.0)
    found = what_pays(Components(dict(truth), {}), (2000, 2, 1, 5))
    assert found.now.standard_error == pytest.approx(drawn[:, :2, 0].mean((1, 2)).std(), rel=0.05)
    assert found.one_more_seed.standard_error == pytest.approx(drawn[:, :2].mean((1, 2, 3)).std(), rel=0.05)
    assert found.one_more_split.standard_error == pytest.approx(drawn[:, :3, 0].mean((1, 2)).std(), rel=0.05)
    designs = (found.now, found.one_more_seed, found.one_more_split)
    assert [design.trainings for design in designs] == [10, 20, 15]


def test_without_the_parts_there_is_no_expected_error():
    parts = variance_components(scores(dict.fromkeys(NAMES, 1.0), (4, 1, 1, 5), 0))
    assert what_pays(parts, (4, 1, 1, 5)).now == Design(5, None)


def test_splits_that_are_one_and_the_same_are_further_seeds() -> None:
    found = scores(dict.fromkeys(NAMES, 1.0), (3, 2, 2, 5), seed=0)
    found[:, 1, 1] = np.nan  # a second seed on the first split only
    same = variance_of(found, has_same_folds=True)
    of_three = variance_components(found.reshape(3, 1, 4, 5)[:, :, :3])
    assert same.components.variance == pytest.approx(of_three.variance)
    assert same.components.variance["split"] is None
    assert same.what_pays.now == Design(10, None)
    assert variance_of(found).components.variance["split"] is not None
