"""Images: what every data set is once it is decoded. In memory, or mapped from the folder it was saved in."""

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import numpy as np

from harness.data.grouping import by_appearance
from harness.errors import DataError, RecordError
from harness.files import read_json, sync, sync_folder, telling_disk_trouble, write_json
from harness.os_errors import require_about_the_file

SCHEMA = 1
ADVICE = "make room, or set HARNESS_DATA to a folder that has it"
SOFT_LABELS = "soft_labels.npy"
WHOLE = 1e-4  # by how much shares may miss 1 through rounding
CHUNK_BYTES = 2**24  # how much is read, hashed and written at a time


class Chunk(NamedTuple):
    """Some images on their way to a folder, as in `Images`. names: (n,) or ().

    groups, soft_labels: (n,) and (n, classes), or None for all.
    """

    pixels: np.ndarray
    labels: np.ndarray
    names: Sequence[str] = ()
    groups: np.ndarray | None = None
    soft_labels: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images of one size.

    pixels: uint8 (N, C, H, W), possibly a read-only memory map.   labels: int64 (N,), indices into classes.
    names: one per image, e.g. its path in the data set, or empty.   groups: int64 (N,), images that belong
    together and must not be split, or None.   path: the folder the pixels are mapped from, or None.
    soft_labels: float32 (N, classes), shares of the classes that sum to 1, which networks are trained on in place of
    the labels, or None.
    Raises DataError where these do not fit together.
    """

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    path: Path | None = None
    soft_labels: np.ndarray | None = None

    def __post_init__(self) -> None:
        problem = _misfit(self)
        if problem:
            raise DataError(f"{self.path or 'images'}: {problem}")

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over pixels, labels, shape, classes, groups and soft labels; reads all pixels once.

        Only which images are grouped together counts, not how the groups are numbered.
        """
        digest = hashlib.sha256()
        for chunk in self._chunks():
            digest.update(chunk.pixels.data)
        return _finished(digest, self.pixels.shape, self.labels, self.classes, self.groups, self.soft_labels)

    @cached_property
    def image_hashes(self) -> np.ndarray:
        """One for each image, over its pixels alone: uint8 (N, 16); reads all pixels once."""
        parts = [hash_images(chunk.pixels) for chunk in self._chunks()]
        return np.concatenate([np.empty((0, 16), np.uint8), *parts])

    def take(self, indices: np.ndarray) -> "Images":
        """The images at these indices, in that order, copied."""
        return Images(
            np.ascontiguousarray(self.pixels[indices]),
            self.labels[indices],
            self.classes,
            tuple(self.names[index] for index in indices) if self.names else (),
            None if self.groups is None else self.groups[indices],
            soft_labels=None if self.soft_labels is None else self.soft_labels[indices],
        )

    @property
    def hard(self) -> "Images":
        """The images without soft labels: as they are scored."""
        return self if self.soft_labels is None else replace(self, soft_labels=None)

    def save(self, folder: Path) -> None:
        """Write the folder that `open` reads, in one step; one that is there already is replaced."""
        write(folder, self._chunks(), self.classes, self.pixels.shape)

    @classmethod
    def open(cls, folder: Path) -> "Images":
        """Map the images saved in `folder`. Cheap: whether the pixels are intact is `verified`'s to say.

        Raises DataError if the folder is missing or not what `save` wrote.
        """
        try:
            meta = _read_meta(folder / "meta.json")
            pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
            labels = np.load(folder / "labels.npy", allow_pickle=False)
            groups = None if meta["groups"] is None else np.asarray(meta["groups"], dtype=np.int64)
            soft_labels = None
            if meta.get("soft_labels"):
                soft_labels = np.load(folder / SOFT_LABELS, allow_pickle=False)
            classes, names = tuple(meta["classes"]), tuple(meta["names"])
            if not all(isinstance(name, str) for name in (*classes, *names, meta["content_hash"])):
                raise TypeError("classes and names must be text")
            if not isinstance(pixels, np.ndarray) or not isinstance(labels, np.ndarray):
                raise TypeError("an archive of arrays in place of one")
        except DataError:
            raise
        except Exception as error:  # numpy answers a damaged header with half a dozen types
            require_about_the_file(error, folder)
            raise DataError(f"{folder}: damaged saved images ({type(error).__name__}: {error})") from None
        return cls(pixels, labels, classes, names, groups, folder, soft_labels)

    def verified(self) -> "Images":
        """These images, if their folder still holds the bits that were saved; else raises DataError."""
        if self.path is not None and _read_meta(self.path / "meta.json")["content_hash"] != self.content_hash:
            raise DataError(f"{self.path}: damaged: pixels or labels are not the ones that were saved")
        return self

    def _chunks(self) -> Iterator[Chunk]:
        step = max(1, CHUNK_BYTES // max(1, int(np.prod(self.pixels.shape[1:]))))
        for start in range(0, len(self.labels), step):
            part = slice(start, start + step)
            groups = None if self.groups is None else self.groups[part]
            soft_labels = None if self.soft_labels is None else self.soft_labels[part]
            pixels = np.ascontiguousarray(self.pixels[part])
            yield Chunk(pixels, self.labels[part], self.names[part], groups, soft_labels)


def hash_images(pixels: np.ndarray) -> np.ndarray:
    """The first 16 bytes of the SHA-256 of each image's pixels: uint8 (N, 16)."""
    digests = [hashlib.sha256(image.data).digest()[:16] for image in np.ascontiguousarray(pixels)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)


def write(
    folder: Path,
    chunks: Iterable[Chunk],
    classes: Sequence[str],
    shape: Sequence[int],
    *,
    notes: Sequence[str] = (),
) -> None:
    """Write images that need not fit into memory as the folder that `Images.open` reads, in one step.

    shape: (N, C, H, W); fewer than N images may come.   notes: lines kept for `read_notes`.
    A generator of chunks may still add to `notes`, which are written last.
    Raises StoreError if the disk is full.
    """
    temporary = folder.with_name(f".{folder.name[:16]}.{uuid4().hex[:12]}.tmp")
    with telling_disk_trouble(folder, math.prod(shape), advice=ADVICE):
        try:
            temporary.mkdir(parents=True)
            _write_files(temporary, chunks, classes, shape[1:], notes)
            _put_in_place(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def read_notes(folder: Path) -> tuple[str, ...]:
    """The lines that were written beside the images of a folder."""
    return tuple(_read_meta(folder / "meta.json")["notes"])


def _write_files(
    folder: Path,
    chunks: Iterable[Chunk],
    classes: Sequence[str],
    image_shape: Sequence[int],
    notes: Sequence[str],
) -> None:
    digest = hashlib.sha256()
    all_labels: list[np.ndarray] = [np.empty(0, np.int64)]
    all_names: list[str] = []
    all_groups: list[np.ndarray] = []
    all_soft_labels: list[np.ndarray] = []
    with (folder / "pixels.npy").open("wb") as file:
        _write_header(file, (0, *image_shape))
        for chunk in chunks:
            file.write(chunk.pixels.data)
            digest.update(chunk.pixels.data)
            all_labels.append(chunk.labels)
            all_names.extend(chunk.names)
            all_groups += [] if chunk.groups is None else [chunk.groups]
            all_soft_labels += [] if chunk.soft_labels is None else [chunk.soft_labels]
        labels = np.concatenate(all_labels)
        shape = (len(labels), *image_shape)
        _write_header(file, shape)
        sync(file)
    groups = np.concatenate(all_groups) if all_groups else None
    soft_labels = np.concatenate(all_soft_labels) if all_soft_labels else None
    for name, values in (("labels.npy", labels), (SOFT_LABELS, soft_labels)):
        if values is not None:
            with (folder / name).open("wb") as file:
                np.save(file, values, allow_pickle=False)
                sync(file)
    meta = {
        "schema": SCHEMA,
        "content_hash": _finished(digest, shape, labels, classes, groups, soft_labels),
        "classes": list(classes),
        "names": all_names,
        "groups": None if groups is None else groups.tolist(),
        "notes": list(notes),
        **({} if soft_labels is None else {"soft_labels": True}),
    }
    write_json(folder / "meta.json", meta)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """numpy leaves room in the header for the first axis to grow, so it can be written again at the end."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Rename. Where another process was faster with the same images, theirs stay: they may be in use."""
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        if _equal(temporary, folder):
            return
        aside = temporary.with_suffix(".old")
        folder.rename(aside)
        temporary.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    sync_folder(folder.parent)


def _equal(temporary: Path, folder: Path) -> bool:
    try:
        Images.open(folder).verified()
        return _read_meta(folder / "meta.json") == _read_meta(temporary / "meta.json")
    except DataError:
        return False


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = read_json(path)
        if meta["schema"] != SCHEMA:
            raise RecordError(f"{path}: written by another release")
    except (RecordError, KeyError, RecursionError) as error:
        raise DataError(str(error)) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    return meta


def _finished(
    digest: Any,
    shape: Sequence[int],
    labels: np.ndarray,
    classes: Sequence[str],
    groups: np.ndarray | None,
    soft_labels: np.ndarray | None,
) -> str:
    """The content hash, given a digest that has taken the pixels."""
    digest.update(labels.astype("<i8").tobytes())
    digest.update(json.dumps([list(map(int, shape)), list(classes)]).encode())
    if groups is not None:
        digest.update(by_appearance(groups).astype("<i8").tobytes())
    if soft_labels is not None:
        digest.update(b"soft labels" + soft_labels.astype("<f4").tobytes())
    return str(digest.hexdigest())


def _misfit(images: Images) -> str:
    """What does not fit together, or ""."""
    pixels, labels, num_classes = images.pixels, images.labels, len(images.classes)
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        return f"pixels must be uint8 (N, C, H, W), not {pixels.dtype} {pixels.shape}"
    if labels.shape != (len(pixels),) or labels.dtype != np.int64:
        return f"labels must be int64 ({len(pixels)},), not {labels.dtype} {labels.shape}"
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        return f"labels must be 0..{num_classes - 1}, not {labels.min()}..{labels.max()}"
    if images.names and len(images.names) != len(labels):
        return f"{len(images.names)} names for {len(labels)} images"
    if images.groups is not None and images.groups.shape != labels.shape:
        return f"groups must have shape {labels.shape}, not {images.groups.shape}"
    if images.soft_labels is not None:
        return _misfit_of_soft_labels(images.soft_labels, (len(labels), num_classes))
    return ""


def _misfit_of_soft_labels(shares: np.ndarray, shape: tuple[int, int]) -> str:
    if shares.shape != shape or shares.dtype != np.float32:
        return f"soft labels must be float32 {shape}, not {shares.dtype} {shares.shape}"
    if len(shares) and not (shares.min() >= 0 and np.abs(shares.sum(1) - 1).max() < WHOLE):
        return "soft labels must be shares, 0 and more, that sum to 1"
    return ""
