"""Reads the options of functions and dataclasses from source text, without importing it.

An option is a keyword-only argument of a function or a field of a dataclass, annotated `int`, `float`, `bool`, `str`,
`Literal[…]`, one of these `| None`, or `Annotated[int, Between(1, 8)]` for limits, `Annotated[bool, Younger()]` for
what came later, `Annotated[str, NamesFile()]` for what may be a path (of `bool | str`: true, false or a path),
`Annotated[float, Only(optimizer="sgd")]` for what is read with some values of others alone,
`Annotated[Literal[…], OrOwn()]` for what may also name the user's own code and `Annotated[Literal[…], OrPair()]` for
what may also be [low, high]. A data set's option may also be
`module.Name`, a TypedDict of `data/NAME.py`: a map with exactly one of its keys. What an option means is what the
docstring of its function or class says after its name and a colon.
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from harness.records import Scalar

PACKAGE = Path(__file__).parents[1]
Kind = Literal["int", "float", "bool", "str", "map", "list"]
Documented = ast.Module | ast.ClassDef | ast.FunctionDef

DEFAULT = "Default: "  # begins the sentence of a docstring that says why an option's default is what it is


@dataclass(frozen=True)
class Between:
    """Inclusive limits of a number, written as `Annotated[float, Between(0.0, 0.9)]`; None is no limit."""

    low: float | None = None
    high: float | None = None
    above: float | None = None  # exclusive lower limit
    below: float | None = None  # exclusive upper limit

    def allow(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


@dataclass(frozen=True)
class Younger:
    """Marks an option that earlier studies, folds and checkpoints do not know, and that leaves them as they are.

    Its default must do what was done without it, or `was` is the value that does. Where it has that value it is no part
    of a study's definition, of a fold's key or of what is recorded, so all that was begun or trained before goes on and
    is found; `config/earlier.py` gives it to earlier studies. `was` is for options of `search` alone.
    """

    was: Scalar = None


@dataclass(frozen=True)
class OrPair:
    """Marks a choice of a data set that may also be [low, high]: two finite numbers, the first of them smaller."""


@dataclass(frozen=True)
class NamesFile:
    """Marks an option of a model whose text, where it has a dot and there is such a file, is the path of one.

    What is in the file is then an input of a fold, beside the text. An option of `bool | str` that is marked so takes
    true, false and such a path.
    """


@dataclass(frozen=True)
class OrOwn:
    """Marks a choice that may also be the name of the user's own code: see `kinds.KINDS`."""


class Only:
    """Marks an option that is read with these values of another of its section alone: `Only(optimizer="muon")`.

    values: by the other's name, one or a tuple.
    """

    def __init__(self, **values: Scalar | tuple[Scalar, ...]):
        self.values = values


class Unless(Only):
    """Marks an option that nothing reads with these values of another of its section: `Unless(patience=None)`."""


@dataclass(frozen=True)
class ReadWith:
    """With which values of another option of the section an option is read; or, where `unless`, with which not."""

    name: str
    values: tuple[Scalar, ...]
    unless: bool

    def holds(self, value: Scalar) -> bool:
        return (value in self.values) != self.unless


