"""init: the command that writes the first study of some images, or the first model of one's own."""

import keyword
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import Document, printed
from harness.config import catalog
from harness.errors import UsageError
from harness.invocation import command
from harness.messages import to_stderr

if TYPE_CHECKING:
    from harness.data.group_guess import Suggestion


@dataclass(frozen=True)
class Begun:
    """The files that were written, and the command to give next.   study: its name, of a model none."""

    study: str | None
    written: tuple[str, ...]
    next: str


def init(
    folder: Annotated[Path | None, typer.Argument(help="Images: one folder per class.")] = None,
    data: Annotated[str | None, typer.Option(metavar="NAME", help="A data set in place of a folder.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write models/NAME.py and its test instead.")
    ] = None,
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="What the study is to be called.")
    ] = None,
    form: Document = "text",
) -> None:
    """Write a first study for your images, or a first model.

    It looks at the images of a folder or data set and writes studies/NAME.yaml, in which every line says what it is:
    their size, whether they are grey, batch sizes, ranges to search, for uneven classes another objective, and groups
    that the names of files suggest, those of one patient say: as a comment, unless you want them when asked. With
    --model, models/NAME.py, a small network with two options, and tests/test_NAME.py. No file is ever overwritten.
    """
    to_stderr()
    given = [
        what
        for what, value in (("FOLDER", folder), ("--data", data), ("--model", model))
        if value is not None
    ]
    if len(given) != 1:
        got = f" (got {' and '.join(given)})" if given else ""
        raise UsageError(f"init needs one of a folder of images, --data NAME and --model NAME{got}")
    if model is not None:
        if as_name is not None:
            raise UsageError("--as is a study's name; a model has the one of --model")
        begun, lines = _write_model(model)
    else:
        begun, lines = _write_study(folder, data or "", as_name)
    if not printed(begun, form):
        print(*lines, sep="\n")


def _write_study(folder: Path | None, data: str, as_name: str | None) -> tuple[Begun, list[str]]:
    from harness.cli import first_study
    from harness.config.study_file import parse_study_file
    from harness.store.store import valid_name

    name = as_name or (data if folder is None else _study_name(folder))
    if not valid_name(name):
        raise UsageError(f"a study cannot be called {name!r}: letters, digits, space and _ . + - only")
    path = Path("studies") / f"{name}.yaml"
    _require_new(path, f"{command('init')} … --as NAME calls the new one otherwise")
    seen = first_study.look_at_data_set(data) if folder is None else first_study.look_at_folder(folder)
    wanted = seen.suggested is not None and _wants_groups(seen.suggested)
    text = first_study.study_text(name, seen, with_groups=wanted)
    parse_study_file(text.encode(), (), name=name, source=str(path))  # what it refuses is not written
    _write(path, text)
    for problem in seen.unreadable[:3]:
        print(f"cannot be read: {problem}", file=sys.stderr)
    if warning := first_study.few_images(seen):
        print(warning, file=sys.stderr)
    lines = [f"{path}: {seen.in_words()}"]
    if not seen.too_small:
        lines += [f"next:  {command('check', name)}", f"       {command('tune', name)}"]
    return Begun(name, (str(path),), command("check", name)), lines


def _wants_groups(suggested: "Suggestion") -> bool:
    """Say which groups names suggest; ask, on a terminal, whether they are to be kept together."""
    print(suggested.in_words(), file=sys.stderr)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return typer.confirm("Never split these groups?", default=False, err=True)


def _write_model(name: str) -> tuple[Begun, list[str]]:
    from harness.cli import first_model

    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name.startswith("_"):
        raise UsageError(f"--model {name}: letters, digits and _ only, as the file is a Python module")
    if name in catalog.models():
        raise UsageError(f"--model {name}: harness has a model of this name; choose another")
    model, test = Path("models") / f"{name}.py", Path("tests") / f"test_{name}.py"
    for path in (model, test):
        _require_new(path, "choose another name")
    _write(model, first_model.MODEL.format(name=name))
    _write(test, first_model.TEST.format(name=name))
    next_ = f"python -m pytest {test}"
    return Begun(None, (str(model), str(test)), next_), [
        f"{model}: a small network with the options depth and width",
        f"{test}: whether it can be trained",
        f"next:  {next_}",
    ]


def _study_name(folder: Path) -> str:
    """Of the folder's own, as it can be written without quotes."""
    plain = re.sub(r"[^\w.+-]+", "_", folder.expanduser().absolute().resolve().name).strip("_.+-")
    return plain[:60] or "images"


def _require_new(path: Path, advice: str) -> None:
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} is there already, and is not overwritten; {advice}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
