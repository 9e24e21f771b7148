"""Charts of scores that are laid beside each other: with their intervals, fold by fold, against another objective."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.charts.spec import (
    BLUE,
    GREY,
    NARROW,
    ORANGE,
    Spec,
    beside,
    chart,
    mark,
    name,
    nominal,
    number,
    tips,
    whole,
    with_data,
)  # fmt: skip

Row = Mapping[str, Any]
BY_FOLD: list[Spec] = [
    {"flatten": ["scores"]},
    {"window": [{"op": "row_number", "as": "place"}], "groupby": ["trial"]},
    {"calculate": "datum.place - 1", "as": "fold"},
]
KINDS = {
    "on the front": (ORANGE, "diamond"),
    "complete, dominated": (BLUE, "circle"),
    "stopped: the mean of the folds it has": (GREY, "square"),
}


def interval(
    label: str, value: float, low: float, high: float, *, words: str = "", kind: str = "rough"
) -> Row:
    """A row of `intervals`.   kind: rough (blue, a mean over folds say), exact (orange) or grey.   words: above it."""
    return {"label": label, "value": value, "low": low, "high": high, "words": words, "kind": kind}


def intervals(rows: Sequence[Row], title: str, *, rope: float | None = None) -> Spec:
    """Values with their 95 % intervals, one below the other.

    rope: of differences, those that are equal in practice; zero is marked.
    """
    colour = nominal("kind", {"rough": BLUE, "exact": ORANGE, "grey": GREY}, legend=None)
    shape = nominal("kind", {"rough": "circle", "exact": "diamond", "grey": "circle"}, legend=None)
    y = name("label", axis={"ticks": False, "domain": False})
    x = number(
        "value", "", axis={"grid": True, "tickCount": 5}, scale={"padding": {"expr": "narrow ? 56 : 24"}}
    )
    said = tips(label="of", words="value, 95 %")
    zero = [
        mark("rect", look={"color": GREY, "fillOpacity": 0.2}, values=[{"from": -rope, "to": rope}],
             x={**x, "field": "from"}, x2={"field": "to"}),
        mark("rule", look={"color": GREY, "strokeDash": [4, 3]}, values=[{"at": 0}], x={**x, "field": "at"}),
    ] if rope is not None else []  # fmt: skip
    return chart(
        title, height=34 * max(len(rows), 1), data={"values": list(rows)}, params=[NARROW],
        layer=[
            *zero,
            mark("rule", look={"strokeWidth": 2}, x={**x, "field": "low"}, x2={"field": "high"}, y=y, color=colour),
            mark("point", look={"size": 90}, x=x, y=y, color=colour, shape=shape, tooltip=said),
            mark("text", look={"dy": -12, "fontSize": 11}, x=x, y=y, text=nominal("words")),
        ],
    )  # fmt: skip


def by_fold(objective: str, title: str) -> Spec:
    """The scores of trials, fold by fold; rank 1 stands out. Draws the data set `trials`."""
    colour = {"condition": {"test": "datum.rank === 1", "value": ORANGE}, "value": GREY}
    return _lines(objective, title, BY_FOLD, color=colour, detail=nominal("trial"))


def two_by_fold(objective: str, title: str) -> Spec:
    """Of the two trials that the parameters `one` and `other` name."""
    chosen: Spec = {"filter": "datum.trial === one || datum.trial === other"}
    which = {
        "calculate": "(datum.trial === one ? 'left: ' : 'right: ') + 'trial ' + datum.trial",
        "as": "which",
    }
    colour = {"field": "which", "type": "nominal", "title": None, "scale": {"range": [BLUE, ORANGE]}}
    params = [{"name": "one", "value": 0}, {"name": "other", "value": 1}]
    return {**_lines(objective, title, [chosen, *BY_FOLD, which], color=colour), "params": params}


def _lines(objective: str, title: str, transform: list[Spec], **encoding: Spec) -> Spec:
    said = tips(trial="trial", fold="fold", scores=(objective, ".4f"))
    axes = {"x": number("fold", axis=whole("fold")), "y": number("scores", objective)}
    return chart(
        title, height=240, data={"name": "trials"}, transform=transform, encoding={**axes, **encoding},
        layer=[mark("line"), mark("point", tooltip=said)],
    )  # fmt: skip


def comparison(
    rows: Sequence[Row], scores: Mapping[str, Sequence[float]], objective: str, rope: float
) -> Spec:
    """Scores by fold, each trial a line, and every trial's difference to the best, as one picture.

    scores: by trial, the best first.
    """
    lines = [
        {"trial": trial, "scores": [*found], "rank": rank}
        for rank, (trial, found) in enumerate(scores.items(), 1)
    ]
    left = by_fold(objective, "the best trial (orange) and the others, fold by fold")
    right = intervals(rows, "difference to the best, 95 %; grey: told apart", rope=rope)
    return with_data(beside(left, right), trials=lines)


def against(rows: Sequence[Row], across: str, up: str, *, log: bool, rises: bool | None) -> Spec:
    """Two objectives of the trials.   rows: trial, x, y, low, high, kind (of KINDS).   log: of the axis across.

    rises: how the front is drawn from left to right, along and then up, or up and then along; None: it is not.
    """
    scale = {"nice": False, "padding": 14, **({"type": "log"} if log else {})}
    x, y = number("x", across, scale=scale, axis={"format": "~s"}), number("y", up)
    colour, shape = (nominal("kind", {kind: look[place] for kind, look in KINDS.items()}) for place in (0, 1))
    is_front = [{"filter": "datum.kind === 'on the front'"}]
    said = tips(trial="trial", kind="which is", x=(across, ",.4~f"), y=(up, ".4f"))
    stairs = {"color": ORANGE, "interpolate": "step-after" if rises else "step-before"}
    return chart(
        f"{up} and {across} of every trial", height=300, data={"values": list(rows)}, encoding={"x": x},
        layer=[
            *([mark("line", look=stairs, transform=is_front, y=y)] if rises is not None else []),
            mark("rule", look={"color": ORANGE}, transform=is_front, y=number("low", up), y2={"field": "high"}),
            mark("point", look={"size": 80}, y=y, tooltip=said, color=colour, shape=shape),
        ],
    )  # fmt: skip
