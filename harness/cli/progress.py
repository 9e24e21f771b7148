"""How far a command is: what it trains, how much of all is done, and how long the rest takes.

On a terminal a panel that the result replaces at the end, elsewhere plain lines. All of it on stderr.
"""

import math
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from harness.cli.layout import elided, laid_out
from harness.cli.tables import console
from harness.folds.train_folds import Step, Training
from harness.records import Epoch
from harness.report.format import duration, times

Found = TypeVar("Found")
BARS = "▁▂▃▄▅▆▇█"
SPARKS = 8  # bars of a curve
BAR_WIDTH = 30
QUIET_SECONDS = 10.0  # plain lines: an epoch is told if nothing was said for so long
REFRESH = 4  # times a second


class TimeLeft:
    """How long the rest of some work takes, by how fast it has gone so far.   clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._began: float | None = None
        self._last, self._done, self._left = 0.0, 0.0, math.inf

    def update(self, done: float, left: float, *, took: float = 0.0) -> None:
        """done: what was done here since the work began, in any unit.   left: what is still to do.

        took: seconds that the first part of it, which has just ended, has taken; what came before is no work.
        """
        self._last = self._clock()
        if self._began is None:
            self._began = self._last - took
        self._done, self._left = done, left

    @property
    def seconds(self) -> float | None:
        """None as long as nothing is done."""
        if self._began is None or self._done <= 0 or not math.isfinite(self._left):
            return None
        rest = self._left * max(self._last - self._began, 1e-9) / self._done
        return max(rest - (self._clock() - self._last), 0.0)


@dataclass
class Running:
    """A fold that is being trained.   num_epochs: 0 where nobody knows.

    values, so_far: its trial's, and the mean of the folds of that which have ended.   trial: its number, of a study.
    """

    what: str
    num_epochs: int
    values: str = ""
    so_far: str = "-"
    trial: int | None = None
    epochs: list[Epoch] = field(default_factory=list)

    @property
    def part(self) -> float:
        """How much of it is done, 0..1."""
        return min(len(self.epochs) / self.num_epochs, 1.0) if self.num_epochs else 0.0

    @property
    def epoch(self) -> str:
        """Like 3/12."""
        if not self.epochs:
            return "-"
        return f"{self.epochs[-1].epoch}/{self.num_epochs or '-'}"


class Progress:
    """What is shown of a command; who follows its events keeps the fields.

    title: of all.   stage: what it does while no fold is being trained.   objective: of which the live column is.
    has_steps: done and left are of one of several.
    done, left: folds; `is_exact` unless those that are left are an estimate.   best: lines on what is best so far.
    """

    def __init__(self, title: str, *, objective: str = "", clock: Callable[[], float] = time.monotonic):
        self.title, self.objective, self.stage = title, objective, ""
        self.running: dict[Hashable, Running] = {}
        self.done, self.left, self.is_exact = 0, 0.0, True
        self.counts, self.best, self.has_steps = "", list[str](), False
        self._clock, self._started = clock, clock()
        self._trained = 0.0
        self.time_left = TimeLeft(clock)

    def restart(self) -> None:
        """A new step begins: what is left of it has nothing to do with how the last one went."""
        self.time_left = TimeLeft(self._clock)
        self.running.clear()
        self._trained = 0.0

    def epoch_ended(self, key: Hashable, epoch: Epoch) -> None:
        self.running[key].epochs.append(epoch)
        self.update(took=epoch.seconds)

    def fold_ended(self, key: Hashable) -> None:
        """It was trained here."""
        self._trained += 1
        fold = self.running.pop(key, None)
        self.update(took=sum(epoch.seconds for epoch in fold.epochs) if fold else 0.0)

    def update(self, *, took: float = 0.0) -> None:
        under_way = sum(fold.part for fold in self.running.values())
        if self._trained + under_way:
            self.time_left.update(self._trained + under_way, max(self.left - under_way, 0.0), took=took)

    def standing(self) -> str:
        """Like "17 of about 33 folds, about 52 s left"."""
        total = self.done + math.ceil(self.left)
        if not total:
            return ""
        said = f"{self.done} of {'' if self.is_exact else 'about '}{times(total, 'fold')}"
        return f"{said}, {self.rest()}" if self.rest() else said

    def rest(self) -> str:
        seconds = self.time_left.seconds
        if seconds is None or not self.left:
            return ""
        return f"about {duration(seconds)} left" + (" of this step" if self.has_steps else "")

    def at_work(self) -> str:
        """A plain line on the fold that has come farthest."""
        fold = max(self.running.values(), key=lambda fold: fold.part, default=None)
        if fold is None or not fold.epochs:
            return self.stage
        loss = _loss(fold.epochs[-1].train_loss)
        epoch = fold.epoch.replace("/", " of ")
        return "  ".join(filter(None, (f"{fold.what} epoch {epoch}", f"loss {loss}", self.standing())))

    def __rich_console__(self, out: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.size.height
        running = dict(self.running)  # as it is now: this is asked by a thread of rich's
        elapsed = duration(self._clock() - self._started)
        yield Text.assemble((self.title, "bold"), *(f"  {part}" for part in (self.counts, elapsed) if part))
        if total := self.left + self.done:
            share = (self.done + sum(fold.part for fold in running.values())) / total
            full = round(min(share, 1.0) * min(BAR_WIDTH, width // 3))
            bar = Text("━" * full, style="green") + Text(
                "━" * (min(BAR_WIDTH, width // 3) - full), style="dim"
            )
            yield Text.assemble(bar, f"  {self.standing()}")
        if self.stage:
            yield Text(f"{self.stage} …", style="dim")
        room = height - 5 - len(self.best)
        folds = [running[key] for key in sorted(running, key=str)]
        yield from _rows(folds, self.objective, width, room)
        for number, line in enumerate(self.best):
            yield Text(elided(line, width), style="green" if number == 0 else "dim")


def _rows(folds: Sequence[Running], objective: str, width: int, room: int) -> list[Text]:
    """A line for each fold, below it the values of its trial, of which as many as there is room for."""
    if not folds:
        return []
    is_accuracy = objective in ("", "accuracy")
    columns = ["training", "epoch", "loss", "", "accuracy" if is_accuracy else "held-out loss", ""]
    columns += [f"{objective} so far"] if objective else []
    for with_values in (True, False):
        cells, seen = [], set[str]()
        for fold in folds:
            last = fold.epochs[-1] if fold.epochs else None
            held_out = [
                one.validation_accuracy if is_accuracy else one.validation_loss for one in fold.epochs
            ]
            values = "" if fold.values in seen or not with_values else elided(fold.values, width - 4)
            seen.add(fold.values)
            cells.append((
                fold.what, fold.epoch, _loss(last.train_loss) if last else "",
                sparkline([one.train_loss for one in fold.epochs]).ljust(SPARKS),
                _loss(held_out[-1], 4) if last else "", sparkline(held_out).ljust(SPARKS),
                *((fold.so_far,) if objective else ()), values,
            ))  # fmt: skip
        lines = laid_out((*columns, "values"), cells, width, text=1, header="dim")
        if len(lines) <= room:
            return lines
    more = len(lines) - max(room - 1, 2)
    return [*lines[:-more], Text(f"… and {times(more, 'fold')} more", style="dim")]


def sparkline(values: Sequence[float], *, width: int = SPARKS) -> str:
    """The last `width` values as bars between their least and greatest."""
    shown = [value for value in values if math.isfinite(value)][-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in shown)


def _loss(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


@contextmanager
def shown(progress: Progress) -> Iterator[Callable[[str], None]]:
    """Show it while something is done; gives a function that is called after every event, with a line on it or "".

    On a terminal the panel says it all, and the line is not printed.
    """
    if sys.stderr.isatty():
        out = console(stderr=True)
        with Live(progress, console=out, refresh_per_second=REFRESH, transient=True, redirect_stdout=False):
            yield lambda _: None
        return
    said = -math.inf

    def tell(line: str) -> None:
        nonlocal said
        is_quiet = time.monotonic() > said + QUIET_SECONDS
        if not line and is_quiet and any(fold.epochs for fold in progress.running.values()):
            line = progress.at_work()
        if line:
            print(line, file=sys.stderr, flush=True)
            said = time.monotonic()

    yield tell


def follow(steps: Iterator[Step | Found], title: str) -> Found:
    """Show how far a command is that yields what it does, and how far what it trains is; what it ends with."""
    progress = Progress(title)
    progress.stage = "reading the study and its images"
    with shown(progress) as tell:
        for step in steps:
            if isinstance(step, str):
                progress.restart()
                progress.has_steps = True
                progress.stage, progress.done, progress.left = step, 0, 0.0
                if sys.stderr.isatty():
                    print(step, file=sys.stderr)  # above the panel, where it stays
                tell(step)
            elif isinstance(step, Training):
                tell(_take(progress, step))
            else:
                return step
    raise AssertionError("the steps end with a finding")


def _take(progress: Progress, step: Training) -> str:
    """Have the progress say where a fold is; a line where it has ended."""
    if step.total != progress.done + progress.left or step.done < progress.done:
        progress.restart()
    progress.done, progress.left = step.done, step.total - step.done
    progress.stage = ""
    if step.epoch is not None:
        progress.running.setdefault(step.what, Running(step.what, step.epochs))
        progress.epoch_ended(step.what, step.epoch)
        return ""
    if step.what in progress.running:
        progress.fold_ended(step.what)
    return "  ".join(filter(None, (str(step), progress.standing())))


@contextmanager
def working(what: str) -> Iterator[None]:
    """On a terminal say what is being done, and for how long, where nobody knows how much is left."""
    progress = Progress(what)
    with shown(progress):
        yield
