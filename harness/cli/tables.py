"""Tables and closing lines for people, with rich; scripts use --json."""

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from harness.analysis.leaderboard import ComparedStudies, StartedStudies, Status, TrialStatus, UnreadableStudy
from harness.analysis.trial import FoldLine, TrialPage
from harness.cli.layout import Cell, laid_out
from harness.cli.options import advised
from harness.cli.worth import worth
from harness.report.format import duration, of_objective
from harness.store.loaded_study import has_trained_no_fold, nothing_started
from harness.store.store import Store

if TYPE_CHECKING:
    from harness.analysis.reproduce import Reproduction
    from harness.search.profiling import Profile

STATE_STYLES = {
    "complete": "green", "stopped": "yellow", "running": "cyan", "interrupted": "cyan", "failed": "red",
}  # fmt: skip
WHAT_HELPS = {  # by kind of failure
    "non-finite": "; a lower end of train.lr, or train.clip_norm, keeps weights finite",
    "memory": "; a smaller train.batch_size or model needs less",
}
MOST_ROWS, LEAST_ROWS = 15, 3
LINES_BESIDE = 6  # of a terminal, for a leaderboard's title, what to do next, and the prompt
ROOM_FOR_BARS = 110  # columns of a terminal: with less, values would be a column of single words
WIDTH = 80  # of what is said of a trial; a traceback and a path may be longer


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal, or COLUMNS; wide enough for anything where the output is none and nothing is said."""
    return Console(stderr=stderr, highlight=False, width=None if has_width(stderr=stderr) else 240)


def has_width(*, stderr: bool = False) -> bool:
    """Whether lines are to be broken, as on a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return stream.isatty() or os.environ.get("COLUMNS", "").isdecimal()


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, text: int = 0, header: str = "bold"
) -> None:
    """Print rows, laid out for the terminal.   text, header: as in `laid_out`."""
    out = console()
    out.print(*laid_out(columns, rows, out.width, text=text, header=header), sep="\n", soft_wrap=True)


def say(*lines: str, style: str = "", indent: int = 0) -> None:
    """Print sentences, which a terminal has broken between words; elsewhere each is a line.

    indent: columns that the rest of a broken line stands in from the left.
    """
    out = console()
    for line in lines:
        if has_width() and indent and len(line) > out.width > 2 * indent:
            line = "\n".join(
                textwrap.wrap(line, out.width, subsequent_indent=" " * indent, break_on_hyphens=False)
            )
        out.print(Text(line, style=style), soft_wrap=not has_width())


