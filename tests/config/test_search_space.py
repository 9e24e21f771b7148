"""From ranges to values: trial 0, the grid, Optuna's distributions."""

from pathlib import Path

import pytest

from harness import models
from harness.config import search_space
from harness.config.study_file import Study, load_study_file
from harness.records import TrialRecord
from harness.search.sampling import Asker, replay


def load(path: Path, *overrides: str) -> Study:
    return load_study_file(str(path), overrides)


def ended(number: int, params: dict[str, object], mean: float | None) -> TrialRecord:
    state = "complete" if mean is not None else "failed"
    return TrialRecord(number, state, params, {}, mean=mean)  # type: ignore[arg-type]


def test_trial_0_is_the_defaults_or_what_lies_next_to_them(study_file: Path) -> None:
    study = load(study_file, "train.batch_size=[100, 4000]", "model.dropout={low: 0.2, high: 0.5}")
    first = search_space.defaults(study)
    assert first["train.batch_size"] == 100
    assert first["model.dropout"] == 0.2


def test_resolve_replaces_every_range_by_its_value(study_file: Path) -> None:
    study = load(study_file)
    values = search_space.resolve(study, search_space.defaults(study))
    assert set(values) == set(study.settings())
    assert all(isinstance(value, bool | int | float | str | None) for value in values.values())
    assert models.section(values, "model")["depth"] == 1


def test_the_grid_is_every_combination_and_bounds_the_budget(study_file: Path) -> None:
    study = load(
        study_file, "search.sampler=grid", "model.dropout=[0.0, 0.1]", "train.lr={low: 0.1, high: 0.3, step: 0.1}",
        "search.trials=100",
    )  # fmt: skip
    points = search_space.grid(study)
    assert len(points) == 2 * 2 * 3
    assert search_space.num_trials(study) == 12 + (search_space.defaults(study) not in points)
    asker = Asker(study)
    asked = [asker.ask(number) for number in range(search_space.num_trials(study))]
    assert len({tuple(params.values()) for params in asked}) == len(asked)
    assert all(point in asked for point in points)


def test_a_study_without_ranges_is_one_trial(study_file: Path) -> None:
    study = load(study_file, "model.dropout=0.1", "train.lr=0.1", "train.batch_size=256")
    assert search_space.num_trials(study) == 1
    assert search_space.defaults(study) == {}


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_resumed_study_is_asked_the_same_questions(study_file: Path, sampler: str) -> None:
    study = load(study_file, f"search.sampler={sampler}", "search.trials=16")
    whole, asked = Asker(study), []
    for number in range(16):
        asked.append(whole.ask(number))
        whole.tell(ended(number, asked[-1], 0.5 + 0.01 * number if number % 5 else None))
    for cut in (1, 7, 13):
        history = [ended(n, asked[n], 0.5 + 0.01 * n if n % 5 else None) for n in range(cut)]
        assert replay(study, history).ask(cut) == asked[cut]
    assert len({tuple(params.values()) for params in asked}) == 16


def test_trials_asked_together_do_not_depend_on_when_they_end(study_file: Path) -> None:
    study = load(study_file, "search.trials=20")
    together = replay(
        study, [ended(n, Asker(study).ask(0) if n == 0 else _random(study, n), 0.1 * n) for n in range(12)]
    )
    first, second = together.ask(12), together.ask(13)
    again = replay(
        study, [ended(n, Asker(study).ask(0) if n == 0 else _random(study, n), 0.1 * n) for n in range(12)]
    )
    again.pending(first)
    assert again.ask(13) == second != first


def _random(study: Study, number: int) -> dict[str, object]:
    return {"model.dropout": number / 40, "train.batch_size": 256, "train.lr": 0.01 * number}


def test_importances_find_the_one_value_that_matters(study_file: Path) -> None:
    study = load(study_file, "search.sampler=random", "search.trials=40")
    asker = Asker(study)
    for number in range(40):
        params = asker.ask(number)
        asker.tell(ended(number, params, float(params["model.dropout"])))  # type: ignore[arg-type]
    importances = asker.importances()
    assert max(importances, key=lambda name: importances[name]) == "model.dropout"


def test_equal_importances_have_one_order(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna.importance  # the module itself, which optuna has only once it is imported

    study = load(study_file, "search.sampler=random", "search.trials=40")
    asker = Asker(study)
    for number in range(40):
        params = asker.ask(number)
        asker.tell(ended(number, params, float(params["model.dropout"])))  # type: ignore[arg-type]
    shares = {"train.lr": 0.2, "train.batch_size": 0.2, "model.dropout": 0.6}
    monkeypatch.setattr(optuna.importance, "get_param_importances", lambda *_, **__: shares)
    assert [*asker.importances()] == ["model.dropout", "train.batch_size", "train.lr"]
