"""The Pareto front of a study with several objectives on its page: the first against each other one, and a table."""

import math

from harness.analysis.leaderboard import ParetoFront, TrialStatus
from harness.records import Objective
from harness.report import charts, markup
from harness.report.document import StudyReport
from harness.report.format import number, of_objective, times
from harness.report.markup import Axis, chart, legend, paragraph, path, table

LOG_FROM = 20.0  # times as much, from which on an axis is logarithmic
ON_FRONT = '<circle cx="8" cy="6" r="4.5" class="point exact"/>'
OTHERS = '<circle cx="8" cy="6" r="4.5" class="point complete"/>'
STOPPED = '<path d="M3.5 2.5L12.5 2.5L8 10.5Z" class="point stopped"/>'


def front(study: StudyReport) -> str:
    """Empty where the study has one objective, or no complete trial."""
    found = study.pareto
    if found is None or not found.trials:
        return ""
    entries = [(ON_FRONT, "on the front"), (OTHERS, "complete, dominated")]
    if any(trial.state == "stopped" and trial.others for trial in study.trials):
        entries.append((STOPPED, "stopped: the mean of the folds it has"))
    drawn = [_against(study, found, objective) for objective in found.objectives[1:]]
    options = list(dict.fromkeys(name for trial in found.trials for name in trial.params))
    rows = [
        (
            trial.number,
            *(
                of_objective(one.name, known.value, known.half_width)
                for one, known in zip(found.objectives, trial.values, strict=True)
            ),
            *(number(trial.params.get(name)) for name in options),
        )
        for trial in found.trials
    ]
    head = ("trial", *map(heading, found.objectives), *(name.partition(".")[2] for name in options))
    said = f"{times(len(found.trials), 'trial')} that no other one dominates; {found.worth}."
    hint = f"All statistics of this page are of {study.objective}."
    return (
        paragraph(said)
        + paragraph(hint, "hint")
        + legend(*entries)
        + "".join(drawn)
        + table(head, rows, numbers=range(len(head)))
    )


def heading(objective: Objective) -> str:
    """Its name, and which way is better."""
    return f"{objective.name} {'↑' if objective.direction == 'maximize' else '↓'}"


def _against(study: StudyReport, found: ParetoFront, other: Objective) -> str:
    """Every trial's first objective over another one; with two objectives a line below which all is dominated."""
    points = [
        (trial, trial.mean, trial.others[other.name])
        for trial in study.trials
        if trial.mean is not None and other.name in trial.others
    ]
    values = [value for _, _, value in points]
    low, high = min(values), max(values)
    is_log = low > 0 and high / low >= LOG_FROM
    low, high = _decades(low / 1.25, high * 1.25) if is_log else markup.padded(low, high)
    left, right, bottom, height = 64.0, charts.WIDTH - 24, 292.0, 340.0
    across, up = Axis(low, high, left, right, log=is_log), Axis(*charts.score_scale(study.trials), bottom, 34)
    chosen = {trial.number for trial in found.trials}
    parts = [
        markup.y_axis(up, left, right, heading(found.objectives[0])),
        markup.x_axis(across, bottom, 34, heading(other)),
    ]
    if len(found.objectives) == 2:
        ends = [
            (across.place(value), up.place(mean)) for trial, mean, value in points if trial.number in chosen
        ]
        parts.append(_staircase(sorted(ends), is_rising=other.direction == "minimize"))
    for trial, mean, value in sorted(points, key=lambda point: point[0].number in chosen):
        parts.append(_point(study, trial, across.place(value), mean, up, is_chosen=trial.number in chosen))
    return chart(f"{study.objective} and {other.name} of every trial", charts.WIDTH, height, parts)


def _decades(low: float, high: float) -> tuple[float, float]:
    """Wide enough for two powers of ten, which are the ticks; LOG_FROM leaves at least one inside."""
    powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    return (low if powers > 1 else 10.0 ** math.floor(math.log10(low))), high


def _point(
    study: StudyReport, trial: TrialStatus, x: float, mean: float, up: Axis, *, is_chosen: bool
) -> str:
    if not is_chosen:
        return charts.dot(study, trial, mean, x, up)
    error, extra = trial.half_width or 0.0, charts.of_trial(trial)
    ends = up.place(mean - error), up.place(mean + error)
    return markup.line(x, ends[0], x, ends[1], "whisker thin best", extra=extra) + markup.mark(
        x, up.place(mean), "circle", "point exact", size=6 if study.is_best(trial) else 5, extra=extra
    )


def _staircase(points: list[tuple[float, float]], *, is_rising: bool) -> str:
    """Through the front from left to right: first along, then up, where what is further left is better; else down."""
    steps: list[tuple[float, float]] = []
    for x, y in points:
        if steps:
            steps.append((x, steps[-1][1]) if is_rising else (steps[-1][0], y))
        steps.append((x, y))
    return path(steps, "best-line")
