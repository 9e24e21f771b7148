"""A study as one file, to keep or to hand on: records, split, weights, findings, and if wanted the images.

    manifest.json                 {"format": 1, "study": name, "files": {path: {"bytes": …, "sha256": …}}}
    study/…  folds/<key>/…  images/…

Whoever imports one gets files whose names have one of these forms and whose bytes have the manifest's hashes, or
nothing. Nothing of it is run: code of its own that a study came with stays unused until somebody trusts it.
"""

import json
import lzma
import os
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.bundle_check import require_fitting
from harness.analysis.bundle_contents import files_to_pack, intact_keys
from harness.data.images import Images
from harness.documents import plain_json
from harness.errors import DataError, RecordError, UsageError
from harness.files import digest, entries, read_json, remove, telling_disk_trouble
from harness.folds.project import UNTRUSTED
from harness.folds.train_folds import images_of
from harness.os_errors import explained
from harness.records import StudyRecord, study_from_json
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import SOURCES
from harness.store.store import TUNE_HEALS, Store, valid_name
from harness.tracking.experiment_view import study_id

FORMAT = 1
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 2**26
ALWAYS_FINE, MOST_EXPANSION = 2**28, 100  # bytes; how many times its own size a larger bundle may unpack to
DECODERS = (zlib.error, lzma.LZMAError, struct.error)  # what damaged members are answered with
SAFE = re.compile(
    r"study/[\w.+-]{1,100}(/[\w.+-]{1,100})?|study/sources(/[\w+-][\w.+-]{0,99}){1,12}\.py|folds/[0-9a-f]{40}/[\w.-]{1,40}|images/[\w.-]{1,40}",
    re.ASCII,
)


@dataclass(frozen=True)
class Written:
    """files: how many there are in it.   bytes: of the bundle itself."""

    path: Path
    files: int
    bytes: int


@dataclass(frozen=True)
class Imported:
    """study: its name in the store.   home: of that."""

    study: str
    home: Path


@dataclass(frozen=True)
class Entry:
    """A file inside."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says that it holds: its files by their path inside."""

    format: int
    study: str
    files: Mapping[str, Entry]


def write(study: LoadedStudy, target: Path, *, with_images: bool) -> Written:
    """Write the bundle of a study.

    with_images: the images that folds are trained on, too, so that nothing else is needed to train them again.
    Raises UsageError for a study that is being driven, RecordError for a damaged record.
    """
    store, name = study.store, study.name
    if study.is_driven:
        raise UsageError(f"study {name} is running; wait for it or stop it, then bundle it")
    with store.staying(name):
        return _write(study, target, with_images=with_images)


def _write(study: LoadedStudy, target: Path, *, with_images: bool) -> Written:
    store, name = study.store, study.name
    keys = intact_keys(study)
    folder = store.study_folder(name)
    paths = {f"study/{part}": folder / part for part in files_to_pack(folder)}
    for key in keys:
        for path in entries(store.fold_folder(key)):
            paths[f"folds/{key}/{path.name}"] = path
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as scratch:
        if with_images:
            images = Store(Path(scratch)).keep_images(images_of(store, study.record))
            paths |= {f"images/{path.name}": path for path in sorted(images.iterdir()) if path.is_file()}
        size = sum(path.stat().st_size for path in paths.values())
        temporary = target.with_name(f".{target.name}.tmp")
        with telling_disk_trouble(target, size):
            try:
                _write_archive(temporary, name, paths)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    return Written(target, len(paths), target.stat().st_size)


def read(store: Store, source: Path, *, name: str | None = None, trust_code: bool = False) -> StudyRecord:
    """Import a bundle into the store; the study's record.   name: another than its own.

    trust_code: code of its own that the study has may be run from now on, also of a study that was imported before.
    Raises RecordError for a file that is no intact bundle, UsageError if another study of that name is there.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = _manifest(archive, source)
            name = name or manifest.study
            if not valid_name(name):
                raise UsageError(f"a study cannot be called {name!r}; choose a name with --as")
            record = _import(store, archive, manifest, source, name)
    except FileNotFoundError:
        raise UsageError(f"{source}: there is no such file") from None
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        *DECODERS,
        OSError,
        EOFError,
        NotImplementedError,
    ) as error:
        trouble = explained(error) if isinstance(error, OSError) else None
        raise trouble or RecordError(f"{source}: not an intact bundle ({error})") from None
    if trust_code:
        (store.study_folder(record.name) / UNTRUSTED).unlink(missing_ok=True)
    return record


def sources(store: Store, name: str) -> dict[str, str]:
    """The text of each file of the study's own code that is kept with it, by its place in a project."""
    folder = store.study_folder(name) / SOURCES
    paths = sorted(folder.rglob("*.py")) if folder.is_dir() else []
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in paths
    }


