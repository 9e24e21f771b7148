"""Finds models, data sets, train options, metrics and studies by reading source text, without importing it.

So `harness list` and `harness check` know every name, type, default and limit and never load torch. An option
is a keyword-only argument of a function or a field of a dataclass, annotated `int`, `float`, `bool`, `str`,
`Literal[…]`, one of these `| None`, or `Annotated[int, Between(1, 8)]` for limits. A data set's option may also be
`module.Name`, a TypedDict of `data/module.py`: a map with exactly one of its keys.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from harness.records import Scalar

PACKAGE = Path(__file__).parents[1]
Kind = Literal["int", "float", "bool", "str", "map"]


@dataclass(frozen=True)
class Between:
    """Inclusive limits of a number, written as `Annotated[float, Between(0.0, 0.9)]`; None is no limit."""

    low: float | None = None
    high: float | None = None
    above: float | None = None  # exclusive lower limit


@dataclass(frozen=True)
class Option:
    """One named value that a study file may set.

    choices: the only values allowed, if not empty.   required: it has no default.
    keys: of a map; it has exactly one of them.
    """

    name: str
    kind: Kind
    default: Scalar = None
    choices: tuple[Scalar, ...] = ()
    limits: Between = Between()
    optional: bool = False
    required: bool = False
    keys: tuple["Option", ...] = ()

    def allowed(self) -> str:
        """What the option takes, in words for a user."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.keys:
            taken = [(key.name, "|".join(map(str, key.choices)) or key.allowed()) for key in self.keys]
            maps = ", ".join(f"{{{name}: {value}}}" for name, value in taken)
            return f"one of {maps}" + (" or null" if self.optional else "")
        low, high, above = self.limits.low, self.limits.high, self.limits.above
        number = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text"}[self.kind]
        bounds = [f">= {low:g}" if low is not None else "", f"> {above:g}" if above is not None else "",
                  f"<= {high:g}" if high is not None else ""]  # fmt: skip
        words = " ".join([number, " and ".join(bound for bound in bounds if bound)]).strip()
        return words + (" or null" if self.optional else "")


@dataclass(frozen=True)
class Entry:
    """One file of the catalog: a model or a data set. summary: the first line of its docstring.

    source, parameters: what its lines `Source: …` and `Parameters: …` say; parameters are those of the default
    model, for 3×32×32 images of 10 classes.
    """

    name: str
    summary: str
    source: str
    parameters: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class MetricEntry:
    name: str
    summary: str
    higher_is_better: bool


@cache
def models() -> dict[str, Entry]:
    """Every `models/NAME.py` with a `build` function."""
    return dict(_entries("models", "build"))


@cache
def datasets() -> dict[str, Entry]:
    """Every `datasets/NAME.py` with a `load` function."""
    return dict(_entries("data", "load"))


@cache
def train_options() -> dict[str, Option]:
    """The fields of every `…Options` dataclass in `training/`, but for compute's."""
    files = [path for path in sorted((PACKAGE / "training").glob("*.py")) if path.stem != "compute"]
    return {option.name: option for path in files for option in _dataclass_options(path)}


@cache
def compute_options() -> dict[str, Option]:
    return {option.name: option for option in _dataclass_options(PACKAGE / "training" / "compute.py")}


@cache
def metrics() -> dict[str, MetricEntry]:
    """The table METRICS of `scoring/metrics.py`: name -> Metric(function, higher_is_better=…)."""
    module = _parse(PACKAGE / "scoring" / "metrics.py")
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    table = next(
        node.value
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(_target(node)) == "METRICS"
    )
    assert isinstance(table, ast.Dict)
    found = {}
    for key, value in zip(table.keys, table.values, strict=True):
        assert isinstance(key, ast.Constant) and isinstance(value, ast.Call)
        better = next(word.value for word in value.keywords if word.arg == "higher_is_better")
        summary = _first_line(functions[ast.unparse(value.args[0])])
        found[str(key.value)] = MetricEntry(str(key.value), summary, bool(ast.literal_eval(better)))
    return found


