"""The ledger of looks at test images: one line each, chained by hashes, so that none can be edited or taken out.

    HOME/ledger.jsonl   {"number": 1, "kind": "opened", …, "previous": hash of the line before, "hash": of the rest}
    HOME/ledger.head    number and hash of the last line: a missing tail is noticed, too

A look has two lines: `opened` is on disk before a test image is scored, `result` follows. So a look counts even where
the process dies in between.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import RecordError
from harness.files import digest, read_json, sync, telling_disk_trouble, write_json

START = "0" * 64


@dataclass(frozen=True)
class Ledger:
    """The ledger of one home folder."""

    home: Path

    @property
    def path(self) -> Path:
        return self.home / "ledger.jsonl"

    @property
    def _head(self) -> Path:
        return self.home / "ledger.head"

    def entries(self) -> list[dict[str, Any]]:
        """All lines, first to last. Raises RecordError that names the first one that is not as it was written."""
        lines = self._whole_lines().decode("utf-8", "replace").splitlines()
        entries: list[dict[str, Any]] = []
        previous = START
        for number, line in enumerate(lines, 1):
            entry = _parsed(line)
            if entry is None or entry.get("number") != number or entry.get("previous") != previous:
                raise RecordError(f"{self.path}: line {number} was edited, moved or taken out")
            previous = entry["hash"]
            entries.append(entry)
        self._check_end(entries)
        return entries

    def append(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Add a line, on disk when this returns; the whole entry."""
        self.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home / "ledger.lock"):
            before = self.entries()
            entry = {**content, "kind": kind, "number": len(before) + 1}
            entry["previous"] = before[-1]["hash"] if before else START
            entry["hash"] = _hash(entry)
            line = json.dumps(entry, sort_keys=True, ensure_ascii=False) + "\n"
            with telling_disk_trouble(self.path, len(line)), self.path.open("ab") as file:
                file.truncate(len(self._whole_lines()))
                file.write(line.encode())
                sync(file)
            write_json(self._head, {"number": entry["number"], "hash": entry["hash"]})
        return entry

    def looks(self, test_hash: str) -> list[dict[str, Any]]:
        """The `opened` lines of these test images, whatever study looked."""
        return [
            entry
            for entry in self.entries()
            if (entry.get("kind"), entry.get("test_hash")) == ("opened", test_hash)
        ]

    def result_of(self, opened: dict[str, Any]) -> dict[str, Any] | None:
        """The `result` line of a look, if it came to one."""
        found = (entry for entry in self.entries() if entry.get("look") == opened["number"])
        return next(found, None)

    def _whole_lines(self) -> bytes:
        """The file without a last line that a power cut has left unfinished."""
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def _check_end(self, entries: list[dict[str, Any]]) -> None:
        """The head may be one line behind: the process died between the two writes."""
        try:
            head = read_json(self._head)
        except FileNotFoundError:
            if len(entries) <= 1:
                return
            raise RecordError(
                f"{self._head}: is gone, and with it the proof that no line is missing"
            ) from None
        number = head.get("number")
        if not isinstance(number, int) or number < 1:
            raise RecordError(f"{self._head}: damaged: it does not say how many lines there are")
        if number > len(entries):
            raise RecordError(f"{self.path}: lines {len(entries) + 1} to {number} were taken out")
        if entries[number - 1]["hash"] != head.get("hash") or len(entries) > number + 1:
            raise RecordError(f"{self.path}: line {number} is not the one that was written")


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        return entry if entry["hash"] == _hash(entry) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _hash(entry: dict[str, Any]) -> str:
    rest = {key: value for key, value in entry.items() if key != "hash"}
    return digest(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode())