@dataclass(frozen=True)
class Option:
    """One named value that a study file may set.

    choices: the only values allowed, if not empty.   required: it has no default.
    keys: of a map; it has exactly one of them.   younger: see Younger.   names_file: see NamesFile.
    read_with: what must hold of others for it to be read: see Only and Unless.   or_own, or_pair: see OrOwn, OrPair.
    meaning: the first sentence of what the docstring says of it, and why its default is what it is, or "".
    """

    name: str
    kind: Kind
    default: Scalar = None
    choices: tuple[Scalar, ...] = ()
    limits: Between = Between()
    optional: bool = False
    required: bool = False
    keys: tuple["Option", ...] = ()
    younger: Younger | None = None
    names_file: bool = False
    read_with: tuple[ReadWith, ...] = ()
    meaning: str = ""
    or_own: bool = False
    or_pair: bool = False

    @property
    def earlier(self) -> Scalar:
        """The value that does what was done without it; its default, but where Younger says otherwise."""
        return self.default if self.younger is None or self.younger.was is None else self.younger.was

    def allowed(self) -> str:
        """What the option takes, in words for a user."""
        if self.choices:
            other = ", or your own code" * self.or_own + ", or [low, high]" * self.or_pair
            return "one of " + ", ".join(map(str, self.choices)) + other
        if self.keys:
            taken = [(key.name, "|".join(map(str, key.choices)) or key.allowed()) for key in self.keys]
            maps = ", ".join(f"{{{name}: {value}}}" for name, value in taken)
            return f"one of {maps}" + (" or null" if self.optional else "")
        if self.kind == "list":
            return "a list of maps"
        limits = self.limits
        number = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text"}[self.kind]
        bounds = {">=": limits.low, ">": limits.above, "<=": limits.high, "<": limits.below}
        limited = " and ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)
        if self.kind == "bool" and self.names_file:
            number = "true, false or the path of a file, with a dot"
        words = f"{number} {limited}".strip()
        return words + (" or null" if self.optional else "")


Mark = Between | Younger | NamesFile | OrOwn | OrPair | Only | Unless


class SourceProblem(Exception):
    """Why a source file cannot be read; `message` names the line."""

    def __init__(self, message: str, node: ast.AST):
        super().__init__(message)
        self.message, self.line = message, getattr(node, "lineno", 0)


def without_younger(values: Mapping[str, Any], options: Iterable[Option]) -> dict[str, Any]:
    """The values, by their options' names, but for those of younger options that do what was done without them."""
    earlier = {option.name: option.earlier for option in options if option.younger}
    return {name: value for name, value in values.items() if name not in earlier or value != earlier[name]}


def arguments(function: ast.FunctionDef) -> tuple[Option, ...]:
    """The keyword-only arguments of a function. Raises SourceProblem."""
    said = meanings(
        ast.get_docstring(function) or "", [argument.arg for argument in function.args.kwonlyargs]
    )
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    options = (_option(argument.arg, argument.annotation, default, argument) for argument, default in pairs)
    return tuple(replace(option, meaning=said.get(option.name, "")) for option in options)


def parameters(node: ast.AST | None, given: Sequence[str]) -> tuple[tuple[Option, ...], tuple[str, ...]]:
    """The options of somebody's function or class: its arguments but for the given ones; and those of the given ones.

    Raises SourceProblem where the text alone does not say them, for one that can be called may tell.
    """
    function = node
    if isinstance(node, ast.ClassDef):
        function = next((part for part in node.body if getattr(part, "name", None) == "__init__"), None)
    if (
        not isinstance(function, ast.FunctionDef)
        or function.decorator_list
        or getattr(node, "decorator_list", [])
    ):
        raise SourceProblem("not a plain function or class", node or ast.Module([], []))
    places = function.args.posonlyargs + function.args.args
    if isinstance(node, ast.ClassDef):
        places = places[1:]  # self
    by_place = [None] * (len(places) - len(function.args.defaults)) + function.args.defaults
    pairs = [*zip(places, by_place, strict=True)]
    pairs += zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    found = []
    for argument, default in pairs:
        if argument.arg not in given:
            if default is None:  # whether harness gives it can be said better with the signature at hand
                raise SourceProblem(f"{argument.arg} has no default", argument)
            option = _option(argument.arg, argument.annotation, default, argument)
            if option.kind == "float" and type(option.default) is int:
                option = replace(option, default=float(option.default))
            found.append(option)
    said = meanings(documented(node, function), [option.name for option in found])
    options = tuple(replace(option, meaning=said.get(option.name, "")) for option in found)
    return options, tuple(argument.arg for argument, _ in pairs if argument.arg in given)


