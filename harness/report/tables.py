"""HTML from plain values; whatever is not marked as markup is escaped."""

from collections.abc import Iterable, Sequence

from harness.report.svg import escaped


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def cell(value: object) -> str:
    return value if isinstance(value, Markup) else escaped("–" if value is None else value)


def paragraph(words: object, kind: str = "") -> str:
    return f"<p{_kind(kind)}>{cell(words)}</p>"


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = (), wrap: int = -1
) -> str:
    """numbers: columns that are set right.   wrap: the column whose text may be broken, or -1."""

    def one(place: int, value: object, name: str) -> str:
        kind = "n" if place in numbers else "wrap" if place == wrap and name == "td" else ""
        return f"<{name}{_kind(kind)}>{cell(value)}</{name}>"

    top = "".join(one(place, value, "th") for place, value in enumerate(head))
    body = "".join(
        f"<tr>{''.join(one(place, value, 'td') for place, value in enumerate(row))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def folded(title: str, inner: str, *, printed: bool = False) -> str:
    """What is seen when asked for.   printed: it is on paper in any case."""
    return f"<details{_kind('print' if printed else '')}><summary>{escaped(title)}</summary>{inner}</details>"


def legend(*entries: tuple[str, str]) -> str:
    """(drawing of 16 by 12 pixels, words) each."""
    parts = "".join(
        f'<span><svg width="16" height="12" aria-hidden="true">{drawing}</svg>{escaped(words)}</span>'
        for drawing, words in entries
    )
    return f'<div class="legend">{parts}</div>'


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
