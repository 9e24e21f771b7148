"""What stands behind one name of a study file: a value, a list of values, or a range, and when it is searched."""

import contextlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import catalog, plugins
from harness.config.signatures import Option
from harness.errors import Problem, did_you_mean
from harness.records import Map, Scalar

PLACES = ("root", "csv")  # options of data, and keys of their maps, that say where something lies
MAX_STEPS = 1_000_000_000
PAIR = re.compile(r"\(\s*([^,()\s]+)\s*,\s*([^,()\s]+)\s*\)")  # as Python would write it


@dataclass(frozen=True)
class Choice:
    """One of a few values, from a list."""

    values: tuple[Scalar, ...]

    @property
    def count(self) -> int:
        return len(self.values)

    def points(self) -> tuple[Scalar, ...]:
        return self.values

    def contains(self, value: Scalar) -> bool:
        return any(value == own and type(value) is type(own) for own in self.values)


@dataclass(frozen=True)
class Range:
    """A number between low and high, both included; from `{low, high, log, step}`.

    kind: "int" or "float", from the option's annotation, never from how the numbers are spelt.
    """

    kind: str
    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def is_continuous(self) -> bool:
        """Whether it cannot be counted through."""
        return self.kind == "float" and self.step is None and self.low < self.high

    @property
    def count(self) -> int:
        """How many values it has; for a float range that needs a step."""
        return (
            1 if self.low == self.high else math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1
        )

    def points(self) -> tuple[Scalar, ...]:
        """All its values; for a float range that needs a step."""
        if self.low == self.high:
            return (self.low,)
        step = self.step or 1
        return tuple(min(self.low + i * step, self.high) for i in range(self.count))

    def contains(self, value: Scalar) -> bool:
        """Whether a trial may have it, whatever its type: 1 is in a range of floats."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.kind == "int" and value != int(value):
            return False
        return math.isclose(self.nearest(value), value, rel_tol=1e-12, abs_tol=1e-12)

    def nearest(self, value: float) -> float:
        """The value of the range that is nearest to the given one."""
        inside = min(max(value, self.low), self.high)
        if self.step is None:
            return inside
        return self.low + min(round((inside - self.low) / self.step), self.count - 1) * self.step


@dataclass(frozen=True)
class Conditional:
    """What is searched only where other values of a trial are as said; elsewhere the option has its default.

    when: dotted name -> the values with which it is searched; all must agree.
    """

    setting: Choice | Range
    default: Scalar
    when: Mapping[str, tuple[Scalar, ...]]

    def contains(self, value: Scalar) -> bool:
        return value == self.default or self.setting.contains(value)


Searched = Choice | Range | Conditional
Setting = Scalar | Searched


def parse_setting(raw: Any, option: Option, path: str) -> tuple[Setting | Map | list[float], list[Problem]]:
    """What a study file says of an option, checked against its annotation."""
    if isinstance(raw, list):
        return _pair(raw, path) if option.or_pair else _choice(raw, option, path)
    if isinstance(raw, dict) and option.keys:
        return _map(raw, option, path)
    if isinstance(raw, dict) and "when" in raw:
        return _conditional(raw, option, path)
    if isinstance(raw, dict):
        return _range(raw, option, path)
    value, message = scalar(raw, option)
    return value, [Problem(path, message)] if message else []


def ends(setting: Setting) -> tuple[Scalar, ...]:
    """Both ends of a range and of numbers to choose from; of other choices, all. The value itself, if there is one."""
    if isinstance(setting, Conditional):
        return tuple(dict.fromkeys((*ends(setting.setting), setting.default)))
    if isinstance(setting, Range):
        kind = int if setting.kind == "int" else float
        return tuple(dict.fromkeys((kind(setting.low), kind(setting.high))))
    if isinstance(setting, Choice):
        numbers = [value for value in setting.values if isinstance(value, int | float)]
        return (min(numbers), max(numbers)) if len(numbers) == len(setting.values) else setting.values
    return (setting,)


def absolute(name: str, value: Any) -> Any:
    """A data option's value, with every place as an absolute path."""
    if isinstance(value, dict):
        return {key: absolute(key, item) for key, item in value.items()}
    is_place = name in PLACES and isinstance(value, str)
    return str(expanded(Path(value)).absolute()) if is_place else value


