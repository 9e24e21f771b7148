"""The charts of a study as SVG, pure functions of the report's document."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from harness.analysis.leaderboard import TrialStatus
from harness.report import markup
from harness.report.answer import Score
from harness.report.document import Calibration, Curve, StudyReport, TrialDetails
from harness.report.format import duration, number, of_objective, percent, score, shortened, with_error
from harness.report.markup import Axis, chart, line, mark, path, rect, text, tip

WIDTH = 760.0
SHAPES = {"complete": "circle", "stopped": "down", "running": "diamond", "failed": "cross"}
MOST_NUMBERS = 24  # classes of a confusion matrix; beyond, the cells are too small for numbers
MOST_CLASSES = 100  # beyond, there is a table only


def forest(rows: Sequence[Score], title: str) -> str:
    """Values with their intervals, one below the other."""
    if not rows:
        return ""
    low, high = markup.padded(min(row.low for row in rows), max(row.high for row in rows), 0.08)
    height = 30.0 * len(rows) + 44
    axis = Axis(low, high, 230, WIDTH - 190)
    parts = [markup.x_axis(axis, height - 36, 4, grid=True)]
    for place, row in enumerate(rows):
        y = 20 + 30.0 * place
        said = f"{score(row.value)}  {score(row.low)} to {score(row.high)} (95 %)"
        kind, shape = ("rough", "circle") if row.of_folds else ("exact", "diamond")
        words = f"{score(row.value)}  ({score(row.low)}–{score(row.high)})"
        if row.of_folds:
            words = with_error(row.value, (row.high - row.low) / 2)
        parts += [
            text(220, y + 4, shortened(row.label, 32), anchor="end"),
            line(axis.place(row.low), y, axis.place(row.high), y, f"whisker {kind}"),
            mark(
                axis.place(row.value), y, shape, f"point {kind}", size=5.5, extra=tip(f"{row.label}\n{said}")
            ),
            text(WIDTH - 180, y + 4, words, kind="value"),
        ]
    return chart(title, WIDTH, height, parts)


class Difference(NamedTuple):
    """words: of the value."""

    label: str
    value: float
    low: float
    high: float
    words: str


def differences(rows: Sequence[Difference], title: str) -> str:
    """Differences with an interval, one below the other, zero marked."""
    ends = [0.0, *(row.low for row in rows), *(row.high for row in rows)]
    axis = Axis(*markup.padded(min(ends), max(ends), 0.08), 230, WIDTH - 190)
    height = 30.0 * len(rows) + 44
    parts = [
        markup.x_axis(axis, height - 36, 4, grid=True),
        line(axis.place(0), 4, axis.place(0), height - 36, "zero"),
    ]
    for place, row in enumerate(rows):
        y = 20 + 30.0 * place
        said = tip(f"{row.label}\n{row.words}")
        parts += [
            text(220, y + 4, shortened(row.label, 32), anchor="end"),
            line(axis.place(row.low), y, axis.place(row.high), y, "whisker rough"),
            mark(axis.place(row.value), y, "circle", "point rough", size=5.5, extra=said),
            text(WIDTH - 180, y + 4, row.words, kind="value"),
        ]
    return chart(title, WIDTH, height, parts)


def score_scale(trials: Sequence[TrialStatus], *, reach: float = 2.5) -> tuple[float, float]:
    """What a chart of scores should span: the complete trials and near misses; far worse ones lie off it.

    reach: how far from the complete trials a miss may be, in spans of these.
    """
    scored = [trial for trial in trials if trial.mean is not None]
    complete = [trial for trial in scored if trial.state == "complete"]
    ends = [
        (trial.mean or 0.0) + sign * (trial.half_width or 0.0)
        for trial in (complete if len(complete) > 1 else scored)
        for sign in (-1.0, 1.0)
    ] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    far = reach * (high - low)
    near = [mean for trial in scored if (mean := trial.mean) is not None and low - far <= mean <= high + far]
    return markup.padded(min([low, *near]), max([high, *near]))


def trial_words(study: StudyReport, trial: TrialStatus) -> str:
    """What is shown of a trial while the pointer is on it."""
    value = "no score" if trial.mean is None else with_error(trial.mean, trial.half_width)
    folds = f"{len(trial.folds)} of {study.num_folds} folds, {duration(trial.seconds)}"
    others = [f"{name} {of_objective(name, found)}" for name, found in trial.others.items()]
    values = [f"{path.partition('.')[2]}  {number(found)}" for path, found in trial.params.items()]
    reason = [trial.reason] if trial.reason else []
    head = f"trial {trial.number}  {study.objective} {value}"
    return "\n".join([head, *others, f"{trial.state}, {folds}", *reason, *values])


def of_trial(trial: TrialStatus) -> str:
    """An attribute: by it the page's script finds what is drawn of a trial."""
    return f' data-trial="{trial.number}"'


