"""The vectors of a folder's images, kept on disk and brought up to date by embedding only what is new.

    HOME/similar/<model>-<folder>/index.json       which files, of what size and time, which vectors, by which models
    HOME/similar/<model>-<folder>/<sha256>.f32     their vectors: float32 (N, D), mapped when it is searched

`vectors.py` searches them.
"""

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from harness.data.image_files import Candidate, image_files, printable
from harness.errors import DataError, RecordError, StoreError, UsageError
from harness.files import read_json, write_file, write_json
from harness.inference.embedding import Embedder
from harness.inference.predict import decoded_batches
from harness.inference.vectors import Index

log = logging.getLogger(__name__)

SCHEMA = 1
DOCUMENT = "index.json"
SAVE_SECONDS = 60.0  # a killed run loses at most so much work


def update(home: Path, embedder: Embedder, folder: Path, *, model: str = "") -> Index:
    """The index of the images in and below a folder, as they are now. Only new and changed files are embedded.

    model: where it is from, to tell later whether it is still there.
    Where nothing has changed nothing is written; where nothing can be, what is new is embedded for this time alone.
    Raises UsageError if there is no such folder, DataError if there is no image in it.
    """
    if not folder.is_dir():
        raise UsageError(f"--index {folder}: there is no such folder")
    folder = folder.resolve()
    place = _place(home, embedder, folder)
    before = _before(place)
    if before is not None and (not model or model in before.models):
        known = dict(zip(before.names, before.states, strict=True))
        if known | {name: state for name, (state, _) in before.unreadable.items()} == _states(folder):
            log.info("%s: %s images indexed, none has changed", folder, f"{len(before.names):,}")
            return before
    lock = FileLock(place.with_suffix(".lock"))
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        _say_not_kept(place, error.strerror or str(error))
        return _updated(place, embedder, folder, model, keep=False)
    try:
        return _updated(place, embedder, folder, model, keep=True)
    finally:
        lock.release()


def find(home: Path, embedder: Embedder) -> Index:
    """The one index that there is of this model. Raises UsageError if there is none, or more than one."""
    places = sorted((home / "similar").glob(f"{embedder.key[:16]}-*/{DOCUMENT}"))
    if not places:
        raise UsageError("there is no index of this model; say of which folder: --index FOLDER")
    if len(places) > 1:
        folders = ", ".join(printable(_plain(_read(path.parent)["folder"])) for path in places)
        raise UsageError(f"several folders are indexed ({folders}); say which: --index FOLDER")
    index = _opened(places[0].parent)
    log.info("%s as it was when it was indexed; --index %s looks again", index.folder, index.folder)
    return index


