"""Reads tables of images, like that of `data.groups.csv`, as people's spreadsheets and scripts write them, by pandas.

Separated by commas, semicolons, tabs or bars; in UTF-8, UTF-16 or Windows' Latin; with quotes, spaces around values
and backslashes in paths. All values are text: patient 007 is not patient 7.
"""

import codecs
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.image_files import printable
from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# What a column may be called, in any case, with spaces or hyphens for `_`. The first of each wins over all others.
NAMES = (
    "name", "file", "filename", "file_name", "image", "image_name", "image_id", "image_file", "path", "filepath",
    "file_path", "image_path",
)  # fmt: skip
GROUPS = (
    "group", "group_id", "patient", "patient_id", "subject", "subject_id", "person", "person_id", "participant",
    "participant_id", "case", "case_id", "animal", "animal_id", "specimen", "specimen_id", "lesion_id", "object_id",
    "video", "video_id",
)  # fmt: skip
NUM_NAMED = 3


@dataclass(frozen=True)
class Table:
    """groups: by an image's name as `plain` writes it.   incomplete: rows with an empty cell, in words."""

    groups: dict[str, str]
    incomplete: tuple[str, ...]

    def said_of_incomplete(self, word: str = "group") -> str:
        """To be added to what is said of images without a group."""
        if not self.incomplete:
            return ""
        more = ", …" if len(self.incomplete) > NUM_NAMED else ""
        named = ", ".join(self.incomplete[:NUM_NAMED])
        return f"; {len(self.incomplete)} rows of the table have no name or no {word}: {named}{more}"


def read_table(path: Path, known: Sequence[str] = GROUPS) -> Table:
    """The table. Raises DataError for a file that is none, has no such columns, or has an image in two groups.

    known: what the column of the groups may be called; the first of them is what a group is called in messages.
    """
    text = _text(path)
    rows = _parsed(path, text, *_dialect(path, text, known))
    groups: dict[str, str] = {}
    incomplete = []
    for number, (name, group) in enumerate(rows, start=1):
        if not name or not group:
            incomplete.append(f"row {number} ({name or group or 'empty'})")
        elif groups.setdefault(name, group) != group:
            raise DataError(f"{path}: {name} is in two {known[0]}s: {groups[name]} and {group}")
    return Table(groups, tuple(incomplete))


def read_columns(path: Path, wanted: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """The images' names as `plain` writes them, (rows,), and the cells of each wanted column, (wanted, rows).

    Raises DataError for a file that is no table, or lacks a column.
    """
    text = _text(path)
    header = _header(text)
    found = {separator: _columns(header, separator) for separator in SEPARATORS}
    separator = max(found, key=lambda one: len({*wanted} & {column.strip() for column in found[one]}))
    columns = [column.strip() for column in found[separator]]
    name = _one_of(path, [column for column in columns if column not in wanted], NAMES)
    if missing := [column for column in wanted if columns.count(column) != 1]:
        more = ", …" if len(missing) > NUM_NAMED else ""
        raise DataError(
            f"{path}: needs one column for each of {len(wanted)} classes, called as they are; got none, or several, of "
            f"{', '.join(missing[:NUM_NAMED])}{more}"
        )
    if name is None:
        raise DataError(f"{path}: needs a column of names, called {' or '.join(NAMES)}")
    name = [place for place, column in enumerate(columns) if column not in wanted][name]
    table = _table(path, text, separator)
    images = [plain(printable(image.strip())) for image in table[name][1:]]
    return images, [list(table[columns.index(column)][1:].str.strip()) for column in wanted]


def plain(name: str) -> str:
    """A path with `/` between folders, and without `./` before."""
    return re.sub(r"^(\./)+", "", name.replace("\\", "/"))


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is not a regular file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if content.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{path}: is a spreadsheet's own file; save it as CSV")
    encodings = ["utf-8", "cp1252", "latin-1"]
    if content.startswith(codecs.BOM_UTF8):
        encodings = ["utf-8-sig"]
    elif content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in content[:4]:
        encodings = ["utf-16-be" if content[:1] == b"\0" else "utf-16-le"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            return re.sub(r"\A\s*sep=.\s*\n", "", text)  # a line by which Excel tells its own separator
    raise DataError(f"{path}: is no table in UTF-8, UTF-16 or Windows' Latin")


def _dialect(path: Path, text: str, known: Sequence[str]) -> tuple[str, int, int]:
    """The separator by which the first line has a column of names and one of groups, and which these are."""
    header = _header(text)
    found = {separator: _columns(header, separator) for separator in SEPARATORS}
    for separator, columns in found.items():
        name, group = _one_of(path, columns, NAMES), _one_of(path, columns, known)
        if name is not None and group is not None:
            return separator, name, group
    got = ", ".join(printable(column.strip()) for column in max(found.values(), key=len)) or "none"
    raise DataError(
        f"{path}: needs the columns name (or {', '.join(NAMES[1:])}) and {known[0]} (or {', '.join(known[1:])}); "
        f"got {got}"
    )


def _header(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip()), "")


def _columns(header: str, separator: str) -> list[str]:
    import csv

    return next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])


def _one_of(path: Path, columns: Sequence[str], known: Sequence[str]) -> int | None:
    """The place of the column that is called so. Raises DataError where several are and none by the first name."""
    names = [re.sub(r"[\s_-]+", "_", column.strip().casefold()) for column in columns]
    places = [place for place, name in enumerate(names) if name == known[0]]
    places = places or [place for place, name in enumerate(names) if name in known]
    if len(places) > 1:
        named = " and ".join(columns[place].strip() for place in places)
        raise DataError(
            f"{path}: both {named} could be the {known[0]}; call the one that is meant {known[0]}"
        )
    return places[0] if places else None


def _parsed(path: Path, text: str, separator: str, name: int, group: int) -> list[tuple[str, str]]:
    """(name, group) of each row."""
    table = _table(path, text, separator)
    names = [plain(printable(text.strip())) for text in table[name][1:]]
    return list(zip(names, table[group][1:].str.strip(), strict=True))


def _table(path: Path, text: str, separator: str) -> "pd.DataFrame":
    """All cells as text, the header's first; columns are numbered."""
    import pandas as pd

    rows = re.sub(f"[{separator} ]+$", "", text, flags=re.MULTILINE)  # spreadsheets add them to some rows
    try:
        return pd.read_csv(
            io.StringIO(rows),
            sep=separator,
            header=None,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
        )
    except ValueError as error:  # pandas' ParserError is one
        said = " ".join(str(error).split())
        raise DataError(f"{path}: is no table separated by {SEPARATORS[separator]}: {said}") from None
