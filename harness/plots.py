"""Pictures of a study: confusion matrix, learning curves, history of scores, importances of options.

Colours are Okabe and Ito's, which everybody can tell apart; what they say is said by shape or place, too.
No `pyplot`: figures are plain objects, so drawing in a thread touches no global state.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.records import Epoch, TrialRecord, best_so_far
from harness.scoring.calibration import CalibrationCurve

BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#999999", "#222222"
BLUES = LinearSegmentedColormap.from_list("blues", ["#FFFFFF", "#9ECAE6", BLUE, "#08306B"])
DPI = 110
CELL = 96  # pixels of the page for the larger side of an image in a row of images, at most
MOST_LETTERS = 24  # of a class's name
MOST_NUMBERS = 30  # classes; beyond, the cells of a confusion matrix are too small for numbers


@dataclass(frozen=True)
class ComparedTrial:
    """A line of `comparison`.   folds: scores.   difference: to the best trial, None for itself; interval: its 95 %."""

    trial: str
    folds: Sequence[float]
    indistinguishable: bool
    difference: float | None = None
    interval: tuple[float, float] = (0.0, 0.0)


def confusion(matrix: np.ndarray, classes: Sequence[str], *, of: str = "held-out images") -> Figure:
    """Counts of images, (classes, classes): rows are true, columns predicted; the shade is a row's share.

    of: which images they are.
    """
    num_classes = len(classes)
    side = float(np.clip(0.55 * num_classes, 3.2, 12))
    names = [name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…" for name in classes]
    size = 9 if num_classes <= MOST_NUMBERS else max(3.0, 9 * MOST_NUMBERS / num_classes)
    names_width = 0.0088 * size * max(map(len, names))
    left, bottom = 0.55 + names_width, 0.6 + 0.75 * names_width
    figure = _figure(left + side + 1.1, bottom + side + 0.45)
    axes = _place(figure, left, bottom, side, side)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap=BLUES, vmin=0, vmax=1)
    if num_classes <= MOST_NUMBERS:
        number_size = 9 if matrix.max() < 10_000 and num_classes <= 15 else 6
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if shares[row, column] > 0.5 else INK
                axes.text(
                    column, row, f"{count}", ha="center", va="center", fontsize=number_size, color=colour
                )
    axes.set_xticks(range(num_classes), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(num_classes), names, fontsize=size)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_parse_math(False)
    axes.set(xlabel="predicted", ylabel="true")
    right, total = int(matrix.trace()), int(matrix.sum())
    axes.set_title(f"{right:,} of {total:,} {of} right ({right / max(total, 1):.1%})", loc="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    beside = _place(figure, left + side + 0.15, bottom, 0.15, side)
    bar = figure.colorbar(image, cax=beside, format=lambda share, _: f"{share:.0%}")
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure


def learning_curves(folds: Sequence[Sequence[Epoch]]) -> Figure:
    """Loss and accuracy by epoch, of training and held-out images: mean over the folds, and their spread."""
    figure = _figure(9.6, 3.7)
    parts = [("train", BLUE, "--"), ("validation", ORANGE, "-")]
    for left, what in [(0.55, "loss"), (5.4, "accuracy")]:
        axes = _place(figure, left, 0.55, 4.0, 2.75)
        for part, colour, style in parts:
            values = [[getattr(epoch, f"{part}_{what}") for epoch in fold] for fold in folds]
            _curve(axes, values, colour, style, part)
        axes.set(xlabel="epoch", title=what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _tidy(axes)
    num_folds = "1 fold" if len(folds) == 1 else f"mean and range of {len(folds)} folds"
    figure.axes[0].legend(frameon=False, title=num_folds, alignment="left")
    return figure


def calibration(curve: CalibrationCurve) -> Figure:
    """Accuracy by confidence, with the number of images in each bin below; on the diagonal a probability is true."""
    figure = _figure(4.9, 5.4)
    axes, below = _place(figure, 0.65, 1.6, 4.0, 3.4), _place(figure, 0.65, 0.55, 4.0, 0.85)
    edges = np.linspace(0, 1, len(curve.count) + 1)
    axes.plot([0, 1], [0, 1], "--", color=GREY, lw=1.5)
    filled = curve.count > 0
    axes.plot(curve.confidence[filled], curve.accuracy[filled], "o-", color=ORANGE, lw=2, markersize=5)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy", xticklabels=[])
    weights = curve.count[filled] / max(int(curve.count.sum()), 1)
    error = float((weights * np.abs(curve.accuracy - curve.confidence)[filled]).sum())
    axes.set_title(f"calibration error {error:.3f}", loc="left")
    below.bar(edges[:-1], curve.count, width=np.diff(edges), align="edge", color=BLUE, ec="white")
    below.set(xlim=(0, 1), xlabel="confidence", ylabel="images")
    for part in (axes, below):
        _tidy(part)
    return figure


def comparison(rows: Sequence[ComparedTrial], *, objective: str, rope: float) -> Figure:
    """Scores by fold, each trial a line, and every trial's difference to the best with its 95 % interval.

    rows: the best trial first.   rope: differences up to it are equal in practice.
    """
    height = max(3.0, 0.42 * len(rows) + 1.2)
    figure = _figure(10.2, height + 1.0)
    left, right = _place(figure, 0.75, 0.6, 4.2, height), _place(figure, 6.9, 0.6, 3.1, height)
    for row in rows:
        colour, width, order = (ORANGE, 2.4, 4) if row.difference is None else (GREY, 1.1, 3)
        folds = range(len(row.folds))
        left.plot(folds, row.folds, "o-", markersize=4, color=colour, lw=width, zorder=order)
    left.set(xlabel="fold", ylabel=objective)
    left.set_title("the best trial (orange) and the others, fold by fold", loc="left", fontsize=10)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    for place, row in enumerate(rows):
        colour = BLUE if row.indistinguishable else GREY
        low, high = row.interval
        right.plot([low, high], [place, place], color=colour, lw=2)
        right.plot(row.difference or 0.0, place, "o", color=ORANGE if place == 0 else colour)
    right.axvspan(-rope, rope, color="#EEEEEE", zorder=0)
    right.axvline(0, color=GREY, lw=1, ls="--")
    right.set_yticks(range(len(rows)), [row.trial for row in rows], fontsize=9)
    right.invert_yaxis()
    right.set_title("difference to the best, 95 %; grey: equal in practice", loc="left", fontsize=10, x=-0.45)
    for axes in (left, right):
        _tidy(axes)
    return figure


def history(trials: Sequence[TrialRecord], objective: str, direction: str) -> Figure:
    """Every trial's score with its 95 % interval, by number, and the best so far of the complete ones."""
    figure = _figure(9.6, 4.2)
    axes = _place(figure, 0.8, 0.55, 8.6, 3.2)
    scored = [trial for trial in trials if trial.mean is not None and trial.state in ("complete", "stopped")]
    for state, marker, colour, filled in [("complete", "o", BLUE, True), ("stopped", "v", GREY, False)]:
        group = [trial for trial in scored if trial.state == state]
        if group:
            axes.errorbar(
                [trial.number for trial in group], [trial.mean or 0.0 for trial in group],
                yerr=[trial.half_width or 0.0 for trial in group], fmt=marker, color=colour,
                mfc=colour if filled else "white", markersize=6, elinewidth=1, alpha=0.9,
                label="stopped early" if state == "stopped" else "complete", zorder=3,
            )  # fmt: skip
    numbers, bests = best_so_far(trials, direction)
    if numbers:
        until_now = [*numbers, len(trials) - 1], [*bests, bests[-1]]
        axes.step(*until_now, where="post", color=ORANGE, lw=2, label="best so far")
    failed = [trial.number for trial in trials if trial.state == "failed"]
    if failed:
        bottom = axes.get_xaxis_transform()
        axes.plot(failed, [0.03] * len(failed), "x", color=INK, transform=bottom, label="failed")
    axes.set(xlabel="trial", ylabel=objective)
    axes.set_title("mean over folds, 95 % intervals", loc="right", fontsize=10, color="#555555")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _tidy(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return figure


def importances(shares: Mapping[str, float]) -> Figure:
    """How much of the scores' variation each searched option explains, most important first."""
    ordered = sorted(shares.items(), key=lambda item: item[1])
    left, height = 0.3 + 0.085 * max((len(name) for name in shares), default=1), 0.42 * max(len(ordered), 1)
    figure = _figure(left + 5.6, height + 0.75)
    axes = _place(figure, left, 0.6, 5.3, height)
    bars = axes.barh([name for name, _ in ordered], [share for _, share in ordered], color=BLUE, height=0.62)
    axes.bar_label(bars, fmt="{:.0%}", padding=4, color=INK)
    axes.set(xlabel="share of the variation between trials", xlim=(0, max([*shares.values(), 0.01]) * 1.15))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    _tidy(axes)
    axes.grid(False)
    axes.tick_params(axis="y", length=0)
    return figure


def pictures(title: str, parts: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> Figure:
    """Images in labelled rows: for each part its heading, and by label float (n, height, width, 3) images in 0..1.

    Small images are enlarged by a whole number, so that every pixel of theirs can be seen.
    """
    rows = [(label, row) for _, part in parts for label, row in part.items()]
    _, height, width, _ = rows[0][1].shape
    scale = max(CELL // max(height, width), 1) if max(height, width) <= CELL else CELL / max(height, width)
    sheets = [_sheet(list(part.values()), gap=max(round(5 / scale), 1)) for _, part in parts]
    sizes = [(sheet.shape[0] * scale / DPI, sheet.shape[1] * scale / DPI) for sheet in sheets]
    left, heading = 0.35 + 0.085 * max(len(label) for label, _ in rows), 0.5
    total = 0.45 + sum(heading + tall for tall, _ in sizes) + 0.15
    figure = _figure(left + max(wide for _, wide in sizes) + 0.15, total)
    figure.text(0.15 / figure.get_figwidth(), 1 - 0.3 / total, title, fontsize=13, va="center")
    top = total - 0.45
    for (words, part), sheet, (tall, wide) in zip(parts, sheets, sizes, strict=True):
        top -= heading + tall
        axes = _place(figure, left, top, wide, tall)
        axes.imshow(sheet, interpolation="nearest" if scale >= 1 else "hanning", aspect="auto")
        axes.set_title(words, loc="left", x=(0.15 - left) / wide, fontsize=10, color="#555555")
        pitch = sheet.shape[0] / len(part)
        axes.set_yticks([pitch * (place + 0.5) - 0.5 for place in range(len(part))], list(part), fontsize=9)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # shown as a box
        figure.savefig(path, dpi=DPI, format="png")


def _figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes in inches from the lower left corner; automatic layout takes twice the time to draw."""
    whole = figure.get_size_inches()
    return figure.add_axes((left / whole[0], bottom / whole[1], width / whole[0], height / whole[1]))


def _sheet(rows: Sequence[np.ndarray], *, gap: int) -> np.ndarray:
    """Rows of images as one image, with white between them."""
    padded = [np.pad(row, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=1.0) for row in rows]
    return np.concatenate([np.concatenate(list(row), axis=1) for row in padded])


def _curve(axes: Axes, folds: list[list[float]], colour: str, style: str, label: str) -> None:
    """Mean and range over the folds that got as far; folds that stopped early end early."""
    length = max(len(fold) for fold in folds)
    values = np.full((len(folds), length), np.nan)
    for row, fold in zip(values, folds, strict=True):
        row[: len(fold)] = fold
    values = np.ma.masked_invalid(values)
    epochs = np.arange(1, length + 1)
    axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)
    marker = "o" if length == 1 else ""
    axes.plot(epochs, values.mean(0), style, marker=marker, color=colour, lw=2, label=label)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", lw=0.8)
    axes.set_axisbelow(True)
