"""The racing rules against cases made by hand, and properties that every rule has."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.cli import run
from harness.config.sections import Search
from harness.config.study_file import load_study_file
from harness.errors import StudyError
from harness.search.racing import RULES, Field, Paired, require_enough_trials, rule_of, stops_at_rung

SCORES = st.floats(0.1, 0.9)
FOLDS = 5
TRIALS = st.lists(st.lists(SCORES, min_size=FOLDS, max_size=FOLDS), min_size=1, max_size=12)


def stopped(rule: str, scores: list[float], incumbent: list[float], *earlier: list[float]) -> bool:
    return bool(RULES[rule]().stops(scores, Field(len(incumbent), incumbent, [incumbent, *earlier])))


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_compares_with_an_incumbent_that_is_not_there(rule: str) -> None:
    assert not RULES[rule]().stops([0.1], Field(FOLDS, [], [[0.9]] * 20))
    assert not stops_at_rung(0.1, Field(FOLDS, [], [[0.9]] * 20, [0.9] * 20))


def test_a_rule_gets_its_own_options_from_the_study_and_its_defaults_elsewhere() -> None:
    sure = rule_of(Search(racing="paired", options={"confidence": 0.99, "startup_trials": 3}))
    assert sure == RULES["paired"](confidence=0.99) and rule_of(Search()) == RULES["paired"]()  # type: ignore[call-arg]


def test_a_more_confident_paired_rule_stops_later_and_a_median_rule_waits_as_it_is_told() -> None:
    incumbent = [0.8, 0.7, 0.9, 0.6, 0.7]
    field = Field(5, incumbent, [incumbent, [0.7, 0.72, 0.8, 0.62, 0.66]])
    gaps = {
        confidence: next(
            gap
            for gap in np.linspace(0, 1, 1001)
            if rule_of(Search(options={"confidence": confidence})).stops([0.8 - gap], field)
        )
        for confidence in (0.8, 0.95, 0.99)
    }
    assert gaps[0.8] < gaps[0.95] < gaps[0.99]
    median = rule_of(Search(racing="median", options={"warm_up": 2}))
    assert median.stops([0.1], field) and median.least_trials(5) == 3


def test_forgiving_compares_with_the_worst_fold() -> None:
    assert not stopped("forgiving", [0.70], [0.9, 0.7, 0.8])
    assert stopped("forgiving", [0.69], [0.9, 0.7, 0.8])
    assert not stopped("forgiving", [0.60, 0.82], [0.9, 0.7, 0.8])


def test_paired_sees_through_folds_that_differ() -> None:
    """Folds differ by 0.2, the trials by 0.02 in every fold: only the paired rule can tell."""
    incumbent = [0.9, 0.7, 0.8, 0.75, 0.85]
    other = [score - 0.01 + 0.001 * (-1) ** fold for fold, score in enumerate(incumbent)]
    behind = [score - 0.02 for score in incumbent]
    assert stopped("paired", behind[:1], incumbent, other)
    assert not stopped("forgiving", behind[:1], incumbent, other)


def test_paired_equals_its_formula() -> None:
    from scipy.stats import t

    incumbent, other = [0.8, 0.7, 0.9, 0.6, 0.7], [0.7, 0.72, 0.8, 0.62, 0.66]
    for behind in np.linspace(0, 0.2, 21):
        scores = [0.8 - behind, 0.71 - behind]
        pools = [np.subtract(other, incumbent), np.subtract(scores, incumbent[:2])]
        freedom = 4 + 1
        variance = sum(((pool - pool.mean()) ** 2).sum() for pool in pools) / freedom
        margin = t.ppf(0.9, freedom) * np.sqrt(variance * (1 / 2 - 1 / 5))
        worth = 0.33 * np.sqrt((1 / 5 + 1 / 4) * np.var(incumbent, ddof=1))
        gap = pools[1].mean()
        assert stopped("paired", scores, incumbent, other) == (gap <= 0 and gap + margin < worth)


def test_paired_keeps_still_without_a_variance() -> None:
    assert not stopped("paired", [0.1], [0.9, 0.9, 0.9])
    assert not stopped("paired", [0.1], [0.9, 0.9, 0.9], [0.8, 0.7, 0.8])  # two degrees of freedom


def test_paired_loses_few_that_would_have_won() -> None:
    """Trials equal to the incumbent in the mean: the final mean is better half the time, stopped are few.

    Fewer still are better by more than the indifference.
    """
    random = np.random.default_rng(0)
    wrong = worse = 0
    for _ in range(1000):
        hard = random.normal(0, 0.05, FOLDS)
        incumbent, others = hard + random.normal(0, 0.01, FOLDS), hard + random.normal(0, 0.01, (6, FOLDS))
        trial = hard + random.normal(0, 0.01, FOLDS)
        stops = stopped("paired", trial[:1].tolist(), incumbent.tolist(), *others.tolist())
        wrong += stops and trial.mean() > incumbent.mean()
        worse += stops and trial.mean() > incumbent.mean() + Paired().worth(incumbent.tolist(), FOLDS)
    assert 0 < wrong < 200 and worse < 40


def test_median_waits_for_five_trials_and_takes_the_lower_half() -> None:
    earlier = [[0.5, 0.5], [0.6, 0.5], [0.7, 0.5], [0.8, 0.5]]
    assert not stopped("median", [0.1], [0.9, 0.5], *earlier[:3])
    assert stopped("median", [0.69], [0.9, 0.5], *earlier)
    assert not stopped("median", [0.70], [0.9, 0.5], *earlier)


def test_median_compares_over_the_same_folds() -> None:
    """Trials that stopped after one fold say nothing of two folds."""
    earlier = [[0.9], [0.9], [0.9], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]
    assert not stopped("median", [0.3, 0.3], [0.9, 0.1], *earlier)


@given(TRIALS, st.integers(1, FOLDS - 1))
def test_the_trial_that_is_ahead_in_every_fold_is_never_stopped_by_paired_or_forgiving(
    trials: list[list[float]], num_folds: int
) -> None:
    incumbent = trials[0]
    ahead = [score + 0.01 for score in incumbent][:num_folds]
    for rule in ("paired", "forgiving", "none"):
        assert not RULES[rule]().stops(ahead, Field(FOLDS, incumbent, trials))


@given(TRIALS, st.integers(1, FOLDS - 1))
def test_none_never_stops(trials: list[list[float]], num_folds: int) -> None:
    assert not RULES["none"]().stops([0.0] * num_folds, Field(FOLDS, trials[0], trials))


def rung_field(random: np.random.Generator, *, noise: float, trials: int = 12) -> Field:
    """Trials whose fold 0 is their short training's score plus 0.2, up to that much noise."""
    rungs = random.uniform(0.2, 0.6, trials)
    scores = rungs[:, None] + 0.2 + random.normal(0, 0.01, (trials, FOLDS))
    scores[:, 0] += random.normal(0, noise, trials)
    return Field(FOLDS, scores[rungs.argmax()].tolist(), scores.tolist(), rungs.tolist())


