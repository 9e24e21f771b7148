"""Racing with several objectives: only what another trial dominates by the rule is stopped, whatever the workers do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.study_file import Study, load_study_file
from harness.folds.fold import FoldTask
from harness.records import Objective, TrialRecord, to_json, trial_from_json
from harness.search.constraints import Networks
from harness.search.dominance import stops_dominated
from harness.search.driver import Driver
from harness.search.objectives import OtherObjectives
from harness.search.racing import Forgiving, Never
from harness.store.store import Store
from tests.search.test_driver import driver_of, outcome

ACCURACY, SIZE, SECONDS, LOSS = (
    Objective("accuracy", "maximize"),
    Objective("parameters", "minimize"),
    Objective("seconds_per_fold", "minimize"),
    Objective("log_loss", "minimize"),
)
BEST = (0.90, 0.91, 0.92)


def trial(number: int, *scores: float, state: str = "complete", **others: tuple[float, ...]) -> TrialRecord:
    mean = sum(scores) / len(scores)
    return TrialRecord(number, state, {}, {}, scores=scores, mean=mean, others=others)  # type: ignore[arg-type]


def why(late: TrialRecord, *earlier: TrialRecord, others: tuple[Objective, ...] = (SIZE,)) -> str:
    return stops_dominated(Forgiving(), late, earlier, (ACCURACY, *others), num_folds=3)


def test_a_trial_stops_where_one_that_is_no_larger_beats_it_by_the_rule() -> None:
    large, small = trial(0, *BEST, parameters=(100,)), trial(1, 0.7, 0.71, 0.72, parameters=(10,))
    late = trial(2, 0.8, state="running", parameters=(50,))
    assert why(late, large, small) == ""  # the one that beats it is larger
    assert why(replace(late, others={"parameters": (100.0,)}), large, small) == (
        "mean 0.8000 after 1 of 3 folds is worse than trial 0's worst fold, 0.9000; trial 0 has no more parameters"
    )
    assert "trial 1's worst fold" in why(trial(2, 0.6, state="running", parameters=(10,)), large, small)
    assert why(trial(2, 0.6, state="running", parameters=(9,)), large, small) == ""


def test_only_complete_trials_stop_others() -> None:
    late = trial(2, 0.1, state="running", parameters=(50,))
    assert why(late, trial(0, 0.9, state="stopped", parameters=(10,))) == ""
    assert why(late) == ""


def test_where_folds_measure_another_objective_the_trial_must_lose_in_that_too() -> None:
    fast = trial(0, *BEST, seconds_per_fold=(2.0, 2.0, 3.0))
    for seconds, stops in ((1.5, False), (2.5, False), (3.5, True)):
        late = trial(1, 0.5, state="running", seconds_per_fold=(seconds,))
        said = why(late, fast, others=(SECONDS,))
        assert bool(said) == stops
    assert said.endswith(
        "seconds_per_fold: mean 3.5000 after 1 of 3 folds is worse than trial 0's worst fold, 3.0000"
    )


def test_a_rule_that_stops_nothing_stops_nothing() -> None:
    late = trial(1, 0.1, state="running", parameters=(100,))
    assert (
        stops_dominated(Never(), late, [trial(0, *BEST, parameters=(1,))], (ACCURACY, SIZE), num_folds=3)
        == ""
    )


def several(path: Path, *overrides: str) -> Study:
    return load_study_file(
        str(path),
        [
            "model.width={low: 4, high: 32}", "model.dropout=0", "train.batch_size=256", "search.trials=14",
            "search.batch=3", "objective=[accuracy, parameters, log_loss]", *overrides,
        ],
    )  # fmt: skip


def driver(study: Study, home: Path, score: Callable[[FoldTask], float], *, slots: int = 1) -> Driver:
    made = driver_of(study, home, score, slots=slots)
    made.others = OtherObjectives(study.others, Networks((1, 8, 8), tuple("0123456789")))
    return made


def wider_is_better_up_to_a_point(task: FoldTask) -> float:
    width, lr = float(task.values["model.width"]), float(task.values["train.lr"])  # type: ignore[arg-type]
    return 0.5 + min(width, 16) / 50 - abs(lr - 0.2) + 0.01 * task.fold


def test_trials_record_all_objectives_and_only_dominated_ones_are_stopped(
    study_file: Path, tmp_path: Path
) -> None:
    study = several(study_file, "search.racing=forgiving", "search.sampler=random")
    running = driver(study, tmp_path, wider_is_better_up_to_a_point)
    list(running.run())
    stopped = [one for one in running.trials if one.state == "stopped"]
    assert stopped and any(one.state == "complete" for one in running.trials[1:])
    for one in running.trials:
        size = Networks((1, 8, 8), tuple("0123456789")).size(one.values)
        assert size is not None and one.others["parameters"] == (size.parameters,)
        assert one.others["log_loss"] == tuple(1 - score for score in one.scores)
        assert trial_from_json(to_json(one)) == one
    for one in stopped:
        rivals = [other for other in running.trials[: one.number] if other.state == "complete"]
        assert any(
            other.others["parameters"] <= one.others["parameters"]
            and min(other.scores) > max(one.scores) - 0.02
            for other in rivals
        )


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 3])
def test_a_study_with_several_objectives_goes_on_to_the_same_end(
    study_file: Path, tmp_path: Path, slots: int
) -> None:
    study = several(study_file, "search.racing=forgiving", "search.startup_trials=4")
    whole = driver(study, tmp_path / "whole", wider_is_better_up_to_a_point, slots=slots)
    events = list(whole.run())
    others = [one.others for one in whole.trials]
    assert {one.state for one in whole.trials} == {"complete", "stopped"}
    for cut in range(3, len(events), 11):
        home = tmp_path / f"cut {cut}"
        running = driver(study, home, wider_is_better_up_to_a_point, slots=slots).run()
        for _ in range(cut):
            next(running)
        running.close()
        resumed = driver(study, home, wider_is_better_up_to_a_point, slots=slots)
        list(resumed.run())
        assert outcome(resumed.trials) == outcome(whole.trials)
        assert [one.others for one in Store(home).read_trials(study.name)] == others
