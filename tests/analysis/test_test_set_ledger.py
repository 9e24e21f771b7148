"""The ledger: looks are counted, and whatever is done to a line is noticed."""

import json
from pathlib import Path

import pytest

from harness.analysis.test_set_ledger import START, Ledger, Look, Result
from harness.errors import RecordError
from harness.files import digest, write_json
from harness.store import findings


def look(study: str, test_hash: str) -> Look:
    return Look(
        time="2026-11-28T10:00:00Z", study=study, created=1.5, trial=0, refit="r", definition="d", commit=None,
        dirty=None, data_hash="i", test_hash=test_hash, reason="é",
    )  # fmt: skip


def result(number: int, accuracy: float) -> Result:
    return Result(
        look=number, time="2026-11-28T10:00:01Z", test_hash="t", scores={"accuracy": accuracy},
        intervals={"accuracy": (0.8, 0.95)}, num_images=2, confusion=((1, 0), (0, 1)),
        duplicates=findings.TestDuplicates(0, None),
    )  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path)
    for number in range(2):
        opened = made.append(look(f"study {number}", "t"))
        made.append(result(opened.number, 0.9 + number / 100))
    made.append(look("other", "u"))
    return made


def edit(ledger: Ledger, change: object) -> None:
    lines = ledger.path.read_text().splitlines()
    ledger.path.write_text("".join(f"{line}\n" for line in change(lines)))  # type: ignore[operator]


def test_looks_are_counted_by_test_images(ledger: Ledger) -> None:
    assert [line.study for line in ledger.looks("t")] == ["study 0", "study 1"]
    assert len(ledger.looks("u")) == 1 and not ledger.looks("v")


def test_a_look_has_its_result(ledger: Ledger) -> None:
    first, _ = ledger.looks("t")
    found = ledger.result_of(first)
    assert found is not None and found.scores["accuracy"] == 0.9 and found.confusion == ((1, 0), (0, 1))
    assert ledger.result_of(ledger.looks("u")[0]) is None


def test_a_line_is_written_byte_for_byte_as_the_releases_before_wrote_it(ledger: Ledger) -> None:
    rest = {
        "time": "2026-11-28T10:00:00Z", "study": "study 0", "created": 1.5, "trial": 0, "refit": "r",
        "definition": "d", "commit": None, "dirty": None, "data_hash": "i", "test_hash": "t", "reason": "é",
        "kind": "opened", "number": 1, "previous": START,
    }  # fmt: skip
    hashed = digest(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode())
    line = json.dumps({**rest, "hash": hashed}, sort_keys=True, ensure_ascii=False)
    assert ledger.path.read_text(encoding="utf-8").splitlines()[0] == line


def test_a_score_that_is_no_number_stays_none(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = ledger.append(result(1, float("nan")))
    assert '"accuracy": NaN' in ledger.path.read_text() and ledger.lines()[0].hash == written.hash


def test_lines_of_a_later_kind_are_passed_over(tmp_path: Path) -> None:
    rest = {"kind": "later", "number": 1, "previous": START, "test_hash": "t", "look": 2}
    hashed = digest(json.dumps(rest, sort_keys=True).encode())
    ledger = Ledger(tmp_path)
    ledger.path.write_text(json.dumps({**rest, "hash": hashed}, sort_keys=True) + "\n")
    write_json(tmp_path / "ledger.head", {"number": 1, "hash": hashed})
    assert not ledger.looks("t")
    opened = ledger.append(look("next", "t"))
    assert opened.number == 2 and opened.previous == hashed and ledger.result_of(opened) is None


def test_an_empty_ledger_has_no_looks(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "new").lines() == []


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
        ledger.lines()
    with pytest.raises(RecordError):
        ledger.append(look("one more", "t"))


def test_a_rewritten_tail_is_noticed(ledger: Ledger) -> None:
    """The last line replaced by another one that is a right continuation of the chain."""
    head = (ledger.home / "ledger.head").read_bytes()
    edit(ledger, lambda lines: lines[:-1])
    (ledger.home / "ledger.head").unlink()
    kept = ledger.path.read_text().splitlines()[:1]
    ledger.path.write_text(kept[0] + "\n")
    for number in range(4):
        ledger.append(look(f"forged {number}", "u"))
    (ledger.home / "ledger.head").write_bytes(head)
    with pytest.raises(RecordError, match="line 5 is not the one that was written"):
        ledger.lines()


def test_without_its_head_the_ledger_is_not_believed(ledger: Ledger) -> None:
    (ledger.home / "ledger.head").unlink()
    with pytest.raises(RecordError, match="is gone"):
        ledger.lines()


def test_a_kill_between_line_and_head_loses_nothing(ledger: Ledger) -> None:
    head = (ledger.home / "ledger.head").read_bytes()
    ledger.append(look("last", "t"))
    (ledger.home / "ledger.head").write_bytes(head)
    assert len(ledger.lines()) == 6
    assert ledger.append(result(6, 0.5)).number == 7


def test_a_line_that_a_power_cut_left_unfinished_is_written_anew(ledger: Ledger) -> None:
    with ledger.path.open("a") as file:
        file.write('{"kind": "opened", "test_ha')
    assert len(ledger.lines()) == 5
    ledger.append(look("one more", "v"))
    assert len(ledger.lines()) == 6 and len(ledger.looks("v")) == 1
