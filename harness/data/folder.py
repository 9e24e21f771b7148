"""Your own images: a folder with one folder per class, or train/ and test/ folders of such.

Source: yours
"""

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from harness.config.signatures import Between
from harness.data import grouping, near_duplicates
from harness.data.cache import cached, opened
from harness.data.decoding import DECODER, UnreadableError, decode
from harness.data.holdout import group_keys, test_part
from harness.data.image_files import ImageFile, Listing, list_images, read
from harness.data.images import CHUNK_BYTES, Chunk, Images, read_notes, write
from harness.errors import DataError, StoreError
from harness.files import write_file

logger = logging.getLogger(__name__)

TELL_EVERY = 10_000
MAX_THREADS = 8  # they pay for photographs; small files hold Python's lock
NUM_NAMED = 5  # unreadable files that a message names
COMPARED = 32  # pixels, whatever the image size of the study: so that the test part is the same for all


def load(
    home: Path,
    part: Literal["train", "test"],
    *,
    root: str,
    image_size: Annotated[int, Between(4, 1024)] = 32,
    channels: Literal[1, 3] = 3,
    unreadable: Literal["refuse", "skip"] = "refuse",
    test_fraction: Annotated[float, Between(above=0.0, high=0.9)] = 0.2,
    groups: grouping.Groups | None = None,
) -> Images:
    """The images of `root`, cut to their central squares and resized; decoded once, then mapped from disk.

    root: the folder; it has a folder for each class, or train and test folders of such.
    image_size: sides that images are cut and resized to, in pixels.   channels: 3 for colour, 1 for grey.
    unreadable: what becomes of files that are no whole image.
    test_fraction: share of the images that is sealed as the test part, where there is no test folder.
    groups: how images of one object are known (see grouping.py), which are then never split between the test
    part and the training part, or between folds. Groups that have an equal file are one.
    Duplicates are never split between the test part and the training part either (see near_duplicates.py).
    A decoded copy is kept below `home`, named by the content of all files; their names, sizes and times tell
    whether they are still the same. Raises DataError for an unusable folder.
    """
    listing = list_images(Path(root).expanduser(), part)
    named = [] if groups is None else _group_names(groups, listing, root, part)
    held_out = None if listing.official else [test_fraction, near_duplicates.VERSION]
    decoder = [DECODER, version("pillow")]
    recipe = json.dumps([*decoder, part, image_size, channels, unreadable, held_out])
    cache = home / "cache"
    seen = cache / "seen" / listing.fingerprint(str(Path(root).absolute()), recipe, json.dumps(named))
    images = _remembered(seen, cache)
    if images is None:
        logger.info("reading %d image files", len(listing.files))
        digests = [_hash_file(file) for file in listing.files]  # threads made it slower
        keys = [digest or file.name.encode() for digest, file in zip(digests, listing.files, strict=True)]
        together = grouping.merged(named, keys) if named else []
        chosen = np.arange(len(listing.files))
        if not listing.official:
            alike = _duplicates(listing, digests, cache, json.dumps(decoder)).groups(len(chosen))
            labels = np.array([file.label for file in listing.files], dtype=np.int64)
            together_keys = group_keys(together) or keys
            in_test = test_part(labels, together_keys, alike, fraction=test_fraction, classes=listing.classes)
            chosen = np.flatnonzero(in_test == (part == "test"))
        notes = list(_merger_notes(named, together))
        reader = _Reader(
            root, listing, digests, together, chosen, image_size, channels, unreadable == "skip", notes
        )
        name = f"folder-{reader.key(recipe)}"
        images = cached(cache / name, reader.write, lock=f"{name}.lock")
        if all(digests):  # a file that could not be read at all is tried again next time
            with suppress(OSError, StoreError):  # without it, the next start reads the files again
                write_file(seen, name.encode("ascii"))
    assert images.path is not None
    for note in read_notes(images.path):
        logger.warning("%s: %s", root, note)
    return images


