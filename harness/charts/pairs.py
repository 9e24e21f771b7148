"""The chart of two options: the trials, and between them a surface of the score, which is interpolated.

All is computed where it is drawn, by the chart's own transforms, from the trials that the page shows: so the surface
follows a choice of trials, and a chart is as small however many there are.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.charts.spec import INSIDE, WORSE_TO_BETTER, Spec, cut, mark, number, tips
from harness.charts.trials import SCORED, Option, Trial, by_state, known, of_trials, score_ends, told
from harness.records import sign_of

LEAST_TRIALS = 6  # that a surface is drawn of
MOST_BANDS = 6  # whole numbers of a range that are bands, as choices are
CELLS = 28  # of the surface along a range
SPREAD = 0.07  # of a trial's weight around it, in lengths of an axis: a standard deviation
REACH = 0.25  # how far from a trial there is a surface, which fades on the way
STAR = "M0,-1L.25,-.35L.95,-.31L.4,.13L.59,.81L0,.42L-.59,.81L-.4,.13L-.95,-.31L-.25,-.35Z"
IS_BEST = "datum.rank === 1 && datum.state === 'complete'"
EVENLY = {"x": 0.7549, "y": 0.5698}  # steps of the sequence R2, which fills a square evenly


def by_two_options(places: tuple[int, int], options: Sequence[Option], objective: str, colours: Spec) -> Spec:
    """The score by two options.   places: of both among the options.   colours: `score_colours` of the trials."""
    x, y = (_Side(options[place], place, letter) for place, letter in zip(places, "xy", strict=True))
    scored = [SCORED, known(x.place), known(y.place)]
    count = {"op": "count", "as": "trials"}
    few = f"No surface: of fewer than {LEAST_TRIALS} trials it would say nothing"
    near = {**number("near", scale={"domain": [0, 1], "range": [0, 0.8], "nice": False}), "legend": None}
    colour = {"scale": colours, "legend": {"format": ".3f", "gradientLength": 160}}
    size = [{"test": IS_BEST, "value": 380}, {"test": "datum.trial === hot", "value": 160}]
    edge = {"condition": {"test": "datum.trial === hot", "value": 3}, "value": 1}
    return of_trials(
        f"{objective} by {x.option.title} and {y.option.title}", height=340, widest=820,
        params=[{"name": f"{side.letter}Names", "value": side.bands} for side in (x, y) if side.bands],
        layer=[
            {"name": "surface", **mark(
                "rect", look={"aria": False}, transform=[*scored, *_surface(x, y)],
                x=x.channel("x0"), x2={"field": "x1"}, y=y.channel("y0"), y2={"field": "y1"},
                color=number("value", objective, **colour), opacity=near,
                tooltip=tips(value=(f"{objective}, interpolated", ".4f")),
            )},
            mark("text", transform=[*scored, {"aggregate": [count]}, {"filter": f"datum.trials < {LEAST_TRIALS}"}],
                 x={"value": {"expr": "width / 2"}}, y={"value": 14}, text={"value": few}),
            mark(
                "point", transform=[*scored, x.put(), y.put()], x=x.channel("xPut"), y=y.channel("yPut"),
                color=number("y", objective, **colour), stroke={"value": INSIDE}, strokeWidth=edge,
                shape={"condition": {"test": IS_BEST, "value": STAR}, **by_state(1, legend=None)},
                size={"condition": size, "value": 70}, order=number("share"), tooltip=told(options, objective),
            ),
        ],
    )  # fmt: skip


def explained(objective: str, *, has_others: bool, has_stopped: bool) -> str:
    """What such a chart shows, in words.   has_others: more than two options are searched."""
    but = []
    if has_others:
        but.append("trials differ in the other options, too")
    if has_stopped:
        but.append("stopped ones have fewer folds")
    return (
        f"Dots are trials, the star is the best. Their colour is the {objective}, grey the median; the colour between "
        "them is interpolated: the mean of the trials around, weighted by how near they are in these two options. It "
        f"fades where nothing was tried, and is no promise{': ' if but else ''}{', and '.join(but)}."
    )


def score_colours(trials: Sequence[Trial], direction: str) -> Spec:
    """A scale of colours for scores as charts draw them, `trial_rows`' y: from the worst by the median to the best."""
    low, high = score_ends(trials)
    drawn = sorted(min(max(trial.mean, low), high) for trial in trials if trial.mean is not None) or [low]
    middle = statistics.median(drawn)
    ends = [min(drawn[0], middle - 1e-9), middle, max(drawn[-1], middle + 1e-9)]
    colours = WORSE_TO_BETTER if sign_of(direction) > 0 else WORSE_TO_BETTER[::-1]
    return {"domain": ends, "range": colours, "interpolate": "rgb", "clamp": True}


