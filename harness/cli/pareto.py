"""The Pareto front of a study with several objectives, as a table for people."""

from rich.text import Text

from harness.analysis.leaderboard import FrontTrial, ParetoFront
from harness.cli.tables import WIDTH, console, new_table, number
from harness.config.sections import COSTS
from harness.report.format import of_objective

NARROWEST = 20  # characters for the values of a trial; where there are fewer, they are left out
MOST_ROWS = 15


def front(found: ParetoFront, *, best: int | None) -> None:
    """The trials of the front, best by the first objective first, and what their scores are worth.

    best: the trial that statistics are of.
    """
    out = console()
    out.print()
    out.print(
        f"[bold]Pareto front[/]  {len(found.trials)} of {found.num_complete} complete trials: those that no other "
        "one dominates"
    )
    if not found.trials:
        return
    columns = [
        f"{one.name} {'↑' if one.direction == 'maximize' else '↓'}{'' if one.name in COSTS else ' ± 95 %'}"
        for one in found.objectives
    ]
    rows = [_row(found, trial, best) for trial in found.trials[:MOST_ROWS]]
    table = new_table("trial")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    taken = sum(max(map(len, column)) + 2 for column in zip(["trial", *columns], *rows, strict=True))
    width = min(out.width, max(WIDTH, taken + 60))
    shows_values = any(trial.params for trial in found.trials) and width - taken >= NARROWEST
    if shows_values:
        table.add_column("values", no_wrap=False)
    for trial, row in zip(found.trials, rows, strict=False):
        table.add_row(*row, *([_values(trial)] if shows_values else []))
    out.print(table, width=width)
    if len(found.trials) > MOST_ROWS:
        out.print(f"… and {len(found.trials) - MOST_ROWS} more (--json has all)")
    out.print(Text(found.worth))
    first = found.objectives[0].name
    out.print(
        Text(f"* best by {first}, which all statistics are of; audit, reproduce: --trial N", style="dim")
    )


def _row(found: ParetoFront, trial: FrontTrial, best: int | None) -> list[str]:
    cells = [
        of_objective(one.name, known.value, known.half_width)
        for one, known in zip(found.objectives, trial.values, strict=True)
    ]
    return [f"{trial.number}{' *' if trial.number == best else ''}", *cells]


def _values(trial: FrontTrial) -> str:
    return ", ".join(f"{name.partition('.')[2]} {number(value)}" for name, value in trial.params.items())
