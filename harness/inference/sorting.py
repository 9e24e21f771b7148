"""Puts files into one folder per class: moved, linked or copied, never over a file that is there."""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from harness.errors import StoreError

How = Literal["move", "link", "copy"]
UNSURE = "unsure"
MOST_BYTES = 100  # of a folder's name
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows


class Sorter:
    """The folders below `root`, one for each label, and what goes into them."""

    def __init__(self, root: Path, how: How, labels: Sequence[str], *, dry_run: bool):
        self.root, self.how, self.dry_run = root, how, dry_run
        self.folders = folder_names(labels)
        self._planned: set[str] = set()  # in a dry run, the names that would be taken by then

    def put(self, path: str, label: str) -> Path:
        """Where the file goes, or with dry_run where it would. A number is added to a name that is taken.

        Raises OSError where the file is gone or may not be moved, StoreError where nothing can be written.
        """
        folder = self.root / self.folders[label]
        if self.dry_run:
            return self._plan(folder, path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}") from None
        if self.how == "link":
            return _linked(os.path.realpath(path), folder, path)
        os.stat(path)  # noqa: PTH116  before its place is taken
        target = _reserved(folder, path)
        try:
            _move(path, target) if self.how == "move" else shutil.copy2(path, target)
        except BaseException:
            if os.path.lexists(path):  # or else it has been moved, and this is the only one
                target.unlink(missing_ok=True)
            raise
        return target

    def _plan(self, folder: Path, path: str) -> Path:
        for target in _targets(folder, path):
            if str(target) not in self._planned and not os.path.lexists(target):
                self._planned.add(str(target))
                return target
        raise AssertionError("names do not end")


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """A folder's name for each label: whatever the label is, one plain name, and no two alike in any case.

    A class's name comes from a file and may be `../..`, or hold what a file system refuses.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in labels:
        plain = re.sub(r"[^\w .+-]", "_", label).strip(" .")
        plain = plain.encode(errors="replace")[:MOST_BYTES].decode(errors="ignore").strip(" .") or "_"
        plain = f"_{plain}" if RESERVED.fullmatch(plain) else plain
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        found[label] = name
    return found


def _targets(folder: Path, path: str) -> Iterator[Path]:
    """The file's own name in the folder, then the name with _2, _3, … added."""
    name = Path(path).name
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    yield folder / name
    number = 1
    while True:
        number += 1
        yield folder / f"{stem}_{number}{suffix}"


def _reserved(folder: Path, path: str) -> Path:
    """A new empty file of the first name that is free, so that nobody else takes it."""
    for target in _targets(folder, path):
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        return target
    raise AssertionError("names do not end")


def _linked(source: str, folder: Path, path: str) -> Path:
    os.stat(source)  # noqa: PTH116  a link to nothing would be made without a word
    for target in _targets(folder, path):
        try:
            target.symlink_to(source)
        except FileExistsError:
            continue
        return target
    raise AssertionError("names do not end")


def _move(path: str, target: Path) -> None:
    """Onto the reserved name. A link is moved as a link to the same file."""
    if os.path.islink(path):  # noqa: PTH114
        target.unlink()
        target.symlink_to(os.path.realpath(path))
        os.unlink(path)  # noqa: PTH108
        return
    try:
        os.replace(path, target)  # noqa: PTH105
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copy2(path, target)  # to another file system
        os.unlink(path)  # noqa: PTH108