def expanded(path: Path) -> Path:
    """With ~ as the user's folder; ~name of nobody is a folder of that name."""
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path


def without_places(value: Any) -> Any:
    """A data option's value; of a place in a map it says only that there is one: `{"csv": true}`."""
    return {key: key in PLACES or item for key, item in value.items()} if isinstance(value, dict) else value


def _choice(raw: list[Any], option: Option, path: str) -> tuple[Choice, list[Problem]]:
    values, problems = [], []
    for i, item in enumerate(raw):
        value, message = scalar(item, option)
        values.append(value)
        problems += [Problem(f"{path}[{i}]", message)] if message else []
    if not raw:
        problems.append(Problem(path, "the list is empty"))
    if not problems and len(set(values)) < len(values):
        problems.append(Problem(path, f"the list has a value twice (got {raw!r})"))
    return Choice(tuple(values)), problems


def _pair(raw: list[Any], path: str) -> tuple[list[float], list[Problem]]:
    numbers = [item for item in raw if not _number(item, "float")[1]]
    if len(raw) != 2 or len(numbers) != 2 or numbers[0] >= numbers[1]:
        return [], [
            Problem(path, f"must be [low, high], two numbers of which the first is smaller (got {raw!r})")
        ]
    return numbers, []


def _conditional(raw: dict[Any, Any], option: Option, path: str) -> tuple[Conditional | Range, list[Problem]]:
    """`{values: […], when: {…}}` or `{low: …, high: …, when: {…}}`."""
    rest = {key: value for key, value in raw.items() if key != "when"}
    inner: Choice | Range
    if rest.keys() == {"values"} and isinstance(rest["values"], list):
        inner, problems = _choice(rest["values"], option, f"{path}.values")
    else:
        inner, problems = _range(rest, option, path)
    if not isinstance(raw["when"], dict) or not raw["when"]:
        said = f"must be a map of names and values, like {{optimizer: sgd}} (got {raw['when']!r})"
        return Range(option.kind, 0, 0), [*problems, Problem(f"{path}.when", said)]
    part, when = path.partition(".")[0].partition("[")[0], {}
    for name, values in raw["when"].items():
        allowed = values if isinstance(values, list) else [values]
        if not allowed or any(isinstance(value, list | dict) for value in allowed):
            problems.append(Problem(f"{path}.when.{name}", "must be a value, or a list of values"))
        else:
            when[str(name) if "." in str(name) else f"{part}.{name}"] = tuple(allowed)
    if option.required:
        problems.append(Problem(f"{path}.when", "the option has no default that other trials could have"))
    return Conditional(inner, option.default, when), problems


def _map(raw: dict[Any, Any], option: Option, path: str) -> tuple[Map, list[Problem]]:
    keys = {key.name: key for key in option.keys}
    found: Map = {}
    problems = []
    for name, item in raw.items():
        if name in keys:
            found[name], message = scalar(item, keys[name])
        else:
            message = f"unknown key of {option.name}{did_you_mean(str(name), list(keys))}"
        problems += [Problem(f"{path}.{name}", message)] if message else []
    if len(found) > 1 or not raw:
        problems.append(Problem(path, f"must be {option.allowed()} (got {raw!r})"))
    return found, problems


