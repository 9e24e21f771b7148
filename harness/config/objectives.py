"""What a study's trials are judged by: a metric, or a list that begins with one and goes on with metrics and costs."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from harness.config import catalog, plugins
from harness.config.kinds import NO_NETWORK
from harness.config.sections import COSTS, SIZES, Search
from harness.errors import Problem, UsageError, did_you_mean

MOST = 4  # objectives: among more, nearly every trial is on the front


def bound_objectives(written: Any, search: Search | None, problems: list[Problem]) -> tuple[str, ...]:
    """The names of a study's objectives, the first a metric; what is wrong is added to `problems`.

    written: what the study file has. In a list, the name of a cost means the cost.
    """
    if not isinstance(written, list):
        problems += _metric_problems("objective", written, catalog.metrics())
        return (str(written),)
    if not written or len(written) > MOST:
        problems.append(
            Problem("objective", f"must be one name, or a list of 1 to {MOST} (got {len(written)})")
        )
        return ()
    names: list[str] = []
    for place, name in enumerate(written):
        path = f"objective[{place}]"
        if name in names:
            problems.append(Problem(path, f"{name} is an objective already"))
        elif place == 0 or name not in COSTS:
            problems += _metric_problems(path, name, [*catalog.metrics(), *(COSTS if place else ())])
        names.append(str(name))
    if len(names) > 1 and search is not None:
        problems += _search_problems(search)
    return tuple(names)


def size_problems(models: Iterable[str], objectives: Sequence[str]) -> list[Problem]:
    """Sizes that are asked for where there is no network.   models: their names."""
    if NO_NETWORK not in models:
        return []
    why = "needs a network, and the training loop of this study has none; seconds_per_fold is there"
    return [
        Problem(f"objective[{place}]", f"{name} {why}")
        for place, name in enumerate(objectives)
        if place and name in SIZES
    ]


def direction_of(name: str, *, is_first: bool) -> Literal["maximize", "minimize"]:
    """Of a metric its own; costs are minimised."""
    if name in COSTS and not is_first:
        return "minimize"
    metric = catalog.metric(name)
    return "minimize" if metric and not metric.higher_is_better else "maximize"


def _metric_problems(path: str, name: Any, known: Any) -> list[Problem]:
    """Why a name is no metric. Costs that may stand there are among those known."""
    try:
        if isinstance(name, str) and catalog.metric(name) is not None:
            return []
    except UsageError as error:
        return [Problem(path, str(error))]
    if name in COSTS:
        why = f"{name} is a cost, and statistics and racing are of the first objective: put a metric first"
        return [Problem(path, f"{why}, like [accuracy, {name}]")]
    word = "objective" if COSTS[0] in known else "metric"
    guess = did_you_mean(str(name), [*known, *plugins.names("objective")])
    return [Problem(path, f"unknown {word} {name!r}{guess}")]


def _search_problems(search: Search) -> list[Problem]:
    """What of a search is about one score alone."""
    found = []
    if search.racing == "median":
        why = "median stops what is below others in one score; with several objectives use paired, forgiving or none"
        found.append(Problem("search.racing", why))
    if search.rung is not None:
        found.append(
            Problem(
                "search.rung", "a short training foretells one score; leave it out with several objectives"
            )
        )
    return found
