"""The charts of a study as SVG, pure functions of the report's document."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import svg
from harness.report.format import duration, number, percent, probability, score, shortened, with_error
from harness.report.svg import Axis, chart, line, mark, path, rect, text, tip

WIDTH = 760.0
SHAPES = {"complete": "circle", "stopped": "down", "running": "diamond", "failed": "cross"}


def forest(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Values with their intervals, one below the other.   rows: label, value, low, high, interval."""
    if not rows:
        return ""
    low, high = svg.padded(min(row["low"] for row in rows), max(row["high"] for row in rows), 0.08)
    height = 30.0 * len(rows) + 44
    axis = Axis(low, high, 230, WIDTH - 190)
    parts = [svg.x_axis(axis, height - 36, 4, grid=True)]
    for place, row in enumerate(rows):
        y = 20 + 30.0 * place
        kind = "exact" if row["interval"] == "95 %" else "rough"
        said = f"{score(row['value'])}  {score(row['low'])} to {score(row['high'])} ({row['interval']})"
        parts += [
            text(220, y + 4, shortened(row["label"], 32), anchor="end"),
            line(axis.place(row["low"]), y, axis.place(row["high"]), y, f"whisker {kind}"),
            mark(
                axis.place(row["value"]), y, "diamond" if kind == "exact" else "circle", f"point {kind}",
                size=5.5, extra=tip(f"{row['label']}\n{said}"),
            ),
            text(WIDTH - 180, y + 4, _forest_words(row), kind="value"),
        ]  # fmt: skip
    return chart(title, WIDTH, height, parts)


def _forest_words(row: Mapping[str, Any]) -> str:
    if row["interval"] == "95 %":
        return f"{score(row['value'])}  ({score(row['low'])}–{score(row['high'])})"
    return with_error(row["value"], (row["high"] - row["low"]) / 2)


def score_scale(study: Mapping[str, Any], *, reach: float = 2.5) -> tuple[float, float]:
    """What a chart of scores should span: the complete trials and near misses; far worse ones lie off it.

    reach: how far from the complete trials a miss may be, in spans of these.
    """
    trials = [trial for trial in study["trials"] if trial["mean"] is not None]
    chosen = [trial for trial in trials if trial["state"] == "complete"]
    if len(chosen) < 2:
        chosen = trials
    ends = [
        trial["mean"] + sign * (trial["standard_error"] or 0.0) for trial in chosen for sign in (-1.0, 1.0)
    ] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    far = reach * (high - low)
    near = [trial["mean"] for trial in trials if low - far <= trial["mean"] <= high + far]
    return svg.padded(min([low, *near]), max([high, *near]))


def trial_words(study: Mapping[str, Any], trial: Mapping[str, Any]) -> str:
    """What is shown of a trial while the pointer is on it."""
    value = "no score" if trial["mean"] is None else with_error(trial["mean"], trial["standard_error"])
    folds = f"{len(trial['folds'])} of {study['num_folds']} folds, {duration(trial['seconds'])}"
    values = [f"{path.partition('.')[2]}  {number(found)}" for path, found in trial["params"].items()]
    reason = [trial["reason"]] if trial["reason"] else []
    head = f"trial {trial['number']}  {study['objective']} {value}"
    return "\n".join([head, f"{trial['state']}, {folds}", *reason, *values])


def dot(
    study: Mapping[str, Any], trial: Mapping[str, Any], x: float, axis: Axis, *, size: float = 4.5
) -> str:
    """A trial's mark at its score; a triangle at the end of the axis where the score lies off it."""
    mean = trial["mean"]
    shape = SHAPES[trial["state"]]
    if not axis.contains(mean):
        shape = "down" if mean < axis.low else "up"
    best = study["best"] and study["best"]["number"] == trial["number"]
    kind = f"point {trial['state']}{' best' if best else ''}"
    extra = f' data-trial="{trial["number"]}"'
    return mark(x, axis.place(mean), shape, kind, size=size + (1.5 if best else 0), extra=extra)


def history(study: Mapping[str, Any]) -> str:
    """Every trial's score with its standard error by number, and the best so far of the complete ones."""
    trials = sorted(study["trials"], key=lambda trial: trial["number"])
    if not trials:
        return ""
    height, left, right, bottom = 300.0, 64.0, WIDTH - 16, 252.0
    across = Axis(-0.5, max(len(trials) - 0.5, 0.5), left, right)
    up = Axis(*score_scale(study), bottom, 34)
    parts = [svg.y_axis(up, left, right, study["objective"]), _whole_axis(across, len(trials), bottom)]
    numbers, bests = study["best_so_far"]["numbers"], study["best_so_far"]["scores"]
    steps: list[tuple[float, float]] = []
    for place, (first, value) in enumerate(zip(numbers, bests, strict=True)):
        until = numbers[place + 1] if place + 1 < len(numbers) else trials[-1]["number"]
        steps += [(across.place(first), up.place(value)), (across.place(until), up.place(value))]
    if steps:
        parts.append(path(steps, "best-line"))
    for trial in trials:
        x = across.place(trial["number"])
        if trial["mean"] is None:
            extra = f' data-trial="{trial["number"]}"'
            shape = SHAPES[trial["state"]]
            parts.append(mark(x, bottom - 6, shape, f"point {trial['state']}", size=4, extra=extra))
            continue
        if (error := trial["standard_error"]) and up.contains(trial["mean"]):
            low, high = up.place(trial["mean"] - error), up.place(trial["mean"] + error)
            parts.append(line(x, low, x, high, "whisker thin", extra=f' data-trial="{trial["number"]}"'))
        parts.append(dot(study, trial, x, up))
    return chart(f"Search history: {study['objective']} of every trial, by number", WIDTH, height, parts)