@dataclass(frozen=True)
class _Side:
    """An axis of the chart. Bands are its whole numbers' intervals: the first is from 0 to 1.

    place: of the option.   letter: x or y.
    """

    option: Option
    place: int
    letter: str

    @property
    def bands(self) -> list[Any]:
        """The values that stand apart, with nothing between them; none of a range."""
        low, high = self.option.low, self.option.high
        if self.option.choices:
            return [*self.option.choices]
        if isinstance(low, int) and isinstance(high, int) and high - low < MOST_BANDS:
            return [*range(low, high + 1)]
        return [low] if low == high else []

    @property
    def value(self) -> str:
        """An expression: the option's value of a trial; the number of its band, where it has bands."""
        value = f"datum.o{self.place}"
        return f"indexof({self.letter}Names, {value})" if self.bands else value

    def channel(self, field: str) -> Spec:
        """An encoding over all that was searched."""
        if not self.bands:
            found = self.option.channel(field)
            return {**found, "scale": {**found["scale"], "domain": [self.option.low, self.option.high]}}
        axis = {
            "values": [band + 0.5 for band in range(len(self.bands))], "grid": False, "ticks": False,
            "labelExpr": cut(f"toString({self.letter}Names[floor(datum.value)])", 12),
        }  # fmt: skip
        scale = {"domain": [0, len(self.bands)], "nice": False}
        return {
            "field": field,
            "type": "quantitative",
            "title": self.option.title,
            "scale": scale,
            "axis": axis,
        }

    def put(self) -> Spec:
        """A transform: where a trial's mark is; within a band they are spread evenly."""
        aside = f" + 0.15 + 0.7 * (datum.trial * {EVENLY[self.letter]} % 1)" if self.bands else ""
        return {"calculate": f"{self.value}{aside}", "as": f"{self.letter}Put"}

    def reached(self) -> list[Spec]:
        """Transforms: of each trial a row for every cell near it.   xAt: the trial's place on the axis, 0..1."""
        at, cell, (low, high) = f"{self.letter}At", f"{self.letter}Cell", (self.option.low, self.option.high)
        if self.bands:
            return [{"calculate": self.value, "as": cell}]
        log = f"log({self.value} / {low}) / log({high} / {low})"
        first = f"max(0, floor((datum.{at} - {REACH}) * {CELLS}))"
        after = f"min({CELLS}, ceil((datum.{at} + {REACH}) * {CELLS}))"
        return [
            {"calculate": log if self.option.log else f"({self.value} - {low}) / ({high} - {low})", "as": at},
            {"calculate": f"sequence({first}, {after})", "as": cell},
            {"flatten": [cell]},
        ]

    @property
    def distance(self) -> str:
        """An expression: from a trial to the middle of a cell, in lengths of the axis."""
        return "0" if self.bands else f"((datum.{self.letter}Cell + 0.5) / {CELLS} - datum.{self.letter}At)"

    def edges(self) -> list[Spec]:
        """Transforms: from where to where a cell is."""
        cell, (low, high) = f"datum.{self.letter}Cell", (self.option.low, self.option.high)
        shares = [f"({cell} + {end}) / {CELLS}" for end in (0, 1)]
        if self.bands:
            values = [f"{cell} + 0.03", f"{cell} + 0.97"]
        elif self.option.log:
            values = [f"{low} * pow({high} / {low}, {share})" for share in shares]
        else:
            values = [f"{low} + ({high} - {low}) * {share}" for share in shares]
        return [{"calculate": value, "as": f"{self.letter}{end}"} for end, value in enumerate(values)]


def _surface(x: _Side, y: _Side) -> list[Spec]:
    """Transforms of trials: a row for each cell near one, with the weighted mean of the trials' scores.

    value: that mean.   near: 1 at the place of a trial, 0 where the nearest is REACH away.
    """
    sums = [{"op": "sum", "field": one, "as": one} for one in ("weight", "part")]
    nearest = {"op": "min", "field": "square", "as": "nearest"}
    return [
        {"joinaggregate": [{"op": "count", "as": "trials"}]},
        {"filter": f"datum.trials >= {LEAST_TRIALS}"},
        {"aggregate": [], "groupby": ["trial", "y", f"o{x.place}", f"o{y.place}"]},  # lets go of all other fields
        *x.reached(), *y.reached(),
        {"calculate": f"pow({x.distance}, 2) + pow({y.distance}, 2)", "as": "square"},
        {"filter": f"datum.square < {REACH**2}"},
        {"calculate": f"exp(-datum.square / {2 * SPREAD**2})", "as": "weight"},
        {"calculate": "datum.weight * datum.y", "as": "part"},
        {"aggregate": [*sums, nearest], "groupby": ["xCell", "yCell"]},
        {"calculate": "datum.part / datum.weight", "as": "value"},
        {"calculate": f"1 - sqrt(datum.nearest) / {REACH}", "as": "near"},
        *x.edges(), *y.edges(),
    ]  # fmt: skip
