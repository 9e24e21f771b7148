"""A study's search space: what is searched, what applies under which other values, and every combination of it.

A parameter may have conditions, `when` in a study file, and the options of one of several models have the model's name
as theirs. Parameters are decided one after the other, those that others depend on first.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.config import catalog, own_code
from harness.config.settings import Choice, Conditional, Range, Searched, Setting, ends, scalar
from harness.config.signatures import Option, ReadWith
from harness.errors import Problem, did_you_mean
from harness.records import Scalar, Values

When = Mapping[str, tuple[Scalar, ...]]  # dotted name -> the values with which something applies
OTHER = "\0"  # stands for all numbers that no condition names; no study file can have it


@dataclass(frozen=True)
class Parameter:
    """One name that trials may differ in.

    path: its name among a trial's values.   name: Optuna's, which is the same, but where several models search an
    option of that name: model.resnet.depth.   default: of its option.
    when: the values of other names with which it is asked for; all must agree.
    """

    path: str
    name: str
    setting: Choice | Range
    default: Scalar
    when: When

    @property
    def nearest_to_default(self) -> Scalar:
        """The option's default, or the searched value next to it."""
        setting, default = self.setting, self.default
        if isinstance(setting, Choice):
            if default in setting.values:
                return default
            numbers = [value for value in setting.values if isinstance(value, int | float)]
            if isinstance(default, int | float) and len(numbers) == len(setting.values):
                return min(numbers, key=lambda value: abs(value - default))
            return setting.values[0]
        nearest = setting.nearest(default if isinstance(default, int | float) else setting.low)
        return int(nearest) if setting.kind == "int" else float(nearest)


@dataclass(frozen=True)
class Space:
    """All that a study searches, and all that it does not.

    settings: every name of a trial with each of its models, dotted, with its value or range, by the model's name.
    parameters: in the order in which they are decided: each after those that its conditions name.
    owners: the train options of the user's own code, dotted, with what names it; trials of other code have none.
    """

    settings: Mapping[str, Mapping[str, Setting]]
    parameters: tuple[Parameter, ...]
    owners: Mapping[str, ReadWith] = field(default_factory=dict)

    @property
    def is_conditional(self) -> bool:
        """Whether trials may differ in what they are asked for."""
        return any(parameter.when for parameter in self.parameters)

    def values(self, params: Values) -> Values:
        """All values of a trial: what is searched as `params` has it, or by default where it was not asked for."""
        model = params.get("model.name", next(iter(self.settings)))
        found = {p.path: p.default for p in self.parameters if model in p.when.get("model.name", (model,))}
        found |= params
        values = {
            path: found.get(path, setting.default if isinstance(setting, Conditional) else None)
            if isinstance(setting, Searched)
            else setting
            for path, setting in self.settings[str(model)].items()
        }
        known = catalog.train_options()
        for path, owner in self.owners.items():
            if not owner.holds(values[f"train.{owner.name}"]):
                del values[path]
                if (name := path.partition(".")[2]) in known:
                    values[path] = known[name].default
        return values

    def applies(self, parameter: Parameter, params: Values) -> bool:
        """Whether the parameter is asked for, given those that are decided before it."""
        if not parameter.when:
            return True
        values = self.values(params)
        return all(path in values and values[path] in allowed for path, allowed in parameter.when.items())

    def decide(self, choose: Callable[[Parameter], Scalar]) -> Values:
        """The searched values of one trial: what `choose` says of each parameter that applies."""
        params: Values = {}
        for parameter in self.parameters:
            if self.applies(parameter, params):
                params[parameter.path] = choose(parameter)
        return params

    def defaults(self, chosen: Values | None = None) -> Values:
        """What somebody would use who did not tune; `chosen` stands in place of defaults, where it applies."""
        given = chosen or {}
        return self.decide(lambda p: given.get(p.path, p.nearest_to_default))

    def asked(self, params: Values) -> Iterator[Parameter]:
        """The parameters that a trial with these searched values has."""
        return (p for p in self.parameters if p.path in params and self.applies(p, params))

    def grid(self) -> list[Values]:
        """Every combination, the last name changing fastest."""
        points: list[Values] = [{}]
        for parameter in self.parameters:
            values = parameter.setting.points()
            points = [
                extended
                for point in points
                for extended in (
                    ({**point, parameter.path: value} for value in values)
                    if self.applies(parameter, point)
                    else (point,)
                )
            ]
        return points

    def size(self) -> float:
        """How many combinations there are; infinite where a range is continuous."""
        return self._size(self.parameters, {})

    def _size(self, parameters: Sequence[Parameter], params: Values) -> float:
        """As many as the parameters have together under the values that conditions name of those before them."""
        if not parameters:
            return 1
        first, *later = parameters
        if not self.applies(first, params):
            return self._size(later, params)
        setting = first.setting
        named = dict.fromkeys(value for p in later for value in p.when.get(first.path, ()))
        if isinstance(setting, Choice) and (named or first.path == "model.name"):
            return sum(self._size(later, {**params, first.path: value}) for value in setting.values)
        inside = [value for value in named if setting.contains(value)]
        count = math.inf if isinstance(setting, Range) and setting.is_continuous else setting.count
        found = sum(self._size(later, {**params, first.path: value}) for value in inside)
        others = count - len(inside)
        return found + (others * self._size(later, {**params, first.path: OTHER}) if others > 0 else 0)


