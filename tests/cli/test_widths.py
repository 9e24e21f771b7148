"""Tables at the widths that terminals have: the name of the trial and its numbers are never cut."""

import re
import sys
from pathlib import Path

import pytest

import harness
from harness.cli import run
from harness.store.store import Store
from tests.terminal import run_in_terminal

WIDTHS = [40, 60, 80, 100, 120, 200]
COMMANDS = [
    ["status"], ["status", "small"], ["compare", "small:0", "small:1"], ["show", "small"], ["data", "small"],
    ["diff", "small", "small"], ["doctor"], ["list", "models"], ["list", "metrics"], ["list", "racing"],
    ["list", "models", "resnet"], ["list", "train"],
]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_table_is_as_wide_as_the_terminal_at_most(
    command: list[str],
    width: int,
    tuned: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("HARNESS_HOME", str(tuned.home))
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines and max(map(len, lines)) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_compare_cuts_nothing(
    width: int, tuned: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["compare", "small:0", "small:1", "--home", str(tuned.home)]) == 0
    said = capsys.readouterr().out
    table = said.partition("p adjusted")[0]
    assert "…" not in table
    tables = len(re.findall(r"^trial ", table, flags=re.MULTILINE))
    assert (tables == 1) == (width >= 120)
    assert len(re.findall(r"^small:[01]\b", table, flags=re.MULTILINE)) == 2 * tables
    assert all(
        word in said for word in ("± 95 %", "t-test p", "McNemar", "worse/equal/better", "cannot be told")
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_the_leaderboard_has_two_lines_for_a_trial_at_most(
    width: int, tuned: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["status", "small", "--home", str(tuned.home)]) == 0
    said = capsys.readouterr().out
    for trial in tuned.read_trials("small"):
        (row,) = re.findall(rf"^{trial.number}( \*)? +{trial.mean:.4f} .*$", said, flags=re.MULTILINE)
        assert f"{trial.half_width:.4f}" in said and row is not None
    table = said[said.index("trial ") : said.index("corrected for")]
    assert len(table.splitlines()) <= 1 + 2 * 2 + (1 if width < 60 else 0) * 2


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


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_real_terminal_shows_the_same_lines(
    width: int, tuned: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["status", "small", "--home", str(tuned.home)]
    code, lines = run_in_terminal([sys.executable, "-m", "harness", *command], columns=width)
    monkeypatch.setenv("COLUMNS", str(width))
    called = Path(harness.__file__).with_name("__main__.py")
    monkeypatch.setattr(sys, "argv", [str(called)])  # so that what is advised is called so, too
    assert run(command) == code == 0
    assert [line for line in lines if line] == [
        line.rstrip() for line in capsys.readouterr().out.splitlines()
    ]


def test_what_a_check_has_said_is_told_without_its_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "small", "--format", "markdown"]) == 2
    assert capsys.readouterr().err == (
        "harness: Invalid value for '--format': 'markdown' is not one of 'html', 'md', 'json'; "
        "see harness report --help\n"
    )
