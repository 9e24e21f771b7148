"""Puts files into one folder per class: moved, linked or copied, never over a file that is there.

A file appears in its folder whole or not at all, and whatever step a process is killed at, the next run puts it right.
A copy is written under a hidden name, synced, and given its own by a hard link, which refuses a name that is taken. A
file that is moved leaves its old place last; a journal has the move that is under way. What an earlier run has copied
or linked is found again, and left as it is.
"""

import errno
import filecmp
import json
import logging
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Self
from uuid import uuid4

from harness.data.image_files import printable
from harness.errors import StoreError, UsageError
from harness.files import sync, sync_folder
from harness.os_errors import explaining

logger = logging.getLogger(__name__)

How = Literal["move", "link", "copy"]
UNSURE = "unsure"
MOST_BYTES = 100  # of a folder's name
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # by Windows
JOURNAL = ".harness-move.json"
TEMPORARY = ".harness-{}.tmp"
# Answers of other file systems, of those without hard links, and where files of other users may not be linked to.
REFUSALS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Sorter:
    """The folders below `root`, one for each label, and what goes into them. To be used in a `with`.

    That locks `root` and puts right what a run that was killed has left, unless it is a dry run. It raises UsageError
    where another run is at work there, StoreError where nothing can be written.
    """

    def __init__(self, root: Path, how: How, labels: Sequence[str], *, dry_run: bool):
        self.root, self.how, self.dry_run = root, how, dry_run
        self.folders = folder_names(labels)
        self._taken: set[Path] = set()  # by files of this run, or in a dry run: would be by then
        self._lock: int | None = None

    def __enter__(self) -> Self:
        if not self.dry_run:
            _make(self.root)
            self._lock = _lock(self.root)
            try:
                self._finish_move()
                for left in self.root.glob(f"*/{TEMPORARY.format('*')}"):
                    left.unlink()
            except BaseException as error:
                self.__exit__()
                if not isinstance(error, OSError):
                    raise
                raise StoreError(
                    f"{self.root}: what an earlier run left cannot be put right: {error}"
                ) from None
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def put(self, path: str, label: str) -> Path:
        """Where the file is now, or with dry_run where it would be. A number is added to a name that is taken.

        Raises OSError where the file is gone or may not be moved, StoreError where its folder cannot be made.
        """
        folder = self.root / self.folders[label]
        if not self.dry_run:
            _make(folder)
        os.stat(path)  # noqa: PTH116  a link to nothing would be made without a word
        for target in _names(folder, Path(path).name):
            if target not in self._taken and self._brought(path, target):
                break
        self._taken.add(target)
        return target

    def _brought(self, path: str, target: Path) -> bool:
        """Whether the file is there now, or was, or would be; else the name is another's."""
        if os.path.lexists(target):
            return self._is_there(path, target)
        try:
            if self.how == "link" and not self.dry_run:
                target.symlink_to(os.path.realpath(path))
            elif self.how == "copy" and not self.dry_run:
                _copy(path, target)
            elif not self.dry_run:
                self._move(path, target)
        except FileExistsError:  # another program was faster
            return False
        return True

    def _is_there(self, path: str, target: Path) -> bool:
        """Whether this is what an earlier run has made of the file; of a move, it may have the old name still."""
        if self.how == "link":
            return _is_link(target, path)
        if self.how == "copy":
            return _is_copy(target, path)
        is_there = _are_names_of_one(path, target)
        if is_there and not self.dry_run:
            os.unlink(path)  # noqa: PTH108
        return is_there

    def _move(self, path: str, target: Path) -> None:
        journal = self.root / JOURNAL
        moved = {"path": os.path.abspath(path), "folder": target.parent.name, "name": target.name}  # noqa: PTH100
        with journal.open("wb") as file:
            file.write(json.dumps(moved).encode("ascii"))
            if (
                os.lstat(path).st_dev != target.parent.stat().st_dev
            ):  # else a power cut leaves two names of one file
                sync(file)
        try:
            _move(path, target)
        except OSError:  # all is as before
            journal.unlink()
            raise
        journal.unlink()

    def _finish_move(self) -> None:
        """Of a move that was cut short, remove the old name if the file has arrived. Else nothing had happened."""
        journal = self.root / JOURNAL
        try:
            moved = json.loads(journal.read_bytes())
            path, target = moved["path"], self.root / Path(moved["folder"]).name / Path(moved["name"]).name
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):  # not written to its end
            journal.unlink()
            return
        if os.path.lexists(path) and os.path.lexists(target) and _has_arrived(path, target):
            os.unlink(path)  # noqa: PTH108
            logger.warning(
                "%s -> %s: finished what an earlier run had begun", printable(path), printable(str(target))
            )
        journal.unlink()


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


