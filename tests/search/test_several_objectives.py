"""What the samplers are told of studies with several objectives, and that they answer the same when asked again."""

from pathlib import Path

import pytest

from harness.config.sections import Constraints
from harness.config.study_file import Study, load_study_file
from harness.records import TrialRecord, Values
from harness.search.constraints import Limits, Networks
from harness.search.sampling import Asker

NETWORKS = Networks((1, 8, 8), tuple("0123456789"))
WIDTHS = ["model.width={low: 4, high: 64}", "model.dropout=0", "train.batch_size=256", "search.trials=16"]
BRANCHES = ["train.optimizer=[sgd, adamw]", "train.momentum={low: 0.8, high: 0.99, when: {optimizer: sgd}}"]
MOST = 12_000  # parameters


def several(path: Path, sampler: str, *overrides: str) -> Study:
    few = [] if sampler == "random" else ["search.startup_trials=4"]
    named = [f"search.sampler={sampler}", "objective=[accuracy, parameters]"]
    return load_study_file(str(path), [*WIDTHS, *named, *few, *overrides])


def ended(number: int, params: Values, study: Study, limits: Limits | None = None) -> TrialRecord:
    """A trial whose accuracy rises with its width; one that is too large has no fold."""
    values = study.space.values(params)
    size = NETWORKS.size(values)
    assert size is not None
    others = {"parameters": (float(size.parameters),)}
    if limits and limits.too_large(values):
        return TrialRecord(number, "stopped", params, values, others=others)
    mean = float(values["model.width"]) / 100  # type: ignore[arg-type]
    return TrialRecord(
        number, "complete", params, values, folds=("k",), scores=(mean,), mean=mean, others=others
    )


def test_a_trial_is_told_with_the_means_of_all_objectives_over_its_folds(study_file: Path) -> None:
    study = load_study_file(str(study_file), [*WIDTHS, "objective=[accuracy, parameters, log_loss]"])
    asker = Asker(study)
    trials = [
        TrialRecord(
            0, "complete", {}, {}, scores=(0.25, 0.75), mean=0.5,
            others={"parameters": (90.0, 90.0), "log_loss": (0.5, 1.0)},
        ),
        TrialRecord(
            1, "stopped", {}, {}, scores=(0.125,), mean=0.125,
            others={"parameters": (80.0,), "log_loss": (2.0,)},
        ),
        TrialRecord(2, "stopped", {}, {}, others={"parameters": (9e9,)}),
        TrialRecord(3, "failed", {}, {}, mean=0.1, others={"parameters": (9.0,), "log_loss": (2.0,)}),
    ]  # fmt: skip
    for trial in trials:
        asker.ask(trial.number)
    for trial in trials:
        asker.tell(trial)
    # The second one is expected to gain on its missing fold what the first one did.
    assert [way.name for way in asker.optuna.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert [trial.values for trial in asker.optuna.trials] == [[0.5, 90, 0.75], [0.375, 80, 2.25], None, None]
    assert [trial.state.name for trial in asker.optuna.trials] == ["COMPLETE", "COMPLETE", "FAIL", "FAIL"]


@pytest.mark.parametrize("most", [None, MOST])
@pytest.mark.parametrize("overrides", [[], BRANCHES], ids=["plain", "branches"])
@pytest.mark.parametrize("sampler", ["tpe", "random", pytest.param("gp", marks=pytest.mark.slow)])
def test_trials_are_asked_again_as_they_were(
    study_file: Path, sampler: str, overrides: list[str], most: int | None
) -> None:
    if sampler == "gp" and overrides:
        pytest.skip("gp needs values that every trial has")
    study = several(study_file, sampler, *overrides)
    limits = Limits(Constraints(parameters=most), NETWORKS) if most else None
    excess = limits.excess if limits else None
    whole, asked = Asker(study, excess), list[Values]()
    for number in range(14):
        asked.append(whole.ask(number))
        whole.tell(ended(number, asked[-1], study, limits))
    for cut in (5, 9, 13):
        again = Asker(study, excess)
        for number in range(cut):
            again.pending(asked[number])
            again.tell(ended(number, asked[number], study, limits))
        assert again.ask(cut) == asked[cut]


def test_importances_are_those_of_the_first_objective(study_file: Path) -> None:
    alone, both = (
        Asker(load_study_file(str(study_file), [*WIDTHS, f"objective={text}"]))
        for text in ("accuracy", "[accuracy, parameters]")
    )
    for number in range(12):
        params = both.ask(number)
        alone.pending(params)
        trial = ended(number, params, both.study)
        both.tell(trial)
        alone.tell(trial)
    assert both.importances() == alone.importances() != {}


@pytest.mark.parametrize("sampler", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_the_second_objective_is_asked_for(study_file: Path, sampler: str) -> None:
    """Accuracy rises with the width, so a search for that alone has large networks; with parameters, small ones too."""
    widths = {}
    for text in ("accuracy", "[accuracy, parameters]"):
        asker = Asker(several(study_file, sampler, f"objective={text}"))
        asked = []
        for number in range(24):
            params = asker.ask(number)
            asked.append(float(params["model.width"]))  # type: ignore[arg-type]
            asker.tell(ended(number, params, asker.study))
        widths[text] = sum(asked[12:]) / 12
    assert widths["[accuracy, parameters]"] < widths["accuracy"] - 5
