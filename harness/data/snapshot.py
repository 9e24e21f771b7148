"""The snapshot of a data set: every file that it had when a study began, what it held, and the part that took it.

A study goes on with the images of its snapshot, whatever becomes of the folder; what is new, gone or other there is
found by comparing. A study that is extended takes over from it where each image was.
"""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.data.file_facts import Facts
from harness.data.images import Images
from harness.errors import DataError
from harness.files import write_file

SCHEMA = 1
ALWAYS_FINE, MOST_EXPANSION = 2**26, 100  # bytes; how many times its own size a larger file may unpack to
TRAIN, TEST, LEFT_OUT = "train", "test", ""
NUM_NAMED = 3  # files that a line names


@dataclass(frozen=True)
class Snapshot:
    """A row for each file, those of a part in the order of its images.

    names: as in `Images`.   parts: train, test, or "" for one that was left out.   labels: indices into classes.
    hashes: SHA-256 of each file's bytes; of images that are no files, of their pixels, shortened to 16 bytes.
    states: size and times of each file on the machine where the snapshot was taken; equal ones need not be read again.
    groups: the name of each file's group, or empty.   facts: columns of `Facts`, with `bytes`, or empty.
    problems: why a file is unreadable, by its name.   soft_labels: what each file's are, in short; or empty.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    parts: tuple[str, ...]
    labels: tuple[int, ...]
    hashes: tuple[str, ...]
    states: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    facts: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    soft_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        some = filter(None, (self.states, self.groups, self.soft_labels))
        columns = (self.parts, self.labels, self.hashes, *some)
        if any(len(column) != len(self.names) for column in (*columns, *self.facts.values())):
            raise DataError("a snapshot whose columns have different lengths")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def hash(self) -> str:
        """SHA-256 over names, parts, all labels, groups and contents: no matter when files were written, or where."""
        rows = [self.classes, self.names, self.parts, self.labels, self.hashes, self.groups]
        rows += [self.soft_labels] if self.soft_labels else []
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @cached_property
    def row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    @property
    def has_test_folder(self) -> bool:
        """Whether the parts are folders of their own, rather than held out by harness."""
        sides = zip(self.names, self.parts, strict=True)
        return all(name.startswith(f"{part}/") for name, part in sides if part)

    def rows(self, part: str) -> np.ndarray:
        """The rows of one part: int64 (n,)."""
        return np.flatnonzero(np.array(self.parts) == part)

    def columns(self, part: str) -> dict[str, np.ndarray]:
        """The facts of one part's files, by name: each (n,)."""
        rows = self.rows(part)
        return {name: np.array(values)[rows] for name, values in self.facts.items()}

    def save(self, path: Path) -> None:
        content = json.dumps({"schema": SCHEMA, "hash": self.hash, **asdict(self)})
        write_file(path, gzip.compress(content.encode(), 6, mtime=0))

    @classmethod
    def load(cls, path: Path) -> "Snapshot":
        """Read what `save` wrote. Raises DataError if it is missing, damaged or of another release."""
        try:
            document = json.loads(_unpacked(path))
            if document.pop("schema") != SCHEMA:
                raise ValueError("written by another release")
            expected = document.pop("hash")
            facts = {name: tuple(column) for name, column in document.pop("facts").items()}
            problems = document.pop("problems")
            found = cls(
                **{name: tuple(column) for name, column in document.items()}, facts=facts, problems=problems
            )
            if found.hash != expected:
                raise ValueError("its content does not match its hash")
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such snapshot") from None
        except Exception as error:  # gzip, zlib and json each have their own
            raise DataError(f"{path}: damaged snapshot: {error}") from None
        return found

    @classmethod
    def of_images(cls, train: Images, test: Images) -> "Snapshot":
        """Of images that come from code: those without names are named by their hash."""
        both = ((TRAIN, train), (TEST, test))
        hashes = tuple(one.tobytes().hex() for _, images in both for one in images.image_hashes)
        names = [f"{part}/{name}" for part, images in both for name in images.names]
        if len(set(names)) < len(hashes):
            times = Counter[str]()
            names = []
            for content in hashes:
                times[content] += 1
                names.append(content[:12] + (f" ({times[content]})" if times[content] > 1 else ""))
        return cls(
            classes=train.classes,
            names=tuple(names),
            parts=tuple(part for part, images in both for _ in range(len(images))),
            labels=tuple(label for _, images in both for label in images.labels.tolist()),
            hashes=hashes,
        )