def _whole_axis(axis: Axis, count: int, y: float) -> str:
    """An axis of trial numbers."""
    step = max(1, round(svg.nice_step(count, 12)))
    parts = [line(axis.start, y, axis.end, y, "axis")]
    for value in range(0, count, step):
        parts.append(text(axis.place(value), y + 17, value, kind="tick", anchor="middle"))
    parts.append(text((axis.start + axis.end) / 2, y + 36, "trial", kind="label", anchor="middle"))
    return "".join(parts)


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


def learning_curves(best: Mapping[str, Any]) -> str:
    """Loss and accuracy by epoch, of training and held-out images: mean over the folds and their range."""
    found, half = best["curves"], WIDTH / 2
    height, bottom = 268.0, 218.0
    length = len(found["train_loss"]["mean"])
    parts = []
    for place, what in enumerate(("loss", "accuracy")):
        left, right = 56 + half * place, half * (place + 1) - 24
        values = [
            value
            for part in ("train", "validation")
            for edge in ("low", "high")
            for value in found[f"{part}_{what}"][edge]
            if value is not None
        ] or [0.0, 1.0]
        across = Axis(1, max(length, 2), left, right)
        up = Axis(*svg.padded(min(values), max(values)), bottom, 34)
        parts += [svg.y_axis(up, left, right, what, most=5), _epochs(across, length, bottom)]
        for part in ("train", "validation"):
            parts.append(_curve(found[f"{part}_{what}"], across, up, part, what))
    return chart("Learning curves of the best trial: loss and accuracy by epoch", WIDTH, height, parts)


def _curve(found: Mapping[str, Sequence[float | None]], across: Axis, up: Axis, part: str, what: str) -> str:
    """Epochs that are not finite are left out."""
    rows = [
        (epoch, mean, low, high)
        for epoch, (mean, low, high) in enumerate(
            zip(found["mean"], found["low"], found["high"], strict=True), 1
        )
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


def _epochs(axis: Axis, length: int, y: float) -> str:
    step = max(1, round(svg.nice_step(length, 7)))
    values = [1, *range(step if step > 1 else 2, length + 1, step)]
    parts = [line(axis.start, y, axis.end, y, "axis")]
    parts += [text(axis.place(value), y + 17, value, kind="tick", anchor="middle") for value in values]
    parts.append(text((axis.start + axis.end) / 2, y + 36, "epoch", kind="label", anchor="middle"))
    return "".join(parts)


def reliability(calibration: Mapping[str, Any]) -> str:
    """Accuracy by confidence, with the number of images in each bin below."""
    width, height = 420.0, 430.0
    across, up = Axis(0, 1, 60, 400), Axis(0, 1, 300, 20)
    count = calibration["count"]
    below = Axis(0, max([*count, 1]), 388, 322)
    parts = [
        svg.y_axis(up, 60, 400, "accuracy"),
        line(across.place(0), up.place(0), across.place(1), up.place(1), "ideal"),
        svg.x_axis(across, 388, 322, "confidence", most=5),
    ]
    points = []
    for place, images in enumerate(count):
        if not images:
            continue
        low, high = place / len(count), (place + 1) / len(count)
        confidence, accuracy = calibration["confidence"][place], calibration["accuracy"][place]
        said = tip(
            f"confidence {low:.2f} to {high:.2f}\n{images:,} images\nmean confidence {confidence:.3f}\n"
            f"accuracy {accuracy:.3f}"
        )
        points.append((across.place(confidence), up.place(accuracy)))
        parts.append(
            rect(
                across.place(low) + 1, below.place(images), (400 - 60) / len(count) - 2,
                388 - below.place(images), "bar", extra=said,
            )
        )  # fmt: skip
        parts.append(
            mark(
                *points[-1],
                "circle",
                "point validation",
                size=2 + 5 * (images / max(count)) ** 0.5,
                extra=said,
            )
        )
    parts.append(path(points, "curve validation"))
    parts.append(text(53, 332, "images", kind="tick", anchor="end"))
    return chart("Reliability diagram: accuracy by confidence", width, height, parts)


def gains(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Differences with an interval, zero marked.   rows: label, value, low, high, words."""
    ends = [0.0, *(row["low"] for row in rows), *(row["high"] for row in rows)]
    axis = Axis(*svg.padded(min(ends), max(ends), 0.08), 230, WIDTH - 190)
    height = 30.0 * len(rows) + 44
    parts = [
        svg.x_axis(axis, height - 36, 4, grid=True),
        line(axis.place(0), 4, axis.place(0), height - 36, "zero"),
    ]
    for place, row in enumerate(rows):
        y = 20 + 30.0 * place
        parts += [
            text(220, y + 4, shortened(row["label"], 32), anchor="end"),
            line(axis.place(row["low"]), y, axis.place(row["high"]), y, "whisker rough"),
            mark(
                axis.place(row["value"]), y, "circle", "point rough", size=5.5,
                extra=tip(f"{row['label']}\n{row['words']}"),
            ),
            text(WIDTH - 180, y + 4, row["words"], kind="value"),
        ]  # fmt: skip
    return chart(title, WIDTH, height, parts)


def p_words(p: float) -> str:
    return f"p {probability(p)}" if p < 0.001 else f"p = {probability(p)}"
