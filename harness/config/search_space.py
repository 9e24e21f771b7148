"""From a study's ranges to a trial's values: what is searched, the defaults, the grid, Optuna's distributions."""

import itertools
import math
from dataclasses import replace
from typing import Any

from harness.config import catalog
from harness.config.settings import Choice, Range
from harness.config.signatures import Option, without_younger
from harness.config.study_file import Study
from harness.records import Scalar, Values


def searched(study: Study) -> dict[str, Choice | Range]:
    """The names that trials may differ in, in the study file's order."""
    return {
        path: setting for path, setting in study.settings().items() if isinstance(setting, Choice | Range)
    }


def resolve(study: Study, params: Values) -> Values:
    """All values of a trial, dotted: the study's maps with every range replaced by its value in `params`."""
    return {
        path: params[path] if isinstance(setting, Choice | Range) else setting
        for path, setting in study.settings().items()
    }


def without_younger_defaults(values: Values) -> Values:
    """A trial's values, without those of younger options that have their default: see signatures.Younger."""
    return without_younger(values, [replace(option, name=path) for path, option in _options(values).items()])


def defaults(study: Study) -> Values:
    """What somebody would use who did not tune: each option's own default, or the searched value next to it."""
    options = _options({"model.name": study.model["name"]})
    return {path: _nearest(setting, options[path].default) for path, setting in searched(study).items()}


def distributions(study: Study) -> dict[str, Any]:
    """The searched names as Optuna's distributions (loads optuna)."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def distribution(setting: Choice | Range) -> Any:
        if isinstance(setting, Choice):
            return CategoricalDistribution(setting.values)
        if setting.kind == "int":
            low, high = int(setting.low), int(setting.high)
            return IntDistribution(low, high, log=setting.log, step=int(setting.step or 1))
        return FloatDistribution(setting.low, setting.high, log=setting.log, step=setting.step)

    return {path: distribution(setting) for path, setting in searched(study).items()}


def grid(study: Study) -> list[Values]:
    """Every combination of the searched values, the last name changing fastest."""
    space = searched(study)
    columns = [
        setting.values if isinstance(setting, Choice) else setting.points() for setting in space.values()
    ]
    return [dict(zip(space, row, strict=True)) for row in itertools.product(*columns)]


def grid_size(study: Study) -> float:
    """How many different trials there can be; infinite where a range is continuous."""
    return math.prod(
        math.inf if isinstance(setting, Range) and setting.is_continuous else setting.count
        for setting in searched(study).values()
    )


def num_trials(study: Study) -> int:
    """The study's budget: as many as it asks for, but no more than there are different ones to make."""
    if study.search.sampler == "grid":
        extra = 0 if defaults(study) in grid(study) else 1
        return min(study.search.trials, len(grid(study)) + extra)
    return 1 if not searched(study) else study.search.trials


def _options(values: Values) -> dict[str, Option]:
    """What is declared of a trial's values; of a model that is gone, nothing."""
    model = catalog.options("model", str(values.get("model.name")))
    options = {f"model.{option.name}": option for option in model}
    return options | {f"train.{name}": option for name, option in catalog.train_options().items()}


def _nearest(setting: Choice | Range, default: Scalar) -> Scalar:
    if isinstance(setting, Choice):
        if default in setting.values:
            return default
        numbers = [value for value in setting.values if isinstance(value, int | float)]
        if isinstance(default, int | float) and len(numbers) == len(setting.values):
            return min(numbers, key=lambda value: abs(value - default))
        return setting.values[0]
    start = default if isinstance(default, int | float) else setting.low
    nearest = setting.nearest(start)
    return int(nearest) if setting.kind == "int" else float(nearest)
