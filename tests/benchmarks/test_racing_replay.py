"""The figures that the default rule was chosen by, on fewer simulated studies."""

from harness.config.sections import Search
from harness.search.racing import RULES
from tests.benchmarks.racing_replay import STRICT, WILCOXON, recording, replayed, replayed_proposals, simulate


def test_the_default_rule_saves_half_the_folds_and_seldom_loses_the_winner() -> None:
    known = recording()
    found = replayed(known, rule=Search().racing, rung=None, trials=40, studies=100)
    assert found["folds"] < 0.4 and found["worse"] < 0.04 and found["regret"] < 0.001


def test_a_short_training_first_trains_less_than_a_third_of_the_folds_and_half_of_what_wilcoxon_does() -> (
    None
):
    known = recording()
    found = replayed(known, rule="paired", rung=0.25, trials=40, studies=100)
    peer = replayed(known, rule=WILCOXON, rung=None, trials=40, studies=3)
    assert found["folds"] < 1 / 3 and found["folds"] < 0.45 * peer["folds"] and found["worse"] < 0.04


def test_without_racing_every_fold_is_trained_and_the_winner_found() -> None:
    found = simulate(recording(), range(30), RULES["none"]())
    assert (found.folds, found.missed, found.regret) == (1.0, False, 0.0) and abs(found.seconds - 1) < 1e-9


def test_forgiving_loses_more_winners_than_paired_and_an_indifference_more_than_none() -> None:
    known = recording()
    missed = {
        rule: replayed(known, rule=rule, rung=None, trials=40, studies=100)["missed"]
        for rule in ("forgiving", "paired", STRICT)
    }
    assert missed["forgiving"] > missed["paired"] > missed[STRICT]


def test_of_proposed_configurations_the_indifference_saves_folds_and_costs_little() -> None:
    worth, strict = (replayed_proposals(rule=rule) for rule in ("paired", STRICT))
    assert worth["folds"] < 0.95 * strict["folds"] and worth["worse"] < 0.06
