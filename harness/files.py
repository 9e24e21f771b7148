"""Durable, sealed files: written whole or not at all, and a damaged one is noticed when it is read."""

import errno
import hashlib
import io
import itertools
import json
import logging
import os
import shutil
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from harness.errors import RecordError, StoreError, UsageError
from harness.os_errors import ROOM, explaining, require_about_the_file

logger = logging.getLogger(__name__)
SEAL = "seal"
DAMAGED = ".damaged"  # how the names of files end that were put aside
CHECKSUM_BYTES = 32


def write_file(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step that survives a power cut. Raises UsageError for a device or a pipe."""
    require_replaceable(path)
    with telling_disk_trouble(path, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            _write_synced(temporary, content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def require_replaceable(path: Path) -> None:
    """Raise UsageError for what is no file to be replaced by another: a device, a pipe, what lies in /dev."""
    absolute = path.absolute()
    is_device = absolute.is_relative_to("/dev") and not absolute.is_relative_to("/dev/shm")
    try:
        kind = path.stat().st_mode
    except OSError:  # not there, or told when it is written
        kind = stat.S_IFREG
    if is_device or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise UsageError(f"{path}: is a device or a pipe; name a file")


def write_folder(path: Path, files: dict[str, bytes]) -> None:
    """Create the folder `path` with these files in one step. Raises FileExistsError where there is one."""
    with telling_disk_trouble(path, sum(map(len, files.values()))):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkdtemp, whose folders nobody else may ever look into.
        temporary = path.with_name(f".{path.name[:16]}.{uuid4().hex[:12]}.tmp")
        try:
            temporary.mkdir()
            for name, content in files.items():
                _write_synced(temporary / name, content)
            sync_folder(temporary)
            temporary.rename(path)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST) or path.is_file():
                raise FileExistsError(errno.EEXIST, "exists already", str(path)) from None
            raise
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(path.parent)


def link_folder(source: Path, target: Path) -> None:
    """Give a folder of files another place, in one step: as links to the same files, or copies on another file system.

    What is at `target` already stays.
    """
    files = [path for path in source.iterdir() if path.is_file()]
    with telling_disk_trouble(target, sum(path.stat().st_size for path in files)):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name[:16]}.{uuid4().hex[:12]}.tmp")
        try:
            temporary.mkdir()
            for path in files:
                try:
                    (temporary / path.name).hardlink_to(path)
                except OSError:
                    shutil.copyfile(path, temporary / path.name)
                    with (temporary / path.name).open("rb+") as file:
                        sync(file)
            sync_folder(temporary)
            if not target.exists():
                temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(target.parent)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a sealed document; a folder in its place is put aside."""
    clear_way(path)
    write_file(path, sealed_json(document))


def clear_way(path: Path) -> None:
    """Put aside what lies where a file of ours is to be, and is a folder."""
    with explaining(path):
        if path.is_dir():
            put_aside(path)


def put_aside(path: Path) -> Path:
    """Give something damaged another name beside its own, which is told; that name."""
    numbers = (f".{number}" if number > 1 else "" for number in itertools.count(1))
    aside = next(
        other
        for number in numbers
        if not os.path.lexists(other := path.with_name(f"{path.name}{number}{DAMAGED}"))
    )
    with explaining(path):
        path.rename(aside)
    logger.warning("%s: damaged; it is now called %s, and is made anew", path, aside.name)
    return aside


def remove(path: Path) -> None:
    """Delete a file or a folder, if there is one."""
    with explaining(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sealed_json(document: dict[str, Any]) -> bytes:
    """The document as JSON text, with a seal: the SHA-256 of all the rest."""
    return (json.dumps({**document, SEAL: _seal(document)}, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """A sealed document. Raises FileNotFoundError, RecordError where it is not what was written.

    Raises StoreError where there is no telling, because it may not be read say.
    """
    try:
        document = json.loads(path.read_bytes())
        if document.pop(SEAL) != _seal(document):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RecordError(f"{path}: damaged: its content does not match its seal") from None
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        require_about_the_file(error, path)
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    return dict(document)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing where there is none. Raises StoreError where it may not be read."""
    with explaining(folder):
        try:
            return sorted(folder.iterdir())
        except FileNotFoundError:
            return []


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in and below a folder, sorted. Raises StoreError where one may not be read; `rglob` is silent."""
    for path in entries(folder):
        if path.is_dir() and not path.is_symlink():
            yield from files_below(path)
        else:
            yield path


def unpacked_size(archive: bytes) -> int:
    """Bytes that a zip archive, as arrays are kept in, says that it unpacks to. Raises zipfile.BadZipFile for none."""
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        return sum(member.file_size for member in members.infolist())


def with_checksum(content: bytes) -> bytes:
    """The content with its SHA-256 behind it: as a file, one of which a part is missing or other is noticed."""
    return content + hashlib.sha256(content).digest()


def without_checksum(content: bytes) -> bytes | None:
    """What `with_checksum` was given, or None where this is nothing that it returned."""
    inner, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    return inner if hashlib.sha256(inner).digest() == checksum else None


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digest_of(path: Path) -> str:
    """The digest of a file's content, which is read part by part and need not fit into memory."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(path: Path) -> None:
    """Make a rename in this folder durable, where the system can."""
    if os.name != "posix":
        return
    with explaining(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def telling_disk_trouble(path: Path, num_bytes: int, *, advice: str = ROOM) -> Iterator[None]:
    """Turn what keeps `path` from being written into one line that says where, how much, and what to do.

    advice: what to do where there is no room.   Raises StoreError, or UsageError for an impossible path.
    """
    with explaining(path, needed=num_bytes, room=advice):
        existing = next(folder for folder in path.absolute().parents if folder.is_dir())
        room = shutil.disk_usage(existing)
        if (
            room.free < num_bytes and room.total
        ):  # what has no room at all, like /proc, refuses in its own words
            raise StoreError(f"{path}: {num_bytes:,} bytes needed, {room.free:,} free; {advice}")
        yield


def sync(file: BinaryIO) -> None:
    """Have what was written to the file reach the disk."""
    file.flush()
    os.fsync(file.fileno())


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        sync(file)


def _seal(document: dict[str, Any]) -> str:
    return digest(json.dumps(document, sort_keys=True, ensure_ascii=False).encode())
