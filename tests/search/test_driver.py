"""The driver's decisions, with an executor that answers from a table: what depends on what, and what must not."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

from harness.config.signatures import Between
from harness.config.study_file import Study, load_study_file
from harness.errors import HarnessError
from harness.folds.fold import FoldTask
from harness.folds.processes import Executor
from harness.folds.tasks import RUNG, make_tasks, shortened
from harness.folds.worker import FoldFailure, Report
from harness.records import FoldRecord, TrialRecord
from harness.search.driver import Driver, FoldBegan, FoldEnded, TrialEnded
from harness.search.racing import RULES, Field, Rule
from harness.store.store import Store

Score = Callable[[FoldTask], float | str]


@dataclass
class TableExecutor(Executor):
    """Folds end in a shuffled order, with scores from a function; a text is a failure."""

    store: Store
    score: Score
    num_slots: int = 1
    seed: int = 0
    trained: list[FoldTask] = field(default_factory=list)
    under_way: list[FoldTask] = field(default_factory=list)

    def submit(self, task: FoldTask) -> None:
        assert len(self.under_way) < self.num_slots
        self.under_way.append(task)

    def next(self) -> tuple[str, Report]:
        place = random.Random(f"{self.seed} {len(self.trained)}").randrange(len(self.under_way))
        task = self.under_way.pop(place)
        self.trained.append(task)
        score = self.score(task)
        if isinstance(score, str):
            return task.key(), FoldFailure(score)
        record = FoldRecord(
            key=task.key(), fold=task.fold, task=asdict(task), epochs=(), chosen_epoch=1,
            metrics={"accuracy": score, "log_loss": 1 - score}, confusion=((1,),), num_parameters=1,
            seconds=1.0, started=1.0, fingerprint={}, hashes={},
        )  # fmt: skip
        arrays = {
            "indices": np.arange(1),
            "labels": np.arange(1),
            "probabilities": np.ones((1, 1), np.float32),
        }
        return task.key(), self.store.write_fold(record, arrays, {"w": np.ones(1, np.float32)})

    def close(self) -> None:
        self.under_way.clear()


def study_of(path: Path, *overrides: str) -> Study:
    return load_study_file(str(path), ["search.trials=12", "search.sampler=random", *overrides])


def driver_of(study: Study, home: Path, score: Score, *, slots: int = 1, seed: int = 0) -> Driver:
    store = Store(home)
    return Driver(
        study=study,
        store=store,
        name=study.name,
        executor=TableExecutor(store, score, slots, seed),
        make_task=make_tasks(study, data_hash="d", split_hash="s", compute={}),
        num_trials=study.search.trials,
    )


def smooth(task: FoldTask) -> float:
    """Dropout helps, and folds differ."""
    dropout = float(task.values["model.dropout"])  # type: ignore[arg-type]
    return 0.5 + dropout / 2 + 0.1 * random.Random(f"{task.fold} {dropout}").random()


def noisy(task: FoldTask) -> float | str:
    """The same, but for a region that always fails in its second fold."""
    dropout = float(task.values["model.dropout"])  # type: ignore[arg-type]
    fails = 0.35 < dropout < 0.45 and task.fold == 1
    return "non-finite loss at epoch 1, step 2" if fails else smooth(task)


def outcome(trials: list[TrialRecord]) -> list[tuple[object, ...]]:
    return [
        (t.number, t.state, t.params, t.scores, t.mean, t.standard_error, t.reason, t.folds) for t in trials
    ]


@pytest.mark.parametrize("rules", [["forgiving"], ["paired"], ["median"], ["forgiving", "search.rung=0.5"]])
def test_the_outcome_does_not_depend_on_the_number_or_speed_of_workers(
    study_file: Path, tmp_path: Path, rules: list[str]
) -> None:
    racing, *more = rules
    study = study_of(study_file, "search.batch=4", "train.epochs=4", f"search.racing={racing}", *more)
    outcomes = []
    for slots, seed in [(1, 0), (2, 0), (3, 1), (5, 2), (20, 3)]:
        driver = driver_of(study, tmp_path / f"{slots}-{seed}", noisy, slots=slots, seed=seed)
        list(driver.run())
        outcomes.append(outcome(driver.trials))
    assert {trial[1] for trial in outcomes[0]} == {"complete", "stopped", "failed"}
    assert all(other == outcomes[0] for other in outcomes)


@pytest.mark.parametrize(
    ("slots", "rung"),
    [
        (1, "null"),
        (3, "0.25"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in [(3, "null"), (1, "0.25")]),
    ],
)
def test_a_study_stopped_anywhere_goes_on_to_the_same_end(
    study_file: Path, tmp_path: Path, slots: int, rung: str
) -> None:
    study = study_of(
        study_file, "search.batch=3", "search.sampler=tpe", "train.epochs=4", f"search.rung={rung}"
    )
    whole = driver_of(study, tmp_path / "whole", noisy, slots=slots)
    events = list(whole.run())
    for cut in range(0, len(events), 7):
        home = tmp_path / f"cut {cut}"
        running = driver_of(study, home, noisy, slots=slots).run()
        for _ in range(cut):
            next(running)
        running.close()
        resumed = driver_of(study, home, noisy, slots=slots)
        list(resumed.run())
        assert outcome(resumed.trials) == outcome(whole.trials)
        assert outcome(Store(home).read_trials(study.name)) == outcome(whole.trials)


def test_a_larger_budget_continues_as_if_it_had_been_there_from_the_start(
    study_file: Path, tmp_path: Path
) -> None:
    whole = driver_of(study_of(study_file, "search.batch=4", "search.sampler=tpe"), tmp_path / "whole", noisy)
    list(whole.run())
    for trials in (6, 12):
        study = study_of(study_file, "search.batch=4", "search.sampler=tpe", f"search.trials={trials}")
        grown = driver_of(study, tmp_path / "grown", noisy)
        list(grown.run())
    assert outcome(grown.trials) == outcome(whole.trials)


def test_finished_folds_are_not_trained_again(study_file: Path, tmp_path: Path) -> None:
    study = study_of(study_file)
    list(driver_of(study, tmp_path, noisy).run())
    trials = Store(tmp_path).study_folder(study.name) / "trials"
    for path in trials.iterdir():
        path.unlink()
    again = driver_of(study, tmp_path, noisy)
    list(again.run())
    failed_again = sum(trial.state == "failed" for trial in again.trials)
    assert isinstance(again.executor, TableExecutor)
    assert (
        len(again.executor.trained) == failed_again
    )  # failures leave no record, so they are tried once more


def test_equal_values_are_trained_once(study_file: Path, tmp_path: Path) -> None:
    overrides = ["model.dropout=[0.1, 0.2]", "train.lr=0.1", "train.batch_size=256", "search.racing=none"]
    driver = driver_of(study_of(study_file, *overrides), tmp_path, lambda _: 0.5, slots=4)
    list(driver.run())
    assert isinstance(driver.executor, TableExecutor)
    assert len(driver.trials) == 12
    assert len(driver.executor.trained) == 2 * 3


def test_the_best_trial_has_all_its_folds_and_stopped_ones_were_behind(
    study_file: Path, tmp_path: Path
) -> None:
    driver = driver_of(study_of(study_file, "search.trials=40"), tmp_path, noisy)
    best_by_event = [event.best for event in driver.run() if isinstance(event, TrialEnded)]
    stopped = [trial for trial in driver.trials if trial.state == "stopped"]
    assert stopped and driver.best is not None
    assert len(driver.best.scores) == 3
    assert best_by_event[-1] == driver.best
    for trial in stopped:
        incumbent = best_by_event[trial.number - 1]
        assert incumbent is not None and trial.mean is not None
        assert trial.mean <= np.mean(incumbent.scores[: len(trial.scores)])
        assert len(trial.scores) < 3


def test_racing_works_for_an_objective_that_is_minimised(study_file: Path, tmp_path: Path) -> None:
    study = study_of(study_file, "objective=log_loss", "search.trials=30")
    driver = driver_of(study, tmp_path, noisy)
    list(driver.run())
    complete = [trial.mean for trial in driver.trials if trial.state == "complete"]
    assert driver.best is not None and driver.best.mean == min(complete)  # type: ignore[type-var]
    stopped = [trial for trial in driver.trials if trial.state == "stopped"]
    assert stopped and all(trial.mean > driver.best.mean for trial in stopped)  # type: ignore[operator]


def test_racing_saves_folds_and_none_saves_none(study_file: Path, tmp_path: Path) -> None:
    trained = {}
    for rule in ("none", "forgiving"):
        driver = driver_of(study_of(study_file, f"search.racing={rule}"), tmp_path / rule, smooth)
        list(driver.run())
        assert isinstance(driver.executor, TableExecutor)
        trained[rule] = len(driver.executor.trained)
    assert trained["none"] == 12 * 3
    assert trained["forgiving"] < trained["none"]


def test_a_fold_says_whether_its_trial_goes_on(study_file: Path, tmp_path: Path) -> None:
    """With one worker nothing changes that later: a trial ends with its first fold that says no."""
    driver = driver_of(study_of(study_file, "search.racing=forgiving"), tmp_path, smooth)
    said: dict[int, list[bool]] = {}
    for event in driver.run():
        if isinstance(event, FoldEnded):
            said.setdefault(event.number, []).append(event.in_the_race)
    assert {trial.state for trial in driver.trials} == {"complete", "stopped"}
    for trial in driver.trials:
        assert said[trial.number] == [True] * (len(trial.scores) - 1) + [False]


def test_one_worker_trains_nothing_in_vain(study_file: Path, tmp_path: Path) -> None:
    driver = driver_of(study_of(study_file), tmp_path, noisy)
    list(driver.run())
    used = {key for trial in driver.trials for key in trial.folds}
    assert isinstance(driver.executor, TableExecutor)
    in_vain = [task for task in driver.executor.trained if task.key() not in used]
    assert all(isinstance(noisy(task), str) for task in in_vain)


@pytest.mark.parametrize("slots", [1, 3])
def test_no_trial_begins_after_the_deadline(study_file: Path, tmp_path: Path, slots: int) -> None:
    driver = driver_of(study_of(study_file, "search.batch=6"), tmp_path, noisy, slots=slots)
    before: set[int] = set()
    after: set[int] = set()
    for event in driver.run():
        if isinstance(event, FoldBegan):
            (before if driver.deadline is None else after).add(event.number)
        if isinstance(event, FoldEnded):
            driver.deadline = 0.0
    assert len(before) == slots and after and after <= before
    states = [trial.state for trial in driver.trials]
    assert states.count("running") == len(states) - slots  # those that had begun were finished, the rest wait
    driver.deadline = None
    list(driver.run())
    assert all(trial.state != "running" for trial in driver.trials)


def test_a_damaged_fold_record_is_trained_again(study_file: Path, tmp_path: Path) -> None:
    study = study_of(study_file, "search.racing=none", "search.trials=2")
    whole = driver_of(study, tmp_path, lambda _: 0.5)
    list(whole.run())
    store = Store(tmp_path)
    path = store.fold_folder(whole.trials[0].folds[1]) / "oof.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (store.study_folder(study.name) / "trials" / "00000.json").unlink()
    again = driver_of(study, tmp_path, lambda _: 0.5)
    list(again.run())
    assert isinstance(again.executor, TableExecutor)
    assert [task.key() for task in again.executor.trained] == [whole.trials[0].folds[1]]
    assert outcome(again.trials) == outcome(whole.trials)


def test_a_short_training_comes_first_and_may_stop_a_trial_without_a_fold(
    study_file: Path, tmp_path: Path
) -> None:
    def score(task: FoldTask) -> float:
        if task.values["train.epochs"] == 4:
            return smooth(task)
        return 0.1 if float(task.values["model.dropout"]) < 0.2 else 0.6  # type: ignore[arg-type]

    study = study_of(study_file, "search.rung=0.5", "search.racing=none", "train.epochs=4")
    driver = driver_of(study, tmp_path, score)
    steps = [(event.number, event.fold) for event in driver.run() if isinstance(event, FoldEnded)]
    assert steps[0] == (0, RUNG)
    executor = driver.executor
    assert isinstance(executor, TableExecutor)
    short = [task for task in executor.trained if task.values["train.epochs"] == 2]
    assert len(short) == study.search.trials and {task.fold for task in short} == {0}
    stopped = [trial for trial in driver.trials if trial.state == "stopped"]
    assert stopped and all(float(trial.params["model.dropout"]) < 0.2 for trial in stopped)  # type: ignore[arg-type]
    assert all(not trial.folds and trial.mean is None and trial.rung_score for trial in stopped)
    assert all("short training" in trial.reason for trial in stopped)


def test_a_study_in_which_most_trials_fail_ends_and_says_why(study_file: Path, tmp_path: Path) -> None:
    driver = driver_of(study_of(study_file), tmp_path, lambda task: "exploded")
    with pytest.raises(
        HarnessError, match=r"4 of 4 trials failed.*exception: fold 0: exploded.*--retry-failed"
    ):
        list(driver.run())
    assert [trial.failure for trial in driver.trials] == ["exception"] * 4


def test_failed_trials_can_be_tried_again(study_file: Path, tmp_path: Path) -> None:
    study = study_of(study_file, "search.trials=3")
    broken = driver_of(study, tmp_path, lambda task: "exploded")
    list(broken.run())
    Store(tmp_path).reopen_failed(study.name)
    mended, fresh = driver_of(study, tmp_path, smooth), driver_of(study, tmp_path / "fresh", smooth)
    for driver in (mended, fresh):
        list(driver.run())
    assert outcome(mended.trials) == outcome(fresh.trials)


def test_shortening_scales_the_schedule() -> None:
    values = {"train.epochs": 20, "train.step_size": 8, "train.warmup_epochs": 2.0, "train.lr": 0.1}
    assert shortened(values, 0.25) == {
        "train.epochs": 5, "train.step_size": 2, "train.warmup_epochs": 0.5, "train.lr": 0.1
    }  # fmt: skip
    assert shortened({"train.epochs": 1}, 0.25) == {"train.epochs": 1}


@dataclass(frozen=True)
class AtLeast(Rule):
    """Stop whatever scores too little, whoever came before.   score: that is enough."""

    score: Annotated[float, Between(0.0, 1.0)] = 0.5

    def stops(self, scores: Sequence[float], field: Field) -> str:
        return f"below {self.score:g} after {len(scores)} of {field.num_folds}" * (scores[-1] < self.score)


def test_a_rule_judges_the_first_trial_too_and_has_the_options_of_the_study(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, "at_least", AtLeast)
    study = study_of(study_file)
    search = study.search.model_copy(update={"racing": "at_least", "options": {"score": 0.4}})
    study = study.model_copy(update={"search": search})
    driver = driver_of(study, tmp_path, lambda task: 0.3 + task.fold / 10)
    driver.num_trials = 1
    (ended,) = [event for event in driver.run() if isinstance(event, TrialEnded)]
    assert (ended.trial.state, ended.trial.reason) == ("stopped", "below 0.4 after 1 of 3")
