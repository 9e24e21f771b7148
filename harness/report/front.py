"""The Pareto front of a study with several objectives on its page: the first against each other one, and a table."""

from typing import Any

from markupsafe import Markup

from harness.analysis.leaderboard import ParetoFront
from harness.charts import scores
from harness.pages import joined, paragraph, table
from harness.records import Objective
from harness.report.document import StudyReport
from harness.report.figures import Figures
from harness.report.format import number, of_objective, times

LOG_FROM = 20.0  # times as much, from which on an axis is logarithmic
ON_FRONT, DOMINATED, STOPPED = scores.KINDS


def front(study: StudyReport, draw: Figures) -> Markup:
    """Empty where the study has one objective, or no complete trial."""
    found = study.pareto
    if found is None or not found.trials:
        return Markup("")
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
    drawn = [_against(study, found, objective, draw) for objective in found.objectives[1:]]
    listed = table(head, rows, numbers=range(len(head)))
    return joined(paragraph(said), paragraph(hint, "hint"), *drawn, listed)


def heading(objective: Objective) -> str:
    """Its name, and which way is better."""
    return f"{objective.name} {'↑' if objective.direction == 'maximize' else '↓'}"


def _against(study: StudyReport, found: ParetoFront, other: Objective, draw: Figures) -> Markup:
    """Every trial's first objective over another one; with two objectives a line below which all is dominated."""
    chosen = {trial.number for trial in found.trials}
    rows: list[dict[str, Any]] = []
    for trial in sorted(study.trials, key=lambda trial: trial.number in chosen):
        if trial.mean is None or other.name not in trial.others:
            continue
        kind = ON_FRONT if trial.number in chosen else DOMINATED if trial.state == "complete" else STOPPED
        error = trial.half_width or 0.0
        rows.append({
            "trial": trial.number, "x": trial.others[other.name], "y": trial.mean, "low": trial.mean - error,
            "high": trial.mean + error, "kind": kind,
        })  # fmt: skip
    low, high = min(row["x"] for row in rows), max(row["x"] for row in rows)
    rises = other.direction == "minimize" if len(found.objectives) == 2 else None
    log = low > 0 and high / low >= LOG_FROM
    spec = scores.against(rows, heading(other), heading(found.objectives[0]), log=log, rises=rises)
    return draw(f"front-{other.name}", spec)
