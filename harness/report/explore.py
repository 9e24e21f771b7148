"""Drawings whose trials can be pointed at and picked: leaderboard, parallel coordinates, slices, folds trained.

What is drawn of trial 7 has data-trial="7"; the page's script finds it there. Without the script the charts stand.
"""

from collections.abc import Sequence
from typing import Any

from harness.analysis.leaderboard import TrialStatus
from harness.report import markup
from harness.report.charts import SHAPES, dot, of_trial, score_scale, trial_words
from harness.report.document import Searched, SearchedChoice, StudyReport
from harness.report.format import duration, interval, number, score, shortened, tick
from harness.report.markup import Axis, chart, escaped, folded, line, mark, paragraph, path, rect, text

MOST_ROWS = 20  # of a leaderboard, beyond which they are folded away
BAR = 160.0  # width of its column of bars
COLUMN, TOP, BOTTOM = 112.0, 44.0, 318.0  # of the parallel coordinates
PANEL = 242.0  # width of a slice
LEVELS = 5  # of the lines' colour, from the worst fifth to the best


def leaderboard(study: StudyReport) -> str:
    """A table, best first, with every trial's error bar on one scale; all but the first trials are folded away."""
    if not study.trials:
        return paragraph("No trial has ended yet.", "hint")
    first, others = study.trials[:MOST_ROWS], study.trials[MOST_ROWS:]
    axis = Axis(*score_scale(first, reach=0.0), 6, BAR - 6)
    rows = [_row(study, trial, axis) for trial in first]
    if found := study.corrected:
        words = (
            f"the best, corrected for the choice among {found.num_trials}; {interval(found.low, found.high)}"
        )
        rows.insert(
            1 if study.is_best(first[0]) else 0,
            f'<tr class="honest"><td></td><td class="n">{score(found.corrected)}</td><td></td>'
            f"<td>{_bar(axis, found.corrected, found.low, found.high, 'exact')}</td>"
            f'<td colspan="{3 + len(study.searched)}">{escaped(words)}</td></tr>',
        )
    hint = (
        "Mean over the folds with its 95 % interval; triangles "
        "lie off the scale. Stopped trials have fewer folds, so their means are not comparable."
    )
    more = folded(f"{len(others)} more", _table(study, [_row(study, trial, axis) for trial in others], axis))
    return _table(study, rows, axis) + (more if others else "") + paragraph(hint, "hint")


def _table(study: StudyReport, rows: Sequence[str], axis: Axis) -> str:
    ends = [(0.0, axis.low, "start"), (BAR, axis.high, "end")]
    labels = "".join(text(x, 11, f"{value:.3f}", kind="tick", anchor=anchor) for x, value, anchor in ends)
    scale = f'<svg class="bar" width="{BAR:g}" height="14" aria-hidden="true">{labels}</svg>'
    names = "".join(f"<th>{escaped(option.name)}</th>" for option in study.searched)
    head = (
        f'<tr><th class="n">trial</th><th class="n">{escaped(study.objective)}</th><th class="n">± 95 %</th>'
        f'<th>{scale}</th><th class="n">folds</th><th class="n">time</th><th>state</th>{names}</tr>'
    )
    return f'<div class="scroll"><table class="ranks"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(study: StudyReport, trial: TrialStatus, axis: Axis) -> str:
    best, mean, error = study.is_best(trial), trial.mean, trial.half_width or 0.0
    kind = f"{trial.state}{' best' if best else ''}"
    drawn = "" if mean is None else _bar(axis, mean, mean - error, mean + error, kind)
    numbers = [f"{trial.number}{' ★' if best else ''}", score(mean), score(trial.half_width)]
    after = [len(trial.folds), duration(trial.seconds)]
    cells = [
        *(f'<td class="n">{value}</td>' for value in numbers),
        f"<td>{drawn}</td>",
        *(f'<td class="n">{value}</td>' for value in after),
        f"<td>{escaped(trial.state)}</td>",
        *(f"<td>{escaped(number(trial.params.get(option.path)))}</td>" for option in study.searched),
    ]
    return f"<tr{of_trial(trial)}{' class=best' if best else ''}>{''.join(cells)}</tr>"


def _bar(axis: Axis, value: float, low: float, high: float, kind: str) -> str:
    """A value with its interval on a line of a table; an arrow where it lies off the scale."""
    width, middle = abs(axis.end - axis.start) + 2 * min(axis.start, axis.end), 8.0
    parts = []
    if axis.contains(value):
        if high > low:
            parts.append(line(axis.place(low), middle, axis.place(high), middle, f"whisker {kind}"))
        shape = "diamond" if kind == "exact" else SHAPES["complete"]
        parts.append(mark(axis.place(value), middle, shape, f"point {kind}", size=4.2))
    else:
        below = value < axis.low
        x = axis.place(value) + (2 if below else -2)
        points = [(x + 5, 4), (x + 5, 12), (x - 2, 8)] if below else [(x - 5, 4), (x - 5, 12), (x + 2, 8)]
        parts.append(path(points, f"point {kind}", closed=True))
    return f'<svg class="bar" width="{width:g}" height="16" aria-hidden="true">{"".join(parts)}</svg>'


def share(option: Searched, trial: TrialStatus) -> float | None:
    """Where the trial's value lies on the option's axis, 0..1; choices lie evenly. None where it is not on it."""
    value = trial.params.get(option.path)
    if isinstance(option, SearchedChoice):
        choices = option.choices
        return (choices.index(str(value)) + 0.5) / len(choices) if str(value) in choices else None
    if not isinstance(value, int | float):
        return None
    return Axis(option.low, option.high, 0, 1, log=option.log).share(value)


