"""Puts files into one folder per class: moved, linked or copied, never over a file that is there."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Sequence
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
            return _first_free(folder, path, self._plan)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be made: {error.strerror}") from None
        if self.how == "link":
            source = os.path.realpath(path)
            os.stat(source)  # noqa: PTH116  a link to nothing would be made without a word
            return _first_free(folder, path, lambda target: target.symlink_to(source))
        os.stat(path)  # noqa: PTH116  before its place is taken
        target = _first_free(folder, path, _reserve)
        try:
            _move(path, target) if self.how == "move" else shutil.copy2(path, target)
        except BaseException:
            if os.path.lexists(path):  # or else it has been moved, and this is the only one
                target.unlink(missing_ok=True)
            raise
        return target

    def _plan(self, target: Path) -> None:
        if str(target) in self._planned or os.path.lexists(target):
            raise FileExistsError
        self._planned.add(str(target))


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


def _first_free(folder: Path, path: str, take: Callable[[Path], None]) -> Path:
    """The file's own name in the folder, or with _2, _3, … added: the first that is taken without a FileExistsError."""
    name = Path(path).name
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    target, number = folder / name, 1
    while True:
        try:
            take(target)
            return target
        except FileExistsError:
            number += 1
            target = folder / f"{stem}_{number}{suffix}"


def _reserve(target: Path) -> None:
    """An empty file, so that nobody else takes the name."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))


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
