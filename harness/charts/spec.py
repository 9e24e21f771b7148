"""What all charts share: colours, the look, axes, and how a specification is put together.

Colours are near Okabe and Ito's, which everybody can tell apart, such that each has a contrast of at least 3 to the
white page and to the dark one; what they say is said by shape or place, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
BLUE, ORANGE, GREY, RED, INK = "#1a7fc1", "#d9660a", "#7d8894", "#d1443c", "#1f2328"
MANY = [BLUE, ORANGE, "#009e73", "#b5649b", "#a58a00", "#5b78c9", RED, "#2f98a8", "#8a6d4b", GREY]
NARROW: Spec = {"name": "narrow", "value": False}  # the parameter that a page sets on a telephone
WORSE_TO_BETTER = [BLUE, "#8a8f94", ORANGE]
LONGEST = 30  # letters of a name on an axis
INSIDE = "currentColor"  # of what stands on the page's own colour
CONFIG: Spec = {
    "background": "white",
    "font": "system-ui, -apple-system, Segoe UI, Liberation Sans, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 12, "titleFontSize": 12.5, "titleFontWeight": "normal", "labelColor": "#59636e",
        "titleColor": "#59636e", "gridColor": "#e3e7eb", "domainColor": "#b4bcc4", "tickColor": "#b4bcc4",
        "labelLimit": 240, "labelOverlap": True,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False, "titleAngle": 0, "titleAlign": "left", "titleAnchor": "end",
              "titleX": 0, "titleY": -10},
    "legend": {"orient": "top", "titleFontSize": 12.5, "titleFontWeight": "normal", "titleColor": "#59636e",
               "titleLimit": 320, "labelFontSize": 12.5, "labelColor": "#59636e", "labelLimit": 220,
               "symbolStrokeWidth": 2, "columns": 4, "offset": 28},
    "title": {"anchor": "start", "fontSize": 14, "fontWeight": "normal", "color": INK, "offset": 12},
    "text": {"fontSize": 12, "color": INSIDE},
    "bar": {"color": BLUE},
    "line": {"strokeWidth": 2},
    "point": {"filled": True, "size": 60, "opacity": 1},
}  # fmt: skip


def chart(
    description: str,
    *,
    height: float,
    widest: float | None = None,
    square: int = 0,
    **parts: Any,
) -> Spec:
    """As wide as the page has room, or at most `widest`, in pixels.

    description: said to who cannot see it.   height: of what its axes span, in pixels.
    square: pixels beside the axes, where those shall be as high as wide.
    """
    return {
        "$schema": SCHEMA, "description": description, "width": "container", "height": height,
        "config": CONFIG,
        "autosize": {"type": "fit-x", "contains": "padding"}, "usermeta": {"widest": widest, "square": square}, **parts,
    }  # fmt: skip


def beside(*charts: Spec) -> Spec:
    """Charts as one picture; a page sets them beside each other by itself."""
    alone = ("$schema", "config", "autosize", "params")
    inner = [{key: value for key, value in one.items() if key not in alone} for one in charts]
    params = {param["name"]: param for one in charts for param in one.get("params", ())}
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "params": [*params.values()],
        "hconcat": inner,
        "spacing": 40,
    }


def mark(kind: str, *, look: Mapping[str, Any] = {}, transform: Sequence[Spec] = (), params: Sequence[Spec] = (),
         values: Sequence[Mapping[str, Any]] | None = None, **encoding: Spec | list[Spec]) -> Spec:  # fmt: skip
    """A layer.   look: of the mark.   values: data of its own.   encoding: by channel.

    Nothing is said of it to who cannot see it unless it has a tooltip: then that is what is said.
    """
    return {
        "mark": {"type": kind, "aria": "tooltip" in encoding, **look}, "encoding": encoding,
        **({"transform": [*transform]} if transform else {}), **({"params": [*params]} if params else {}),
        **({"data": {"values": [*values]}} if values is not None else {}),
    }  # fmt: skip


def nominal(field: str, look: Mapping[str, Any] | None = None, **more: Any) -> Spec:
    """The channel of a kind.   look: colour or shape of each."""
    scale = {"scale": {"domain": list(look), "range": list(look.values())}} if look else {}
    return {"field": field, "type": "nominal", "title": None, **scale, **more}


def number(field: str, title: str | None = None, **more: Any) -> Spec:
    """The channel of a quantity; the axis need not begin at zero."""
    scale, axis = more.pop("scale", {}), {"tickCount": 6, **more.pop("axis", {})}
    if scale.get("type") != "log":
        scale = {"zero": False, **scale}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis, **more}


def name(field: str, title: str | None = None, *, most: int = LONGEST, **more: Any) -> Spec:
    """The channel of names, in the order of the data; long ones are cut in their middle, where they differ least."""
    axis = {"labelExpr": cut("datum.label", most), **more.pop("axis", {})}
    return {"field": field, "type": "nominal", "sort": None, "title": title, "axis": axis, **more}


def cut(text: str, most: int = LONGEST) -> str:
    """A Vega expression: the text without its middle, where it is longer than `most` letters; two thirds where
    the parameter `narrow` is true, which every chart with names has.
    """
    room = f"(narrow ? {2 * most // 3} : {most})"
    head, tail = (
        f"slice({text}, 0, floor(({room} - 1) / 2))",
        f"slice({text}, floor(({room} - 1) / 2) + 1 - {room})",
    )
    return f"length({text}) > {room} ? {head} + '…' + {tail} : {text}"


def whole(title: str, **more: Any) -> Spec:
    """An axis of whole numbers; of few the ticks between them have no label."""
    label = "datum.value === round(datum.value) ? format(datum.value, 'd') : ''"
    return {"title": title, "tickMinStep": 1, "labelExpr": label, **more}


def zoom(*axes: str) -> Spec:
    """A parameter: dragging moves an axis, Ctrl and the wheel (or two fingers) zoom, a double click goes back.

    The wheel alone scrolls the page.
    """
    select = {"type": "interval", "encodings": list(axes), "zoom": "wheel![event.ctrlKey || event.metaKey]"}
    return {"name": "zoom", "select": select, "bind": "scales"}


def tips(**fields: str | tuple[str, str]) -> list[Spec]:
    """What is shown on a mark: by field its title, or title and number format."""
    return [
        {"field": field, "title": said, "type": "nominal"}
        if isinstance(said, str)
        else {"field": field, "title": said[0], "type": "quantitative", "format": said[1]}
        for field, said in fields.items()
    ]


def with_data(spec: Spec, **datasets: Sequence[Mapping[str, Any]]) -> Spec:
    """The specification with the data that it names."""
    return {**spec, "datasets": {key: list(rows) for key, rows in datasets.items()}}