def script_data(study: StudyReport) -> dict[str, Any]:
    """What the page's script knows of a study: axes, and of every trial its words, state, rank and places."""
    scale = Axis(*score_scale(study.trials), 0, 1)
    scored = [trial.number for trial in study.trials if trial.mean is not None]
    ranks = {number: rank for rank, number in enumerate(scored, 1)}
    return {
        "axes": [option.name for option in study.searched] + [study.objective],
        "trials": {
            str(trial.number): {
                "words": trial_words(study, trial),
                "state": trial.state,
                "rank": ranks.get(trial.number),
                "places": [share(option, trial) for option in study.searched]
                + [None if trial.mean is None else scale.share(trial.mean)],
            }
            for trial in study.trials
        },
    }


def parallel(study: StudyReport) -> str:
    """Every scored trial a line through its values, coloured by the fifth that its score is in."""
    options = study.searched
    centres = [70 + COLUMN * place for place in range(len(options) + 1)]
    up = Axis(*score_scale(study.trials), BOTTOM, TOP)
    scored = [(trial, trial.mean) for trial in study.trials if trial.mean is not None]
    parts = []
    for rank, (trial, mean) in reversed(list(enumerate(scored))):  # the best on top
        shares = [(x, share(option, trial)) for x, option in zip(centres, options, strict=False)]
        points = [(x, BOTTOM + at * (TOP - BOTTOM)) for x, at in shares if at is not None]
        points.append((centres[-1], up.place(mean)))
        level = LEVELS - 1 - rank * LEVELS // len(scored)
        best = " best" if study.is_best(trial) else ""
        parts.append(path(points, f"ribbon q{level}{best}", extra=of_trial(trial)))
    for place, option in enumerate(options):
        labels = [(BOTTOM + at * (TOP - BOTTOM), label) for at, label in _option_ticks(option, most=5)]
        parts.append(_upright(centres[place], place, option.name, labels))
    labels = [(up.place(value), label) for value, label in up.ticks(6)]
    parts.append(_upright(centres[-1], len(options), study.objective, labels))
    title = "Parallel coordinates: the values and the score of every trial"
    return chart(title, COLUMN * len(options) + 150, BOTTOM + 24, parts, kind="parallel")


def _upright(x: float, place: int, name: str, labels: Sequence[tuple[float, str]]) -> str:
    """An axis of the parallel coordinates, where the script finds what is brushed."""
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


def _option_ticks(option: Searched, *, most: int) -> list[tuple[float, str]]:
    """Places 0..1 on an option's axis, with their labels."""
    if isinstance(option, SearchedChoice):
        return [((place + 0.5) / len(option.choices), name) for place, name in enumerate(option.choices)]
    low, high = option.low, option.high
    axis = Axis(low, high, 0, 1, log=option.log)
    if isinstance(low, int) and isinstance(high, int) and not option.log and high - low <= 2 * most:
        return [(axis.share(value), tick(value, 1)) for value in range(low, high + 1)]
    return [(axis.share(value), label) for value, label in axis.ticks(most)]


def slices(study: StudyReport) -> str:
    """Score by the value of each searched option, a panel each, on one scale."""
    return f'<div class="panels">{"".join(_slice(study, option) for option in study.searched)}</div>'


def _slice(study: StudyReport, option: Searched) -> str:
    left, right, top, bottom = 50.0, PANEL - 14, 14.0, 160.0
    up = Axis(*score_scale(study.trials), bottom, top)
    parts = [markup.y_axis(up, left, right, most=4), line(left, bottom, right, bottom, "axis")]
    ticks = _option_ticks(option, most=4)
    for at, label in ticks:
        x = left + at * (right - left)
        parts.append(line(x, bottom, x, bottom + 4, "axis"))
        words = shortened(label, max(3, 26 // max(len(ticks), 1)))
        parts.append(text(x, bottom + 17, words, kind="tick", anchor="middle"))
    name = option.name + (" (log)" if option.log else "")
    parts.append(text((left + right) / 2, bottom + 36, shortened(name), kind="label", anchor="middle"))
    spread = 0.5 / len(option.choices) if isinstance(option, SearchedChoice) else 0.0
    for trial in reversed(study.trials):
        middle = share(option, trial)
        if trial.mean is None or middle is None:
            continue
        aside = ((trial.number * 0.618) % 1 - 0.5) * spread  # equal choices side by side
        x = left + (middle + aside) * (right - left)
        parts.append(dot(study, trial, trial.mean, x, up, size=3.6))
    return chart(f"{study.objective} by {option.name}", PANEL, 200, parts)


def folds_trained(study: StudyReport) -> str:
    """A column for each trial, a cell for each of its folds: filled where it was trained."""
    trials = sorted(study.trials, key=lambda trial: trial.number)
    if not trials:
        return ""
    column = min(max(690 / len(trials), 5.0), 26.0)
    row, left, gap = 15.0, 56.0, 1.0 if column < 8 else 2.0
    parts = []
    for fold in range(study.num_folds):
        parts.append(text(left - 8, 6 + row * fold + 11, f"fold {fold}", kind="tick", anchor="end"))
    for place, trial in enumerate(trials):
        x = left + column * place
        for fold in range(study.num_folds):
            kind = f"cell {trial.state}" if fold < len(trial.folds) else "cell untrained"
            parts.append(rect(x, 6 + row * fold, column - gap, row - 2, kind, extra=of_trial(trial)))
    bottom = 6 + row * study.num_folds
    step = max(1, round(markup.nice_step(len(trials), int(690 / 40))))
    for value in range(0, len(trials), step):
        parts.append(text(left + column * (value + 0.5), bottom + 14, value, kind="tick", anchor="middle"))
    parts.append(text(left, bottom + 31, "trial", kind="label"))
    return chart("Folds trained of each trial", left + column * len(trials) + 10, bottom + 38, parts)
