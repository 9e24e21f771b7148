"""The ledger: looks are counted, and whatever is done to a line is noticed."""

from pathlib import Path

import pytest

from harness.analysis.test_set_ledger import Ledger
from harness.errors import RecordError


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path)
    for look in range(2):
        opened = made.append("opened", {"study": f"study {look}", "test_hash": "t"})
        made.append("result", {"look": opened["number"], "test_hash": "t", "accuracy": 0.9 + look / 100})
    made.append("opened", {"study": "other", "test_hash": "u"})
    return made


def edit(ledger: Ledger, change: object) -> None:
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("".join(f"{line}\n" for line in change(lines)))  # type: ignore[operator]


def test_looks_are_counted_by_test_images(ledger: Ledger) -> None:
    assert [entry["study"] for entry in ledger.looks("t")] == ["study 0", "study 1"]
    assert len(ledger.looks("u")) == 1 and not ledger.looks("v")


def test_a_look_has_its_result(ledger: Ledger) -> None:
    first, _ = ledger.looks("t")
    assert (ledger.result_of(first) or {})["accuracy"] == 0.9
    assert ledger.result_of(ledger.looks("u")[0]) is None


def test_an_empty_ledger_has_no_looks(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "new").entries() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [line.replace("0.91", "0.99") for line in lines], "line 4 was edited"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 was edited, moved or taken out"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 was edited"),
        (lambda lines: lines[:-1], "lines 5 to 5 were taken out"),
        (lambda lines: lines[:2], "lines 3 to 5 were taken out"),
        (lambda lines: [], "lines 1 to 5 were taken out"),
        (lambda lines: [*lines, "{}"], "line 6 was edited"),
        (lambda lines: [*lines[:2], "not JSON", *lines[3:]], "line 3 was edited"),
    ],
)
def test_whatever_is_done_to_a_line_is_noticed(ledger: Ledger, change: object, said: str) -> None:
    edit(ledger, change)
    with pytest.raises(RecordError, match=said):
        ledger.entries()
    with pytest.raises(RecordError):
        ledger.append("opened", {"test_hash": "t"})


def test_a_rewritten_tail_is_noticed(ledger: Ledger) -> None:
    """The last line replaced by another one that is a right continuation of the chain."""
    head = (ledger.home / "ledger.head").read_bytes()
    edit(ledger, lambda lines: lines[:-1])
    (ledger.home / "ledger.head").unlink()
    kept = ledger.path.read_text().splitlines()[:1]
    ledger.path.write_text(kept[0] + "\n")
    for number in range(4):
        ledger.append("opened", {"study": f"forged {number}", "test_hash": "u"})
    (ledger.home / "ledger.head").write_bytes(head)
    with pytest.raises(RecordError, match="line 5 is not the one that was written"):
        ledger.entries()


def test_without_its_head_the_ledger_is_not_believed(ledger: Ledger) -> None:
    (ledger.home / "ledger.head").unlink()
    with pytest.raises(RecordError, match="is gone"):
        ledger.entries()


def test_a_kill_between_line_and_head_loses_nothing(ledger: Ledger) -> None:
    head = (ledger.home / "ledger.head").read_bytes()
    ledger.append("opened", {"study": "last", "test_hash": "t"})
    (ledger.home / "ledger.head").write_bytes(head)
    assert len(ledger.entries()) == 6
    assert ledger.append("result", {"look": 6, "test_hash": "t"})["number"] == 7


def test_a_line_that_a_power_cut_left_unfinished_is_written_anew(ledger: Ledger) -> None:
    with ledger.path.open("a") as file:
        file.write('{"kind": "opened", "test_ha')
    assert len(ledger.entries()) == 5
    ledger.append("opened", {"test_hash": "v"})
    assert len(ledger.entries()) == 6 and len(ledger.looks("v")) == 1