def dot(
    study: StudyReport, trial: TrialStatus, mean: float, x: float, axis: Axis, *, size: float = 4.5
) -> str:
    """A trial's mark at its mean; a triangle at the end of the axis where that lies off it."""
    shape = SHAPES[trial.state]
    if not axis.contains(mean):
        shape = "down" if mean < axis.low else "up"
    best = study.is_best(trial)
    kind = f"point {trial.state}{' best' if best else ''}"
    return mark(x, axis.place(mean), shape, kind, size=size + (1.5 if best else 0), extra=of_trial(trial))


def history(study: StudyReport) -> str:
    """Every trial's score with its 95 % interval by number, and the best so far of the complete ones."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    if not trials:
        return ""
    height, left, right, bottom = 300.0, 64.0, WIDTH - 16, 252.0
    across = Axis(-0.5, max(len(trials) - 0.5, 0.5), left, right)
    up = Axis(*score_scale(study.trials), bottom, 34)
    numbers = range(0, len(trials), max(1, round(markup.nice_step(len(trials), 12))))
    parts = [
        markup.y_axis(up, left, right, study.objective),
        _counting_axis(across, numbers, bottom, "trial"),
    ]
    changes, bests = study.best_so_far.numbers, study.best_so_far.scores
    steps: list[tuple[float, float]] = []
    ends = [*changes, trials[-1].number][1:]
    for first, until, value in zip(changes, ends, bests, strict=True):
        steps += [(across.place(first), up.place(value)), (across.place(until), up.place(value))]
    if steps:
        parts.append(path(steps, "best-line"))
    for trial in trials:
        x, mean = across.place(trial.number), trial.mean
        if mean is None:
            kind, extra = f"point {trial.state}", of_trial(trial)
            parts.append(mark(x, bottom - 6, SHAPES[trial.state], kind, size=4, extra=extra))
            continue
        if (error := trial.half_width) and up.contains(mean):
            low, high = up.place(mean - error), up.place(mean + error)
            parts.append(line(x, low, x, high, "whisker thin", extra=of_trial(trial)))
        parts.append(dot(study, trial, mean, x, up))
    return chart(f"Search history: {study.objective} of every trial, by number", WIDTH, height, parts)


def bars(shares: Mapping[str, float], title: str) -> str:
    """Shares 0..1 by name, as bars."""
    height = 28.0 * len(shares) + 12
    axis = Axis(0, max([*shares.values(), 0.01]), 200, WIDTH - 80)
    parts = []
    for place, (name, share) in enumerate(shares.items()):
        y = 8 + 28.0 * place
        parts += [
            text(190, y + 14, shortened(name), anchor="end"),
            rect(200, y, axis.place(share) - 200, 19, "bar", extra=tip(f"{name}: {percent(share)}")),
            text(axis.place(share) + 7, y + 14, percent(share), kind="value"),
        ]
    return chart(title, WIDTH, height, parts)


def learning_curves(best: TrialDetails) -> str:
    """Loss and accuracy by epoch, of training and held-out images: mean over the folds and their range."""
    half = WIDTH / 2
    height, bottom = 268.0, 218.0
    length = len(best.curves["train_loss"].mean)
    step = max(1, round(markup.nice_step(length, 7)))
    epochs = [1, *range(step if step > 1 else 2, length + 1, step)]
    parts = []
    for place, what in enumerate(("loss", "accuracy")):
        left, right = 56 + half * place, half * (place + 1) - 24
        curves = {part: best.curves[f"{part}_{what}"] for part in ("train", "validation")}
        values = [
            value for curve in curves.values() for value in (*curve.low, *curve.high) if value is not None
        ] or [0.0, 1.0]
        across = Axis(1, max(length, 2), left, right)
        up = Axis(*markup.padded(min(values), max(values)), bottom, 34)
        parts += [
            markup.y_axis(up, left, right, what, most=5),
            _counting_axis(across, epochs, bottom, "epoch"),
        ]
        parts += [_curve(curve, across, up, part, what) for part, curve in curves.items()]
    return chart("Learning curves of the best trial: loss and accuracy by epoch", WIDTH, height, parts)


def _curve(curve: Curve, across: Axis, up: Axis, part: str, what: str) -> str:
    """Epochs that are not finite are left out."""
    rows = [
        (epoch, mean, low, high)
        for epoch, (mean, low, high) in enumerate(zip(curve.mean, curve.low, curve.high, strict=True), 1)
        if mean is not None and low is not None and high is not None
    ]
    if not rows:
        return ""
    band = [(across.place(epoch), up.place(high)) for epoch, _, _, high in rows]
    band += [(across.place(epoch), up.place(low)) for epoch, _, low, _ in reversed(rows)]
    middle = [(across.place(epoch), up.place(mean)) for epoch, mean, _, _ in rows]
    said = {"train": "training", "validation": "held-out"}[part]
    dots = "".join(
        mark(x, y, "circle", f"point {part} {'tiny' if len(rows) > 1 else ''}", size=4, extra=tip(
            f"epoch {epoch}\n{said} {what} {mean:.4f}\nfolds {low:.4f} to {high:.4f}"
        ))
        for (x, y), (epoch, mean, low, high) in zip(middle, rows, strict=True)
    )  # fmt: skip
    return path(band, f"band {part}", closed=True) + path(middle, f"curve {part}") + dots


def _counting_axis(axis: Axis, values: Iterable[int], y: float, title: str) -> str:
    """An axis at the bottom, of whole numbers without ticks."""
    parts = [line(axis.start, y, axis.end, y, "axis")]
    parts += [text(axis.place(value), y + 17, value, kind="tick", anchor="middle") for value in values]
    parts.append(text((axis.start + axis.end) / 2, y + 36, title, kind="label", anchor="middle"))
    return "".join(parts)


def reliability(calibration: Calibration) -> str:
    """Accuracy by confidence, with the number of images in each bin below."""
    width, height = 420.0, 430.0
    across, up = Axis(0, 1, 60, 400), Axis(0, 1, 300, 20)
    counts = calibration.count
    below = Axis(0, max([*counts, 1]), 388, 322)
    parts = [
        markup.y_axis(up, 60, 400, "accuracy"),
        line(across.place(0), up.place(0), across.place(1), up.place(1), "ideal"),
        markup.x_axis(across, 388, 322, "confidence", most=5),
    ]
    points = []
    for place, images in enumerate(counts):
        if not images:
            continue
        low, high = place / len(counts), (place + 1) / len(counts)
        confidence, accuracy = calibration.confidence[place], calibration.accuracy[place]
        said = tip(
            f"confidence {low:.2f} to {high:.2f}\n{images:,} images\nmean confidence {confidence:.3f}\n"
            f"accuracy {accuracy:.3f}"
        )
        x, y, bar_width, size = (
            across.place(confidence), up.place(accuracy), (400 - 60) / len(counts) - 2,
            2 + 5 * (images / max(counts)) ** 0.5,
        )  # fmt: skip
        points.append((x, y))
        top = below.place(images)
        parts.append(rect(across.place(low) + 1, top, bar_width, 388 - top, "bar", extra=said))
        parts.append(mark(x, y, "circle", "point validation", size=size, extra=said))
    parts.append(path(points, "curve validation"))
    parts.append(text(53, 332, "images", kind="tick", anchor="end"))
    return chart("Reliability diagram: accuracy by confidence", width, height, parts)


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Rows are true classes, columns predicted ones; the shade is a row's share. Holds counts and row rates."""
    number = len(classes)
    if number > MOST_CLASSES:
        return ""
    side = min(max(520 / number, 6.0), 46.0)
    size = min(12.5, max(side * 0.9, 6.0))
    longest = max(len(shortened(name, 18)) for name in classes)
    left, bottom = 30 + size * 0.58 * longest, side * number + 8

    def name_at(x: float, y: float, name: str, turn: float = 0.0) -> str:
        element = text(x, y, shortened(name, 18), kind="tick", anchor="end", turn=turn)
        return element.replace("<text ", f'<text font-size="{size:.1f}" ', 1)

    parts = []
    for place, name in enumerate(classes):
        middle = side * (place + 0.5)
        parts.append(name_at(left - 7, 8 + middle + size * 0.35, name))
        parts.append(name_at(left + middle + size * 0.35, bottom + 8, name, -90 if number > 12 else -45))
    for row, values in enumerate(counts):
        for column, count in enumerate(values):
            x, y = left + side * column, 8 + side * row
            parts.append(_cell(x, y, side, count, sum(values), (classes[row], classes[column]), number))
    height = bottom + 24 + size * (0.58 if number > 12 else 0.45) * longest + 14
    parts.append(text(left + side * number / 2, height - 6, "predicted", kind="label", anchor="middle"))
    parts.append(text(13, 8 + side * number / 2, "true", kind="label", anchor="middle", turn=-90))
    title = "Confusion matrix: true classes down, predicted classes across"
    return chart(title, left + side * number + 12, height, parts, kind="confusion")


def _cell(
    x: float, y: float, side: float, count: int, total: int, names: tuple[str, str], num_classes: int
) -> str:
    rate = count / total if total else 0.0
    if not count:
        return rect(x, y, side - 1, side - 1, "empty") if num_classes <= MOST_NUMBERS else ""
    said = f"{names[0]} called {names[1]}\n{count:,} of {total:,} images, {percent(rate)}"
    extra = f' fill-opacity="{0.08 + 0.92 * rate:.2f}"{tip(said)}'
    parts = [rect(x, y, side - 1, side - 1, "shade", extra=extra)]
    if num_classes <= MOST_NUMBERS:
        kind = "inverse" if rate > 0.75 else ""  # below, dark ink is read more easily on the shade
        middle = (x + (side - 1) / 2, y + side / 2 + 3.5)
        parts.append(text(*middle, f"{count}", kind=f"counts {kind}".strip(), anchor="middle"))
        parts.append(text(*middle, f"{100 * rate:.0f}", kind=f"rates {kind}".strip(), anchor="middle"))
    return "".join(parts)
