"""The ledger of looks at test images: one line each, chained by hashes, so that none can be edited or taken out.

    HOME/ledger.jsonl   {"number": 1, "kind": "opened", …, "previous": hash of the line before, "hash": of the rest}
    HOME/ledger.head    number and hash of the last line: a missing tail is noticed, too

A look has two lines: `opened` is on disk before a test image is scored, `result` follows. So a look counts even where
the process dies in between.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from filelock import FileLock

from harness.documents import WHERE_SET, from_json
from harness.errors import RecordError
from harness.files import digest, read_json, sync, telling_disk_trouble, write_json
from harness.scoring.per_class import ClassScores
from harness.store.findings import TestDuplicates

START = "0" * 64
WAY_OUT = (
    "put ledger.jsonl and ledger.head back from a backup; without one, move both out of the store and keep them: the "
    "next look begins a new ledger, and a study that has looked before says so with --again"
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """number, previous, hash: its place in the chain, which `append` gives it."""

    kind: ClassVar[str] = ""
    number: int = 0
    previous: str = START
    hash: str = ""


@dataclass(frozen=True, kw_only=True)
class Look(Line):
    """Before the test images are scored.   created: of the study.   reason: why they are looked at once more, or ""."""

    kind: ClassVar[str] = "opened"
    time: str
    study: str
    created: float
    trial: int
    refit: str
    definition: str | None
    commit: str | None
    dirty: bool | None
    data_hash: str
    test_hash: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Result(Line):
    """After they are.   look: number of that line.   intervals: 95 %, by metric.

    per_class, calibration: as `FinalTest` has them.
    """

    kind: ClassVar[str] = "result"
    look: int
    time: str
    test_hash: str
    scores: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    num_images: int
    confusion: tuple[tuple[int, ...], ...]
    duplicates: TestDuplicates
    per_class: tuple[ClassScores, ...] = field(default=(), metadata=WHERE_SET)
    calibration: tuple[tuple[float, float, int], ...] = field(default=(), metadata=WHERE_SET)


AnyLine = TypeVar("AnyLine", Look, Result)
KINDS: dict[str, type[Line]] = {kind.kind: kind for kind in (Look, Result)}


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

    def lines(self) -> list[Line]:
        """All lines, first to last. Raises RecordError that names the first one that is not as it was written."""
        try:
            return self._lines()
        except RecordError as error:
            raise RecordError(f"{error}; {WAY_OUT}") from None

    def _lines(self) -> list[Line]:
        lines: list[Line] = []
        previous = START
        for number, text in enumerate(self._whole_lines().decode("utf-8", "replace").splitlines(), 1):
            line = _parsed(text)
            if line is None or (line.number, line.previous) != (number, previous):
                raise RecordError(f"{self.path}: line {number} was edited, moved or taken out")
            previous = line.hash
            lines.append(line)
        self._check_end(lines)
        return lines

    def append(self, line: AnyLine) -> AnyLine:
        """Add a line, on disk when this returns; the line with its place."""
        self.home.mkdir(parents=True, exist_ok=True)
        with FileLock(self.home / "ledger.lock"):
            before = self.lines()
            line = replace(
                line, number=len(before) + 1, previous=before[-1].hash if before else START, hash=""
            )
            document = {**asdict(line), "kind": line.kind}  # not plain_json: NaN stays what it is
            for one in fields(line):
                if one.metadata == WHERE_SET and not document[one.name]:
                    del document[one.name]
            line = replace(line, hash=_hash(document))
            text = json.dumps({**document, "hash": line.hash}, sort_keys=True, ensure_ascii=False) + "\n"
            with telling_disk_trouble(self.path, len(text)), self.path.open("ab") as file:
                file.truncate(len(self._whole_lines()))
                file.write(text.encode())
                sync(file)
            write_json(self._head, {"number": line.number, "hash": line.hash})
        return line

    def looks(self, test_hash: str) -> list[Look]:
        """The looks at these test images, whatever study looked."""
        return [line for line in self.lines() if isinstance(line, Look) and line.test_hash == test_hash]

    def result_of(self, look: Look) -> Result | None:
        """What a look has come to, if it did."""
        results = (line for line in self.lines() if isinstance(line, Result))
        return next((result for result in results if result.look == look.number), None)

    def _whole_lines(self) -> bytes:
        """The file without a last line that a power cut has left unfinished."""
        if self.path.is_dir():
            raise RecordError(f"{self.path}: is a folder")
        content = self.path.read_bytes() if self.path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def _check_end(self, lines: list[Line]) -> None:
        """The head may be one line behind: the process died between the two writes."""
        try:
            head = read_json(self._head)
        except FileNotFoundError:
            if len(lines) <= 1:
                return
            raise RecordError(
                f"{self._head}: is gone, and with it the proof that no line is missing"
            ) from None
        number = head.get("number")
        if not isinstance(number, int) or number < 1:
            raise RecordError(f"{self._head}: damaged: it does not say how many lines there are")
        if number > len(lines):
            raise RecordError(f"{self.path}: lines {len(lines) + 1} to {number} were taken out")
        if lines[number - 1].hash != head.get("hash") or len(lines) > number + 1:
            raise RecordError(f"{self.path}: line {number} is not the one that was written")


def _parsed(text: str) -> Line | None:
    """The line, or None where it is not as it was written; of one of a later kind no more than its place."""
    try:
        document = json.loads(text)
        if document["hash"] != _hash(document):
            return None
        return from_json(KINDS.get(document["kind"], Line), document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RecordError):
        return None


def _hash(document: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "hash"}
    return digest(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode())