def documented(*nodes: ast.AST | None) -> str:
    """The docstrings of these, together."""
    texts = [ast.get_docstring(node) for node in dict.fromkeys(nodes) if isinstance(node, Documented)]
    return "\n\n".join(filter(None, texts))


def fields(node: ast.ClassDef) -> Iterator[Option]:
    """The fields of a dataclass. Raises SourceProblem."""
    found = {
        field.target.id: field
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }
    said = meanings(ast.get_docstring(node) or "", found)
    for name, field in found.items():
        option = _option(name, field.annotation, field.value, field)
        yield replace(option, meaning=said.get(name, ""))


@cache
def train_options() -> dict[str, Option]:
    """The fields of every `…Options` dataclass in `training/`, but for compute's. Raises SourceProblem."""
    files = [path for path in sorted((PACKAGE / "training").glob("*.py")) if path.stem != "compute"]
    return {option.name: option for path in files for option in dataclass_options(parse(path))}


def dataclass_options(module: ast.Module) -> Iterator[Option]:
    """The fields of every dataclass of a module whose name ends with Options. Raises SourceProblem."""
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Options"):
            yield from fields(node)


def meanings(docstring: str, names: Iterable[str]) -> dict[str, str]:
    """What a docstring says of each name: the first sentence of "NAME: …", at a line's start or after three spaces.

    A sentence that begins with "Default: " and says why the default is what it is comes after it. Several names may
    share them ("momentum, nesterov: of sgd and muon."), and they end at the next ones or an empty line.
    """
    any_name = "|".join(map(re.escape, names))
    if not any_name:
        return {}
    entry = re.compile(rf"(?:^|   )((?:{any_name})(?:, (?:{any_name}))*): ", re.MULTILINE)
    found: dict[str, str] = {}
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        _, *pieces = entry.split(paragraph)
        for shared, text in zip(pieces[::2], pieces[1::2], strict=True):
            first, *others = re.split(r"(?<=[.!?])\s+(?=[A-Z`])", " ".join(text.split()))
            why = [sentence for sentence in others if sentence.startswith(DEFAULT)]
            found |= dict.fromkeys(shared.split(", "), " ".join([first, *why]))
    return found


def reading(marks: Iterable[Any]) -> tuple[ReadWith, ...]:
    """What an option's marks say of when it is read."""
    return tuple(
        ReadWith(other, values if isinstance(values, tuple) else (values,), isinstance(mark, Unless))
        for mark in marks
        if isinstance(mark, Only)
        for other, values in mark.values.items()
    )


def table(module: ast.Module, name: str) -> Iterator[tuple[str, ast.expr]]:
    """The entries of a dictionary that a module assigns to this name."""
    found = next(
        node.value
        for node in module.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(_target(node)) == name
    )
    assert isinstance(found, ast.Dict)
    for key, value in zip(found.keys, found.values, strict=True):
        assert isinstance(key, ast.Constant)
        yield str(key.value), value