def _names(folder: Path, name: str) -> Iterator[Path]:
    """The file's own name in the folder, then with _2, _3, … added."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122
    yield folder / name
    number = 1
    while True:
        number += 1
        yield folder / f"{stem}_{number}{suffix}"


def _make(folder: Path) -> None:
    if folder.is_dir():
        return
    with explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def _lock(root: Path) -> int | None:
    """The open folder, which no other run can have locked too; None where systems lock no folders."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    with explaining(root):
        descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(
            f"{root}: another harness predict is putting files there; wait for its end"
        ) from None
    except OSError:  # some network file systems: what two runs do there at once, they tell as errors
        pass
    return descriptor


def _move(path: str, target: Path) -> None:
    """A link is moved as a link to the same file. After an OSError all is as before."""
    if os.path.islink(path):  # noqa: PTH114
        target.symlink_to(os.path.realpath(path))
    elif _is_done(os.link, path, target):
        pass
    elif _is_done(_rename, path, target):
        return
    else:
        _copy(path, target)
    try:
        os.unlink(path)  # noqa: PTH108
    except OSError:
        if os.path.lexists(path):  # or else this is the only one
            target.unlink()
        raise


def _copy(path: str, target: Path) -> None:
    """The content, times and rights. Raises FileExistsError for a name that is taken."""
    temporary = target.with_name(TEMPORARY.format(uuid4().hex[:16]))
    try:
        with Path(path).open("rb") as source, temporary.open("xb") as file:
            shutil.copyfileobj(source, file, 2**20)
            sync(file)
        shutil.copystat(path, temporary)
        if not _is_done(os.link, temporary, target):
            _rename(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def _is_done(act: Callable[[str | Path, Path], None], path: str | Path, target: Path) -> bool:
    """False where the file systems cannot do this."""
    try:
        act(path, target)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return False
    return True


def _rename(path: str | Path, target: Path) -> None:
    """In one step, where there are no hard links; only there can another program take the name in between."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(path, target)  # noqa: PTH104


def _has_arrived(path: str, target: Path) -> bool:
    """Whether a move has made the target of the file."""
    if os.path.islink(path):  # noqa: PTH114
        return _is_link(target, path)
    return _are_names_of_one(path, target) or _is_copy(target, path)


def _is_link(target: Path, path: str) -> bool:
    return target.is_symlink() and os.readlink(target) == os.path.realpath(path)  # noqa: PTH115


def _is_copy(target: Path, path: str) -> bool:
    """Whether it is another file of the same content."""
    status = target.lstat()
    is_other = stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(path))  # noqa: PTH116
    return is_other and filecmp.cmp(path, target, shallow=False)


def _are_names_of_one(path: str, target: Path) -> bool:
    """Whether these are two hard links to one file, of which one can be spared, and not one seen in two ways."""
    status, place = target.lstat(), Path(path)
    is_one = place.name.casefold() == target.name.casefold() and place.parent.samefile(target.parent)
    return os.path.samestat(place.lstat(), status) and status.st_nlink > 1 and not is_one
