"""What the operating system refuses, in one line with what to do about it: the one place that knows the kinds.

`files.py` uses it where files are written and read, the command line as its last boundary. An error that is not of
the place, such as a file that only the program itself has named and that is not there, stays what it is. There are
more kinds than anybody lists, and each file system has its own: what is not listed here is of the place.
"""

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import resource  # at once: a process that has too many files open imports nothing any more

from harness.errors import HarnessError, StoreError, UsageError

ROOM = "make room and run the same command again"
OWNER = "run as the user whom it belongs to, have its permissions changed, or choose another place"


@dataclass(frozen=True)
class Kind:
    """advice: what helps; "run the same command again" only where that can.   error: decides the exit code."""

    advice: str
    error: type[HarnessError] = StoreError


KINDS = {
    errno.ENOSPC: Kind(ROOM),
    errno.EDQUOT: Kind("delete what you do not need, or ask for a larger quota, and run the same command again"),
    errno.EROFS: Kind("nothing can be written there; choose another place"),
    errno.EACCES: Kind(OWNER),
    errno.EPERM: Kind(OWNER),
    errno.EFBIG: Kind("raise the limit of a file's size (ulimit -f) and run the same command again"),
    errno.EMFILE: Kind("raise the limit of open files (ulimit -n) and run the same command again"),
    errno.ENFILE: Kind("all programs of this machine together have too many; run the same command again later"),
    errno.ENOMEM: Kind("close other programs, or use fewer --workers, and run the same command again"),
    errno.EIO: Kind("the disk or the way to it fails; look into the system's log before you go on"),
    errno.ESTALE: Kind("the network's file system has lost it; mount it anew and run the same command again"),
    errno.ENOLCK: Kind("files cannot be locked there; choose a place on a disk of this machine"),
    errno.ENOTDIR: Kind("choose a place below a folder", UsageError),
    errno.EISDIR: Kind("name a file", UsageError),
    errno.ENAMETOOLONG: Kind("choose a shorter name", UsageError),
    errno.ELOOP: Kind("its links lead back to themselves; name what they were meant for", UsageError),
}  # fmt: skip
# Of a file system, and none of the kinds above: damaged, say, or of a kind that cannot do this.
OTHER = Kind("the file system refuses; look into the system's log, or choose another place")
# What a program does about itself, its processes and other programs: not of a place.
OF_A_PROGRAM = (
    errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.EBADF, errno.EFAULT, errno.EPIPE, errno.EINTR, errno.EAGAIN,
    errno.ECHILD, errno.ESRCH, errno.E2BIG, errno.ENOEXEC, errno.ENOTTY, errno.ESPIPE, errno.EDOM, errno.ERANGE,
)  # fmt: skip
OF_THE_NETWORK = (
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.ENETDOWN, errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ETIMEDOUT, errno.EINPROGRESS,
)  # fmt: skip
# These may as well be a program's own mistake: they are explained where the path is known to be a user's.
ABOUT_A_NAME = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
# What a medium says of a file that it cannot give any more: that file is damaged. What else keeps one from being read
# says nothing about it, and nothing may be done in its place.
DAMAGE = (errno.EIO, errno.EUCLEAN, errno.EBADMSG)
# This process can read no file at all then.
OF_THE_PROCESS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


def is_of_the_place(error: OSError) -> bool:
    """Whether it befalls whoever computes there, whatever is computed: no reason to call a trial failed."""
    other = {*OF_A_PROGRAM, *OF_THE_NETWORK, *ABOUT_A_NAME, errno.ENOMEM, errno.EIO}
    return error.errno is not None and error.errno not in other


def require_about_the_file(error: BaseException, path: Path) -> None:
    """Raise StoreError where an error in reading a file says nothing about what is in it."""
    if not isinstance(error, OSError) or error.errno in (*DAMAGE, *ABOUT_A_NAME):
        return
    if trouble := explained(error, path):
        raise trouble from None


@contextmanager
def explaining(path: Path, *, needed: int = 0, room: str = ROOM) -> Iterator[None]:
    """Turn what the operating system refuses at `path` into one line; other errors pass.

    needed: bytes that are to be written.   room: what to do where there is too little of it.
    Raises StoreError, or UsageError where the path itself is impossible.
    """
    try:
        yield
    except OSError as error:
        known = explained(error, path, needed=needed, room=room)
        if known is None:
            raise
        raise known from None


