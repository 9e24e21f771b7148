"""The leaderboard of a study: a table, best first, with every trial's error bar on one scale."""

from collections.abc import Mapping
from typing import Any

from harness.report.charts import score_scale
from harness.report.explore import bar
from harness.report.format import duration, interval, number, score
from harness.report.svg import Axis, escaped, text
from harness.report.tables import folded, paragraph

MOST_ROWS = 20
BAR = 160.0


def leaderboard(study: Mapping[str, Any]) -> str:
    """The first trials, then the others folded away."""
    trials = study["trials"]
    if not trials:
        return paragraph("No trial has ended yet.", "hint")
    first, others = trials[:MOST_ROWS], trials[MOST_ROWS:]
    axis = Axis(*score_scale({"trials": first}, reach=0.0), 6, BAR - 6)
    rows = [_row(study, trial, axis) for trial in first]
    honest = study["honest"]
    if honest and honest["num_trials"] > 1:
        rows.insert(_place_of_honest(study, first), _honest_row(study, axis))
    hint = (
        "Mean over the folds, ± standard error corrected for the folds' overlap (Nadeau and Bengio 2003); triangles "
        "lie off the scale. Stopped trials have fewer folds, so their means are not comparable."
    )
    more = folded(f"{len(others)} more", _table(study, [_row(study, trial, axis) for trial in others], axis))
    return _table(study, rows, axis) + (more if others else "") + paragraph(hint, "hint")


def _place_of_honest(study: Mapping[str, Any], first: list[Any]) -> int:
    return 1 if study["best"] and first and first[0]["number"] == study["best"]["number"] else 0


def _table(study: Mapping[str, Any], rows: list[str], axis: Axis) -> str:
    ends = [(0.0, axis.low, "start"), (BAR, axis.high, "end")]
    labels = "".join(text(x, 11, f"{value:.3f}", kind="tick", anchor=anchor) for x, value, anchor in ends)
    scale = f'<svg class="bar" width="{BAR:g}" height="14" aria-hidden="true">{labels}</svg>'
    names = "".join(f"<th>{escaped(option['name'])}</th>" for option in study["searched"])
    head = (
        f'<tr><th class="n">trial</th><th class="n">{escaped(study["objective"])}</th><th class="n">± se</th>'
        f'<th>{scale}</th><th class="n">folds</th><th class="n">time</th><th>state</th>{names}</tr>'
    )
    return f'<div class="scroll"><table class="ranks"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _row(study: Mapping[str, Any], trial: Mapping[str, Any], axis: Axis) -> str:
    best = study["best"] and study["best"]["number"] == trial["number"]
    mean, error = trial["mean"], trial["standard_error"] or 0.0
    kind = f"{trial['state']}{' best' if best else ''}"
    drawn = "" if mean is None else bar(axis, mean, mean - error, mean + error, kind)
    values = "".join(
        f"<td>{escaped(number(trial['params'].get(option['path'])))}</td>" for option in study["searched"]
    )
    numbers = [f"{trial['number']}{' ★' if best else ''}", score(mean), score(trial["standard_error"])]
    after = [len(trial["folds"]), duration(trial["seconds"])]
    cells = [
        *(f'<td class="n">{value}</td>' for value in numbers),
        f"<td>{drawn}</td>",
        *(f'<td class="n">{value}</td>' for value in after),
        f"<td>{escaped(trial['state'])}</td>{values}",
    ]
    return f'<tr data-trial="{trial["number"]}"{" class=best" if best else ""}>{"".join(cells)}</tr>'


def _honest_row(study: Mapping[str, Any], axis: Axis) -> str:
    honest = study["honest"]
    drawn = bar(axis, honest["corrected"], honest["low"], honest["high"], "exact")
    among = f"the best, corrected for the choice among {honest['num_trials']}"
    words = f"{among}; {interval(honest['low'], honest['high'])}"
    return (
        f'<tr class="honest"><td></td><td class="n">{score(honest["corrected"])}</td><td></td><td>{drawn}</td>'
        f'<td colspan="{3 + len(study["searched"])}">{escaped(words)}</td></tr>'
    )