def space_of(models: Mapping[str, Mapping[str, Setting]], train: Mapping[str, Setting]) -> Space:
    """The space of a study with these models, of which each trial takes one, and these train options.

    models: the options of each, by its name.   Raises ValueError that names a path whose conditions form a circle.
    """
    names = tuple(models)
    name: Setting = Choice(names) if len(names) > 1 else names[0]
    trained = _dotted("train", train)
    settings: dict[str, dict[str, Setting]] = {
        model: {"model.name": name, **_dotted("model", options), **trained}
        for model, options in models.items()
    }
    searching = Counter(
        path
        for found in settings.values()
        for path, setting in found.items()
        if isinstance(setting, Searched)
    )
    parameters = []
    owners = _dotted("train", own_code.owners(train))
    for number, (model, found) in enumerate(settings.items()):
        options = declared(model, found)
        for path, setting in found.items():
            is_own = len(names) > 1 and path.startswith("model.") and path != "model.name"
            if not isinstance(setting, Searched) or (number and not is_own):
                continue
            when: dict[str, tuple[Scalar, ...]] = {"model.name": (model,)} if is_own else {}
            if path in owners:
                when[f"train.{owners[path].name}"] = owners[path].values
            if isinstance(setting, Conditional):
                when |= setting.when
            alternatives = [found] if is_own else list(settings.values())
            if (conditions := _open_conditions(when, alternatives)) is not None:
                own_name = path if not is_own or searching[path] == 1 else f"model.{model}.{path[6:]}"
                inner = setting.setting if isinstance(setting, Conditional) else setting
                default = names[0] if path == "model.name" else options[path].default
                parameters.append(Parameter(path, own_name, inner, default, conditions))
    return Space(settings, tuple(_ordered(parameters)), owners)


def declared(model: str, values: Mapping[str, Setting]) -> dict[str, Option]:
    """What is declared of a trial's values, by their dotted names; of code that is gone, nothing.

    values: those of a trial with this model, or settings.
    """
    options = {f"model.{option.name}": option for option in catalog.options("model", model)}
    train = {path[6:]: value for path, value in values.items() if path.startswith("train.")}
    return options | _dotted("train", own_code.options_of(train))


def condition_problems(
    models: Mapping[str, Mapping[str, Setting]], train: Mapping[str, Setting]
) -> list[Problem]:
    """What is wrong with the conditions of a study's options: names and values that there are not, and circles."""
    try:
        space = space_of(models, train)
    except ValueError as error:
        return [Problem(str(error), "its conditions lead back to itself")]
    settings: dict[str, list[Setting]] = {}
    options: dict[str, Option] = {}
    for model, found in space.settings.items():
        options = declared(model, found) | options
        for path, setting in found.items():
            settings.setdefault(path, []).append(setting)
    problems = [
        Problem(f"{path}.when.{name}", message)
        for path, alternatives in settings.items()
        for setting in alternatives
        if isinstance(setting, Conditional)
        for name, values in setting.when.items()
        for value in values
        if (message := _condition_problem(name, value, settings, options))
    ]
    return list(dict.fromkeys(problems))


