"""Reads the options of a plug-in by importing it, in a process of its own; `python -m harness.config.running`.

That is done where the source text alone does not say them: an inherited `__init__`, a default that is computed, an
annotation from elsewhere. What was found is kept under the hashes of the project's files that had been imported.
"""

import contextlib
import dataclasses
import enum
import inspect
import json
import os
import subprocess
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.config import plugins
from harness.config.kinds import KINDS
from harness.config.plugins import Plugin
from harness.config.signatures import Between, NamesFile, Option, ReadWith, Younger, meanings, reading
from harness.errors import HarnessError, UsageError
from harness.files import digest, digest_of, write_json

VERSION = 2  # of what is kept
SECONDS = 120.0  # that an import may take
SCALARS = {int: "int", float: "float", bool: "bool", str: "str"}
MARK = "\x1eharness:"  # what is after it on stdout is the answer; the module may have printed anything before


def options_of(plugin: Plugin) -> tuple[str, tuple[Option, ...], tuple[str, ...]]:
    """The first line of the docstring, the options, and which of the arguments that harness gives it takes.

    Raises UsageError for what cannot be imported or called.
    """
    answer = _answer(plugin)
    return answer["summary"], _as_options(answer), tuple(answer["takes"])


def metric_of(plugin: Plugin) -> tuple[str, tuple[Option, ...], bool]:
    """Of a metric also whether a higher score is better."""
    answer = _answer(plugin)
    return answer["summary"], _as_options(answer), answer["higher_is_better"]


def _answer(plugin: Plugin) -> dict[str, Any]:
    kept = _kept_at(plugin)
    answer = _read(kept, plugin)
    if answer is None:
        answer = _asked(plugin)
        if "problem" not in answer:
            with contextlib.suppress(
                HarnessError
            ):  # without room or right to keep it, it is asked again next time
                write_json(kept, answer)
    if "problem" in answer:
        raise UsageError(answer["problem"])
    return answer


def _as_options(answer: Mapping[str, Any]) -> tuple[Option, ...]:
    return tuple(
        Option(
            **{
                **option,
                "choices": tuple(option["choices"]),
                "limits": Between(**option["limits"]),
                "keys": (),
                "read_with": tuple(
                    ReadWith(one["name"], tuple(one["values"]), one["unless"])
                    for one in option.get("read_with", ())
                ),
            }
        )
        for option in answer["options"]
    )


def options_by_import(plugin: Plugin) -> dict[str, Any]:
    """What `options_of` has another process find, as JSON."""
    function = plugins.load(plugin)
    found, given = list(_options(function, plugin)), plugins.given(plugin.kind)
    said = meanings(
        "\n\n".join(filter(None, map(inspect.getdoc, (function, getattr(function, "__init__", None))))),
        [option.name for option in found],
    )
    options = [asdict(replace(option, meaning=said.get(option.name, ""))) for option in found]
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    files = {
        file for file in loaded if file and Path(file).is_relative_to(plugin.root) and file.endswith(".py")
    }
    if len(files) > 2000:  # an installed package's root is all of site-packages
        files = {str(plugin.file)}
    return {
        "version": VERSION,
        "summary": (inspect.getdoc(function) or inspect.getdoc(inspect.getmodule(function)) or "").split(
            "\n"
        )[0],
        "options": options,
        "takes": [name for name in inspect.signature(function).parameters if name in given],
        "higher_is_better": plugins.higher_is_better(plugin, function),
        "files": {file: digest_of(Path(file)) for file in sorted(files | {str(plugin.file)})},
    }


def _options(function: Any, plugin: Plugin) -> Iterator[Option]:
    given = plugins.given(plugin.kind)
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):
        raise UsageError(f"{_named(plugin)}: {plugin.place} does not tell its arguments") from None
    try:
        target = function.__init__ if inspect.isclass(function) else function
        hints = typing.get_type_hints(target, include_extras=True)
    except Exception:  # a name that is there for type checkers only, say
        hints = {}
    for name, parameter in parameters.items():
        if name in given or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation = hints.get(name, parameter.annotation)
        yield from _of_argument(name, annotation, parameter.default, plugin)


