"""Limits of a trial: what is too large is not trained, what is too slow cannot win, and the sampler knows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness import models
from harness.config.sections import Constraints
from harness.config.study_file import Study, load_study_file
from harness.errors import StudyError
from harness.folds.fold import FoldTask
from harness.records import TrialRecord, to_json, trial_from_json
from harness.search.constraints import Limits, Networks, Size, limits_of
from harness.search.driver import Driver
from harness.search.sampling import Asker
from harness.store.store import Store
from tests.analysis.test_reproduce import STUDY
from tests.search.test_driver import TableExecutor, driver_of, outcome

CLASSES = tuple("0123456789")
NETWORKS = Networks((1, 8, 8), CLASSES)
WIDTHS = ["model.width={low: 4, high: 64}", "model.dropout=0", "train.batch_size=256", "search.batch=3"]
MOST = 12_000  # parameters: a ResNet of depth 1 and one block of width 19


def limits(**most: float) -> Limits:
    return Limits(Constraints(**most), NETWORKS)  # type: ignore[arg-type]


def limited(study: Study, home: Path, score: Callable[[FoldTask], float], **options: int) -> Driver:
    driver = driver_of(study, home, score, **options)
    driver.limits = Limits(study.search.constraints, NETWORKS)
    return driver


def study_of(path: Path, *overrides: str) -> Study:
    return load_study_file(str(path), [*WIDTHS, f"search.constraints.parameters={MOST}", *overrides])


def wider_is_better(task: FoldTask) -> float:
    return float(task.values["model.width"]) / 100 + 0.001 * task.fold  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["resnet", "simple_cnn", "block_mixture", "speednet", "staged_cnn"])
def test_the_size_without_memory_is_that_of_the_network(name: str) -> None:
    network = models.build(name, 1, 8, CLASSES, {})
    state = torch.random.get_rng_state()
    size = Networks((1, 8, 8), CLASSES).size({"model.name": name})
    assert torch.equal(torch.random.get_rng_state(), state)
    assert size == Size(
        sum(parameter.numel() for parameter in network.parameters()),
        sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values()),
    )


def test_a_model_that_looks_at_its_weights_is_measured_too(own_model: Callable[[str, str], Path]) -> None:
    own_model(
        "looking",
        "import torch\n\n\ndef build(in_channels, image_size, num_classes, *, width: int = 3):\n"
        "    layer = torch.nn.Linear(width, num_classes)\n"
        "    assert float(layer.weight.abs().max()) < 9\n"
        "    return layer\n",
    )
    assert Networks((1, 8, 8), CLASSES).size({"model.name": "looking", "model.width": 3}) == Size(40, 160)


def test_what_is_too_large_or_too_slow_is_told_with_its_limit() -> None:
    values = {"model.name": "resnet", "model.depth": 1, "model.width": 64}
    assert "parameters, more than search.constraints.parameters = 1,000" in limits(parameters=1000).too_large(
        values
    )
    assert "bytes, more than search.constraints.model_bytes = 1,000" in limits(model_bytes=1000).too_large(
        values
    )
    assert limits(parameters=1e6, model_bytes=1e7).too_large(values) == ""
    slow = limits(seconds_per_fold=2)
    assert slow.too_large(values) == "" and slow.too_slow([1.0, 3.0]) == ""
    assert slow.too_slow([2.0, 3.0]) == (
        "took 2.5 s a fold on that machine, more than search.constraints.seconds_per_fold = 2"
    )
    trial = TrialRecord(0, "stopped", {}, values, folds=("a", "b"), seconds=5.0)
    assert slow.excess(trial) == {"seconds_per_fold": 0.25}


def test_a_trial_that_is_too_large_ends_without_a_fold_and_cannot_win(
    study_file: Path, tmp_path: Path
) -> None:
    study = study_of(study_file, "search.trials=9")
    driver = limited(study, tmp_path, wider_is_better)
    list(driver.run())
    assert isinstance(driver.executor, TableExecutor) and driver.limits is not None
    too_large = [trial for trial in driver.trials if "search.constraints.parameters" in trial.reason]
    assert too_large and driver.best is not None
    for trial in driver.trials:
        size = driver.limits.networks.size(trial.values)
        assert size is not None and (size.parameters > MOST) == (trial in too_large)
    assert all((trial.state, trial.folds, trial.mean) == ("stopped", (), None) for trial in too_large)
    trained = {task.values["model.width"] for task in driver.executor.trained}
    assert not trained & {trial.values["model.width"] for trial in too_large}
    assert all(trial_from_json(to_json(trial)) == trial for trial in too_large)


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_the_sampler_keeps_within_the_limits_once_it_knows_them(study_file: Path, sampler: str) -> None:
    study = study_of(study_file, f"search.sampler={sampler}", "search.startup_trials=8")
    over = {}
    for told in (True, False):
        known = limits(parameters=MOST)
        asker = Asker(study, known.excess if told else None)
        params = []
        for number in range(24):
            params.append(asker.ask(number))
            values = study.space.values(params[-1])
            mean = None if known.too_large(values) else float(values["model.width"]) / 100  # type: ignore[arg-type]
            state = "stopped" if mean is None else "complete"
            asker.tell(TrialRecord(number, state, params[-1], values, mean=mean))
        over[told] = sum(bool(known.too_large(study.space.values(one))) for one in params[12:])
    assert over[True] < over[False]


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 3])
def test_a_study_with_limits_goes_on_to_the_same_end(study_file: Path, tmp_path: Path, slots: int) -> None:
    study = study_of(study_file, "search.startup_trials=4", "search.trials=15")
    whole = limited(study, tmp_path / "whole", wider_is_better, slots=slots)
    events = list(whole.run())
    for cut in range(3, len(events), 13):
        home = tmp_path / f"cut {cut}"
        running = limited(study, home, wider_is_better, slots=slots).run()
        for _ in range(cut):
            next(running)
        running.close()
        resumed = limited(study, home, wider_is_better, slots=slots)
        list(resumed.run())
        assert outcome(resumed.trials) == outcome(whole.trials)
    assert outcome(Store(home).read_trials(study.name)) == outcome(whole.trials)


@pytest.mark.parametrize(("most", "wins"), [(0.5, False), (1.5, True)])
def test_a_trial_that_is_too_slow_ends_and_cannot_win(
    study_file: Path, tmp_path: Path, most: float, wins: bool
) -> None:
    """The played folds take a second each."""
    study = load_study_file(
        str(study_file), [f"search.constraints.seconds_per_fold={most}", "search.racing=none"]
    )
    driver = limited(study, tmp_path, lambda task: 0.5)
    list(driver.run())
    assert (driver.best is not None) == wins
    assert {(trial.state, len(trial.folds)) for trial in driver.trials} == {
        ("complete", 3) if wins else ("stopped", 1)
    }


def test_only_a_limit_on_time_is_warned_of(study_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = replace(STUDY, data={"image_shape": [1, 8, 8], "classes": list(CLASSES)})
    assert limits_of(load_study_file(str(study_file)), record) is None
    assert limits_of(study_of(study_file), record) is not None and not caplog.records
    limits_of(load_study_file(str(study_file), ["search.constraints={seconds_per_fold: 3}"]), record)
    assert "depends on the speed" in caplog.text


def test_limits_belong_to_the_definition_where_there_are_such(study_file: Path) -> None:
    assert study_of(study_file).definition()["search"]["constraints"] == {"parameters": MOST}
    assert "constraints" not in load_study_file(str(study_file)).definition()["search"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("search.constraints={parametrs: 3}", "search.constraints.parametrs"),
        ("search.constraints={parameters: 0}", "greater than 0"),
        ("search.constraints={parameters: 1.5}", "must be a valid integer"),
        ("search.constraints.parameters=few", "search.constraints.parameters"),
        ("search.constraints=3", "search.constraints"),
    ],
)
def test_a_limit_that_cannot_be_is_told(study_file: Path, override: str, expected: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_study_file(str(study_file), [override])
    assert expected in str(caught.value)