def study_folders() -> list[Path]:
    """Where a study's name is looked for: `studies/` here, then the ones that came with harness."""
    shipped = PACKAGE / "studies"
    beside = PACKAGE.parent / "studies"
    return [Path("studies"), shipped if shipped.is_dir() else beside]


def studies() -> dict[str, Path]:
    """Study files by name; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for folder in study_folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def _entries(folder: str, function: str) -> Iterator[tuple[str, Entry]]:
    for path in sorted((PACKAGE / folder).glob("*.py")):
        module = _parse(path)
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and node.name == function and not path.stem.startswith("_"):
                source, parameters = _line(module, "Source"), _line(module, "Parameters")
                yield path.stem, Entry(path.stem, _first_line(module), source, parameters, _arguments(node))


def _arguments(function: ast.FunctionDef) -> tuple[Option, ...]:
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return tuple(_option(argument.arg, argument.annotation, default) for argument, default in pairs)


def _dataclass_options(path: Path) -> Iterator[Option]:
    for node in _parse(path).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Options"):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield _option(field.target.id, field.annotation, field.value)


def _option(name: str, annotation: ast.expr | None, default: ast.expr | None) -> Option:
    if annotation is None:
        raise TypeError(f"option {name} needs an annotation")
    optional = isinstance(annotation, ast.BinOp) and ast.unparse(annotation.right) == "None"
    inner: ast.expr = annotation.left if optional and isinstance(annotation, ast.BinOp) else annotation
    limits = Between()
    if isinstance(inner, ast.Subscript) and ast.unparse(inner.value) == "Annotated":
        parts = inner.slice
        assert isinstance(parts, ast.Tuple)
        inner, call = parts.elts[0], parts.elts[1]
        assert isinstance(call, ast.Call), f"option {name}: Annotated needs Between(…)"
        limits = Between(
            *(ast.literal_eval(argument) for argument in call.args),
            **{str(word.arg): ast.literal_eval(word.value) for word in call.keywords},
        )
    choices: tuple[Scalar, ...] = ()
    if isinstance(inner, ast.Subscript) and ast.unparse(inner.value) == "Literal":
        elements = inner.slice.elts if isinstance(inner.slice, ast.Tuple) else [inner.slice]
        choices = tuple(ast.literal_eval(element) for element in elements)
    keys = _map_keys(inner) if isinstance(inner, ast.Attribute) else ()
    kind: Kind = "map" if keys else _kind(name, inner, choices)
    value = None if default is None else ast.literal_eval(default)
    return Option(name, kind, value, choices, limits, optional, required=default is None, keys=keys)


def _map_keys(annotation: ast.Attribute) -> tuple[Option, ...]:
    """The keys of a TypedDict that is written as a call, in which a key may be a word of Python's, like `from`."""
    module = _parse(PACKAGE / "data" / f"{ast.unparse(annotation.value)}.py")
    call = next(
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(_target(node)) == annotation.attr
    )
    assert isinstance(call, ast.Call) and isinstance(call.args[1], ast.Dict)
    pairs = zip(call.args[1].keys, call.args[1].values, strict=True)
    return tuple(_option(str(ast.literal_eval(key)), value, None) for key, value in pairs if key)


def _kind(name: str, annotation: ast.expr, choices: tuple[Scalar, ...]) -> Kind:
    word = type(choices[0]).__name__ if choices else ast.unparse(annotation)
    kinds: dict[str, Kind] = {"int": "int", "float": "float", "bool": "bool", "str": "str"}
    if word not in kinds:
        raise TypeError(f"option {name}: {word} is none of {', '.join(kinds)}")
    return kinds[word]


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _target(node: ast.Assign | ast.AnnAssign) -> ast.expr:
    return node.targets[0] if isinstance(node, ast.Assign) else node.target


def _first_line(node: ast.Module | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").strip().split("\n")[0]


def _line(module: ast.Module, word: str) -> str:
    """What the module's docstring says in the line that begins with `word:`."""
    lines = (ast.get_docstring(module) or "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(word + ":")), "")