def point(space: Space, given: Mapping[str, Any], place: str) -> tuple[Values, list[Problem]]:
    """The searched values of a trial of which some are given, dotted or nested, and what is wrong with these.

    place: where they stand in the study file.
    """
    flat = flattened(given)
    model = next(
        (name for name in space.settings if name == flat.get("model.name")), next(iter(space.settings))
    )
    options = {"model.name": Option("model.name", "str"), **declared(model, space.settings[str(model)])}
    problems: list[Problem] = []

    def choose(parameter: Parameter) -> Scalar:
        if parameter.path not in flat:
            return parameter.nearest_to_default
        value, message = scalar(flat[parameter.path], options[parameter.path])
        if not message and not parameter.setting.contains(value):
            message = f"is none of the values that are searched (got {value!r})"
        if message:
            problems.append(Problem(f"{place}.{parameter.path}", message))
            return parameter.nearest_to_default
        return value

    params = space.decide(choose)
    values, searched = space.values(params), [parameter.path for parameter in space.parameters]
    for path, value in flat.items():
        if path in searched:
            said = "is not asked for with the other values of this trial"
        elif path in values:
            said = f"is not searched: it is {values[path]!r} in every trial"
        else:
            said = f"no value of this trial has this name{did_you_mean(path, searched)}"
        if path not in params and (path in searched or path not in values or values[path] != value):
            problems.append(Problem(f"{place}.{path}", said))
    return params, problems


def flattened(given: Mapping[str, Any], part: str = "") -> dict[str, Any]:
    """Nested maps as one, by dotted names; those that are dotted already stay so."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        found |= (
            flattened(value, f"{part}{name}.") if isinstance(value, Mapping) else {f"{part}{name}": value}
        )
    return found


def unread(space: Space) -> Iterator[tuple[str, str, bool]]:
    """Names that are searched where nothing reads them, in words when they are read, and whether that never is."""
    for parameter in space.parameters:
        model = str(parameter.when.get("model.name", tuple(space.settings))[0])
        option = declared(model, space.settings[model]).get(parameter.path)
        for condition in option.read_with if option else ():
            name = f"{parameter.path.partition('.')[0]}.{condition.name}"
            values = parameter.when.get(name, ends(space.settings[model][name]))
            reading = [condition.holds(value) for value in values]
            if not all(reading):
                listed = " or ".join("null" if value is None else str(value) for value in condition.values)
                yield parameter.name, f"{name} is {'not ' * condition.unless}{listed}", not any(reading)


def _condition_problem(
    name: str, value: Scalar, settings: Mapping[str, Sequence[Setting]], options: Mapping[str, Option]
) -> str:
    """Why a condition cannot hold, whatever a trial has, or ""."""
    if name not in settings:
        return f"no value of a trial has this name{did_you_mean(name, list(settings))}"
    if name in options and (message := scalar(value, options[name])[1]):
        return message
    if not all(isinstance(setting, Searched) for setting in settings[name]):
        return ""  # what is fixed may be another value tomorrow, by --set say
    if any(isinstance(setting, Searched) and setting.contains(value) for setting in settings[name]):
        return ""
    return f"{name} is searched, and never {value!r}"


def _dotted(part: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{part}.{name}": setting for name, setting in options.items()}


def _open_conditions(when: When, alternatives: Sequence[Mapping[str, Setting]]) -> When | None:
    """Those of the conditions that trials may differ in; None where one never holds.

    alternatives: the settings with each model that the trials in question may have.
    """
    found = {}
    for path, allowed in when.items():
        settings = [settings.get(path) for settings in alternatives]
        if any(isinstance(setting, Searched) for setting in settings):
            found[path] = allowed
            continue
        hold = [
            path in each and setting in allowed for each, setting in zip(alternatives, settings, strict=True)
        ]
        if not any(hold):
            return None
        if not all(hold):
            found[path] = allowed
    return found


def _ordered(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
    """In the order given, but each after those that its conditions name."""
    waiting = list(parameters)
    while waiting:
        missing = {parameter.path for parameter in waiting}
        ready = next((one for one in waiting if missing.isdisjoint(one.when)), None)
        if ready is None:
            raise ValueError(waiting[0].path)
        waiting.remove(ready)
        yield ready