def origins(place: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder that an index is of, and where the models are from that made it, as `update` was told.

    Raises RecordError for one that is damaged, or written by another harness.
    """
    document = _read(place)
    return Path(_plain(document["folder"])), tuple(map(_plain, document.get("models", ())))


def _place(home: Path, embedder: Embedder, folder: Path) -> Path:
    return home / "similar" / f"{embedder.key[:16]}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def _updated(place: Path, embedder: Embedder, folder: Path, model: str, *, keep: bool) -> Index:
    before = _before(place)
    known = before.models if before else ()
    models = known if not model or model in known else (*known, model)
    states = _states(folder)
    rows: dict[str, np.ndarray] = {}
    unreadable: dict[str, tuple[str, str]] = {}
    if before is not None:
        old = zip(before.names, before.states, np.asarray(before.vectors), strict=True)
        rows = {name: row for name, state, row in old if states.get(name) == state}
        unreadable = {
            name: known for name, known in before.unreadable.items() if states.get(name) == known[0]
        }
    todo = [name for name in states if name not in rows and name not in unreadable]
    gone = 0 if before is None else len(set(before.names) - set(states))
    saved = time.monotonic()
    for batch in _embedded(embedder, folder, todo):
        for name, found in batch:
            if isinstance(found, str):
                unreadable[name] = states[name], found
            else:
                rows[name] = found
        if rows and time.monotonic() - saved > SAVE_SECONDS:
            keep = keep and _write(place, folder, states, rows, unreadable, models)
            log.info("%s of %s images embedded", f"{len(rows):,}", f"{len(states):,}")
            saved = time.monotonic()
    if not rows:
        raise DataError(f"{folder}: no image in it that can be read")
    if before is None or todo or gone or len(before.unreadable) != len(unreadable) or models != known:
        keep = keep and _write(place, folder, states, rows, unreadable, models)
    said = f"{len(todo):,} looked at, {gone:,} gone, {len(unreadable):,} unreadable"
    log.info("%s: %s images indexed (%s)", folder, f"{len(rows):,}", said)
    if keep:
        return _opened(place)
    names = [name for name in states if name in rows]
    vectors = np.stack([rows[name] for name in names])
    return Index(folder, tuple(names), tuple(states[name] for name in names), vectors, unreadable, models)


def _say_not_kept(place: Path, why: str) -> None:
    log.warning("%s: the index is not kept (%s), so what is new is embedded again next time", place, why)


def _states(folder: Path) -> dict[str, str]:
    """Size and times of the files that may be images, by their path in the folder."""
    found = {}
    start = len(os.path.join(folder, ""))  # noqa: PTH118
    for file in image_files([str(folder)]):
        try:
            status = os.stat(file.path)  # noqa: PTH116
        except OSError as error:
            log.warning("%s: %s", file.path, error.strerror)
            continue
        if file.problem:
            log.warning("%s: %s", file.path, file.problem)
            continue
        found[file.path[start:]] = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    return found


def _embedded(
    embedder: Embedder, folder: Path, names: Sequence[str]
) -> Iterator[list[tuple[str, np.ndarray | str]]]:
    """Names with their vectors, or why there are none, batch by batch."""
    files = (Candidate(os.path.join(folder, name)) for name in names)  # noqa: PTH118
    waiting = iter(names)
    with closing(decoded_batches(embedder.model, files)) as batches:
        for batch in batches:
            pixels = [found for _, found in batch if not isinstance(found, str)]
            rows = iter(embedder(np.stack(pixels)) if pixels else ())
            yield [(next(waiting), found if isinstance(found, str) else next(rows)) for _, found in batch]


def _before(place: Path) -> Index | None:
    """The index on disk; None where there is none, or a damaged one, which is then replaced."""
    if not (place / DOCUMENT).exists():
        return None
    try:
        return _opened(place)
    except RecordError as error:
        log.warning("%s; it is made anew", error)
        return None


def _read(place: Path) -> dict[str, Any]:
    document = read_json(place / DOCUMENT)
    if document.get("schema") != SCHEMA:
        raise RecordError(f"{place / DOCUMENT}: written by another harness (schema {document.get('schema')})")
    return document


def _opened(place: Path) -> Index:
    """Raises RecordError unless the vectors are those of the document."""
    document = _read(place)
    path = place / f"{document['sha256']}.f32"
    shape = len(document["names"]), document["dimension"]
    try:
        with path.open("rb") as file:
            intact = hashlib.file_digest(file, "sha256").hexdigest() == document["sha256"]
        if not intact:
            raise RecordError(f"{path}: damaged: its content does not match its hash")
        vectors = np.memmap(path, "<f4", "r", shape=shape)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from None
    unreadable = {_plain(name): (state, why) for name, state, why in document["unreadable"]}
    names = tuple(map(_plain, document["names"]))
    folder, models = Path(_plain(document["folder"])), tuple(map(_plain, document.get("models", ())))
    return Index(folder, names, tuple(document["states"]), vectors, unreadable, models)


def _write(
    place: Path,
    folder: Path,
    states: dict[str, str],
    rows: dict[str, np.ndarray],
    unreadable: dict[str, tuple[str, str]],
    models: tuple[str, ...],
) -> bool:
    """Keep the index as it is so far; whether the disk took it.

    First the vectors under a name of their own, then the document that names them: one of both versions is whole.
    """
    names = [name for name in states if name in rows]
    vectors = np.stack([rows[name] for name in names])
    content = vectors.astype("<f4").tobytes()
    sha256 = hashlib.sha256(content).hexdigest()
    document = {
        "schema": SCHEMA,
        "folder": _stored(str(folder)),
        "models": [_stored(model) for model in models],
        "dimension": vectors.shape[1],
        "sha256": sha256,
        "names": [_stored(name) for name in names],
        "states": [states[name] for name in names],
        "unreadable": [[_stored(name), state, why] for name, (state, why) in sorted(unreadable.items())],
    }
    try:
        write_file(place / f"{sha256}.f32", content)
        write_json(place / DOCUMENT, document)
    except StoreError as error:
        _say_not_kept(place, str(error))
        return False
    for path in place.glob("*.f32"):
        if path.stem != sha256:
            path.unlink(missing_ok=True)
    return True


def _stored(name: str) -> str:
    """A file's name as JSON can hold it; bytes that are no text as hexadecimal after a null character."""
    try:
        name.encode()
        return name
    except UnicodeEncodeError:
        return "\0" + os.fsencode(name).hex()


def _plain(stored: str) -> str:
    return os.fsdecode(bytes.fromhex(stored[1:])) if stored.startswith("\0") else stored
