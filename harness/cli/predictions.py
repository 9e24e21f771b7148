"""What `predict` writes while it predicts: rows of CSV or JSON, files that find their place, what went wrong."""

import csv
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any, Literal, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.cli.progress import QUIET_SECONDS, TimeLeft
from harness.cli.tables import console
from harness.data.image_files import printable
from harness.errors import DataError, HarnessError, Interrupted, Terminated
from harness.files import telling_disk_trouble
from harness.inference.predict import Predicted
from harness.inference.rows import Columns, Row
from harness.inference.sorting import Sorter
from harness.os_errors import explained, is_of_the_place
from harness.records import SCHEMA
from harness.report.format import duration


def run(
    stream: Iterator[Predicted],
    columns: Columns,
    kind: Literal["csv", "jsonl", "json"],
    output: Path | None,
    sorter: Sorter | None,
    count: Callable[[], int] | None = None,
) -> None:
    """Write all of the stream. With a sorter stdout says where files go, and only `output` has the rows.

    count: how many files there are, which is asked beside the work; None where nobody can know.

    Raises DataError if nothing could be read, HarnessError if a file could not be put into its place, what `Sorter`
    raises, and Interrupted if that ends it; every row is then whole.
    """
    with ExitStack() as stack:
        if sorter is not None:
            stack.enter_context(sorter)
        tell = stack.enter_context(_progress(count, rows_on_stdout=output is None or sorter is not None))
        write = None
        if output is not None or sorter is None:
            file = stack.enter_context(_opened(output))
            write = stack.enter_context(_writer(file, columns.names(), kind))
        work = _Work(columns, sorter, write, tell)
        try:
            with _HeldBack() as held_back:
                for found in stream:
                    held_back.until(partial(work.take, found))
        except (KeyboardInterrupt, Terminated) as error:
            raise Interrupted(f"interrupted: {work.said()}; {_advice(work, output)}", error) from None
    if not work.good:
        why = "none of the files is a whole image" if work.bad else "no file is named like an image"
        raise DataError(f"{work.said()}; {why}")
    if work.misplaced:
        raise HarnessError(f"{work.said()}; put that right, and the same command does the rest")
    print(work.said(), file=sys.stderr)
    if sorter is not None and sorter.dry_run:
        print(f"nothing was changed; --yes does this {sorter.how}", file=sys.stderr)


@dataclass
class _Work:
    """What is done with each file, and how many are done.   misplaced: predicted, and yet not moved, say.

    last: the path of the last one.
    """

    columns: Columns
    sorter: Sorter | None
    write: Callable[[Row], object] | None
    tell: "_Progress"
    good: int = 0
    bad: int = 0
    misplaced: int = 0
    last: str = ""

    def take(self, found: Predicted) -> None:
        row, problem = self.columns.row(found), found.problem
        if self.sorter is not None and found.probabilities is not None:
            try:
                target = self.sorter.put(found.path, row["label"])
            except OSError as error:
                if is_of_the_place(error) and not isinstance(error, PermissionError):  # which is of this file
                    raise explained(error, self.sorter.root) or error from None
                problem = f"cannot {self.sorter.how} it: {error.strerror or error}"
                self.misplaced += 1
            else:
                print(f"{printable(found.path)} -> {printable(str(target))}")
        if problem:
            self.tell.say(f"{printable(found.path)}: {problem}")
        if self.write is not None and (found.probabilities is not None or self.columns.errors):
            self.write(row)
        self.good += found.probabilities is not None
        self.bad += found.probabilities is None
        self.last = found.path
        self.tell.count(self.good, self.bad)

    def said(self) -> str:
        misplaced = ""
        if self.sorter is not None and self.misplaced:
            verb = {"move": "moved", "copy": "copied", "link": "linked"}[self.sorter.how]
            misplaced = f", {self.misplaced:,} could not be {verb}"
        return f"{self.good:,} predicted, {self.bad:,} unreadable{misplaced}"


