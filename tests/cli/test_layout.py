"""Rows keep their names and numbers at every width."""

import pytest
from rich.cells import cell_len

from harness.cli.layout import elided, laid_out

COLUMNS = ("trial", "accuracy", "± 95 %", "folds", "state", "values")
ROWS = [
    ("3 *", "0.9833", "0.0113", "5", "complete", "depth 2, blocks 2, width 16, dropout 0.1949, lr 0.1694"),
    ("12", "0.5417", "-", "1", "stopped", "depth 1, blocks 2, width 8, dropout 0.1914, lr 0.05381"),
]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_nothing_is_cut_and_no_line_is_too_wide(width: int) -> None:
    lines = [line.plain for line in laid_out(COLUMNS, ROWS, width, text=1)]
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)
    words = " ".join(lines).split()
    for row in ROWS:
        for cell in row:
            assert all(word in words for word in cell.split())


def test_a_row_is_a_line_where_there_is_room() -> None:
    head, *rows = (line.plain for line in laid_out(COLUMNS, ROWS, 120, text=1))
    assert len(rows) == 2 and head.split() == [
        "trial",
        "accuracy",
        "±",
        "95",
        "%",
        "folds",
        "state",
        "values",
    ]
    assert [line.index(row[1]) for line, row in zip(rows, ROWS, strict=True)] == [head.index("accuracy")] * 2


def test_text_goes_below_its_row_where_that_takes_fewer_lines() -> None:
    lines = [line.plain for line in laid_out(COLUMNS, ROWS, 64, text=1)]
    assert len(lines) == 5 and lines[2] == "    " + ROWS[0][-1] and lines[4] == "    " + ROWS[1][-1]


def test_short_texts_stay_beside_their_rows_where_others_go_below() -> None:
    rows = [("a", "one two three four"), ("b", "x"), ("c", "five six seven ten")]
    assert [line.plain for line in laid_out(("name", "said"), rows, 23, text=1)] == [
        "name  said",
        "a",
        "    one two three four",
        "b     x",
        "c",
        "    five six seven ten",
    ]


def test_numbers_without_room_go_into_another_table_with_the_same_names() -> None:
    head = ("study", *(f"number {place}" for place in range(6)))
    rows = [(name, *(f"{place}.{name}" for place in range(6))) for name in ("one", "two")]
    lines = [line.plain for line in laid_out(head, rows, 40)]
    assert len(lines) == 6
    assert [line.split()[0] for line in lines] == ["study", "one", "two"] * 2


def test_a_name_that_leaves_no_room_is_wrapped_and_not_cut() -> None:
    name = "a_study_with_a_name_that_is_as_long_as_can_be"
    lines = [line.plain for line in laid_out(("study", "best"), [(name, "0.9876")], 30)]
    assert max(map(len, lines)) <= 30
    assert "".join(line[:22].strip() for line in lines[1:]) == name
    assert "0.9876" in lines[1]


def test_wide_characters_take_two_places() -> None:
    lines = laid_out(("class", "images"), [("鳥", "12"), ("ab", "3")], 40)
    assert lines[1].plain == "鳥     12" and lines[2].plain == "ab     3"
    assert lines[1].cell_len == lines[2].cell_len + 1


@pytest.mark.parametrize("width", [5, 6, 9, 10, 26, 27])
def test_a_text_is_elided_in_its_middle(width: int) -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    short = elided(text, width)
    assert len(short) == min(width, 26)
    if width < 26:
        before, _, after = short.partition("…")
        assert text.startswith(before) and text.endswith(after) and abs(len(before) - len(after)) <= 1
