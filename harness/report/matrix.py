"""The confusion matrix as SVG, and the classes that are confused most."""

from collections.abc import Sequence
from typing import Any

from harness.report.format import percent, shortened
from harness.report.svg import chart, rect, text, tip

MOST_NUMBERS = 24  # classes; beyond, the cells are too small for numbers
MOST_CLASSES = 100  # beyond, there is a table only


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Rows are true classes, columns predicted ones; the shade is a row's share. Holds counts and row rates."""
    number = len(classes)
    if number > MOST_CLASSES:
        return ""
    cell = min(max(520 / number, 6.0), 46.0)
    size = min(12.5, max(cell * 0.9, 6.0))
    longest = max(len(shortened(name, 18)) for name in classes)
    left, bottom = 30 + size * 0.58 * longest, cell * number + 8
    parts = []
    for place, name in enumerate(classes):
        y = 8 + cell * (place + 0.5)
        parts.append(_name(left - 7, y + size * 0.35, name, size, anchor="end"))
        x = left + cell * (place + 0.5)
        parts.append(
            _name(x + size * 0.35, bottom + 8, name, size, anchor="end", turn=-90 if number > 12 else -45)
        )
    for row, values in enumerate(counts):
        total = sum(values)
        for column, count in enumerate(values):
            x, y = left + cell * column, 8 + cell * row
            parts.append(_cell(x, y, cell, count, total, (classes[row], classes[column]), number))
    height = bottom + 24 + size * (0.58 if number > 12 else 0.45) * longest + 14
    parts.append(text(left + cell * number / 2, height - 6, "predicted", kind="label", anchor="middle"))
    parts.append(text(13, 8 + cell * number / 2, "true", kind="label", anchor="middle", turn=-90))
    return chart(
        "Confusion matrix: true classes down, predicted classes across", left + cell * number + 12, height, parts,
        kind="confusion",
    )  # fmt: skip


def _name(x: float, y: float, name: str, size: float, *, anchor: str, turn: float = 0.0) -> str:
    element = text(x, y, shortened(name, 18), kind="tick", anchor=anchor, turn=turn)
    return element.replace("<text ", f'<text font-size="{size:.1f}" ', 1)


def _cell(
    x: float, y: float, side: float, count: int, total: int, names: tuple[str, str], num_classes: int
) -> str:
    rate = count / total if total else 0.0
    if not count:
        return rect(x, y, side - 1, side - 1, "empty") if num_classes <= MOST_NUMBERS else ""
    said = f"{names[0]} called {names[1]}\n{count:,} of {total:,} images, {percent(rate)}"
    extra = f' fill-opacity="{0.08 + 0.92 * rate:.2f}"{tip(said)}'
    parts = [rect(x, y, side - 1, side - 1, "shade", extra=extra)]
    if num_classes <= MOST_NUMBERS:
        kind = "inverse" if rate > 0.75 else ""  # below, dark ink is read more easily on the shade
        middle = (x + (side - 1) / 2, y + side / 2 + 3.5)
        parts.append(text(*middle, f"{count}", kind=f"counts {kind}".strip(), anchor="middle"))
        parts.append(text(*middle, f"{100 * rate:.0f}", kind=f"rates {kind}".strip(), anchor="middle"))
    return "".join(parts)


def most_confused(
    counts: Sequence[Sequence[int]], classes: Sequence[str], most: int = 8
) -> list[tuple[Any, ...]]:
    """(true, predicted, images, share of the true class's images), the most frequent mistakes first."""
    found = [
        (classes[row], classes[column], count, count / sum(values))
        for row, values in enumerate(counts)
        for column, count in enumerate(values)
        if count and row != column
    ]
    return sorted(found, key=lambda mistake: -mistake[2])[:most]
