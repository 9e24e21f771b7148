"""Trials that differ in what they are asked for: asked again from the records they are the same."""

from pathlib import Path

import pytest

from harness.config.study_file import Study, load_study_file
from harness.folds.fold import FoldTask
from harness.records import TrialRecord, Values
from harness.search.sampling import Asker, replay
from harness.store.store import Store
from tests.search.test_driver import driver_of, outcome

MODELS = (
    "model=[{name: resnet, depth: {low: 1, high: 3}, width: [4, 8]}, "
    "{name: simple_cnn, width: [16, 32], dropout: {low: 0.0, high: 0.5}}]"
)
CONDITIONS = [
    MODELS, "train.optimizer=[sgd, adamw]", "train.momentum={low: 0.8, high: 0.99, when: {optimizer: sgd}}",
    "search.batch=3", "search.trials=18",
]  # fmt: skip


def conditional(path: Path, *overrides: str) -> Study:
    return load_study_file(str(path), [*CONDITIONS, *overrides])


def with_sampler(path: Path, sampler: str) -> Study:
    few = ["search.startup_trials=4"] if sampler == "tpe" else []
    return conditional(path, f"search.sampler={sampler}", *few)


def score_of(values: Values) -> float:
    better = 0.3 * (values["model.name"] == "simple_cnn") + 0.2 * (values["train.optimizer"] == "sgd")
    return 0.2 + better + float(values["train.lr"]) / 10  # type: ignore[arg-type]


def ended(number: int, params: Values, values: Values) -> TrialRecord:
    return TrialRecord(number, "complete", params, values, mean=score_of(values))


def test_each_trial_has_what_applies_to_it_and_nothing_else(study_file: Path) -> None:
    study = with_sampler(study_file, "tpe")
    asker, asked = Asker(study), []
    for number in range(18):
        asked.append(asker.ask(number))
        asker.tell(ended(number, asked[-1], study.space.values(asked[-1])))
    for params in asked:
        assert ("model.depth" in params) == (params["model.name"] == "resnet")
        assert ("model.dropout" in params) == (params["model.name"] == "simple_cnn")
        assert ("train.momentum" in params) == (params["train.optimizer"] == "sgd")
        assert params["model.width"] in ((4, 8) if params["model.name"] == "resnet" else (16, 32))
    assert {(params["model.name"], params["train.optimizer"]) for params in asked} == {
        (model, optimizer) for model in ("resnet", "simple_cnn") for optimizer in ("sgd", "adamw")
    }


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_conditional_trials_are_asked_again_as_they_were(study_file: Path, sampler: str) -> None:
    study = with_sampler(study_file, sampler)
    whole, asked = Asker(study), []
    for first in range(0, 18, 3):
        batch = range(first, first + 3)
        asked += [whole.ask(number) for number in batch]
        for number in batch:
            whole.tell(ended(number, asked[number], study.space.values(asked[number])))
    for cut in range(1, 18):
        done = 3 * (cut // 3)
        again = replay(study, [ended(n, asked[n], study.space.values(asked[n])) for n in range(done)])
        for number in range(done, cut):  # a batch that was stopped half way
            again.pending(asked[number])
        assert again.ask(cut) == asked[cut]


def test_what_is_to_be_tried_first_comes_after_trial_0_and_is_told_like_it(study_file: Path) -> None:
    few = [
        "search.first=[{train.lr: 0.3}, {train.lr: 0.2, train.batch_size: 512}]",
        "search.startup_trials=2",
    ]
    study = load_study_file(str(study_file), few)
    asker, asked = Asker(study), []
    for number in range(6):
        asked.append(asker.ask(number))
        asker.tell(ended(number, asked[-1], {**study.space.values(asked[-1]), "model.name": "resnet"}))
    assert [params["train.lr"] for params in asked[:3]] == [0.1, 0.3, 0.2]
    assert asked[2]["train.batch_size"] == 512
    history = [ended(n, asked[n], {**study.space.values(asked[n]), "model.name": "resnet"}) for n in range(4)]
    assert replay(study, history).ask(4) == asked[4]
    assert replay(study, history[:1]).ask(1) == asked[1]
    told = asker.optuna.trials[1]
    assert told.params == asked[1] and told.value == history[1].mean


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 3])
def test_a_study_with_conditions_stopped_anywhere_goes_on_to_the_same_end(
    study_file: Path, tmp_path: Path, slots: int
) -> None:
    def score(task: FoldTask) -> float:
        return score_of(task.values) + 0.01 * task.fold

    study = with_sampler(study_file, "tpe")
    whole = driver_of(study, tmp_path / "whole", score, slots=slots)
    events = list(whole.run())
    for cut in range(0, len(events), 11):
        home = tmp_path / f"cut {cut}"
        running = driver_of(study, home, score, slots=slots).run()
        for _ in range(cut):
            next(running)
        running.close()
        resumed = driver_of(study, home, score, slots=slots)
        list(resumed.run())
        assert outcome(resumed.trials) == outcome(whole.trials)
        assert outcome(Store(home).read_trials(study.name)) == outcome(whole.trials)


def test_folds_of_a_named_model_are_found_by_a_study_that_searches_it(
    study_file: Path, tmp_path: Path
) -> None:
    fixed = ["train.lr=0.1", "train.batch_size=256", "search.sampler=grid", "search.racing=none"]
    widths = "{name: simple_cnn, width: [16, 32]}"
    alone = load_study_file(str(study_file), [*fixed, f"model={widths}", "search.trials=2"])
    first = driver_of(alone, tmp_path, lambda _: 0.5)
    list(first.run())
    both = load_study_file(
        str(study_file), [*fixed, f"model=[{{name: resnet}}, {widths}]", "search.trials=3"]
    )
    second = driver_of(both.model_copy(update={"name": "both"}), tmp_path, lambda _: 0.5)
    list(second.run())
    trained = second.executor.trained  # type: ignore[attr-defined]
    assert {task.values["model.name"] for task in trained} == {"resnet"}
    found = [trial for trial in second.trials if trial.params["model.name"] == "simple_cnn"]
    assert [trial.folds for trial in found] == [trial.folds for trial in reversed(first.trials)]


def test_importances_are_of_what_every_trial_has(study_file: Path) -> None:
    study = with_sampler(study_file, "random")
    asker = Asker(study)
    for number in range(18):
        params = asker.ask(number)
        asker.tell(ended(number, params, study.space.values(params)))
    shares = asker.importances()
    assert set(shares) == {"model.name", "train.optimizer", "train.batch_size", "train.lr"}