def _import(
    store: Store, archive: zipfile.ZipFile, manifest: Manifest, source: Path, name: str
) -> StudyRecord:
    total = sum(entry.bytes for entry in manifest.files.values())
    if total > max(ALWAYS_FINE, MOST_EXPANSION * source.stat().st_size):
        raise RecordError(
            f"{source}: would unpack to {total:,} bytes, which no study does; nothing was imported"
        )
    store.home.mkdir(parents=True, exist_ok=True)
    with (
        telling_disk_trouble(store.home / name, total),
        tempfile.TemporaryDirectory(prefix=".import-", dir=store.home) as scratch,
    ):
        unpacked = Store(Path(scratch))
        for path, entry in manifest.files.items():
            _extract(archive, path, entry, Path(scratch) / path, source)
        if "study/study.json" not in manifest.files:
            raise RecordError(f"{source}: has no study in it")
        record = study_from_json(read_json(Path(scratch) / "study" / "study.json"))
        if name != record.name:  # another study than the one that was bundled
            record = replace(record, name=name, names=())
        (Path(scratch) / "studies").mkdir()
        (Path(scratch) / "study").rename(unpacked.study_folder(name))
        unpacked.write_study(record)
        _require_fitting(unpacked, record, source)
        (unpacked.study_folder(name) / UNTRUSTED).touch()
        with store.alone():
            return _put_in_place(unpacked, record, store)


def _require_fitting(unpacked: Store, record: StudyRecord, source: Path) -> None:
    """Raise RecordError where what was unpacked does not fit together."""
    images = unpacked.home / "images"
    try:
        require_fitting(unpacked, record)
        if images.exists() and Images.open(images).content_hash != record.data["hash"]:
            raise RecordError("the bundle's images are not those of its study")
    except (RecordError, DataError) as error:
        said = str(error).replace(f"{unpacked.home}{os.sep}", "").partition(f"; {TUNE_HEALS}")[0]
        raise RecordError(
            f"{source}: its study does not fit together: {said}; nothing was imported"
        ) from None


def _put_in_place(unpacked: Store, record: StudyRecord, store: Store) -> StudyRecord:
    """Move what was unpacked into the store, which is held meanwhile."""
    name = record.name
    if (known := store.read_study(name)) is not None:
        if known == record:
            return known
        raise UsageError(f"another study {name} is in {store.home} already; import this one with --as NAME")
    for other in store.records():
        if study_id(other) == study_id(record):
            raise UsageError(
                f"the study is in {store.home} already, and is called {other.name}; import this one with --as NAME"
            )
    if store.is_driven(name):
        raise UsageError(f"a study {name} begins in {store.home}; import this one with --as NAME")
    _move_new(unpacked.home / "folds", store.home / "folds")
    images, kept = unpacked.home / "images", store.home / "data" / record.data["hash"]
    if images.exists() and not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        images.rename(kept)
    remove(store.study_folder(name))  # of one that had trained nothing
    _move_new(unpacked.home / "studies", store.home / "studies")
    return record


def _move_new(source: Path, target: Path) -> None:
    """Move every entry that is not there yet."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*")):
        if not (target / path.name).exists():
            shutil.move(path, target / path.name)


def _write_archive(path: Path, name: str, paths: dict[str, Path]) -> None:
    """The manifest first; text is compressed, weights and images are not worth it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        contents = {inside: file.read_bytes() for inside, file in paths.items() if not _is_large(inside)}
        files = {
            inside: Entry(
                file.stat().st_size, digest(contents[inside] if inside in contents else file.read_bytes())
            )
            for inside, file in paths.items()
        }
        archive.writestr(MANIFEST, json.dumps(plain_json(Manifest(FORMAT, name, files)), indent=1))
        for inside, file in paths.items():
            kind = zipfile.ZIP_STORED if _is_large(inside) else zipfile.ZIP_DEFLATED
            archive.write(file, inside, compress_type=kind)


def _is_large(inside: str) -> bool:
    return inside.startswith("images/") or inside.endswith((".safetensors", ".npz", ".png"))


def _manifest(archive: zipfile.ZipFile, source: Path) -> Manifest:
    """What is inside, once every name is a harmless one."""
    try:
        if archive.getinfo(MANIFEST).file_size > MOST_MANIFEST_BYTES:
            raise ValueError
        document = json.loads(archive.read(MANIFEST))
        version, study = document["format"], document.get("study", "")
        files = {path: Entry(entry["bytes"], entry["sha256"]) for path, entry in document["files"].items()}
        kinds = {(type(entry.bytes), type(entry.sha256)) for entry in files.values()}
        least = min((entry.bytes for entry in files.values()), default=0)
        if not kinds <= {(int, str)} or least < 0 or not isinstance(study, str):
            raise ValueError
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, RuntimeError):
        raise RecordError(f"{source}: not a bundle of harness") from None
    if version != FORMAT:
        raise RecordError(f"{source}: written by a newer harness (format {version}); please upgrade")
    for path in files:
        if not SAFE.fullmatch(path) or ".." in path:
            raise RecordError(
                f"{source}: has a file of an unexpected name, {path[:80]!r}; nothing was imported"
            )
    return Manifest(version, study, files)


def _extract(archive: zipfile.ZipFile, path: str, entry: Entry, target: Path, source: Path) -> None:
    """One file, read no further than its size in the manifest, and kept if its hash is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(path) as file:
            content = file.read(entry.bytes + 1)
    except (KeyError, RuntimeError, zipfile.BadZipFile):
        content = None
    if content is None or len(content) != entry.bytes or digest(content) != entry.sha256:
        raise RecordError(f"{source}: damaged: {path} is not what its manifest says; nothing was imported")
    target.write_bytes(content)
