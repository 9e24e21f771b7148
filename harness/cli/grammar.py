"""What all commands have in common: how a study is named, and in which form something is printed.

A study is a command's first argument, or --study. What a command prints are tables, or with --format a document; --json
is short for --format json. Spellings of earlier releases are read, too.
"""

import inspect
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand, TyperOption

from harness.records import SCHEMA

STUDIES = (
    "study",
    "studies",
    "trials",
    "first",
    "old",
    "model",
)  # arguments that name studies, of any command
STUDY_OPTIONS = ("--study", "-s")
OLD_OPTIONS = {"--html": "--output"}  # of earlier releases, where a command has the new one alone
FORMS = ("form", "format_")  # parameters that are --format
OLD_FORMS = {"table": "text"}


class Command(TyperCommand):
    """A command whose study may also be an option, and whose documents have --json where they have --format json."""

    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        first = next((one for one in self.params if one.param_type_name == "argument"), None)
        self.takes_study = first is not None and first.name in STUDIES
        self.forms = forms_of(self.callback)
        more = [one for one in _shared_options() if one.name == "named" and self.takes_study]
        more += [one for one in _shared_options() if one.name == "as_json" and "json" in self.forms]
        for option in more:
            option.expose_value = False
            if option.name == "named" and first is not None:
                option.shell_complete = first.shell_complete  # type: ignore[method-assign]
        self.params += more

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put studies first, and the present spellings in place of old and short ones."""
        return super().parse_args(ctx, self.in_one_grammar(args))

    def in_one_grammar(self, arguments: Sequence[str]) -> list[str]:
        options = {name: one for one in self.params if isinstance(one, TyperOption) for name in one.opts}
        studies, rest = list[str](), list[str]()
        words = iter(arguments)
        for word in words:
            if word == "--":
                rest += [word, *words]
                break
            name, has_value, value = word.partition("=")
            if name in OLD_OPTIONS and name not in options and OLD_OPTIONS[name] in options:
                name = OLD_OPTIONS[name]
            if name == "--json" and "json" in self.forms and not has_value:
                rest += ["--format", "json"]
            elif name not in options or options[name].is_flag:
                rest.append(word)
            elif (given := value if has_value else next(words, None)) is None:
                rest.append(name)  # which the parser tells
            elif name in STUDY_OPTIONS and self.takes_study:
                studies.append(given)
            elif name == "--format":
                rest += [name, OLD_FORMS.get(given, given) if "text" in self.forms else given]
            else:
                rest += [f"{name}={given}"] if has_value and name.startswith("--") else [name, given]
        return studies + rest


def forms_of(command: Any) -> tuple[str, ...]:
    """In which forms a command, the function, prints what it has found or writes a file: the choices of --format."""
    parameters = inspect.signature(command).parameters.values()
    return next((get_args(get_args(one.annotation)[0]) for one in parameters if one.name in FORMS), ())


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether a command line, which may be wrong, asks for a document."""
    words = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    return "--json" in words or "--format=json" in words or ("--format", "json") in pairwise(words)


def error_document(message: str, exit_code: int) -> str:
    """What goes to stderr in place of a line, where a document was asked for."""
    document = {"schema": SCHEMA, "error": message, "exit_code": exit_code}
    return json.dumps(document)  # in ASCII: a path in the message may hold what no encoding has


def _shared_options() -> Iterator[TyperOption]:
    """New ones, as typer makes them of annotations."""
    shared = typer.Typer(add_completion=False)

    @shared.command()
    def options(
        named: Annotated[
            list[str] | None,
            typer.Option(*STUDY_OPTIONS, metavar="STUDY", help="The study, if not an argument."),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    ) -> None: ...

    for one in typer.main.get_command(shared).params:
        if isinstance(one, TyperOption) and one.name != "help":
            yield one
