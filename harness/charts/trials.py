"""Charts of trials. They draw the data set `trials`, a row for each, which a page may filter; the axes then follow.

The parameter `hot` of a chart is the trial that is pointed at.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.charts.scores import BY_FOLD
from harness.charts.spec import (
    BLUE,
    GREY,
    INSIDE,
    NARROW,
    ORANGE,
    RED,
    WORSE_TO_BETTER,
    Spec,
    chart,
    cut,
    mark,
    nominal,
    number,
    tips,
    whole,
    with_data,
    zoom,
)  # fmt: skip
from harness.records import sign_of

STATES = {
    "complete": (BLUE, "circle"),
    "stopped": (GREY, "square"),
    "running": (BLUE, "diamond"),
    "interrupted": (BLUE, "diamond"),
    "failed": (RED, "cross"),
}
SCORED: Spec = {"filter": "isValid(datum.score)"}
ASIDE: Spec = {"calculate": "(datum.trial * 0.618) % 1", "as": "aside"}
SHARES = {"domain": [0, 1], "range": WORSE_TO_BETTER, "interpolate": "rgb"}
HOT = {
    "condition": {"test": "datum.trial === hot", "value": INSIDE},
    "value": None,
}  # the edge of what is pointed at
CLOCK = {"milliseconds": "%M:%S.%L", "seconds": "%H:%M:%S", "minutes": "%H:%M", "hours": "%H:%M"}  # of ticks


class Trial(Protocol):
    """What is drawn of a trial: of its record, or of what is told of it."""

    @property
    def number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def mean(self) -> float | None: ...
    @property
    def half_width(self) -> float | None: ...
    @property
    def seconds(self) -> float: ...
    @property
    def started(self) -> float: ...
    @property
    def params(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Option:
    """A searched option: a range, or choices as text.   path: like model.dropout."""

    path: str
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.path.partition(".")[2]

    def value(self, trial: Trial) -> Any:
        found = trial.params.get(self.path)
        return str(found) if self.choices and found is not None else found

    def place(self, value: Any) -> float | None:
        """Where a value lies on an axis of its own, 0..1."""
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices) if value in self.choices else None
        if not isinstance(value, int | float) or self.low is None or self.high is None:
            return None
        if self.high == self.low:
            return 0.5
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float(value - self.low) / (self.high - self.low)

    def channel(self, field: str, **more: Any) -> Spec:
        """An encoding of its values."""
        if self.choices:
            axis = {"labelAngle": 0, "labelExpr": cut("datum.label", 12), "grid": False}
            return {
                "field": field,
                "type": "nominal",
                "sort": list(self.choices),
                "title": self.title,
                "axis": axis,
                **more,
            }
        axis = {"tickCount": 5, "format": "~g"}
        if isinstance(self.low, int) and isinstance(self.high, int):
            axis |= {"tickMinStep": 1}
        scale = {"padding": 12, "nice": False, **({"type": "log"} if self.log else {"zero": False})}
        return {
            "field": field,
            "type": "quantitative",
            "title": self.title,
            "scale": scale,
            "axis": axis,
            **more,
        }


def score_ends(trials: Sequence[Trial], *, reach: float = 2.5) -> tuple[float, float]:
    """What a chart of scores should span: the complete trials and near misses; far worse ones lie off it.

    reach: how far from the complete trials a miss may be, in spans of these.
    """
    scored = [
        (trial.mean, trial.half_width or 0.0, trial.state) for trial in trials if trial.mean is not None
    ]
    complete = [row for row in scored if row[2] == "complete"]
    ends = [
        mean + sign * error
        for mean, error, _ in (complete if len(complete) > 1 else scored)
        for sign in (-1, 1)
    ]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    far = reach * (high - low)
    near = [mean for mean, _, _ in scored if low - far <= mean <= high + far]
    return min([low, *near]), max([high, *near])


def trial_rows(
    trials: Sequence[Trial], direction: str, options: Sequence[Option] = ()
) -> list[dict[str, Any]]:
    """The data set, by number.

    y, low, high: score and interval as they are drawn, on the scale of `score_ends`; off: where the score lies off it.
    rank: 1 is the best, of those with a score.   share: of those that are worse.
    o0…: the options' values.   p0…: their places on the axes.
    """
    low, high = score_ends(trials)
    scored = sorted(
        (trial.mean for trial in trials if trial.mean is not None),
        key=lambda mean: -sign_of(direction) * mean,
    )
    rows = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        row: dict[str, Any] = {
            "trial": trial.number,
            "state": trial.state,
            "score": trial.mean,
            "seconds": round(trial.seconds, 1),
        }
        if (mean := trial.mean) is not None:
            error, rank = trial.half_width or 0.0, scored.index(mean) + 1
            drawn = [min(max(value, low), high) for value in (mean, mean - error, mean + error)]
            row |= {"error": trial.half_width, "off": (mean > high) - (mean < low), "rank": rank,
                    "share": round(1 - (rank - 1) / max(len(scored) - 1, 1), 4),
                    **dict(zip(("y", "low", "high"), drawn, strict=True))}  # fmt: skip
        if trial.started:
            row |= {
                "begin": round(1000 * trial.started),
                "end": round(1000 * (trial.started + trial.seconds)),
            }
        values = [option.value(trial) for option in options]
        row |= {f"o{place}": value for place, value in enumerate(values)}
        places = [option.place(value) for option, value in zip(options, values, strict=True)]
        row |= {f"p{at}": None if place is None else round(place, 4) for at, place in enumerate(places)}
        rows.append(row)
    return rows


def history(objective: str, direction: str, title: str, states: Collection[str]) -> Spec:
    """Every trial's score with its 95 % interval by number, and the best so far of the complete ones.

    states: that the trials have, for the legend.
    """
    legend = _legend(states)
    best = {"op": "max" if sign_of(direction) > 0 else "min", "field": "score", "as": "best"}
    so_far: list[Spec] = [
        {"filter": "datum.state === 'complete'"},
        {"window": [best], "sort": [{"field": "trial"}], "frame": [None, 0]},
    ]
    line, clip = {"interpolate": "step-after", "color": ORANGE, "clip": True}, {"clip": True}
    no_score = [{"filter": "!isValid(datum.score)"}]
    return of_trials(
        title, height=260, encoding={"x": number("trial", axis=whole("trial"), scale={"nice": False, "padding": 12})},
        layer=[
            mark("line", look=line, transform=so_far, y=number("best", objective)),
            mark("rule", look=clip, transform=[SCORED], y=number("low", objective), y2={"field": "high"},
                 color=by_state(0, legend=legend)),
            {**_points(objective, [], legend=legend), "params": [zoom("x")]},
            mark("point", look={"yOffset": -8, **clip}, transform=no_score, y={"value": "height"},
                 color=by_state(0, legend=legend), shape=by_state(1, legend=legend),
                 tooltip=tips(trial="trial", state="state")),
        ],
    )  # fmt: skip


def history_of(trials: Sequence[Trial], objective: str, direction: str) -> Spec:
    """With its data."""
    title = "Search history: mean over the folds, 95 % intervals"
    states = {trial.state for trial in trials}
    return with_data(history(objective, direction, title, states), trials=trial_rows(trials, direction))


def by_option(place: int, options: Sequence[Option], objective: str) -> Spec:
    """Score by the value of one option."""
    option, x = options[place], options[place].channel(f"o{place}")
    return of_trials(
        f"{objective} by {option.title}", height=170, transform=[known(place), ASIDE],
        encoding={"x": x, **_aside(option)},
        layer=[_points(objective, options, legend=None)],
    )  # fmt: skip


def parallel(options: Sequence[Option], objective: str) -> Spec:
    """Every scored trial a line through its values, to its score; the colour is its rank.

    The parameter `brush` is what has been marked: axes, and from where to where on them, 0..1.
    """
    axes = [f"p{place}" for place in range(len(options) + 1)]
    ends = [{"op": op, "field": "y", "as": op} for op in ("min", "max")]
    of_score = "datum.max > datum.min ? (datum.y - datum.min) / (datum.max - datum.min) : 0.5"
    transform: list[Spec] = [
        SCORED, {"joinaggregate": ends}, {"calculate": of_score, "as": axes[-1]},
        {"fold": axes, "as": ["axis", "place"]}, {"filter": "isValid(datum.place)"},
        {"calculate": "+slice(datum.axis, 1)", "as": "step"},
    ]  # fmt: skip
    x_axis = {
        "orient": "top", "labelAngle": {"expr": "narrow ? -30 : 0"},
        "labelAlign": {"expr": "narrow ? 'left' : 'center'"}, "labelOverlap": False,
        "labelExpr": cut("names[+slice(datum.value, 1)]", 14), "grid": True, "gridColor": GREY,
        "domain": False, "ticks": False,
    }  # fmt: skip
    x = {
        "field": "axis",
        "type": "ordinal",
        "title": None,
        "scale": {"domain": axes, "padding": 0.3},
        "axis": x_axis,
    }
    y = {
        "field": "place",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [-0.04, 1.04], "nice": False},
    }
    thick = [{"test": "datum.trial === hot", "value": 5}, {"test": "datum.rank === 1", "value": 3}]
    faint = {"condition": {"test": "hot === null || datum.trial === hot", "value": 0.85}, "value": 0.3}
    labels = [
        {"axis": axes[place], "place": at, "label": words}
        for place, option in enumerate(options)
        for at, words in _labels(option)
    ]
    brush = {"name": "brush", "select": {"type": "interval", "encodings": ["x", "y"]}}
    beside = {"align": "left", "dx": 5, "fontSize": 11}
    scores = [
        mark("text", look=beside, x=x, y=y, text=number(end["op"], format=".3f"), transform=[
            {"aggregate": [end]}, {"calculate": f"'{axes[-1]}'", "as": "axis"}, {"calculate": f"{at}", "as": "place"},
        ])
        for at, end in enumerate(ends)
    ]  # fmt: skip
    return of_trials(
        "Parallel coordinates: the values and the score of every trial", height=300,
        params=[{"name": "names", "value": [*(option.title for option in options), objective]}],
        layer=[
            mark(
                "line", look={"aria": False}, transform=transform, params=[brush], x=x, y=y, detail=nominal("trial"),
                order=number("step"), color=number("share", scale=SHARES, legend=None), strokeOpacity=faint,
                strokeWidth={"condition": thick, "value": 1.4}, tooltip=told(options, objective),
            ),
            mark("text", look=beside, values=labels, x=x, y=y, text=nominal("label")),
            *scores,
        ],
    )  # fmt: skip


def folds(objective: str, num_folds: int, ends: tuple[float, float]) -> Spec:
    """A column for each trial, a cell for each fold that it has: the colour is its score. Stopped trials are short.

    ends: of the colours.   The data set has `scores`, a list for each trial.
    """
    axis = {"labelAngle": 0, "labelOverlap": True, "grid": False}
    x = {"field": "trial", "type": "ordinal", "axis": {"title": "trial", **axis}}
    y = {
        "field": "fold",
        "type": "ordinal",
        "scale": {"domain": [*range(num_folds)]},
        "axis": {"title": "fold", **axis},
    }
    legend = {"gradientLength": 160, "format": ".3f"}
    colour = number("scores", objective, scale={**SHARES, "domain": [*ends], "clamp": True}, legend=legend)
    said = tips(trial="trial", state="state", fold="fold", scores=(objective, ".4f"))
    return of_trials(
        "Scores of every trial, fold by fold", height=num_folds * min(22, 240 / num_folds), transform=BY_FOLD,
        layer=[mark("rect", look={"aria": False}, x=x, y=y, color=colour, stroke=HOT, tooltip=said)],
    )  # fmt: skip


def timeline(title: str, states: Collection[str]) -> Spec:
    """When each trial began, and for how long it was trained.   states: that the trials have, for the legend."""
    axis = {"format": CLOCK, "tickCount": {"expr": "narrow ? 3 : 8"}}
    x = {"field": "begin", "type": "temporal", "title": None, "scale": {"nice": False}, "axis": axis}
    began = {"field": "begin", "type": "temporal", "title": "began", "format": "%Y-%m-%d %H:%M:%S"}
    y = number("trial", axis=whole("trial"), scale={"reverse": True, "nice": False})
    said = [*tips(trial="trial", state="state", seconds=("seconds of training", ",.1f")), began]
    return of_trials(
        title, height=240,
        transform=[{"filter": "isValid(datum.begin)"}, {"calculate": "datum.trial + 1", "as": "below"}],
        layer=[mark("rect", look={"clip": True, "minWidth": 2}, params=[zoom("x")], x=x, x2={"field": "end"}, y=y,
                    y2={"field": "below"}, color=by_state(0, legend=_legend(states)), stroke=HOT, tooltip=said)],
    )  # fmt: skip


def of_trials(description: str, **parts: Any) -> Spec:
    params = [NARROW, {"name": "hot", "value": None}, *parts.pop("params", [])]
    return chart(description, params=params, data={"name": "trials"}, **parts)


def _points(objective: str, options: Sequence[Option], *, legend: Spec | None) -> Spec:
    """A mark for each scored trial at its score; a triangle at the end of the axis where that lies off it."""
    off = [
        {"test": "datum.off === -1", "value": "triangle-down"},
        {"test": "datum.off === 1", "value": "triangle-up"},
    ]
    best = {"test": "datum.rank === 1 && datum.state === 'complete'", "value": ORANGE}
    return mark(
        "point", look={"clip": True, "strokeWidth": 2}, transform=[SCORED],
        y=number("y", objective if legend else "", scale={"padding": 6}),
        color={"condition": best, **by_state(0, legend=legend)},
        shape={"condition": off, **by_state(1, legend=legend)},
        stroke=HOT, size={"condition": {"test": "datum.trial === hot || datum.rank === 1", "value": 130}, "value": 60},
        tooltip=told(options, objective),
    )  # fmt: skip


def told(options: Sequence[Option], objective: str) -> list[Spec]:
    """What is shown of a trial while the pointer is on it."""
    values = [
        {**nominal(f"o{place}"), "title": option.title} if option.choices
        else {"field": f"o{place}", "type": "quantitative", "title": option.title, "format": ".4~g"}
        for place, option in enumerate(options)
    ]  # fmt: skip
    return [
        *tips(trial="trial", state="state", score=(objective, ".4f"), error=("± 95 %", ".4f"), rank="rank"),
        *values,
    ]


def by_state(look: int, **more: Any) -> Spec:
    """look: 0 for its colour, 1 for its shape."""
    return nominal("state", {state: looks[look] for state, looks in STATES.items()}, **more)


def _legend(states: Collection[str]) -> Spec:
    return {"values": [state for state in STATES if state in states]}


def _aside(option: Option) -> dict[str, Spec]:
    """Trials of one choice stand side by side."""
    return {"xOffset": number("aside", scale={"domain": [-0.6, 1.6]})} if option.choices else {}


def known(place: int) -> Spec:
    return {"filter": f"isValid(datum.o{place})"}


def _labels(option: Option) -> list[tuple[float, str]]:
    """Words at places of an option's axis in the parallel coordinates."""
    if option.choices:
        return [((place + 0.5) / len(option.choices), words) for place, words in enumerate(option.choices)]
    assert option.low is not None and option.high is not None
    middle = (option.low * option.high) ** 0.5 if option.log else (option.low + option.high) / 2
    if isinstance(option.low, int) and isinstance(option.high, int):
        return [(0, str(option.low)), (1, str(option.high))]
    return [(0, f"{option.low:.3g}"), (0.5, f"{middle:.3g}"), (1, f"{option.high:.3g}")]