def _of_argument(name: str, annotation: Any, default: Any, plugin: Plugin) -> Iterator[Option]:
    required = default is inspect.Parameter.empty
    wanted = f"{_named(plugin)}: {plugin.place} wants {name}"
    if dataclasses.is_dataclass(annotation) and required:
        raise UsageError(
            f"{wanted}, a dataclass; give it a default, and write its fields as arguments to have them as options"
        )
    kind, choices, limits, optional, marks = _type(annotation, default)
    if isinstance(default, enum.Enum):
        default = default.value
    if kind is None or not (required or default is None or type(default) in SCALARS):
        if required:
            given = ", ".join(KINDS[plugin.kind].given)
            raise UsageError(
                f"{wanted}, which has no default; harness gives {given}, and a study file numbers, text, true and "
                "false: give it a default, or an annotation like float"
            )
        return  # keeps its default
    if kind == "float" and type(default) is int:
        default = float(default)
    yield Option(
        name, kind, None if required else default, choices, limits,
        optional or (default is None and not required), required,
        younger=next((mark for mark in marks if isinstance(mark, Younger)), None),
        names_file=any(isinstance(mark, NamesFile) for mark in marks),
        read_with=reading(marks),
    )  # fmt: skip


def _type(annotation: Any, default: Any) -> tuple[Any, tuple[Any, ...], Between, bool, tuple[Any, ...]]:
    """Kind or None, choices, limits, whether it may be null, and other marks."""
    marks: tuple[Any, ...] = ()
    optional = False
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation, *more = typing.get_args(annotation)
            marks += tuple(more)
        elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
            members = [member for member in typing.get_args(annotation) if member is not type(None)]
            optional = optional or len(members) < len(typing.get_args(annotation))
            simple = [member for member in members if member in SCALARS or typing.get_origin(member)]
            by_default = [member for member in simple if type(default) is member]
            annotation = next(iter(by_default or simple), members[0] if members else None)
            if {int, float} <= set(members):
                annotation = float
        else:
            break
    limits = next((mark for mark in marks if isinstance(mark, Between)), _limits(marks))
    if typing.get_origin(annotation) is typing.Literal:
        choices = typing.get_args(annotation)
        alike = len({type(choice) for choice in choices if choice is not None}) == 1
        optional = optional or None in choices
        choices = tuple(choice for choice in choices if choice is not None)
        return (SCALARS.get(type(choices[0])) if alike else None), choices, limits, optional, marks
    if annotation in (inspect.Parameter.empty, Any):
        annotation = type(default)
    return SCALARS.get(annotation), (), limits, optional, marks


def _limits(marks: tuple[Any, ...]) -> Between:
    """Those of annotated-types (Ge, Gt, Le, Lt, Interval), which pydantic and others write."""
    found: dict[str, float] = {}
    for mark in marks:
        for name, own in (("ge", "low"), ("gt", "above"), ("le", "high"), ("lt", "below")):
            value = getattr(mark, name, None)
            if isinstance(value, int | float):
                found[own] = float(value)
    return Between(**found)


def _asked(plugin: Plugin) -> dict[str, Any]:
    places = [str(plugins.project()), str(plugins.objects() or "")]
    # -B, for bytecode of an edit is taken for that of the next one if both are of one second and one length
    command = [sys.executable, "-P", "-B", "-m", __name__, *places, plugin.kind, plugin.name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONSAFEPATH": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"problem": f"{_named(plugin)}: {plugin.label} was not imported within {SECONDS:.0f} s"}
    _, mark, text = done.stdout.rpartition(MARK)
    if not mark:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {
            "problem": f"{_named(plugin)}: {plugin.label} ended the process that imported it: {said[:200]}"
        }
    answer: dict[str, Any] = json.loads(text)
    return answer


def _kept_at(plugin: Plugin) -> Path:
    from platformdirs import user_cache_path

    named = json.dumps(
        [
            VERSION,
            str(plugin.file),
            plugin.attribute,
            plugin.kind,
            plugins.given(plugin.kind),
            sys.version_info[:2],
        ]
    )
    return user_cache_path("harness", appauthor=False) / "signatures" / f"{digest(named.encode())[:40]}.json"


def _read(kept: Path, plugin: Plugin) -> dict[str, Any] | None:
    """What was kept, if none of the files that it was made from has changed."""
    try:
        answer: dict[str, Any] = json.loads(kept.read_bytes())
        files: Mapping[str, str] = answer["files"]
        same = answer["version"] == VERSION and all(
            digest_of(Path(file)) == known for file, known in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return answer if same and str(plugin.file) in files else None


def _named(plugin: Plugin) -> str:
    return f"{KINDS[plugin.kind].word} {plugin.name}"


def _main(folder: str, objects: str, kind: str, name: str) -> None:
    plugins.use_project(Path(folder), Path(objects) if objects else None)
    try:
        plugin = plugins.find(kind, name)
        answer = {"problem": f"{name} is gone"} if plugin is None else options_by_import(plugin)
    except HarnessError as error:
        answer = {"problem": str(error)}
    print(MARK + json.dumps(answer), flush=True)
    os._exit(0)  # whatever it has started


if __name__ == "__main__":
    _main(*sys.argv[1:])
