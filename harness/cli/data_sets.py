"""data: the command that shows what images a study has, and what has become of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import DEFAULT_HOME, Form, Home, advised, opened, printed, started_studies
from harness.errors import UsageError
from harness.messages import to_stderr

if TYPE_CHECKING:
    from harness.analysis.study_data import DataDiff, StudyData

MOST_CLASSES = 30
MOST_NAMED = 20
DIFF = "diff"


def data(
    studies: Annotated[
        list[str],
        typer.Argument(
            metavar="[diff] STUDY [STUDY]",
            help="A study that has been started; after diff, what has changed since, or in another study.",
            autocompletion=started_studies,
        ),
    ],
    form: Form = "text",
    home: Home = DEFAULT_HOME,
) -> None:
    """Show the data of a study, and what has changed since it began.

    The images of each class, fold and part; files that were added, removed, changed or moved since. A study goes on
    with the images that it began with: `harness tune --extend` begins another on what there is now. `data diff STUDY`
    names the files, with --json all of them.
    """
    to_stderr()
    from harness.analysis.study_data import data_diff, study_data

    is_diff = DIFF in studies[:-1] or DIFF in studies[1:]
    if is_diff:
        studies = [*studies]
        studies.remove(DIFF)  # which may follow a study that --study names
    named = [opened(home, name) for name in studies]
    if len(named) > 1 + is_diff:
        raise UsageError(
            f"{len(named)} studies: {advised(home, 'data', 'STUDY')} shows one, "
            f"{advised(home, 'data', 'diff', 'A', 'B')} compares two"
        )
    if is_diff:
        changes = data_diff(*named)
        if form == "csv":
            raise UsageError("harness data diff has no table: --format json has all names")
        if not printed(changes, form):
            _print_diff(changes)
    else:
        found = study_data(named[0])
        if not printed(found, form, "classes"):
            _print_data(found, home)


def _print_data(found: "StudyData", home: Path) -> None:
    from harness.cli import tables

    train, test = (sum(getattr(row, part) for row in found.classes) for part in ("train", "test"))
    left_out = sum(row.left_out for row in found.classes)
    tables.say(f"{found.study}: {found.source}" + (f", extends {found.extends}" if found.extends else ""))
    tables.say(
        f"{train + test:,} images: {train:,} to train on, {test:,} sealed"
        + (f"; {left_out:,} left out" if left_out else "")
    )
    if found.groups < train:
        tables.say(f"those to train on are in {found.groups:,} groups, each held out as one")
    rows = [
        (row.name, f"{row.train:,}", _range(row.folds), f"{row.test:,}", f"{row.left_out:,}")
        for row in found.classes[:MOST_CLASSES]
    ]
    tables.table(("class", "train", "per fold", "test", "left out"), rows)
    if len(found.classes) > MOST_CLASSES:
        tables.say(f"… and {len(found.classes) - MOST_CLASSES} more classes (--json has all)")
    for line in found.unreadable[:MOST_NAMED]:
        tables.say(f"left out: {line}")
    if found.since is None:
        tables.say(f"now: {found.now}; the study goes on with its own copy of the images")
    elif found.since:
        tables.say(f"now: {found.since}; the study goes on with the images that it began with")
        command = advised(home, "tune", "FILE", "--extend", found.study, "--as", "NAME")
        tables.say(f"{command} begins a study on what there is now")
    else:
        tables.say("now: as the study began")


def _print_diff(found: "DataDiff") -> None:
    print(found.changes)
    changes = found.changes
    lines = [f"- {name}" for name in changes.removed] + [f"~ {name}" for name in changes.changed]
    lines += [f"> {one} to {two}" for one, two in changes.moved] + [f"+ {name}" for name in changes.added]
    lines += [f"~ {name}: another group" for name in changes.regrouped]
    lines += [f"~ {name}: other soft labels" for name in changes.relabelled]
    for line in lines[:MOST_NAMED]:
        print(line)
    if len(lines) > MOST_NAMED:
        print(f"… and {len(lines) - MOST_NAMED} more (--json has all)")
    if found.second:
        parts, folds = f"{found.moved_parts:,} are in another part", f"{found.moved_folds:,} in another fold"
        print(f"of the images of both, {parts} and {folds}")


def _range(folds: tuple[int, ...]) -> str:
    low, high = min(folds), max(folds)
    return f"{low:,}" if low == high else f"{low:,} … {high:,}"