def explained(
    error: OSError, path: Path | None = None, *, needed: int = 0, room: str = ROOM
) -> HarnessError | None:
    """The error in one line, to be raised in its place; None for one that is not of the place."""
    if error.errno is None or error.errno in (*OF_A_PROGRAM, *OF_THE_NETWORK):
        if isinstance(error, FileNotFoundError) and "temporary directory" in str(error.strerror):
            return StoreError(
                f"{error.strerror}; make room, or set TMPDIR to a folder that can be written to"
            )
        return None
    kind = KINDS.get(error.errno, OTHER)
    place = path or (Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None)
    what, advice = error.strerror or os.strerror(error.errno), kind.advice
    if error.errno == errno.ENOSPC:
        advice = room
        free, inodes = _left(place)
        if inodes == 0 and free > needed:
            what, advice = (
                "no inode left",
                f"{free:,} bytes are free, but no file more can be made: delete some",
            )
        elif needed:
            what = f"{what}: {needed:,} bytes needed, {free:,} free"
    if error.errno in (errno.EFBIG, errno.EMFILE):
        advice = _about_a_limit(error.errno) or advice
    if error.errno == errno.ENOTDIR and (file := _in_the_way(place)) is not None:
        what = f"{file} is not a folder"
    return kind.error("".join(f"{part}: " for part in (place,) if part) + f"{what}; {advice}")


def explained_to_user(error: OSError, named: Iterable[str]) -> HarnessError | None:
    """As `explained`, at the last boundary, where it is not known whose path it is.

    named: what the user has named, the words of the command line say. A path is the user's that is one of them, or
    lies above or below one.
    """
    filename = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if not isinstance(error, FileNotFoundError) and error.errno not in ABOUT_A_NAME:
        return explained(error)
    if not filename:
        return explained(error) if isinstance(error, FileNotFoundError) else None
    place = Path(filename).absolute()
    for word in named:
        try:
            path = Path(word.rpartition("=")[2]).expanduser().absolute()
        except (RuntimeError, ValueError):  # a user without a home, a null byte
            continue
        if path.is_relative_to(place) or (path.parent != path and place.is_relative_to(path)):
            return explained(error) or UsageError(f"{filename}: there is no such file or folder")
    return None


def _about_a_limit(number: int) -> str:
    """What to do about a limit of this process, as far as its user may raise it; "" where systems have none."""
    if sys.platform == "win32":
        return ""
    name, option, noun, unit = {
        errno.EFBIG: (resource.RLIMIT_FSIZE, "f", "a file's size", 1024),
        errno.EMFILE: (resource.RLIMIT_NOFILE, "n", "open files", 1),
    }[number]
    soft, hard = resource.getrlimit(name)
    if soft == resource.RLIM_INFINITY:
        return "nothing larger can be kept there; choose another place"
    if soft == hard:
        return f"the limit of {noun} is {hard:,} for you; ask for a higher one (ulimit -H{option})"
    most = hard // unit if hard != resource.RLIM_INFINITY else 0
    enough = "unlimited" if not most else str(most)
    if number == errno.EMFILE:
        enough = str(min(most or sys.maxsize, max(4096, 4 * soft)))
    return f"raise the limit of {noun} (ulimit -{option} {enough}) and run the same command again"


def _left(place: Path | None) -> tuple[int, int]:
    """Free bytes and inodes where a path is to be; 0 and -1 where that cannot be told."""
    folder = place.absolute() if place is not None else Path.cwd()
    for existing in (folder, *folder.parents):
        try:
            found = os.statvfs(existing)
        except (OSError, AttributeError):  # not there yet; Windows has no statvfs
            continue
        return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else -1
    return 0, -1


def _in_the_way(place: Path | None) -> Path | None:
    """The file that a path goes through as if it were a folder."""
    path = place.absolute() if place is not None else Path.cwd()
    try:
        existing = next(folder for folder in (path, *path.parents) if folder.exists())
        return None if existing.is_dir() else existing
    except OSError:
        return None
