"""Tables and closing lines for people, with rich; scripts use --json."""

import os
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.leaderboard import ComparedStudies, StartedStudies, Status, TrialStatus, UnreadableStudy
from harness.analysis.trial import FoldLine, TrialPage
from harness.records import mixed_words
from harness.report.format import duration, of_objective
from harness.store.loaded_study import nothing_started

if TYPE_CHECKING:
    from harness.analysis.reproduce import Reproduction
    from harness.search.profiling import Profile

STATE_STYLES = {"complete": "green", "stopped": "yellow", "running": "cyan", "failed": "red"}
MOST_ROWS = 15
ROOM_FOR_BARS = 110  # columns of a terminal: with less, values would be a column of single words
WIDTH = 80  # of what is said of a trial; a traceback and a path may be longer


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal, or COLUMNS; wide enough for anything where the output is none and nothing is said."""
    stream = sys.stderr if stderr else sys.stdout
    is_known = stream.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return Console(stderr=stderr, highlight=False, width=None if is_known else 240)


def fits(table: Table, out: Console) -> bool:
    """Whether nothing of it has to be cut."""
    return out.measure(table, options=out.options.update(width=1000)).maximum <= out.width


def leaderboard(status: Status) -> None:
    """The trials, best first, with a bar of its 95 % interval on a common scale."""
    rows = status.ranking
    out = console()
    counts = {state: sum(row.state == state for row in rows) for state in STATE_STYLES}
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no trial yet"
    out.print(f"[bold]{status.study}[/]  {status.state}: {said} of {status.num_trials}")
    if not rows:
        return
    table = _leaderboard_table(status, rows[:MOST_ROWS], one_column=False)
    if not fits(table, out):
        has_room = out.width >= ROOM_FOR_BARS
        table = _leaderboard_table(status, rows[:MOST_ROWS], one_column=True, bars=has_room)
    out.print(table)
    if len(rows) > MOST_ROWS:
        out.print(f"… and {len(rows) - MOST_ROWS} more (--json has all)")
    for line in _worth(status):
        out.print(line)
    for row in rows:
        if row.state == "failed":
            out.print(Text(f"trial {row.number} failed ({row.failure}): {row.reason}", style="red"))


def _worth(status: Status) -> list[Text]:
    """What the best score is worth: corrected for the choice, and what the audit has found."""
    lines = [Text(status.scored_by)] if status.scored_by else []
    corrected, audit = status.honest, status.audit
    if corrected and corrected.num_trials > 1:
        interval = f"95 % {corrected.low:.4f} to {corrected.high:.4f}"
        what = f"corrected for the choice among {corrected.num_trials} trials"
        lines.append(Text(f"{what}: {corrected.corrected:.4f}   {interval}"))
    if corrected and corrected.epochs.inflation >= 0.00005:
        oracle = f"{corrected.epochs.oracle:.4f} (+{corrected.epochs.inflation:.4f})"
        lines.append(
            Text(
                f"best epoch of each scored fold, which nobody should report: accuracy {oracle}", style="dim"
            )
        )
    if status.mixed_fingerprints:
        lines.append(Text(mixed_words(status.mixed_fingerprints), style="yellow"))
    if status.pending:
        lines.append(
            Text(
                f"MLflow does not show all of it yet: harness sync {shlex.quote(status.study)}",
                style="yellow",
            )
        )
    lines += [Text(said, style="yellow") for said in status.hidden]
    if status.contradiction:
        lines.append(Text(status.contradiction, style="red"))
    if audit:
        style = "red" if audit.verdict == "failed" else "green"
        lines.append(Text(f"audit {audit.verdict}: {audit.sentence}", style=style))
    return lines


def _leaderboard_table(
    status: Status, rows: Sequence[TrialStatus], *, one_column: bool, bars: bool = True
) -> Table:
    """With a column for every searched name, or all of them in one that wraps.   bars: whether these are drawn."""
    names = list(dict.fromkeys(name for row in rows for name in row.params))
    short = [name.partition(".")[2] for name in names]
    table = new_table("trial", status.objective, "± 95 %", *([""] if bars else []), "folds", "time", "state")
    for column in ["values"] if one_column else short:
        table.add_column(column, no_wrap=not one_column, overflow="fold")
    scale, best = _scale(rows), status.best.number if status.best else None
    for row in rows:
        values = [number(row.params.get(name)) for name in names]
        if one_column:
            values = [", ".join(f"{name} {value}" for name, value in zip(short, values, strict=True))]
        table.add_row(
            f"{row.number}{' *' if row.number == best else ''}",
            _four_digits(row.mean),
            _four_digits(row.half_width),
            *([_bar(row, scale)] if bars else []),
            str(len(row.folds)),
            duration(row.seconds),
            Text(row.state, style=STATE_STYLES[row.state]),
            *values,
        )
    return table


def next_steps(status: Status, *, home: Path, in_mlflow: bool) -> None:
    """What one does next with a study, on stderr.   in_mlflow: whether it is shown there."""
    name = shlex.quote(status.study)
    where = "" if home == Path("mlruns").absolute() else f" --home {shlex.quote(str(home))}"
    out = console(stderr=True)
    if status.state != "finished":
        out.print("not finished: the same command goes on")
    out.print(f"look at it:      harness {'ui' if in_mlflow else 'report'} {name}{where}", style="dim")
    if status.best:
        out.print(f"train it again:  harness reproduce {name}{where}", style="dim")


def studies_started(found: StartedStudies, home: Path) -> None:
    if not found.studies:
        said = nothing_started(home).rstrip("?")
        console().print(f"{said}; begin with: harness tune --study quickstart", soft_wrap=True)
        return
    table = new_table("study", "state", "trials", "best")
    for status in found.studies:
        if isinstance(status, UnreadableStudy):
            table.add_row(status.study, Text(status.state, style="red"), "", status.problem)
            continue
        best = status.best
        score = "-" if best is None else f"{status.objective} {best.mean:.4f} (trial {best.number})"
        done = sum(trial.state != "running" for trial in status.trials)
        table.add_row(status.study, status.state, f"{done}/{status.num_trials}", score)
    console().print(table)


def comparison(studies: ComparedStudies) -> None:
    """The best trials of several studies, with the gain over the study before where there is one."""
    rows = studies.compared
    table = new_table(
        "study", "best mean ± 95 %", "trials", "epochs", "images", "images/s", "time", "gain ± 95 %"
    )
    for row in rows:
        table.add_row(
            row.study,
            _with_error(row.mean, row.half_width),
            f"{row.trials_done}/{row.num_trials}",
            number(row.epochs),
            f"{row.num_images:,}",
            "-" if row.images_per_second is None else f"{row.images_per_second:,.0f}",
            "-" if row.seconds is None else duration(row.seconds),
            _with_error(row.gain, row.gain_half_width, sign="+"),
        )
    out = console()
    out.print(table)
    for before, row in pairwise(rows):
        if row.no_gain:
            names = f"{before.study} and {row.study}"
            out.print(Text(f"no gain: {names} are of different {row.no_gain}"))


def trial(page: TrialPage) -> None:
    """All of one trial, line by line."""
    said = [f"{page.study}, trial {page.trial}: {page.state}"]
    if page.reason:
        why = f"{page.failure}: {page.reason}" if page.failure else page.reason
        said += textwrap.wrap(why, WIDTH, initial_indent="  ", subsequent_indent="  ")
    if page.mean is not None:
        error = "" if page.half_width is None else f" ± {page.half_width:.4f}"
        said.append(f"{page.objective} {page.mean:.4f}{error}, {duration(page.seconds)}")
    said += [f"{name} {of_objective(name, value)}" for name, value in page.others.items()]
    if page.rung_score is not None:
        said.append(f"short training {page.rung_score:.4f}")
    values = {f"{name}{' *' * (name in page.params)}": number(value) for name, value in page.values.items()}
    said += _block("values" + " (* searched)" * bool(page.params), values)
    if page.folds:
        said += ["", f"fold  {page.objective:>17}  {'epochs':>6}  {'time':>9}  key"]
        said += map(_fold, page.folds)
    for fingerprint in page.fingerprints:
        said += _block("computed on", fingerprint)
    if page.mlflow_run_id:
        said += ["", f"MLflow run {page.mlflow_run_id}"]
    if page.traceback:
        said += ["", *page.traceback.rstrip().splitlines()]
    print(*said, sep="\n")


def reproduction(found: "Reproduction") -> None:
    """The verdict with every fold's two scores, and what differs."""
    out = console()
    style = {"BITWISE": "green", "WITHIN-NOISE": "yellow", "DRIFT": "red"}[found.verdict]
    out.print(f"[bold {style}]{found.verdict}[/]  {found.study} trial {found.trial}")
    table = new_table("fold", "recorded", "reproduced", "equal bits")
    for fold in found.folds:
        equal = "yes" if fold.bitwise else "no"
        table.add_row(str(fold.fold), f"{fold.recorded:.6f}", f"{fold.reproduced:.6f}", equal)
    out.print(table)
    for one in found.differences:
        out.print(f"differs: {one.what}: recorded {one.recorded}, now {one.now}")
    if found.verdict != "BITWISE" and not found.differences:
        out.print(
            "nothing that is recorded differs: the code has changed, or the machine computes unreliably"
        )


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
    table = new_table("searched", "values", "trial 0")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table if rows else "nothing is searched: one trial")
    out.print(totals)


def plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = new_table(columns[0])
    for column in columns[1:]:
        table.add_column(column)
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def profile(found: "Profile | None") -> None:
    """Where the workers' time went, as a table with bars; the bookkeeping beside them."""
    out = console()
    if found is None:
        out.print("nothing was trained, so there is no profile")
        return
    table = new_table("phase", "seconds", "share", "")
    for row in found.phases:
        bar = "█" * round(30 * max(row.share, 0))
        table.add_row(row.phase, f"{row.seconds:.1f}", f"{row.share:.1%}", Text(bar, style="cyan"))
    workers = "1 worker" if found.workers == 1 else f"{found.workers} workers"
    out.print(f"[bold]time of {workers}[/]  {found.wall_seconds:.1f} s each")
    out.print(table)
    out.print(f"beside them MLflow and Optuna were told for {found.bookkeeping_seconds:.1f} s")
    out.print(Text(f"one by one: {found.trace} (opens in ui.perfetto.dev or chrome://tracing)"))


def _fold(fold: FoldLine) -> str:
    if fold.epochs is None or fold.seconds is None:
        return f"{fold.fold:>4}  {fold.score:>17.4f}  its record is gone"
    return (
        f"{fold.fold:>4}  {fold.score:>17.4f}  {fold.epochs:>6}  {duration(fold.seconds):>9}  {fold.key[:12]}"
    )


def _block(title: str, values: Mapping[str, str]) -> list[str]:
    """A title, then a name and its value on each line; long values go on below themselves."""
    width = max(map(len, values), default=0)
    found = ["", title]
    for name, value in values.items():
        found += textwrap.wrap(
            value or "-", WIDTH, initial_indent=f"  {name:<{width}}  ", subsequent_indent=" " * (width + 4)
        )
    return found


def new_table(*columns: str, header: str = "bold") -> Table:
    """A table without lines, whose columns do not wrap.   header: its style."""
    table = Table(box=None, pad_edge=False, header_style=header, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


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
