"""Rows for a terminal of any width: what a row is called by and its numbers are never cut, text is wrapped.

Where all columns fit, a row is a line. Where they do not, short columns are dealt to several tables, one below the
other, or go below their row with their names; long text is beside numbers or below its row. The way that takes the
fewest lines is taken.
"""

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

GAP = 2  # characters between columns
NARROWEST = 20  # characters for text beside numbers; where there are fewer, it goes below them
INDENT = 4
FEW = 2  # columns that may go below each row: more of them are compared in a table of their own
Cell = str | Text
Widths = Mapping[int, int]  # by a column's place
_FOLDING = Console(width=1000)  # rich asks a console how it breaks lines, not how wide it is


def size_in_words(size: int) -> str:
    """Of a file: 12.3 MB, or 456 kB of a small one.   size: in bytes."""
    return f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{size / 2**10:.{int(0 < size < 10240)}f} kB"


def laid_out(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    width: int,
    *,
    text: int = 0,
    header: str = "bold",
) -> list[Text]:
    """The lines of a table that is at most `width` characters wide.

    columns: the first is what a row is called by, the last `text` may be wrapped.   header: its style.
    """
    table = [[Text(name, style=header) for name in columns]]
    table += [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    if sum(widths) + GAP * (len(widths) - 1) <= width:
        return _lines(table, dict(enumerate(widths)))
    places = range(len(columns))
    short, texts = places[1 : len(places) - text], places[len(places) - text :]
    widths[0] = min(widths[0], max(8, width - GAP - max((widths[place] for place in short), default=0)))
    bands = _bands(widths, short, width)
    above = [line for band in bands[:-1] for line in _lines(table, band)]
    ways = [above + _below(table, bands[-1], [], texts, width)]
    more = [place for place in short if place not in bands[0]]
    if text and len(more) <= FEW:
        ways.append(_below(table, bands[0], more, texts, width))
    shares = _shares(width - _room(bands[-1]), {place: widths[place] for place in texts})
    needed = {place: max(NARROWEST, _longest_word(row[place] for row in table)) for place in texts}
    if all(share >= min(needed[place], widths[place]) for place, share in shares.items()):
        ways.insert(0, above + _lines(table, {**bands[-1], **dict(sorted(shares.items()))}))
    return min(ways, key=len)


def elided(text: str, width: int) -> str:
    """The text without its middle, where it is wider."""
    if cell_len(text) <= width:
        return text
    kept = max(width - 1, 0)
    return text[: kept - kept // 2] + "…" + text[len(text) - kept // 2 :]


def _bands(widths: Sequence[int], short: Iterable[int], width: int) -> list[dict[int, int]]:
    """The first and the short columns, dealt to tables that are narrow enough: the widths of each."""
    bands = [{0: widths[0]}]
    for place in short:
        if len(bands[-1]) > 1 and _room(bands[-1]) + widths[place] > width:
            bands.append({0: widths[0]})
        bands[-1][place] = widths[place]
    return bands


def _room(band: Widths) -> int:
    """What columns take, with the gap after each."""
    return sum(band.values()) + GAP * len(band)


def _shares(room: int, wanted: Widths) -> dict[int, int]:
    """The room for each text column: what it wants, or as much as all others that want more."""
    room, shares = room - GAP * (len(wanted) - 1), {}
    for number, place in enumerate(sorted(wanted, key=wanted.__getitem__)):
        shares[place] = min(wanted[place], max(room, 0) // (len(wanted) - number))
        room -= shares[place]
    return shares


def _below(
    table: Sequence[Sequence[Text]], band: Widths, more: Sequence[int], texts: Sequence[int], width: int
) -> list[Text]:
    """Each row, and on lines of their own what is not in the band; the first text stays beside it where it can.

    more: short columns, several of which share a line.
    """
    head, lines, rest = table[0], [], width - _room(band)
    for number, row in enumerate(table):
        first = [place for place in texts[:1] if not more and _width(row[place]) <= rest]
        lines += _lines([row], {**band, **dict.fromkeys(first, rest)})
        if number:
            named = [Text.assemble((f"{head[place]} ", "dim"), row[place]) for place in more if row[place]]
            said = [_joined(named, width - INDENT)] if named else []
            for place in texts:
                if row[place] and place not in first:
                    said.append(
                        Text.assemble((f"{head[place]}  " if len(texts) > 1 else "", "dim"), row[place])
                    )
            lines += [Text(" " * INDENT) + line for one in said for line in _wrapped(one, width - INDENT)]
    return lines


def _joined(parts: Sequence[Text], width: int) -> Text:
    """The parts in lines that are narrow enough, none of which begins within a part."""
    found = parts[0].copy()
    used = found.cell_len
    for part in parts[1:]:
        fits = used + GAP + part.cell_len <= width
        found.append(" " * GAP if fits else "\n").append_text(part)
        used = used + GAP + part.cell_len if fits else part.cell_len
    return found


def _lines(table: Sequence[Sequence[Text]], widths: Widths) -> list[Text]:
    """The rows with these columns, wrapped within them."""
    lines = []
    for row in table:
        cells = {place: _wrapped(row[place], room) for place, room in widths.items()}
        for number in range(max(map(len, cells.values()))):
            line = Text()
            for place, room in widths.items():
                part = cells[place][number] if number < len(cells[place]) else Text()
                line.append_text(part)
                line.append(" " * (room - part.cell_len + GAP))
            line.rstrip()
            lines.append(line)
    return lines


def _wrapped(text: Text, width: int) -> list[Text]:
    lines = list(text.wrap(_FOLDING, max(width, 1), overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines or [Text()]


def _longest_word(cells: Iterable[Text]) -> int:
    return max(cell_len(word) for cell in cells for word in [*cell.plain.split(), ""])


def _width(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")))
