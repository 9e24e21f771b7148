"""From a study's ranges to a trial's values: what is searched, the defaults, the grid, Optuna's distributions."""

from dataclasses import replace
from typing import Any

from harness.config.settings import Choice, Range
from harness.config.signatures import without_younger
from harness.config.space import declared, point, unread
from harness.config.study_file import Study
from harness.errors import Problem, StudyError
from harness.records import Values


def resolve(study: Study, params: Values) -> Values:
    """All values of a trial, dotted: the study's maps with every range replaced by its value in `params`.

    What is not searched under these values has its default.
    """
    return study.space.values(params)


def require_read(study: Study) -> None:
    """Raise StudyError for what is searched, and read by nothing with the study's other values.

    Not a part of reading a study file, so that studies which began before this was looked at go on.
    """
    problems = [
        Problem(name, f"is searched, and read only where {when}; give it one value, or leave it out")
        for name, when, is_never in unread(study.space)
        if is_never
    ]
    if problems:
        raise StudyError(study.source, problems)


def read_in_some(study: Study) -> list[str]:
    """What is searched in trials that do not read it, and what to do, a line each."""
    return [
        f"{name} is searched in trials that do not read it: it is read where {when}; say so with `when`"
        for name, when, is_never in unread(study.space)
        if not is_never
    ]


def without_younger_defaults(values: Values) -> Values:
    """A trial's values, without those of younger options that have their default: see signatures.Younger."""
    options = declared(str(values.get("model.name")), values)
    return without_younger(values, [replace(option, name=path) for path, option in options.items()])


def defaults(study: Study, chosen: Values | None = None) -> Values:
    """What somebody would use who did not tune: each option's own default, or the searched value next to it.

    chosen: values that stand in place of defaults; those that do not apply are left out.
    """
    return study.space.defaults(chosen)


def first_trials(study: Study) -> list[Values]:
    """The trials that no sampler is asked for: the defaults, and what the study wants to be tried first."""
    space = study.space
    return [space.defaults(), *(point(space, given, "")[0] for given in study.search.first)]


def distributions(study: Study) -> dict[str, Any]:
    """The searched names, as Optuna has them, with their distributions (loads optuna)."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def distribution(setting: Choice | Range) -> Any:
        if isinstance(setting, Choice):
            return CategoricalDistribution(setting.values)
        if setting.kind == "int":
            low, high = int(setting.low), int(setting.high)
            return IntDistribution(low, high, log=setting.log, step=int(setting.step or 1))
        return FloatDistribution(setting.low, setting.high, log=setting.log, step=setting.step)

    return {parameter.name: distribution(parameter.setting) for parameter in study.space.parameters}


def named_for_optuna(study: Study, params: Values) -> Values:
    """A trial's searched values by Optuna's names of them."""
    return {parameter.name: params[parameter.path] for parameter in study.space.asked(params)}


def grid(study: Study) -> list[Values]:
    """Every combination of the searched values, the last name changing fastest."""
    return study.space.grid()


def num_trials(study: Study) -> int:
    """The study's budget: as many as it asks for, but no more than there are different ones to make."""
    if study.search.sampler == "grid":
        points = grid(study)
        beside = sum(first not in points for first in first_trials(study))
        return min(study.search.trials, len(points) + beside)
    return study.search.trials if study.space.parameters else 1