def test_a_short_training_counts_as_far_as_it_has_foretold_the_long_one() -> None:
    telling, noisy = (rung_field(np.random.default_rng(0), noise=noise) for noise in (0.005, 0.3))
    score = max(telling.rungs) - 0.1
    assert "behind the best trial's" in stops_at_rung(score, telling)
    assert not stops_at_rung(score, noisy)
    assert not stops_at_rung(max(telling.rungs), telling)


def test_a_short_training_counts_only_after_six_others() -> None:
    field = rung_field(np.random.default_rng(0), noise=0.005, trials=6)
    assert stops_at_rung(0.0, field)
    assert not stops_at_rung(0.0, Field(FOLDS, field.incumbent, field.earlier[:5], field.rungs[:5]))


def test_equal_short_trainings_foretell_nothing() -> None:
    field = rung_field(np.random.default_rng(0), noise=0.005)
    assert not stops_at_rung(0.0, Field(FOLDS, field.incumbent, field.earlier, [0.3] * 12))


def test_the_rung_equals_the_prediction_interval_of_a_regression() -> None:
    from scipy.stats import linregress, t

    field = rung_field(np.random.default_rng(1), noise=0.02)
    x, y = np.array(field.rungs), np.array(field.earlier)[:, 0]
    fit, n = linregress(x, y), len(x)
    pools = [np.subtract(trial, field.incumbent) for trial in field.earlier]
    paired = sum(((pool - pool.mean()) ** 2).sum() for pool in pools) / (4 * (n - 1))
    residual = ((y - fit.intercept - fit.slope * x) ** 2).sum() / (n - 2)
    for score in np.linspace(0.2, 0.6, 41):
        far = 1 + 1 / n + (score - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
        margin = t.ppf(0.975, n - 2) * np.sqrt(residual * far + paired * 4 / 5)
        expected = fit.intercept + fit.slope * score + margin < field.incumbent[0]
        assert bool(stops_at_rung(score, field)) == expected


@pytest.mark.parametrize("folds", range(2, 9))
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "none"])
def test_least_trials_is_where_a_rule_can_first_act(rule: str, folds: int) -> None:
    """After one of its folds a hopeless trial is stopped; with one trial fewer after none of them."""
    random = np.random.default_rng(3)
    least = RULES[rule]().least_trials(folds)
    before = random.uniform(0.6, 0.8, (least - 1, folds)).tolist()
    hopeless = random.uniform(-1.1, -1.0, folds).tolist()

    def stops_after(trials: list[list[float]]) -> list[int]:
        field = Field(folds, max(trials, key=sum, default=[]), trials)
        return [n for n in range(1, folds) if RULES[rule]().stops(hopeless[:n], field)]

    assert stops_after(before)
    assert not stops_after(before[:-1])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.racing=median", "search.trials=5"], "median can stop nothing before trial 5 with 3 folds"),
        (["search.racing=paired", "search.trials=3"], "paired can stop nothing before trial 3 with 3 folds"),
        (
            ["search.racing=paired", "search.trials=3"],
            "and search.trials=3; use forgiving or none, or more trials",
        ),
        (
            ["search.racing=forgiving", "search.trials=1"],
            "nothing before trial 1 with 3 folds, and search.trials=1; use none, or more trials",
        ),
    ],
)
def test_racing_that_can_never_act_is_refused(
    study_file: Path,
    tmp_path: Path,
    overrides: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    check_here: None,
) -> None:
    with pytest.raises(StudyError, match=said) as refused:
        require_enough_trials(load_study_file(str(study_file), overrides))
    with pytest.raises(StudyError, match=re.escape(str(refused.value))):
        harness.tune(study_file, overrides, home=tmp_path / "home")
    sets = [word for override in overrides for word in ("--set", override)]
    for command in (
        ["check", str(study_file)],
        ["tune", "--home", str(tmp_path / "home"), "-s", str(study_file)],
    ):
        assert run([*command, *sets]) == 2
        assert str(refused.value) in capsys.readouterr().err


