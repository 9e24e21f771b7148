"""The Pareto front of a study with several objectives, as a table for people."""

from harness.analysis.leaderboard import FrontTrial, ParetoFront
from harness.cli.tables import console, number, say, table
from harness.config.sections import COSTS
from harness.report.format import of_objective

MOST_ROWS = 15


def front(found: ParetoFront, *, best: int | None) -> None:
    """The trials of the front, best by the first objective first, and what their scores are worth.

    best: the trial that statistics are of.
    """
    console().print(
        f"\n[bold]Pareto front[/]  {len(found.trials)} of {found.num_complete} complete trials: those that no other "
        "one dominates"
    )
    if not found.trials:
        return
    columns = [
        f"{one.name} {'↑' if one.direction == 'maximize' else '↓'}{'' if one.name in COSTS else ' ± 95 %'}"
        for one in found.objectives
    ]
    rows = [[*_row(found, trial, best), _values(trial)] for trial in found.trials[:MOST_ROWS]]
    if any(trial.params for trial in found.trials):
        table(("trial", *columns, "values"), rows, text=1)
    else:
        table(("trial", *columns), [row[:-1] for row in rows])
    if len(found.trials) > MOST_ROWS:
        say(f"… and {len(found.trials) - MOST_ROWS} more (--json has all)")
    say(found.worth)
    first = found.objectives[0].name
    say(f"* best by {first}, which all statistics are of; audit, reproduce: --trial N", style="dim")


def _row(found: ParetoFront, trial: FrontTrial, best: int | None) -> list[str]:
    cells = [
        of_objective(one.name, known.value, known.half_width)
        for one, known in zip(found.objectives, trial.values, strict=True)
    ]
    return [f"{trial.number}{' *' if trial.number == best else ''}", *cells]


def _values(trial: FrontTrial) -> str:
    return ", ".join(f"{name.partition('.')[2]} {number(value)}" for name, value in trial.params.items())