def first_line(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    """Of its docstring."""
    return (ast.get_docstring(node) or "").strip().split("\n")[0]


def line(node: ast.Module | ast.ClassDef | ast.FunctionDef, word: str) -> str:
    """What the docstring says in the line that begins with `word:`."""
    lines = (ast.get_docstring(node) or "").splitlines()
    return next((text.partition(":")[2].strip() for text in lines if text.startswith(word + ":")), "")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _option(name: str, annotation: ast.expr | None, default: ast.expr | None, place: ast.AST) -> Option:
    if annotation is None:
        raise SourceProblem(f"option {name} needs an annotation", place)
    optional = isinstance(annotation, ast.BinOp) and ast.unparse(annotation.right) == "None"
    inner: ast.expr = annotation.left if optional and isinstance(annotation, ast.BinOp) else annotation
    limits, names_file, or_own, or_pair = Between(), False, False, False
    younger: Younger | None = None
    read_with: tuple[ReadWith, ...] = ()
    if isinstance(inner, ast.Subscript) and ast.unparse(inner.value) == "Annotated":
        inner, marks = _annotated(name, inner)
        limits = next((mark for mark in marks if isinstance(mark, Between)), limits)
        younger = next((mark for mark in marks if isinstance(mark, Younger)), None)
        names_file = any(isinstance(mark, NamesFile) for mark in marks)
        or_own = any(isinstance(mark, OrOwn) for mark in marks)
        or_pair = any(isinstance(mark, OrPair) for mark in marks)
        read_with = reading(marks)
    if names_file and ast.unparse(inner) == "bool | str":
        inner = ast.Name("bool")
    choices: tuple[Scalar, ...] = ()
    if isinstance(inner, ast.Subscript) and ast.unparse(inner.value) == "Literal":
        elements = inner.slice.elts if isinstance(inner.slice, ast.Tuple) else [inner.slice]
        choices = tuple(_literal(f"a choice of option {name}", element) for element in elements)
    keys = _map_keys(inner) if isinstance(inner, ast.Attribute) else ()
    kind: Kind = "map" if keys else _kind(name, inner, choices)
    value = None if default is None else _literal(f"the default of option {name}", default)
    required = default is None
    return Option(
        name, kind, value, choices, limits, optional, required, keys, younger, names_file, read_with,
        or_own=or_own, or_pair=or_pair,
    )  # fmt: skip


def _annotated(name: str, node: ast.Subscript) -> tuple[ast.expr, list[Mark]]:
    """The type within `Annotated[type, marks…]`, and the marks."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    marks: list[Mark] = []
    for call in parts[1:]:
        known = {kind.__name__: kind for kind in get_args(Mark)}
        kind = known.get(ast.unparse(call.func).rpartition(".")[2]) if isinstance(call, ast.Call) else None
        if kind is None or not isinstance(call, ast.Call):
            raise SourceProblem(
                f"option {name}: Annotated takes {'(…), '.join(known)}(…), not {ast.unparse(call)}",
                call,
            )
        given = [_literal(f"a limit of option {name}", argument) for argument in call.args]
        named = {str(word.arg): _literal(f"a limit of option {name}", word.value) for word in call.keywords}
        try:
            marks.append(kind(*given, **named))
        except TypeError as error:
            raise SourceProblem(f"option {name}: {error}", call) from None
    return parts[0], marks


def _literal(what: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise SourceProblem(
            f"{what} must be written out, for this file is read without running it (got {ast.unparse(node)})",
            node,
        ) from None


def _map_keys(annotation: ast.Attribute) -> tuple[Option, ...]:
    """The keys of a TypedDict that is written as a call, in which a key may be a word of Python's, like `from`."""
    path = PACKAGE / "data" / f"{ast.unparse(annotation.value)}.py"
    calls = [
        node.value
        for node in (parse(path).body if path.is_file() else [])
        if isinstance(node, ast.Assign) and ast.unparse(_target(node)) == annotation.attr
    ]
    if not calls:
        raise SourceProblem(f"{ast.unparse(annotation)} is no map of data/", annotation)
    call = calls[0]
    assert isinstance(call, ast.Call) and isinstance(call.args[1], ast.Dict)
    pairs = zip(call.args[1].keys, call.args[1].values, strict=True)
    return tuple(_option(str(ast.literal_eval(key)), value, None, value) for key, value in pairs if key)


def _kind(name: str, annotation: ast.expr, choices: tuple[Scalar, ...]) -> Kind:
    word = type(choices[0]).__name__ if choices else ast.unparse(annotation)
    kinds: dict[str, Kind] = {kind: kind for kind in get_args(Kind) if kind not in ("map", "list")}
    if word not in kinds:
        raise SourceProblem(f"option {name}: {word} is none of {', '.join(kinds)}", annotation)
    return kinds[word]


def _target(node: ast.Assign | ast.AnnAssign) -> ast.expr:
    return node.targets[0] if isinstance(node, ast.Assign) else node.target
