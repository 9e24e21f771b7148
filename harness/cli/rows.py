"""What `predict` writes while it predicts: rows of CSV or JSON, files that find their place, what went wrong."""

import csv
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
from rich.live import Live
from rich.text import Text

from harness.cli.render import console
from harness.datasets.listing import printable
from harness.errors import DataError
from harness.files import telling_disk_trouble
from harness.serving.prediction import Predicted
from harness.serving.sorting import UNSURE, Sorter

Row = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """What is said of an image.

    top: how many classes.   threshold: the probability below which the label is unsure; the column `likeliest` then
    keeps the class.   errors: whether unreadable files have rows.
    """

    classes: Sequence[str]
    top: int = 1
    threshold: float = 0.0
    errors: bool = False

    def names(self) -> list[str]:
        more = [
            f"top{place}_{what}" for place in range(2, self._most + 1) for what in ("label", "probability")
        ]
        likeliest = ["likeliest"] if self.threshold else []
        return [
            "path",
            "label",
            "probability",
            *likeliest,
            *more,
            "entropy",
            *(["error"] if self.errors else []),
        ]

    @property
    def _most(self) -> int:
        return min(self.top, len(self.classes))

    def row(self, found: Predicted) -> Row:
        """Probabilities and the entropy, in nats, to six places; of an unreadable file, path and error."""
        if found.probabilities is None:
            return {"path": found.path, "error": found.problem}
        chances = found.probabilities.astype(np.float64)
        order = np.argsort(-chances, kind="stable")[: self._most].tolist()
        best = self.classes[order[0]]
        row: Row = {"path": found.path, "label": UNSURE if chances[order[0]] < self.threshold else best}
        row["probability"] = round(float(chances[order[0]]), 6)
        if self.threshold:
            row["likeliest"] = best
        for place, index in enumerate(order[1:], start=2):
            row[f"top{place}_label"] = self.classes[index]
            row[f"top{place}_probability"] = round(float(chances[index]), 6)
        row["entropy"] = round(float(-(chances * np.log(np.maximum(chances, 1e-300))).sum()), 6) + 0.0
        return row


def run(
    stream: Iterator[Predicted],
    columns: Columns,
    kind: Literal["csv", "jsonl"],
    output: Path | None,
    sorter: Sorter | None,
) -> None:
    """Write all of the stream. With a sorter stdout says where files go, and only `output` has the rows.

    Raises DataError if nothing could be read.
    """
    good, bad = 0, 0
    with ExitStack() as stack:
        tell = stack.enter_context(_progress(rows_on_stdout=output is None or sorter is not None))
        write = None
        if output is not None or sorter is None:
            write = _writer(stack.enter_context(_opened(output)), columns.names(), kind)
        for found in stream:
            row = columns.row(found)
            problem = found.problem
            if sorter is not None and found.probabilities is not None:
                problem = _sort(sorter, found.path, row["label"])
            if problem:
                tell.say(f"{printable(found.path)}: {problem}")
            if write is not None and (found.probabilities is not None or columns.errors):
                write(row)
            good, bad = good + (found.probabilities is not None), bad + (found.probabilities is None)
            tell.count(good, bad)
    said = f"{good:,} predicted, {bad:,} unreadable"
    if not good:
        raise DataError(
            f"{said}; {'none of the files is a whole image' if bad else 'no file is named like an image'}"
        )
    print(said, file=sys.stderr)
    if sorter is not None and sorter.dry_run:
        print(f"nothing was changed; --yes does this {sorter.how}", file=sys.stderr)


def _sort(sorter: Sorter, path: str, label: str) -> str:
    """Put a file where it belongs and say so on stdout; why that failed, or ""."""
    try:
        target = sorter.put(path, label)
    except OSError as error:
        return f"cannot {sorter.how} it: {error.strerror or error}"
    print(f"{printable(path)} -> {printable(str(target))}")
    return ""


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


def _writer(file: TextIO, names: list[str], kind: str) -> Callable[[Row], object]:
    """A function that writes a row."""
    if kind == "jsonl":
        return lambda row: file.write(json.dumps(row, ensure_ascii=False) + "\n")
    table = csv.DictWriter(file, names, lineterminator="\n")
    table.writeheader()
    return table.writerow


class _Progress:
    """How far it is, for a terminal: rich asks for it again and again."""

    def __init__(self, out: Any = None) -> None:
        self._out, self._started, self._good, self._bad = out, time.monotonic(), 0, 0

    def count(self, good: int, bad: int) -> None:
        self._good, self._bad = good, bad

    def say(self, line: str) -> None:
        if self._out is None:
            print(line, file=sys.stderr)
        else:
            self._out.print(Text(line), soft_wrap=True)

    def __rich__(self) -> Text:
        speed = self._good / max(time.monotonic() - self._started, 1e-9)
        return Text(f"{self._good:,} predicted, {self._bad:,} unreadable  {speed:,.0f} images/s", style="dim")


@contextmanager
def _progress(*, rows_on_stdout: bool) -> Iterator[_Progress]:
    """Shown on a terminal, unless the rows run over it."""
    if not sys.stderr.isatty() or (rows_on_stdout and sys.stdout.isatty()):
        yield _Progress()
        return
    out = console(stderr=True)
    tell = _Progress(out)
    with Live(tell, console=out, refresh_per_second=4, transient=True, redirect_stdout=False):
        yield tell
