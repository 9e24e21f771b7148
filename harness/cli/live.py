"""A study as it runs: a live panel on a terminal, plain lines elsewhere. All of it on stderr."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from harness.cli.layout import elided, laid_out
from harness.cli.tables import console, number
from harness.folds.tasks import RUNG
from harness.records import Epoch, StudyRecord, TrialRecord
from harness.report.format import duration, times
from harness.search.driver import EpochEnded, Event, FoldBegan, FoldEnded, TrialBegan, TrialEnded
from harness.tuning import StudyBegan, StudyEnded

if TYPE_CHECKING:
    from harness.analysis.reproduce import Reproduction

AnyEvent = Event | StudyBegan | StudyEnded
BARS = "▁▂▃▄▅▆▇█"
EPOCH_LINE_SECONDS = 15.0  # plain lines: an epoch is told only if nothing was said for so long


def show(events: Iterator[AnyEvent]) -> StudyEnded:
    """Show the events as they come; returns the last."""
    if sys.stderr.isatty():
        panel = Panel()
        with Live(panel, console=console(stderr=True), refresh_per_second=4, transient=False):
            return _last(events, panel)
    return _last(events, Lines())


def show_reproduction(steps: "Iterator[tuple[int, Epoch] | Reproduction]") -> "Reproduction":
    """Tell each epoch of a reproduction, seldom; returns what came of it."""
    said = time.monotonic()
    for step in steps:
        if not isinstance(step, tuple):
            return step
        fold, epoch = step
        if time.monotonic() - said > EPOCH_LINE_SECONDS:
            print(f"fold {fold} epoch {epoch.epoch}", file=sys.stderr)
            said = time.monotonic()
    raise AssertionError("a reproduction ends with its verdict")


def _last(events: Iterator[AnyEvent], view: Callable[[AnyEvent], None]) -> StudyEnded:
    for event in events:
        view(event)
        if isinstance(event, StudyEnded):
            return event
    raise AssertionError("a study ends with StudyEnded")


def sparkline(values: list[float], *, width: int = 16) -> str:
    """The last `width` values as bars between their least and greatest."""
    shown = [value for value in values if value == value][-width:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(BARS[round((value - low) / span * (len(BARS) - 1))] for value in shown)


class Lines:
    """One plain line for everything worth knowing later."""

    def __init__(self) -> None:
        self._objective = ""
        self._said = time.monotonic()

    def __call__(self, event: AnyEvent) -> None:
        line = self._line(event)
        if line:
            print(line, file=sys.stderr, flush=True)
            self._said = time.monotonic()

    def _line(self, event: AnyEvent) -> str:
        if isinstance(event, StudyBegan):
            record = event.record
            self._objective = record.objective
            done = sum(trial.state != "running" for trial in event.trials)
            so_far = f", {done} already done" if done else ""
            trials, workers = times(record.num_trials, "trial"), times(event.workers, "worker")
            return f"{record.name}: {trials} × {record.num_folds} folds{so_far}, {workers}"
        if isinstance(event, TrialBegan):
            return f"trial {event.trial.number}  {_params(event.trial)}"
        if isinstance(event, FoldEnded):
            place = f"trial {event.number} {_step(event.fold)}"
            return f"{place}  {self._objective} {event.score:.4f}  {duration(event.record.seconds)}"
        if isinstance(event, TrialEnded):
            best = f"  best so far: {_score(event.best)} (trial {event.best.number})" if event.best else ""
            reason = f" ({event.trial.reason})" if event.trial.reason else ""
            return f"trial {event.trial.number} {event.trial.state}  {_score(event.trial)}{reason}{best}"
        if isinstance(event, EpochEnded) and time.monotonic() - self._said > EPOCH_LINE_SECONDS:
            place = f"trial {event.number} {_step(event.fold)} epoch {event.epoch.epoch}"
            return f"{place}  accuracy {event.epoch.validation_accuracy:.4f}"
        return ""


class Panel:
    """What a terminal shows while a study runs; rich asks for it again and again."""

    def __init__(self) -> None:
        self._record: StudyRecord | None = None
        self._workers = 1
        self._started = time.monotonic()
        self._trials: dict[int, TrialRecord] = {}
        self._ended_here = 0
        self._best: TrialRecord | None = None
        self._folds: dict[tuple[int, int], list[Epoch]] = {}

    def __call__(self, event: AnyEvent) -> None:
        if isinstance(event, StudyBegan):
            self._record, self._workers = event.record, event.workers
            self._trials = {trial.number: trial for trial in event.trials}
        elif isinstance(event, TrialBegan):
            self._trials[event.trial.number] = event.trial
        elif isinstance(event, FoldBegan):
            self._folds[event.number, event.fold] = []
        elif isinstance(event, EpochEnded):
            self._folds.setdefault((event.number, event.fold), []).append(event.epoch)
        elif isinstance(event, FoldEnded):
            self._folds.pop((event.number, event.fold), None)
        elif isinstance(event, TrialEnded):
            self._trials[event.trial.number] = event.trial
            self._ended_here += 1
            self._best = event.best
            for place in [place for place in self._folds if place[0] == event.trial.number]:
                del self._folds[place]
        elif isinstance(event, StudyEnded):
            self._folds.clear()

    def __rich_console__(self, out: Console, options: ConsoleOptions) -> RenderResult:
        if self._record is None:
            yield Text("loading …", style="dim")
            return
        middle = [Text("finishing what is to be shown in MLflow …", style="dim")]
        if self._folds:
            middle = self._table(options.max_width)
        last = Text("best so far: -", style="dim")
        if best := self._best:
            last = Text(f"best so far: {_score(best)}  trial {best.number}  {_params(best)}", style="green")
        yield from (self._header(), *middle, last)

    def _header(self) -> Text:
        record = self._record
        assert record is not None
        done = [trial for trial in self._trials.values() if trial.state != "running"]
        elapsed = time.monotonic() - self._started
        text = Text.assemble(
            (record.name, "bold"),
            f"  trial {len(done)}/{record.num_trials}  {self._workers} worker(s)  {duration(elapsed)}",
        )
        left = record.num_trials - len(done)
        if self._ended_here and left:
            text.append(f"  about {duration(elapsed / self._ended_here * left)} left")
        return text

    def _table(self, width: int) -> list[Text]:
        record = self._record
        assert record is not None
        rows = []
        for (trial, fold), epochs in sorted(self._folds.items()):
            values = elided(_params(self._trials[trial]), width - 4)
            if not epochs:
                rows.append((str(trial), _fold(fold), "-", "", "", "", "", "", values))
                continue
            last = epochs[-1]
            total = "-" if fold == RUNG else self._trials[trial].values["train.epochs"]
            rows.append((
                str(trial), _fold(fold), f"{last.epoch}/{total}",
                "-" if math.isnan(last.train_loss) else f"{last.train_loss:.3f}",
                sparkline([epoch.train_loss for epoch in epochs]),
                f"{last.validation_accuracy:.4f}", sparkline([epoch.validation_accuracy for epoch in epochs]),
                f"{last.images_per_second:,.0f}", values,
            ))  # fmt: skip
        columns = ("trial", "fold", "epoch", "loss", "", "accuracy", "", "images/s", "values")
        return laid_out(columns, rows, width, text=1, header="dim")


def _fold(step: int) -> str:
    return "short" if step == RUNG else str(step)


def _step(step: int) -> str:
    return "short training" if step == RUNG else f"fold {step}"


def _params(trial: TrialRecord) -> str:
    return (
        "  ".join(f"{name}={number(value)}" for name, value in trial.params.items())
        or "(nothing is searched)"
    )


def _score(trial: TrialRecord) -> str:
    if trial.mean is None:
        return "-"
    error = "" if trial.half_width is None else f" ± {trial.half_width:.4f}"
    return f"{trial.mean:.4f}{error}"
