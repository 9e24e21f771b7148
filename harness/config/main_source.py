"""The source of a class or function of the main module, a notebook or a script that is run, as a module of its own.

Worker processes and later ones cannot import the main module: a notebook has no file, and a script would run again. So
the text of the class or function is written into a file, together with the imports, functions, classes and constants
that it uses, and those that these use. Text is taken from the script or the notebook's cells; nothing is pickled.
"""

import ast
import inspect
import linecache
import symtable
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from textwrap import dedent
from types import FunctionType, ModuleType
from typing import Any

from harness.config import plugins
from harness.errors import UsageError

HEADER = '''"""Written by harness from what a notebook, or a script that is run, defines."""

from __future__ import annotations

'''
IMPORT, CONSTANT, DEFINITION = range(3)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class _Piece:
    """What one name of the main module is.   kind: IMPORT, CONSTANT or DEFINITION.

    names: of the module, that it uses.   at_once: those of them that it uses as soon as it is executed.
    """

    kind: int
    text: str
    names: frozenset[str] = field(default_factory=frozenset)
    at_once: frozenset[str] = field(default_factory=frozenset)


def source_of(thing: Any, word: str, *, beside: str = "") -> str:
    """The text of a module that defines this class or function of the main module.   word: what it is, for messages.

    beside: a name that the module is to have, too, where the main module has it.

    Raises UsageError where its text is not known, or where it uses what cannot be written down.
    """
    namespace = vars(sys.modules[thing.__module__])
    pieces: dict[str, _Piece] = {}
    waiting = [(thing.__name__, thing, "")]
    if beside in namespace:
        waiting.append((beside, namespace[beside], thing.__name__))
    while waiting:
        name, value, user = waiting.pop()
        pieces[name] = piece = _piece(name, value, namespace, f"{word} {thing.__name__}", user)
        for other in sorted(piece.names - pieces.keys()):
            if other in namespace and other not in [one[0] for one in waiting]:
                waiting.append((other, namespace[other], name))
    imports = sorted(piece.text for piece in pieces.values() if piece.kind == IMPORT)
    constants = sorted(piece.text for piece in pieces.values() if piece.kind == CONSTANT)
    definitions = {name: piece for name, piece in sorted(pieces.items()) if piece.kind == DEFINITION}
    blocks = [
        "\n".join(imports),
        "\n".join(constants),
        *(definitions[name].text for name in _order(definitions)),
    ]
    return HEADER + "\n\n\n".join(filter(None, blocks)) + "\n"


def _piece(name: str, value: Any, namespace: Mapping[str, Any], what: str, user: str) -> _Piece:
    """user: the name whose text has this one."""
    module = getattr(value, "__module__", None)
    if isinstance(value, FunctionType | type) and module == namespace.get("__name__"):
        own = str(value.__name__)
        if own == name:
            return _definition(value, what)
        if own in namespace and namespace[own] is value:
            return _Piece(DEFINITION, f"{name} = {own}", frozenset([own]), frozenset([own]))
        if isinstance(value, FunctionType) and "<" in value.__qualname__:
            raise UsageError(
                f"{what}: {user} uses {name}, {_nameless(value)}; write it with def, by that name"
            )
    if text := _import_of(name, value, str(namespace.get("__name__"))):
        return _Piece(IMPORT, text)
    if _is_plain(value):
        return _Piece(CONSTANT, f"{name} = {_written(value)}")
    statement = _statement(name)
    if type(value).__module__ in ("typing", "types") and isinstance(statement, ast.Assign | ast.AnnAssign):
        text = ast.unparse(statement)  # of what stands in annotations
        return _Piece(CONSTANT, text, *_names(text))
    raise UsageError(
        f"{what}: {user} uses {name}, a {type(value).__name__}, which cannot be written into a file as text; make it "
        f"inside {user}, or move both into a file of your project and import {what.rpartition(' ')[2]} from there"
    )


def _definition(value: Any, what: str) -> _Piece:
    found = _found(value)
    if found is None:
        raise UsageError(
            f"{what}: the source of {value.__name__} is not known; move it into a file of your project and import it "
            "from there"
        )
    text, node = found
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = text.splitlines()[first - 1 : node.end_lineno]
    piece = dedent("\n".join(lines))
    return _Piece(DEFINITION, piece, *_names(piece))


def _found(value: Any) -> tuple[str, Definition] | None:
    """The text that a class or function is defined in, and where in it."""
    codes = [value.__code__] if isinstance(value, FunctionType) else _codes_of(value)
    for code in codes:
        text = "".join(linecache.getlines(code.co_filename))
        for node in _definitions(text, value.__name__):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first <= code.co_firstlineno <= (node.end_lineno or 0):
                return text, node
    if isinstance(value, type) and not codes:  # it has no method that would say where it is
        for text in _texts():
            for node in _definitions(text, value.__name__):
                if isinstance(node, ast.ClassDef):
                    return text, node
    return None


def _codes_of(value: type) -> list[Any]:
    functions = [getattr(part, "__func__", getattr(part, "fget", part)) for part in vars(value).values()]
    codes = [inspect.unwrap(part).__code__ for part in functions if isinstance(part, FunctionType)]
    return [code for code in codes if code.co_qualname.startswith(f"{value.__qualname__}.")]