@dataclass
class _Reader:
    """Decodes the chosen files of a listing, chunk by chunk. groups: the name of each file's, or empty."""

    root: str
    listing: Listing
    digests: list[bytes]
    groups: list[str]
    chosen: np.ndarray
    image_size: int
    channels: int
    skip: bool
    notes: list[str]

    def key(self, recipe: str) -> str:
        """A name for the decoded images: other names, classes, bytes or options give another one."""
        files = (f"{self.digests[index].hex()} {self.listing.files[index].name}" for index in self.chosen)
        lines = [recipe, json.dumps(self.listing.classes), *files]
        lines += [json.dumps([self.groups[index] for index in self.chosen])] if self.groups else []
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]

    def write(self, folder: Path) -> None:
        shape = (len(self.chosen), self.channels, self.image_size, self.image_size)
        write(folder, self._chunks(), self.listing.classes, shape, notes=self.notes)

    def _chunks(self) -> Iterator[Chunk]:
        unreadable: list[str] = []
        numbers = np.unique(self.groups, return_inverse=True)[1].astype(np.int64)  # of every file's group
        size = max(1, min(256, CHUNK_BYTES // (self.channels * self.image_size**2)))
        with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
            for start in range(0, len(self.chosen), size):
                good, bad = self.decode_all(pool, self.chosen[start : start + size])
                unreadable += bad
                if good:
                    files = [self.listing.files[index] for index in good]
                    labels = np.array([file.label for file in files], dtype=np.int64)
                    groups = numbers[list(good)] if self.groups else None
                    yield Chunk(np.stack(list(good.values())), labels, [file.name for file in files], groups)
                if (start + size) // TELL_EVERY > start // TELL_EVERY and start + size < len(self.chosen):
                    logger.info("%s: %d of %d images decoded", self.root, start + size, len(self.chosen))
        self._judge(unreadable)

    def decode_all(
        self, pool: ThreadPoolExecutor, indices: np.ndarray
    ) -> tuple[dict[int, np.ndarray], list[str]]:
        """The images' pixels by index, and the names of those that are unreadable, with reasons."""
        good, bad = {}, []
        with warnings.catch_warnings(action="ignore"):  # Pillow doubts files that it reads all the same
            results = list(pool.map(self._decode, indices))
        for index, result in zip(indices.tolist(), results, strict=True):
            if isinstance(result, str):
                bad.append(f"{self.listing.files[index].name} ({result})")
            else:
                good[index] = result
        return good, bad

    def _decode(self, index: int) -> np.ndarray | str:
        """The pixels of one file, or why it is unreadable."""
        file = self.listing.files[index]
        try:
            content = _read(file)
            if hashlib.sha256(content).digest() != self.digests[index]:
                raise DataError(f"{file.path}: changed while it was being read; run the command again")
            return decode(content, image_size=self.image_size, channels=self.channels)
        except UnreadableError as error:
            return str(error)

    def _judge(self, unreadable: list[str]) -> None:
        if not unreadable:
            return
        more = f"; and {len(unreadable) - NUM_NAMED} more" if len(unreadable) > NUM_NAMED else ""
        named = "; ".join(unreadable[:NUM_NAMED]) + more
        what = f"{len(unreadable)} of {len(self.chosen)} images are unreadable"
        if not self.skip:
            advice = "repair or remove them, or set data.unreadable: skip"
            raise DataError(f"{self.root}: {what}: {named}; {advice}")
        self.notes.append(f"{what} and left out: {named}")


@dataclass
class _Thumbnails:
    """The images of a reader as an array (N, C, H, W), of which only what is asked for is ever in memory."""

    reader: _Reader
    pool: ThreadPoolExecutor

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.reader.chosen), self.reader.channels, self.reader.image_size, self.reader.image_size

    def __getitem__(self, index: Any) -> np.ndarray:
        """Unreadable images are noise, which is like nothing else."""
        indices = self.reader.chosen[index]
        good, _ = self.reader.decode_all(self.pool, indices)
        for image in set(indices.tolist()) - set(good):
            noise = np.random.default_rng(image).integers(0, 256, self.shape[1:], dtype=np.uint8)
            good[image] = noise
        return np.stack([good[image] for image in indices.tolist()])


def _duplicates(
    listing: Listing, digests: list[bytes], cache: Path, recipe: str
) -> near_duplicates.Duplicates:
    """Those among all files, looked for once and then kept."""
    name = hashlib.sha256("\n".join([recipe, *map(bytes.hex, digests)]).encode()).hexdigest()[:32]
    everything = np.arange(len(listing.files))

    def search() -> near_duplicates.Duplicates:
        reader = _Reader("", listing, digests, [], everything, COMPARED, 3, skip=True, notes=[])
        with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
            return near_duplicates.find(_Thumbnails(reader, pool))

    return near_duplicates.remembered(cache / f"duplicates-{name}.npz", search)


def _group_names(
    groups: grouping.Groups, listing: Listing, root: str, part: Literal["train", "test"]
) -> list[str]:
    """The group of each file. Where the test part is a folder of its own, no group may be in both."""
    named = grouping.group_names(groups, [file.name for file in listing.files], part)
    if listing.official:
        other: Literal["train", "test"] = "test" if part == "train" else "train"
        files = list_images(Path(root).expanduser(), other).files
        shared = set(named) & set(grouping.group_names(groups, [file.name for file in files], other))
        if shared:
            raise DataError(
                f"{root}: group {min(shared)} has images in train/ and in test/, and must not be split "
                f"({len(shared)} such groups)"
            )
    return named


def _merger_notes(named: list[str], together: list[str]) -> Iterator[str]:
    """What a user should know of groups that became one."""
    pairs = sorted({(name, first) for name, first in zip(named, together, strict=True) if name != first})
    if pairs:
        examples = ", ".join(f"{name} with {first}" for name, first in pairs[:NUM_NAMED])
        yield f"{len(pairs)} groups have an image equal to one of another group and count as one: {examples}"


def _remembered(seen: Path, cache: Path) -> Images | None:
    """The images that were decoded when the files had these names, sizes and times."""
    try:
        return opened(cache / seen.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _hash_file(file: ImageFile) -> bytes:
    """SHA-256 of a file's bytes, b"" where there is no reading it."""
    try:
        return hashlib.sha256(_read(file)).digest()
    except UnreadableError:
        return b""


def _read(file: ImageFile) -> bytes:
    if file.problem:
        raise UnreadableError(file.problem)
    return read(file.path)
