"""Elements of a page from plain values: of SVG an axis and marks with hover texts, of HTML tables and paragraphs.

Whatever is not marked as markup is escaped.
"""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.format import tick


@dataclass(frozen=True)
class Axis:
    """Values low..high, drawn from pixel `start` to pixel `end`; either may be the larger one."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where on the axis: 0 at its low end, 1 at its high end, and no further."""
        low, high, at = (
            math.log10(max(number, 1e-300)) if self.log else number for number in (self.low, self.high, value)
        )
        return min(max((at - low) / (high - low), 0.0), 1.0) if high > low else 0.5

    def place(self, value: float) -> float:
        """The pixel."""
        return self.start + self.share(value) * (self.end - self.start)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def ticks(self, most: int = 6) -> list[tuple[float, str]]:
        """Round values, and how they are written: at most about so many."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            by = max(1, math.ceil((last - first) / most))
            powers = [10.0**power for power in range(first, last + 1, by)]
            inside = [power for power in powers if self.low * 0.999 <= power <= self.high * 1.001]
            if len(inside) > 1:
                return [(power, f"{power:g}") for power in inside]
            ends = [self.low, (self.low * self.high) ** 0.5, self.high]
            return [(value, f"{value:.2g}") for value in ends]
        step = nice_step(self.high - self.low, most)
        count = math.floor(self.high / step + 1e-9) - math.ceil(self.low / step - 1e-9)
        values = [(math.ceil(self.low / step - 1e-9) + place) * step for place in range(count + 1)]
        return [(value, tick(value, step)) for value in values]


def nice_step(span: float, most: int) -> float:
    """1, 2 or 5 times a power of ten, such that at most `most` steps are in the span."""
    if not (span > 0 and math.isfinite(span)):
        return 1.0
    rough = span / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * factor for factor in (1, 2, 5) if power * factor >= rough * (1 - 1e-9)), power * 10)


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """A little more on both sides, also of a single value."""
    margin = (high - low) * share or abs(high) * 0.01 or 0.01
    return low - margin, high + margin


def escaped(text: object) -> str:
    """Text for an element or a quoted attribute."""
    return html.escape(str(text), quote=True)


def chart(title: str, width: float, height: float, parts: Iterable[str], *, kind: str = "") -> str:
    """A chart in a frame that scrolls where the page is too narrow. title: said to who cannot see it."""
    inner = "".join(parts)
    return (
        f'<div class="frame"><svg class="chart {kind}" role="img" aria-label="{escaped(title)}" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}">{inner}</svg></div>'
    )


def text(
    x: float, y: float, words: object, *, kind: str = "", anchor: str = "start", turn: float = 0.0
) -> str:
    """anchor: start, middle or end.   turn: degrees, clockwise about the point."""
    turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
    styled = f' class="{kind}"' if kind else ""
    anchored = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{styled}{anchored}{turned}>{escaped(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str, *, extra: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"{extra}/>'


def rect(x: float, y: float, width: float, height: float, kind: str, *, extra: str = "") -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'class="{kind}"{extra}/>'
    )


def path(points: Sequence[tuple[float, float]], kind: str, *, extra: str = "", closed: bool = False) -> str:
    inner = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{inner}{"Z" if closed else ""}" class="{kind}"{extra}/>'


def mark(x: float, y: float, shape: str, kind: str, *, size: float = 4.5, extra: str = "") -> str:
    """shape: circle, down or up (triangles), diamond or cross."""
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" class="{kind}"{extra}/>'
    shapes: dict[str, list[tuple[float, float]]] = {
        "down": [(-1, -0.8), (1, -0.8), (0, 1)],
        "up": [(-1, 0.8), (1, 0.8), (0, -1)],
        "diamond": [(-1.15, 0), (0, -1.15), (1.15, 0), (0, 1.15)],
        "cross": [(-0.8, -0.8), (0.8, 0.8), (0, 0), (0.8, -0.8), (-0.8, 0.8), (0, 0)],
    }
    places = [(x + size * across, y + size * down) for across, down in shapes[shape]]
    return path(places, kind, extra=extra, closed=True)


def tip(words: str) -> str:
    """An attribute: what is shown while the pointer is on the mark."""
    return f' data-tip="{escaped(words)}"'


def x_axis(axis: Axis, y: float, top: float, title: str = "", *, most: int = 7, grid: bool = False) -> str:
    """At the bottom, at pixel y; with `grid`, lines up to `top`."""
    parts = [line(axis.start, y, axis.end, y, "axis")]
    for value, label in axis.ticks(most):
        at = axis.place(value)
        parts.append(line(at, top if grid else y, at, y if grid else y + 4, "grid" if grid else "axis"))
        parts.append(text(at, y + 17, label, kind="tick", anchor="middle"))
    if title:
        parts.append(text((axis.start + axis.end) / 2, y + 36, title, kind="label", anchor="middle"))
    return "".join(parts)


def y_axis(axis: Axis, x: float, right: float, title: str = "", *, most: int = 6) -> str:
    """At the left, at pixel x, with lines to pixel `right`; the title stands above."""
    parts = []
    for value, label in axis.ticks(most):
        at = axis.place(value)
        parts.append(line(x, at, right, at, "grid"))
        parts.append(text(x - 7, at + 4, label, kind="tick", anchor="end"))
    if title:
        parts.append(text(x - 7, min(axis.start, axis.end) - 12, title, kind="label"))
    return "".join(parts)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def paragraph(words: object, kind: str = "") -> str:
    return f"<p{_class(kind)}>{_cell(words)}</p>"


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = (), wrap: int = -1
) -> str:
    """numbers: columns that are set right.   wrap: the column whose text may be broken, or -1."""

    def one(place: int, value: object, name: str) -> str:
        kind = "n" if place in numbers else "wrap" if place == wrap and name == "td" else ""
        return f"<{name}{_class(kind)}>{_cell(value)}</{name}>"

    top = "".join(one(place, value, "th") for place, value in enumerate(head))
    body = "".join(
        f"<tr>{''.join(one(place, value, 'td') for place, value in enumerate(row))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(title: str, inner: str, *, printed: bool = False) -> str:
    """What is seen when asked for.   printed: it is on paper in any case."""
    return (
        f"<details{_class('print' if printed else '')}><summary>{escaped(title)}</summary>{inner}</details>"
    )


def legend(*entries: tuple[str, str]) -> str:
    """(drawing of 16 by 12 pixels, words) each."""
    parts = "".join(
        f'<span><svg width="16" height="12" aria-hidden="true">{drawing}</svg>{escaped(words)}</span>'
        for drawing, words in entries
    )
    return f'<div class="legend">{parts}</div>'


def _cell(value: object) -> str:
    return value if isinstance(value, Markup) else escaped("–" if value is None else value)


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