def _definitions(text: str, name: str) -> Iterator[Definition]:
    """Those of a text by that name, outside of functions and classes, the last first."""
    for node in _statements(text):
        if isinstance(node, Definition) and node.name == name:
            yield node


def _statements(text: str) -> Iterator[ast.stmt]:
    """Those of a module, also below `if`, `try` and `with`, the last first; none where it cannot be parsed."""
    try:
        waiting: list[ast.AST] = list(ast.parse(text).body)
    except (SyntaxError, ValueError):
        return
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If | ast.Try | ast.With):
            waiting += [
                part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt | ast.excepthandler)
            ]
        elif isinstance(node, ast.ExceptHandler):
            waiting += node.body
        elif isinstance(node, ast.stmt):
            yield node


def _texts() -> list[str]:
    """The text of the main module: of the script, or of the cells that were run, the last first."""
    main = sys.modules["__main__"]
    if file := getattr(main, "__file__", None):
        return ["".join(linecache.getlines(file))]
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        return list(reversed(shell.history_manager.input_hist_parsed))
    return [
        "".join(linecache.getlines(name)) for name in reversed(list(linecache.cache)) if name.startswith("<")
    ]


def _statement(name: str) -> ast.stmt | None:
    """The last import, of this name alone, or assignment that gave a name of the main module its value."""
    for node in (node for text in _texts() for node in _statements(text)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return ast.ImportFrom(node.module, [alias], node.level)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return node
    return None


def _import_of(name: str, value: Any, own: str) -> str:
    """The statement that imports a value, or "": as the main module has it, else by what the value says of itself.

    own: the name of the main module.
    """
    node = _statement(name)
    if isinstance(
        node, ast.ImportFrom
    ):  # the module may have been imported anew since, so that the values differ
        return ast.unparse(node)
    if isinstance(value, ModuleType):
        if value.__name__ != name:
            return f"import {value.__name__} as {name}"
        submodules = sorted(f"import {other}" for other in _imported() if other.startswith(f"{name}."))
        return "\n".join([f"import {name}", *submodules])  # `import a` does not say that a.b is used
    module, qualified = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if module in (own, "builtins") or not (isinstance(module, str) and isinstance(qualified, str)):
        return ""
    if module not in sys.modules and plugins.module_file(module) is None:
        return ""
    found = getattr(sys.modules.get(module), qualified, None if module in sys.modules else value)
    # What was imported anew is no longer the same; and Annotated[…] calls itself Annotated.
    is_alias = type(value).__module__ in ("typing", "types")
    if found is None or _qualified(found) != _qualified(value) or (is_alias and found is not value):
        return ""
    return f"from {module} import {qualified}" + ("" if qualified == name else f" as {name}")


def _qualified(value: Any) -> str:
    return str(getattr(value, "__qualname__", ""))


def _imported() -> set[str]:
    """The modules that the main module imports by their full names."""
    nodes = [node for text in _texts() for node in _statements(text) if isinstance(node, ast.Import)]
    return {alias.name for node in nodes for alias in node.names if not alias.asname}


def _is_plain(value: Any) -> bool:
    """Whether what repr writes of a value is that value."""
    try:
        again = ast.literal_eval(repr(value))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
    return type(again) is type(value) and bool(again == value)


def _written(value: Any) -> str:
    """As repr, with sets in an order that every process has."""
    match value:
        case set() if value:
            return f"{{{', '.join(sorted(map(_written, value)))}}}"
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case tuple() if value:
            return f"({', '.join(map(_written, value))},)"
        case dict():
            return f"{{{', '.join(f'{key!r}: {_written(item)}' for key, item in value.items())}}}"
        case _:
            return repr(value)


def _names(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the module that a statement uses, and those that it uses as soon as it is executed."""
    every, at_once = set[str](), set[str]()
    waiting = [(symtable.symtable(text, "<source>", "exec"), True)]
    while waiting:
        table, executed = waiting.pop()
        names = {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and symbol.is_global()
        }
        every |= names
        at_once |= names if executed else set()
        for child in table.get_children():
            runs = str(child.get_type()).endswith("class") or child.get_name().endswith(("comp", "genexpr"))
            waiting.append((child, executed and runs))
    return frozenset(every), frozenset(at_once)


def _order(definitions: Mapping[str, _Piece]) -> list[str]:
    """Each after those that it uses as soon as it is executed, and after what these then use."""

    def reached(start: str) -> set[str]:
        found, waiting = {start}, [start]
        while waiting:
            for name in definitions[waiting.pop()].names & definitions.keys() - found:
                found.add(name)
                waiting.append(name)
        return found

    before = {
        name: sorted(piece.at_once & definitions.keys() - {name}) for name, piece in definitions.items()
    }
    deep = {name: sorted(set().union(*map(reached, others)) - {name}) for name, others in before.items()}
    try:
        return list(TopologicalSorter(deep).static_order())
    except CycleError:
        return list(TopologicalSorter(before).static_order())


def _nameless(value: Any) -> str:
    return "a lambda" if value.__name__ == "<lambda>" else "a function that is defined in another"
