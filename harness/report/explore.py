"""The trials of a study: the leaderboard, and the charts whose trials can be picked, which follow one choice."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from markupsafe import Markup

from harness.analysis.leaderboard import STATES, TrialStatus
from harness.charts import scores as score_charts
from harness.charts import spec, trials
from harness.charts.pairs import by_two_options, explained, score_colours
from harness.charts.trials import Option, score_ends
from harness.pages import joined, kept, paragraph, table
from harness.report.document import Searched, SearchedChoice, StudyReport
from harness.report.figures import Figures
from harness.report.format import duration, interval, number, score

MOST_ROWS = 20  # of a leaderboard, beyond which they are folded away
MOST_PAIRED = 6  # options: those that matter most


def leaderboard(study: StudyReport) -> Markup:
    """A table, best first, with every trial's interval on one scale; the script folds all but the first away."""
    if not study.trials:
        return paragraph("No trial has ended yet.", "hint")
    ends = score_ends(study.trials[:MOST_ROWS], reach=0.0)
    margin = (ends[1] - ends[0]) * 0.04 or 0.01
    low, high = ends[0] - margin, ends[1] + margin
    rows = [_row(study, trial, low, high, is_more=at >= MOST_ROWS) for at, trial in enumerate(study.trials)]
    if found := study.corrected:
        words = (
            f"the best, corrected for the choice among {found.num_trials}; {interval(found.low, found.high)}"
        )
        drawn = _bar(found.corrected, found.low, found.high, low, high, "exact")
        cells = Markup(
            '<tr class="honest"><td></td><td class="n">{}</td><td></td><td class="scale">{}</td>'
        ).format(score(found.corrected), drawn)
        rest = Markup('<td class="wrap" colspan="{}">{}</td></tr>').format(
            3 + len(study.searched), kept(words)
        )
        rows.insert(1 if study.is_best(study.trials[0]) else 0, joined(cells, rest))
    names = ["trial", study.objective, "± 95 %", f"{low:.3f} to {high:.3f}", "folds", "time", "state"]
    names += [option.name for option in study.searched]
    head = joined(
        *(
            Markup("<th{}>{}</th>").format(Markup(' class="n"') if at in (0, 1, 2, 4, 5) else "", kept(name))
            for at, name in enumerate(names)
        )
    )
    hint = (
        "Mean over the folds with its 95 % interval; triangles lie off the scale. Stopped trials have fewer folds, so "
        "their means are not comparable."
    )
    made = Markup(
        '<div class="scroll" role="group" aria-label="Leaderboard"><table class="ranks few" data-few="{}">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(len(study.trials) if len(study.trials) > MOST_ROWS else "", head, joined(*rows))
    return made + paragraph(hint, "hint")


def _row(study: StudyReport, trial: TrialStatus, low: float, high: float, *, is_more: bool) -> Markup:
    best, mean, error = study.is_best(trial), trial.mean, trial.half_width or 0.0
    kind = "best" if best else trial.state
    drawn = "" if mean is None else _bar(mean, mean - error, mean + error, low, high, kind)
    numbers = [f"{trial.number}{' ★' if best else ''}", score(mean), score(trial.half_width)]
    cells = [
        *(Markup('<td class="n">{}</td>').format(value) for value in numbers),
        Markup('<td class="scale">{}</td>').format(drawn),
        *(
            Markup('<td class="n">{}</td>').format(value)
            for value in (len(trial.folds), duration(trial.seconds))
        ),
        *(Markup("<td>{}</td>").format(value) for value in (trial.state, *_values(study, trial))),
    ]
    classes = f"{'best ' if best else ''}{'more' if is_more else ''}".strip()
    return Markup('<tr data-trial="{}" class="{}">{}</tr>').format(trial.number, classes, joined(*cells))


def _values(study: StudyReport, trial: TrialStatus) -> list[str]:
    return [number(trial.params.get(option.path)) for option in study.searched]


def _bar(value: float, start: float, end: float, low: float, high: float, kind: str) -> Markup:
    """A value with its interval on the scale of a column."""

    def place(at: float) -> float:
        return round(100 * min(max((at - low) / (high - low), 0.0), 1.0), 2)

    off = " off below" if value < low else " off above" if value > high else ""
    line = Markup('<i style="left:{}%;width:{}%"></i>').format(
        place(start), round(place(end) - place(start), 2)
    )
    return Markup('<span class="interval {}{}">{}<b style="left:{}%"></b></span>').format(
        kind, off, "" if off else line, place(value)
    )


def controls(study: StudyReport, prefix: str) -> Markup:
    """Which trials are drawn."""
    scored = sum(trial.mean is not None for trial in study.trials)
    boxes = joined(
        *(
            Markup('<label><input type="checkbox" value="{0}" checked> {0}</label> ').format(state)
            for state in states(study)
        )
    )
    return Markup(
        '<div class="controls"><span>{0}</span><label>only the best <input type="range" min="1" max="{1}" value="{1}" '
        'id="{2}rank"> <output class="rank" for="{2}rank"></output></label><button type="button">all again</button>'
        '<output class="kept"></output></div>'
    ).format(boxes, max(scored, 1), prefix)


def option_of(option: Searched) -> Option:
    """As charts have it."""
    if isinstance(option, SearchedChoice):
        return Option(option.path, choices=option.choices)
    return Option(option.path, option.low, option.high, option.log)


def explored(study: StudyReport, draw: Figures, prefix: str) -> Markup:
    """Parallel coordinates, slices, and pairs of options."""
    scored = sum(trial.mean is not None for trial in study.trials)
    if not study.searched or scored < 2:
        return Markup("")
    options, objective = list(map(option_of, study.searched)), study.objective
    hint = (
        "A line is a trial; orange is better, blue is worse. Point at a trial to see it in every chart and in the "
        "leaderboard; mark a part of an axis to keep the trials that go through there, click beside it to let them go."
    )
    slices = [
        draw(f"slice{place}", trials.by_option(place, options, objective), "")
        for place in range(len(options))
    ]
    return joined(
        paragraph(hint, "hint screen"),
        draw("parallel", trials.parallel(options, objective), ""),
        paragraph(Markup("<b>Slices</b>: {} by each searched option.").format(objective), "lead"),
        Markup('<div class="charts">{}</div>').format(joined(*slices)),
        _pairs(study, draw, options, prefix),
    )


def _pairs(study: StudyReport, draw: Figures, options: list[Option], prefix: str) -> Markup:
    """The score between two options, one pair at a time."""
    by_weight = sorted(
        range(len(options)), key=lambda place: -study.importances.get(options[place].path, 0.0)
    )
    pairs = list(combinations(by_weight[:MOST_PAIRED], 2))
    if not pairs:
        return Markup("")
    keys = [f"pair{one}-{two}" for one, two in pairs]
    colours = score_colours(study.trials, study.direction)
    figures = [
        draw(key, by_two_options(pair, options, study.objective, colours), "")
        for key, pair in zip(keys, pairs, strict=True)
    ]
    choices = joined(
        *(
            Markup('<option value="{}">{} and {}</option>').format(
                key, options[one].title, options[two].title
            )
            for key, (one, two) in zip(keys, pairs, strict=True)
        )
    )
    chooser = Markup(
        '<label for="{0}pair"><b>Two options</b> at once: </label><select id="{0}pair" class="pair">{1}</select>'
    )
    of = f" of the {MOST_PAIRED} options that matter most" if len(options) > MOST_PAIRED else ""
    has_stopped = any(trial.state == "stopped" and trial.mean is not None for trial in study.trials)
    words = explained(study.objective, has_others=len(options) > 2, has_stopped=has_stopped)
    return joined(
        Markup('<p class="lead">{}{}</p>').format(chooser.format(prefix, choices), of),
        figures[0],
        paragraph(words, "hint"),
    )


def by_fold(study: StudyReport, draw: Figures) -> Markup:
    """The scores of each trial, fold by fold."""
    if study.num_folds < 2 or not any(trial.folds for trial in study.trials):
        return Markup("")
    folds = range(study.num_folds)
    rows = [
        [trial.number, *(score(trial.folds[fold] if fold < len(trial.folds) else None) for fold in folds)]
        for trial in sorted(study.trials, key=lambda trial: trial.number)
    ]
    numbers = table(["trial", *(f"fold {fold}" for fold in folds)], rows, numbers=range(study.num_folds + 1))
    return draw("folds", trials.folds(study.objective, study.num_folds, score_ends(study.trials)), numbers)


def two_trials(study: StudyReport, draw: Figures, prefix: str) -> Markup:
    """Two trials side by side: what they differ in, and their scores fold by fold. The script fills it."""
    known = [trial for trial in study.trials if trial.folds]
    if len(known) < 2:
        return Markup("")
    choices = joined(
        *(Markup('<option value="{0}">trial {0}</option>').format(trial.number) for trial in known)
    )
    chooser = Markup('<label>{0}: <select class="{0}">{1}</select></label> ')
    both = joined(*(chooser.format(side, choices) for side in ("left", "right")))
    drawn = draw("two", score_charts.two_by_fold(study.objective, "Two trials, fold by fold"), "")
    return Markup('<div class="two"><p>{}</p><div class="beside"></div>{}</div>').format(
        both, drawn if study.num_folds > 1 else ""
    )


def states(study: StudyReport) -> list[str]:
    """That its trials have, in the order of a leaderboard."""
    return [state for state in STATES if any(trial.state == state for trial in study.trials)]


def timeline(study: StudyReport, draw: Figures) -> Markup:
    """When each trial was trained."""
    known = [trial for trial in study.trials if trial.started]
    if len(known) < 2:
        return Markup("")
    hint = (
        "A bar begins with the first fold of its trial and is as long as all of them took; a fold that was found and "
        "not trained again lies where it was trained."
    )
    return draw("timeline", trials.timeline("When each trial was trained", states(study)), "") + paragraph(
        hint, "hint"
    )


def script_data(study: StudyReport, draw: Figures) -> Mapping[str, Any]:
    """What the page's script knows of a study: the charts, the rows that they draw, what is said of each trial."""
    options = list(map(option_of, study.searched))
    rows = trials.trial_rows(study.trials, study.direction, options)
    of = {trial.number: trial for trial in study.trials}
    for row in rows:
        trial = of[row["trial"]]
        row["scores"] = list(trial.folds)
        row["words"] = [
            f"{score(trial.mean)}" + (f" ± {trial.half_width:.4f}" if trial.half_width is not None else ""),
            trial.state + (f": {trial.reason}" if trial.reason else ""),
            f"{len(trial.folds)}, {duration(trial.seconds)}",
            *_values(study, trial),
        ]  # fmt: skip
    names = [study.objective, "state", "folds, time", *(option.path for option in options)]
    return {"names": names, "trials": rows, "charts": draw.specs, "config": spec.CONFIG}