def _range(raw: dict[Any, Any], option: Option, path: str) -> tuple[Range, list[Problem]]:
    nothing = Range(option.kind, 0, 0)
    keys = ("low", "high", "log", "step")
    if lists := [value for key, value in raw.items() if key in ("choices", "values", "categories")]:
        return nothing, [
            Problem(path, f"a choice is a list and no more: {json.dumps(lists[0], default=str)}")
        ]
    unknown = [key for key in raw if key not in keys]
    if unknown:
        return nothing, [
            Problem(f"{path}.{key}", f"unknown part of a range{did_you_mean(str(key), keys)}")
            for key in unknown
        ]
    if option.kind not in ("int", "float") or option.choices:
        return nothing, [Problem(path, f"a range needs a number; {option.name} is {option.allowed()}")]
    missing = [key for key in ("low", "high") if key not in raw]
    if missing:
        return nothing, [Problem(f"{path}.{key}", "is missing from the range") for key in missing]
    limits = {}
    for key in ("low", "high"):
        limits[key], message = scalar(raw[key], option)
        if message or limits[key] is None:
            return nothing, [Problem(f"{path}.{key}", message or "must be a number")]
    log = raw.get("log", False)
    step, step_message = _step(raw.get("step"), option)
    found = Range(option.kind, limits["low"], limits["high"], log is True, step)  # type: ignore[arg-type]
    if step_message:
        return found, [Problem(f"{path}.step", step_message)]
    return found, _range_problems(found, log, path)


def _step(raw: Any, option: Option) -> tuple[float | None, str]:
    if raw is None:
        return None, ""
    value, message = _number(raw, option.kind)
    if message or value is None or value <= 0:
        return None, f"must be {'an integer' if option.kind == 'int' else 'a number'} > 0 (got {raw!r})"
    return value, ""


def _range_problems(found: Range, log: Any, path: str) -> list[Problem]:
    problems = []
    if not isinstance(log, bool):
        problems.append(Problem(f"{path}.log", f"must be true or false (got {log!r})"))
    if found.low > found.high:
        problems.append(Problem(f"{path}.low", f"must be <= high (got {found.low:g} > {found.high:g})"))
    if found.log and found.low <= 0:
        problems.append(Problem(f"{path}.low", f"must be > 0 because log is true (got {found.low})"))
    if not math.isfinite(found.high - found.low) or (
        found.step and (found.high - found.low) / found.step > MAX_STEPS
    ):
        problems.append(Problem(path, f"is too wide: at most {MAX_STEPS:,} steps, and a finite width"))
    if found.log and found.step is not None:
        problems.append(Problem(f"{path}.step", "cannot be combined with log"))
    return problems


def scalar(raw: Any, option: Option) -> tuple[Scalar, str]:
    """The value with the annotation's type, or what is wrong with it."""
    wrong = f"must be {option.allowed()} (got {raw!r})"
    if option.kind in ("int", "float") and (pair := PAIR.fullmatch(str(raw))):
        wrong += f"; a range is {{low: {pair[1]}, high: {pair[2]}}}"
    if raw is None:
        return None, "" if option.optional else wrong
    if option.choices:
        code = f"train.{option.name}"
        if option.or_own and isinstance(raw, str) and (found := catalog.entry(code, raw)):
            return raw, found.problem
        if raw in option.choices and type(raw) is type(option.choices[0]):
            return raw, ""
        own = plugins.names(code) if option.or_own else ()
        guess = did_you_mean(str(raw), [*map(str, option.choices), *own])
        return None, f"unknown value {raw!r}{guess}"
    if option.kind in ("int", "float"):
        value, message = _number(raw, option.kind)
        return value, wrong if message or not option.limits.allow(value) else ""
    if option.kind == "bool" and option.names_file and isinstance(raw, str) and "." in raw:
        return raw, ""
    kind = bool if option.kind == "bool" else str
    return (raw, "") if isinstance(raw, kind) and option.kind != "map" else (None, wrong)


def _number(raw: Any, kind: str) -> tuple[Any, str]:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        return None, "is not a finite number"
    if kind == "float":
        return float(raw), ""
    return (int(raw), "") if raw == int(raw) else (None, "is not an integer")