def _advice(work: _Work, output: Path | None) -> str:
    """How to go on after an interruption."""
    if not work.last:
        return "the same command begins with the first file"
    sorter = work.sorter
    how = sorter.how if sorter is not None and not sorter.dry_run else ""
    if how == "move":
        but = f" but replaces {output}: name another -o" if output is not None else ""
        return f"the same command goes on with the rest{but}"
    again = ["begins anew", *([f"replaces {output}"] if output is not None else [])]
    again += [f"leaves the {'copies' if how == 'copy' else 'links'} that are there"] if how else []
    return f"go on with the files after {printable(work.last)}; the same command {' and '.join(again)}"


class _HeldBack:
    """Ctrl-C and SIGTERM wait while a file gets its place and its row; a second one does not wait."""

    def __init__(self) -> None:
        self._busy, self._waiting = False, 0
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):  # the signal is not ignored
                self._before[number] = handler
                signal.signal(number, self._came)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def until(self, done: Callable[[], None]) -> None:
        self._busy = True
        done()
        self._busy = False
        if number := self._waiting:
            self._before[number](number, None)

    def _came(self, number: int, frame: FrameType | None) -> None:
        if self._busy and not self._waiting:
            self._waiting = number
        else:
            self._before[number](number, frame)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    with (
        telling_disk_trouble(output, 0),
        output.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


@contextmanager
def _writer(file: TextIO, names: list[str], kind: str) -> Iterator[Callable[[Row], object]]:
    """A function that writes a row. What is written is whole, too, where something has ended the work."""
    if kind == "csv":
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        yield table.writerow
    elif kind == "jsonl":
        yield lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")
    else:
        before = f'{{"schema": {SCHEMA}, "predictions": ['

        def write(row: Row) -> None:
            nonlocal before
            file.write(f"{before}\n {json.dumps(row, ensure_ascii=False)}")
            before = ","

        try:
            yield write
        finally:
            file.write(("" if before == "," else before) + "\n]}\n")


class _Progress:
    """How far it is: a line that rich asks for again and again on a terminal, else one now and then."""

    def __init__(self, count: Callable[[], int] | None, out: Console | None = None) -> None:
        self._out, self._good, self._bad, self._total = out, 0, 0, 0
        self._time_left = TimeLeft()
        self._time_left.update(0, math.inf)
        self._started = self._said = time.monotonic()
        if count is not None:
            Thread(target=self._ask, args=(count,), daemon=True).start()

    def _ask(self, count: Callable[[], int]) -> None:
        with suppress(HarnessError, OSError):  # which the work itself meets, and tells
            self._total = count()

    def count(self, good: int, bad: int) -> None:
        self._good, self._bad = good, bad
        done = good + bad
        self._time_left.update(done, max(self._total - done, 0) if self._total else math.inf)
        if self._out is None and time.monotonic() > self._said + QUIET_SECONDS:
            self.say(self._line())

    def say(self, line: str) -> None:
        self._said = time.monotonic()
        if self._out is None:
            print(line, file=sys.stderr)
        else:
            self._out.print(Text(line), soft_wrap=True)

    def _line(self) -> str:
        speed = self._good / max(time.monotonic() - self._started, 1e-9)
        of = f" of {self._total:,}" if self._total else ""
        left = self._time_left.seconds
        rest = "" if left is None else f"  about {duration(left)} left"
        return f"{self._good:,}{of} predicted, {self._bad:,} unreadable  {speed:,.0f} images/s{rest}"

    def __rich__(self) -> Text:
        return Text(self._line(), style="dim")


@contextmanager
def _progress(count: Callable[[], int] | None, *, rows_on_stdout: bool) -> Iterator[_Progress]:
    """Shown on a terminal, unless the rows run over it."""
    if not sys.stderr.isatty() or (rows_on_stdout and sys.stdout.isatty()):
        yield _Progress(count)
        return
    out = console(stderr=True)
    tell = _Progress(count, out)
    with Live(tell, console=out, refresh_per_second=4, transient=True, redirect_stdout=False):
        yield tell