@pytest.mark.parametrize("overrides", [["search.trials=1"], ["search.racing=median", "search.trials=6"]])
def test_racing_that_can_act_or_was_not_asked_for_is_not(study_file: Path, overrides: list[str]) -> None:
    require_enough_trials(load_study_file(str(study_file), overrides))


@pytest.mark.parametrize("sign", [1, -1], ids=["maximised", "minimised"])
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "none"])
def test_a_reason_has_the_scores_as_the_metric_has_them(rule: str, sign: int) -> None:
    incumbent = [
        -0.1,
        -0.2,
        -0.1,
        -0.15,
        -0.2,
    ]  # such that higher is better, but of a metric that may be below zero
    earlier = [incumbent, *[[score - 0.01 * number for score in incumbent] for number in range(1, 6)]]
    reason = RULES[rule]().stops([-0.9, -0.9], Field(5, incumbent, earlier, sign=sign))
    assert f"mean {-0.9 * sign:.4f} after 2 of 5 folds" in reason
    assert rule != "forgiving" or f"{-0.2 * sign:.4f}" in reason.partition("folds")[2]


def test_the_reason_of_a_short_training_has_the_scores_as_the_metric_has_them() -> None:
    incumbent = [0.1, 0.2, 0.1]
    earlier = [[score - 0.1 * number for score in incumbent] for number in range(8)]
    rungs = [scores[0] - 0.2 for scores in earlier]
    reason = stops_at_rung(-5.0, Field(3, incumbent, earlier, rungs))
    assert reason.startswith("short training -5.0000: fold 0 would come to -4.8")
