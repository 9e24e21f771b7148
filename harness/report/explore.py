"""Charts whose trials can be pointed at and picked: parallel coordinates, slices, folds trained, bars of a table.

What is drawn of trial 7 has data-trial="7"; the page's script finds it there. Without the script the charts stand.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import svg
from harness.report.charts import SHAPES, dot, score_scale, trial_words
from harness.report.format import shortened, tick
from harness.report.svg import Axis, chart, line, mark, path, rect, text

COLUMN, TOP, BOTTOM = 112.0, 44.0, 318.0  # of the parallel coordinates
PANEL = 242.0  # width of a slice
LEVELS = 5  # of the lines' colour, from the worst fifth to the best


def share(option: Mapping[str, Any], value: Any) -> float | None:
    """Where a value lies on its option's axis, 0..1; choices lie evenly. None for a value that is not on it."""
    if "choices" in option:
        choices = option["choices"]
        return (choices.index(str(value)) + 0.5) / len(choices) if str(value) in choices else None
    if not isinstance(value, int | float):
        return None
    return Axis(option["low"], option["high"], 0, 1, log=option["log"]).share(value)


def script_data(study: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script knows of a study: axes, and of every trial its words, state, rank and places."""
    scale = Axis(*score_scale(study), 0, 1)
    scored = [trial for trial in study["trials"] if trial["mean"] is not None]
    ranks = {trial["number"]: rank for rank, trial in enumerate(scored, 1)}
    return {
        "axes": [option["name"] for option in study["searched"]] + [study["objective"]],
        "trials": {
            str(trial["number"]): {
                "words": trial_words(study, trial),
                "state": trial["state"],
                "rank": ranks.get(trial["number"]),
                "places": [share(option, trial["params"].get(option["path"])) for option in study["searched"]]
                + [None if trial["mean"] is None else scale.share(trial["mean"])],
            }
            for trial in study["trials"]
        },
    }


def parallel(study: Mapping[str, Any]) -> str:
    """Every scored trial a line through its values, coloured by the fifth that its score is in."""
    options = study["searched"]
    width = COLUMN * len(options) + 150
    centres = [70 + COLUMN * place for place in range(len(options) + 1)]
    up = Axis(*score_scale(study), BOTTOM, TOP)
    parts = []
    trials = [trial for trial in study["trials"] if trial["mean"] is not None]
    for rank, trial in reversed(list(enumerate(trials))):  # the best on top
        shares = [share(option, trial["params"].get(option["path"])) for option in options]
        points = [
            (x, BOTTOM + at * (TOP - BOTTOM))
            for x, at in zip(centres, shares, strict=False)
            if at is not None
        ]
        points.append((centres[-1], up.place(trial["mean"])))
        level = LEVELS - 1 - rank * LEVELS // len(trials)
        best = study["best"] and study["best"]["number"] == trial["number"]
        parts.append(
            path(
                points, f"ribbon q{level}{' best' if best else ''}", extra=f' data-trial="{trial["number"]}"'
            )
        )
    for place, option in enumerate(options):
        parts.append(_upright(option, centres[place], place))
    parts.append(_score_axis(study["objective"], up, centres[-1], len(options)))
    return chart(
        "Parallel coordinates: the values and the score of every trial",
        width,
        BOTTOM + 24,
        parts,
        kind="parallel",
    )


def _upright(option: Mapping[str, Any], x: float, place: int) -> str:
    labels = [(BOTTOM + at * (TOP - BOTTOM), label) for at, label in option_ticks(option, most=5)]
    return _axis_group(x, place, option["name"], labels)


def _score_axis(name: str, axis: Axis, x: float, place: int) -> str:
    return _axis_group(x, place, name, [(axis.place(value), label) for value, label in axis.ticks(6)])


def _axis_group(x: float, place: int, name: str, labels: Sequence[tuple[float, str]]) -> str:
    parts = [
        line(x, TOP, x, BOTTOM, "axis"),
        text(x, TOP - 18, shortened(name, 16), kind="name", anchor="middle"),
    ]
    for y, label in labels:
        parts.append(line(x - 3, y, x + 3, y, "axis"))
        parts.append(text(x - 7, y + 4, shortened(label, 12), kind="tick halo", anchor="end"))
    extra = f' data-axis="{place}" data-top="{TOP:g}" data-bottom="{BOTTOM:g}"'
    parts.append(rect(x - 16, TOP, 32, BOTTOM - TOP, "brush-zone", extra=extra))
    return "".join(parts)


def option_ticks(option: Mapping[str, Any], *, most: int) -> list[tuple[float, str]]:
    """Places 0..1 on an option's axis, with their labels."""
    if "choices" in option:
        return [
            ((place + 0.5) / len(option["choices"]), name) for place, name in enumerate(option["choices"])
        ]
    low, high = option["low"], option["high"]
    axis = Axis(low, high, 0, 1, log=option["log"])
    if isinstance(low, int) and isinstance(high, int) and not option["log"] and high - low <= 2 * most:
        return [(axis.share(value), tick(value, 1)) for value in range(low, high + 1)]
    return [(axis.share(value), label) for value, label in axis.ticks(most)]


def slices(study: Mapping[str, Any]) -> str:
    """Score by the value of each searched option, a panel each, on one scale."""
    return f'<div class="panels">{"".join(_slice(study, option) for option in study["searched"])}</div>'


def _slice(study: Mapping[str, Any], option: Mapping[str, Any]) -> str:
    left, right, top, bottom = 50.0, PANEL - 14, 14.0, 160.0
    up = Axis(*score_scale(study), bottom, top)
    parts = [svg.y_axis(up, left, right, most=4), line(left, bottom, right, bottom, "axis")]
    ticks = option_ticks(option, most=4)
    for at, label in ticks:
        x = left + at * (right - left)
        parts.append(line(x, bottom, x, bottom + 4, "axis"))
        words = shortened(label, max(3, 26 // max(len(ticks), 1)))
        parts.append(text(x, bottom + 17, words, kind="tick", anchor="middle"))
    name = option["name"] + (" (log)" if option["log"] else "")
    parts.append(text((left + right) / 2, bottom + 36, shortened(name), kind="label", anchor="middle"))
    spread = 0.5 / len(option["choices"]) if "choices" in option else 0.0
    for trial in reversed(study["trials"]):
        middle = share(option, trial["params"].get(option["path"]))
        if trial["mean"] is None or middle is None:
            continue
        aside = ((trial["number"] * 0.618) % 1 - 0.5) * spread  # equal choices side by side
        parts.append(dot(study, trial, left + (middle + aside) * (right - left), up, size=3.6))
    return chart(f"{study['objective']} by {option['name']}", PANEL, 200, parts)


def folds_trained(study: Mapping[str, Any]) -> str:
    """A column for each trial, a cell for each of its folds: filled where it was trained."""
    trials = sorted(study["trials"], key=lambda trial: trial["number"])
    if not trials:
        return ""
    column = min(max(690 / len(trials), 5.0), 26.0)
    row, left, gap = 15.0, 56.0, 1.0 if column < 8 else 2.0
    parts = []
    for fold in range(study["num_folds"]):
        parts.append(text(left - 8, 6 + row * fold + 11, f"fold {fold}", kind="tick", anchor="end"))
    for place, trial in enumerate(trials):
        x = left + column * place
        for fold in range(study["num_folds"]):
            kind = f"cell {trial['state']}" if fold < len(trial["folds"]) else "cell untrained"
            parts.append(rect(
                x, 6 + row * fold, column - gap, row - 2, kind, extra=f' data-trial="{trial["number"]}"'
            ))  # fmt: skip
    bottom = 6 + row * study["num_folds"]
    step = max(1, round(svg.nice_step(len(trials), int(690 / 40))))
    for value in range(0, len(trials), step):
        parts.append(text(left + column * (value + 0.5), bottom + 14, value, kind="tick", anchor="middle"))
    width = left + column * len(trials) + 10
    parts.append(text(left, bottom + 31, "trial", kind="label"))
    return chart("Folds trained of each trial", width, bottom + 38, parts)


def bar(axis: Axis, value: float, low: float, high: float, kind: str, *, extra: str = "") -> str:
    """A value with its interval on a line of a table; an arrow where it lies off the scale."""
    width, middle = abs(axis.end - axis.start) + 2 * min(axis.start, axis.end), 8.0
    shape = "diamond" if "exact" in kind else SHAPES["complete"]
    parts = []
    if axis.contains(value):
        if high > low:
            parts.append(line(axis.place(low), middle, axis.place(high), middle, f"whisker {kind}"))
        parts.append(mark(axis.place(value), middle, shape, f"point {kind}", size=4.2, extra=extra))
    else:
        below = value < axis.low
        x = axis.place(value) + (2 if below else -2)
        points = [(x + 5, 4), (x + 5, 12), (x - 2, 8)] if below else [(x - 5, 4), (x - 5, 12), (x + 2, 8)]
        parts.append(path(points, f"point {kind}", closed=True))
    return f'<svg class="bar" width="{width:g}" height="16" aria-hidden="true">{"".join(parts)}</svg>'