def _unpacked(path: Path) -> bytes:
    """The text of a snapshot. Raises ValueError for one that is far longer than its file."""
    most = max(ALWAYS_FINE, MOST_EXPANSION * path.stat().st_size)
    with gzip.open(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError("it would unpack to far more")
    return content


def facts_columns(facts: Sequence[Facts], sizes: Sequence[int]) -> dict[str, tuple[object, ...]]:
    """Facts of files as columns, with their sizes in bytes."""
    columns = {name: tuple(getattr(one, name) for one in facts) for name in Facts._fields}
    return {**columns, "bytes": tuple(sizes)}


@dataclass(frozen=True)
class Changes:
    """What became of files since a snapshot, by their names; moved: from one name to another, content unchanged."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    regrouped: tuple[str, ...] = ()
    relabelled: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.moved, self.regrouped, self.relabelled))

    def __str__(self) -> str:
        """Like "1 added (dog/added.jpg), 0 removed, 0 changed"."""
        moved = [f"{one} to {two}" for one, two in self.moved]
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        kinds |= {"moved": tuple(moved)} if moved else {}
        kinds |= {"in another group": self.regrouped} if self.regrouped else {}
        kinds |= {"with other soft labels": self.relabelled} if self.relabelled else {}
        return ", ".join(f"{len(names):,} {word}{_named(names)}" for word, names in kinds.items())


def compare(
    before: Snapshot,
    names: Sequence[str],
    hashes: Sequence[str],
    groups: Sequence[str] = (),
    soft_labels: Sequence[str] = (),
) -> Changes:
    """What became of the files of a snapshot.   names, …: the files as they are now, as in `Snapshot`."""
    now = dict(zip(names, hashes, strict=True))
    gone = {name: before.hashes[row] for name, row in before.row_of.items() if name not in now}
    new = {name: content for name, content in now.items() if name not in before.row_of}
    came = _by_content(new)
    moved = []
    for name, content in gone.items():
        if came.get(content):
            moved.append((name, came[content].pop(0)))
    old_names, new_names = {one for one, _ in moved}, {two for _, two in moved}
    return Changes(
        added=tuple(name for name in new if name not in new_names),
        removed=tuple(name for name in gone if name not in old_names),
        changed=tuple(
            name for name, row in before.row_of.items() if name in now and now[name] != before.hashes[row]
        ),
        moved=tuple(moved),
        regrouped=tuple(_differing(before, before.groups, names, groups)),
        relabelled=tuple(_differing(before, before.soft_labels, names, soft_labels)),
    )


def _differing(
    before: Snapshot, column: Sequence[str], names: Sequence[str], now: Sequence[str]
) -> Iterator[str]:
    """Files that were there before, and of which a column says something else now; none where either is empty."""
    for name, value in zip(names, now, strict=True) if column and now else ():
        row = before.row_of.get(name)
        if row is not None and before.parts[row] == TRAIN and column[row] != value:
            yield name


def rows_before(before: Snapshot, names: Sequence[str], hashes: Sequence[str]) -> np.ndarray:
    """The row of a snapshot that each file was, -1 for a new one: int64 (N,).

    One that has its content under its name, or under another, or else other content under its name. What had been left
    out counts as new.
    """
    by_content = _by_content(dict(zip(before.names, before.hashes, strict=True)))
    rows = []
    for name, content in zip(names, hashes, strict=True):
        row = before.row_of.get(name, -1)
        if row < 0 or before.hashes[row] != content:
            equal = by_content.get(content)
            row = before.row_of[equal[0]] if equal else row
        rows.append(row if row >= 0 and before.parts[row] != LEFT_OUT else -1)
    return np.array(rows, dtype=np.int64).reshape(-1)


def _by_content(files: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by hash."""
    found: dict[str, list[str]] = {}
    for name, content in files.items():
        found.setdefault(content, []).append(name)
    return found


def without(snapshot: Snapshot, rows: Sequence[int]) -> Snapshot:
    """The snapshot with some rows left out."""
    parts = list(snapshot.parts)
    for row in rows:
        parts[row] = LEFT_OUT
    return replace(snapshot, parts=tuple(parts))


def _named(names: Sequence[str]) -> str:
    more = ", …" if len(names) > NUM_NAMED else ""
    return f" ({', '.join(names[:NUM_NAMED])}{more})" if names else ""
