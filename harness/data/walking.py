"""Image files to predict, named one by one or by their folders: found as they are needed, read one at a time."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.data.decoding import SUFFIXES, UnreadableError

MAX_DEPTH = 50
MAX_FILE_BYTES = 2**28


class Candidate(NamedTuple):
    """A file that may be an image.   problem: why it, or the folder of that path, cannot be looked at, or ""."""

    path: str
    problem: str = ""


def image_files(paths: Sequence[str], *, without: Path | None = None) -> Iterator[Candidate]:
    """The files, and those in and below the folders that are named like images, in the order of their names.

    A file that is named itself is taken whatever its name. Hidden files, and links to a folder that they lie in,
    are passed over.   without: a folder that is not looked into.
    Memory grows with the largest folder only.
    """
    skipped = None if without is None else os.path.realpath(without)
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112  a path may hold what Path refuses
            yield from _below(path, frozenset(), skipped)
        else:
            yield Candidate(path)


def read(path: str) -> bytes:
    """The content of a regular file. Raises UnreadableError for anything else, and for a very large one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123  without waiting for who might write into a pipe
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableError("not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise UnreadableError(f"larger than {MAX_FILE_BYTES:,} bytes")
            return file.read()
    except (OSError, ValueError) as error:
        raise UnreadableError(getattr(error, "strerror", None) or str(error)) from None


def _below(folder: str, ancestors: frozenset[tuple[int, int]], skipped: str | None) -> Iterator[Candidate]:
    if skipped is not None and os.path.realpath(folder) == skipped:
        return
    try:
        status = os.stat(folder)  # noqa: PTH116
        here = (status.st_dev, status.st_ino)
        if here in ancestors:
            return
        with os.scandir(folder) as scanned:
            entries = sorted((entry.name, _is_folder(entry)) for entry in scanned if entry.name[0] != ".")
    except OSError as error:
        yield Candidate(folder, error.strerror or "cannot be listed")
        return
    if len(ancestors) > MAX_DEPTH:
        yield Candidate(folder, f"more than {MAX_DEPTH} folders inside each other")
        return
    for name, is_folder in entries:
        path = os.path.join(folder, name)  # noqa: PTH118
        if is_folder:
            yield from _below(path, ancestors | {here}, skipped)
        elif os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122  a Path costs 5 times as much
            yield Candidate(path)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
