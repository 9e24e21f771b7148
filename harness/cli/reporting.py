"""report: a study, or several, as one file to read and to send."""

import logging
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.completion import started_studies
from harness.cli.options import DEFAULT_HOME, AsJson, Home, print_json, require_folder, require_place
from harness.messages import to_stderr

if TYPE_CHECKING:
    from harness.store.loaded_study import LoadedStudy

logger = logging.getLogger(__name__)
DELIVERY_SECONDS = 10.0  # to wait for another process that is delivering the study


class Format(StrEnum):
    """What a report can be written as."""

    html = "html"
    md = "md"


def report(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY...", help="Several are compared.", autocompletion=started_studies),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            dir_okay=False,
            help="By default report.html in the study's folder, comparison.html here; Markdown is printed.",
        ),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="A page for people, or Markdown for a pull request.")
    ] = Format.html,
    images: Annotated[
        int, typer.Option(min=0, help="Misclassified and suspicious images of each class; 0 for none.")
    ] = 4,
    as_json: AsJson = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a study as one page to read and to send.

    Answer, errors, leaderboard, curves, confusion, images, cost and provenance in one HTML file that needs no network;
    several studies are compared first. Without -o the page of one is kept with it, and MLflow shows it.
    """  # fmt: skip
    to_stderr()
    from harness.report.document import collect
    from harness.report.markdown import markdown
    from harness.store.loaded_study import LoadedStudy
    from harness.store.store import Store

    store = Store(home)
    if form is Format.html and not as_json and len(set(studies)) == 1:
        require_place(output, store.study_folder(studies[0]))
    elif output is not None:
        require_folder("--output", output)
    opened = [LoadedStudy.open(store, name) for name in dict.fromkeys(studies)]
    found = collect(opened, images=0 if form is Format.md else images)
    if as_json:
        print_json(found.document)
    elif form is Format.md and output is None:
        print(markdown(found.document), end="")
    elif form is Format.md:
        print(_written(output, markdown(found.document)))
    else:
        _write_page(opened, found, output)


def _write_page(opened: "list[LoadedStudy]", found: Any, output: Path | None) -> None:
    """Write it where it was asked for; else a study's own into its folder, from where MLflow gets it."""
    from harness.report.html import page
    from harness.report.kept import place

    content = page(found)
    if output is not None or len(opened) > 1:
        print(_written(output or Path("comparison.html"), content))
        return
    print(_written(place(opened[0].store, opened[0].name), content))
    _show_in_mlflow(opened[0])


def _written(path: Path | None, content: str) -> Path:
    from harness.files import write_file

    assert path is not None
    write_file(path.absolute(), content.encode())
    return path


def _show_in_mlflow(study: "LoadedStudy") -> None:
    """Have MLflow show the page with the study's run; where it cannot, the next delivery does."""
    from harness.tracking.deliver import redeliver
    from harness.tuning import Settings

    if study.is_driven:
        return
    try:
        uri = Settings(study.store.home).tracking_uri
        redeliver(study, tracking_uri=uri, lock_seconds=DELIVERY_SECONDS)
    except Exception as error:  # a fault in a view is no reason to fail: the page is there
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        logger.warning("MLflow does not show the page yet (%s); harness sync delivers it", said)


COMMANDS: list[Callable[..., None]] = [report]
