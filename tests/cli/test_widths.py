"""Tables at the widths that terminals have: the name of the trial and its numbers are never cut."""

import re

import pytest

from harness.cli import run
from harness.store.store import Store


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_compare_cuts_nothing(
    width: int, tuned: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["compare", "small:0", "small:1", "--home", str(tuned.home)]) == 0
    said = capsys.readouterr().out
    table = said.partition("p adjusted")[0]
    assert "…" not in table and max(map(len, table.splitlines())) <= width
    assert len(re.findall(r"^small:[01] ", table, flags=re.MULTILINE)) == (2 if width == 200 else 4)
    assert all(
        word in said for word in ("± 95 %", "t-test p", "McNemar", "worse/equal/better", "cannot be told")
    )


def test_columns_say_how_wide_piped_output_is(
    tuned: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = {}
    for columns in ("", "50", "90", "nonsense"):
        monkeypatch.setenv("COLUMNS", columns)
        assert run(["status", "small", "--home", str(tuned.home)]) == 0
        table = capsys.readouterr().out.splitlines()[1:4]
        widths[columns] = max(map(len, table))
    assert widths["50"] <= 50 < widths["90"] <= 90
    assert widths[""] == widths["nonsense"] >= widths["90"]


def test_what_a_check_has_said_is_told_without_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "small", "--format", "markdown"]) == 2
    assert capsys.readouterr().err == (
        "harness: Invalid value for '--format': 'markdown' is not one of 'html', 'md'; see harness --help\n"
    )
