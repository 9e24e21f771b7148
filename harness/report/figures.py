"""The charts of a study's page: where each stands, with its numbers, and the specifications that the script draws."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from harness.charts.spec import Spec
from harness.pages import folded, table

MOST_ROWS = 500  # of the numbers below a chart


class Figures:
    """Fills while the sections of a study are written.   specs: by key, without what all share."""

    def __init__(self) -> None:
        self.specs: dict[str, Spec] = {}

    def __call__(self, key: str, spec: Spec, numbers: str | None = None) -> Markup:
        """A chart as HTML.   numbers: a table of what it shows, for who cannot see it; "" where that is elsewhere."""
        self.specs[key] = {part: value for part, value in spec.items() if part not in ("config", "$schema")}
        said = Markup(numbers_of(spec) if numbers is None else numbers)
        below = folded("The numbers", said) if said else ""
        return Markup('<figure class="chart"><div class="drawn" data-chart="{}"></div>{}</figure>').format(
            key, below
        )


def numbers_of(spec: Spec, *, every: int = 1) -> Markup:
    """A table of what is said on the marks of a chart that has its data with it.   every: 10 for each tenth of them."""
    fields: Sequence[Mapping[str, Any]] = next(
        layer["encoding"]["tooltip"] for layer in spec["layer"] if "tooltip" in layer["encoding"]
    )
    rows = [
        [_spelt(row.get(one["field"]), one.get("format", "")) for one in fields]
        for row in spec["data"]["values"][::every]
    ]
    numbers = [place for place, one in enumerate(fields) if one["type"] == "quantitative"]
    head = [one.get("title", one["field"]) for one in fields]
    return table(head, rows[:MOST_ROWS], numbers=numbers, of=f"Numbers: {spec['description']}")


def _spelt(value: Any, form: str) -> Any:
    return format(value, form.replace("~", "")) if form and value is not None else value