def leaderboard(status: Status, home: Path, *, whole: bool = True) -> None:
    """The trials, best first, with a bar of its 95 % interval on a common scale.

    whole: otherwise as many trials as a terminal has room for, with what is said below them.
    """
    rows = status.ranking
    out = console()
    counts = {state: sum(row.state == state for row in rows) for state in STATE_STYLES}
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no trial yet"
    out.print(f"[bold]{status.study}[/]  {status.state}: {said} of {status.num_trials}")
    if not rows:
        return
    lines, most = _leaderboard_lines(status, rows[:MOST_ROWS], out.width), MOST_ROWS
    said_below = worth(status, home)
    all_of_them = "--json" if len(rows) > MOST_ROWS else advised(home, "status", status.study)
    longest = Text(f"… and {len(rows)} more ({all_of_them} has all)")
    below = sum(len(line.wrap(out, out.width)) for line in (longest, *said_below))
    room = out.height - LINES_BESIDE - below
    if not whole and out.is_terminal and len(lines) > room:
        most = max((room - 1) * len(rows[:MOST_ROWS]) // (len(lines) - 1), LEAST_ROWS)
        lines = _leaderboard_lines(status, rows[:most], out.width)
    out.print(*lines, sep="\n", soft_wrap=True)
    if len(rows) > most:
        all_of_them = "--json" if most == MOST_ROWS else advised(home, "status", status.study)
        out.print(f"… and {len(rows) - most} more ({all_of_them} has all)")
    for line in said_below:
        out.print(line)
    for row in rows:
        if row.state == "failed":
            advice = WHAT_HELPS.get(row.failure, "")
            out.print(Text(f"trial {row.number} failed ({row.failure}): {row.reason}{advice}", style="red"))


def _leaderboard_lines(status: Status, rows: Sequence[TrialStatus], width: int) -> list[Text]:
    """The table in the form that has the most in it, of those in which each trial is one line, if there is one."""
    for names_as_columns, bars in ((True, True), (False, width >= ROOM_FOR_BARS)):
        columns, cells = _leaderboard_rows(status, rows, names_as_columns=names_as_columns, bars=bars)
        lines = laid_out(columns, cells, width, text=0 if names_as_columns else 1)
        if len(lines) == 1 + len(rows):
            break
    return lines


def _leaderboard_rows(
    status: Status, rows: Sequence[TrialStatus], *, names_as_columns: bool, bars: bool
) -> tuple[list[str], list[list[Cell]]]:
    """Columns and rows, with a column for every searched name, or all of them in the last one.

    bars: whether intervals are drawn.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.params))
    short = [name.partition(".")[2] for name in names]
    scale, best = _scale(rows), status.best.number if status.best else None
    columns = ["trial", status.objective, "± 95 %", *([""] if bars else []), "folds", "time", "state"]
    cells: list[list[Cell]] = []
    for row in rows:
        values = [number(row.params.get(name)) for name in names]
        if not names_as_columns:
            values = [", ".join(f"{name} {value}" for name, value in zip(short, values, strict=True))]
        cells.append(
            [
                f"{row.number}{' *' if row.number == best else ''}",
                _four_digits(row.mean),
                _four_digits(row.half_width),
                *([_bar(row, scale)] if bars else []),
                str(len(row.folds)),
                duration(row.seconds),
                Text(row.state, style=STATE_STYLES[row.state]),
                *values,
            ]
        )
    return columns + (short if names_as_columns else ["values"]), cells


def next_steps(status: Status, home: Path, *, in_mlflow: bool) -> None:
    """What one does next with a study, on stderr.   in_mlflow: whether it is shown there."""
    out = console(stderr=True)
    if status.state != "finished":
        out.print("not finished: the same command goes on")
    steps = [("a page to read: ", "report")]
    if status.best and status.state == "finished" and status.confirmed is None:
        steps.append(("was it luck?    ", "confirm"))
    if in_mlflow:
        steps.append(("in MLflow:      ", "ui"))
    if status.best:
        steps.append(("train it again: ", "reproduce"))
    for why, command in steps:
        out.print(Text(f"{why} {advised(home, command, status.study)}", style="dim"), soft_wrap=True)


def then(home: Path, study: str, steps: Mapping[str, Sequence[str]]) -> None:
    """What one does next, on stderr.   steps: what for, and the command's words with the study's name left out."""
    width = max(map(len, steps), default=0) + 1
    for why, (command, *rest) in steps.items():
        line = f"{why + ':':<{width}}  {advised(home, command, study, *rest)}"
        console(stderr=True).print(Text(line, style="dim"), soft_wrap=True)


def studies_started(found: StartedStudies, store: Store) -> None:
    """Where all studies of a store stand, and which were interrupted before there was anything of them to show."""
    without_fold = list(_studies_without_fold(store))
    if found.studies:
        _started(found)
    elif not without_fold:
        said = nothing_started(store.home).rstrip("?")
        say(f"{said}; begin with: {advised(store.home, 'tune', 'quickstart')}")
    say(*without_fold)


def _started(found: StartedStudies) -> None:
    rows: list[Sequence[Cell]] = []
    for status in found.studies:
        if isinstance(status, UnreadableStudy):
            rows.append((status.study, Text(status.state, style="red"), "", status.problem))
            continue
        best = status.best
        score = "-" if best is None else f"{status.objective} {best.mean:.4f} (trial {best.number})"
        done = sum(trial.has_ended for trial in status.trials)
        rows.append((status.study, status.state, f"{done}/{status.num_trials}", score))
    table(("study", "state", "trials", "best"), rows, text=1)


def _studies_without_fold(store: Store) -> Iterator[str]:
    for name in store.study_folders():
        if store.is_driven(name) and not store.has_study(name):
            yield f"{name}: trains its first fold"
        elif has_trained_no_fold(store, name):
            yield f"{name}: interrupted before its first fold had ended; the same tune command goes on with it"


def comparison(studies: ComparedStudies) -> None:
    """The best trials of several studies, with the gain over the study before where there is one."""
    rows = studies.compared
    head = ("study", "best mean ± 95 %", "trials", "epochs", "images", "images/s", "time", "gain ± 95 %")
    cells = [
        (
            row.study,
            _with_error(row.mean, row.half_width),
            f"{row.trials_done}/{row.num_trials}",
            number(row.epochs),
            f"{row.num_images:,}",
            "-" if row.images_per_second is None else f"{row.images_per_second:,.0f}",
            "-" if row.seconds is None else duration(row.seconds),
            _with_error(row.gain, row.gain_half_width, sign="+"),
        )
        for row in rows
    ]
    table(head, cells)
    out = console()
    for before, row in pairwise(rows):
        if row.no_gain:
            names = f"{before.study} and {row.study}"
            out.print(Text(f"no gain: {names} are of different {row.no_gain}"))


def trial(page: TrialPage) -> None:
    """All of one trial, line by line."""
    width = min(console().width, WIDTH)
    say(f"{page.study}, trial {page.trial}: {page.state}")
    if page.reason:
        why = f"{page.failure}: {page.reason}" if page.failure else page.reason
        print(textwrap.fill(why, width, initial_indent="  ", subsequent_indent="  "))
    if page.mean is not None:
        error = "" if page.half_width is None else f" ± {page.half_width:.4f}"
        print(f"{page.objective} {page.mean:.4f}{error}, {duration(page.seconds)}")
    for name, value in page.others.items():
        print(f"{name} {of_objective(name, value)}")
    if page.rung_score is not None:
        print(f"short training {page.rung_score:.4f}")
    values = {f"{name}{' *' * (name in page.params)}": number(value) for name, value in page.values.items()}
    _block("values" + " (* searched)" * bool(page.params), values, width)
    if page.folds:
        print()
        table(
            ("fold", page.objective, "epochs", "time", "key"), [_fold(fold) for fold in page.folds], header=""
        )
    for fingerprint in page.fingerprints:
        _block("computed on", fingerprint, width)
    if page.mlflow_run_id:
        say("", f"MLflow run {page.mlflow_run_id}")
    if page.traceback:
        print("", *page.traceback.rstrip().splitlines(), sep="\n")


def reproduction(found: "Reproduction") -> None:
    """The verdict with every fold's two scores, and what differs."""
    out = console()
    style = {"BITWISE": "green", "WITHIN-NOISE": "yellow", "DRIFT": "red"}[found.verdict]
    out.print(f"[bold {style}]{found.verdict}[/]  {found.study} trial {found.trial}")
    rows = [
        (str(fold.fold), f"{fold.recorded:.6f}", f"{fold.reproduced:.6f}", "yes" if fold.bitwise else "no")
        for fold in found.folds
    ]
    table(("fold", "recorded", "reproduced", "equal bits"), rows)
    for one in found.differences:
        say(f"differs: {one.what}: recorded {one.recorded}, now {one.now}")
    if found.verdict != "BITWISE" and not found.differences:
        say("nothing that is recorded differs: the code has changed, or the machine computes unreliably")


def number(value: Any) -> str:
    """A parameter's value as short as it can be read."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def search_space(study: Any, rows: Sequence[tuple[str, str, str]], totals: str) -> None:
    """What a study searches: (name, range, default) rows, and how much it will train at most."""
    out = console()
    out.print(f"[bold]{study.name}[/]  {study.source}")
    if study.question:
        out.print(Text(study.question, style="dim"))
    if rows:
        table(
            ("searched", "trial 0", "values"), [(name, default, said) for name, said, default in rows], text=1
        )
    else:
        say("nothing is searched: one trial")
    say(totals)


def profile(found: "Profile | None") -> None:
    """Where the workers' time went, as a table with bars; the bookkeeping beside them."""
    out = console()
    if found is None:
        out.print("nothing was trained, so there is no profile")
        return
    rows = [
        (
            row.phase,
            f"{row.seconds:.1f}",
            f"{row.share:.1%}",
            Text("█" * round(30 * max(row.share, 0)), "cyan"),
        )
        for row in found.phases
    ]
    workers = "1 worker" if found.workers == 1 else f"{found.workers} workers"
    out.print(f"[bold]time of {workers}[/]  {found.wall_seconds:.1f} s each")
    table(("phase", "seconds", "share", ""), rows)
    out.print(f"beside them MLflow and Optuna were told for {found.bookkeeping_seconds:.1f} s")
    out.print(Text(f"one by one: {found.trace} (opens in ui.perfetto.dev or chrome://tracing)"))


def _fold(fold: FoldLine) -> tuple[str, ...]:
    if fold.epochs is None or fold.seconds is None:
        return str(fold.fold), f"{fold.score:.4f}", "-", "-", "its record is gone"
    return str(fold.fold), f"{fold.score:.4f}", str(fold.epochs), duration(fold.seconds), fold.key[:12]


def _block(title: str, values: Mapping[str, str], width: int) -> None:
    """A title, then a name and its value on each line; long values go on below themselves."""
    rows = [(f"  {name}", value or "-") for name, value in values.items()]
    print("", title, *(line.plain for line in laid_out(("", ""), rows, width, text=1)[1:]), sep="\n")


def _with_error(value: float | None, error: float | None, *, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f} ± {_four_digits(error)}"


def _four_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _scale(rows: Sequence[TrialStatus]) -> tuple[float, float]:
    """The span of the complete trials' intervals, or of all means if there are none."""
    known = [row for row in rows if row.mean is not None]
    chosen = [row for row in known if row.state == "complete"] or known
    ends = [(row.mean or 0.0) + sign * (row.half_width or 0.0) for row in chosen for sign in (-1, 1)]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _bar(row: TrialStatus, scale: tuple[float, float], width: int = 21) -> Text:
    """The mean and its 95 % interval on a line of the scale; an arrow where the mean lies off it."""
    if row.mean is None:
        return Text("")
    low, high = scale
    span = (high - low) or 1.0

    def place(value: float) -> int:
        return round((value - low) / span * (width - 1))

    error = row.half_width or 0.0
    start, middle, end = place(row.mean - error), place(row.mean), place(row.mean + error)
    marks = ["─" if start <= i <= end else " " for i in range(width)]
    if middle < 0:
        marks[0] = "◂"
    elif middle >= width:
        marks[-1] = "▸"
    else:
        marks[middle] = "●"
    return Text("".join(marks), style=STATE_STYLES[row.state])
