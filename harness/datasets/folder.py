"""Your own images: a folder with one folder per class, or train/ and test/ folders of such.

Source: yours
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from harness.catalog import Between
from harness.datasets.cache import cached, opened
from harness.datasets.decoding import DECODER, Unreadable, decode
from harness.datasets.holdout import test_part
from harness.datasets.images import CHUNK_BYTES, Chunk, Images, read_notes, write
from harness.datasets.listing import ImageFile, Listing, list_images
from harness.errors import DataError

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 2**28
NUM_NAMED = 5  # unreadable files that a message names


def load(
    home: Path,
    part: Literal["train", "test"],
    *,
    root: str,
    image_size: Annotated[int, Between(4, 1024)] = 32,
    channels: Literal[1, 3] = 3,
    unreadable: Literal["refuse", "skip"] = "refuse",
    test_fraction: Annotated[float, Between(above=0.0, high=0.9)] = 0.2,
) -> Images:
    """The images of `root`, each cut to its central square and resized, decoded once and then mapped from disk.

    unreadable: what a file that is no whole image means.   test_fraction: held out where there is no test folder.
    A decoded copy is kept below `home`, named by the content of all files; names, sizes and times of the files
    tell whether they are still the same. Raises DataError for an unusable folder.
    """
    listing = list_images(Path(root).expanduser(), part)
    recipe = json.dumps([
        DECODER, version("pillow"), part, image_size, channels, unreadable, None if listing.official else test_fraction
    ])  # fmt: skip
    cache = home / "cache"
    seen = cache / "seen" / listing.fingerprint(str(Path(root).absolute()), recipe)
    images = opened(cache / seen.read_text()) if seen.is_file() else None
    if images is None:
        digests = _hash_files(listing)
        chosen = _chosen(listing, digests, part, test_fraction)
        key = _key(recipe, listing, [(listing.files[index].name, digests[index]) for index in chosen])
        reader = _Reader(listing, digests, chosen, image_size, channels, unreadable == "skip", root)
        images = cached(cache / f"folder-{key}", reader.write, lock=f"folder-{key}.lock")
        if all(digests):  # a file that could not be read at all is tried again next time
            seen.parent.mkdir(exist_ok=True)
            seen.write_text(f"folder-{key}")
    assert images.path is not None
    for note in read_notes(images.path):
        logger.warning("%s: %s", root, note)
    return images


class _Reader:
    """Decodes the chosen files of a listing, chunk by chunk."""

    def __init__(
        self,
        listing: Listing,
        digests: list[bytes],
        chosen: np.ndarray,
        image_size: int,
        channels: int,
        skip: bool,
        root: str,
    ):
        self.listing, self.digests, self.chosen = listing, digests, chosen
        self.image_size, self.channels, self.skip, self.root = image_size, channels, skip, root
        self.notes: list[str] = []

    def write(self, folder: Path) -> None:
        shape = (self.channels, self.image_size, self.image_size)
        write(folder, self._chunks(), self.listing.classes, shape, notes=self.notes)

    def _chunks(self) -> Iterator[Chunk]:
        started, told, unreadable = time.monotonic(), time.monotonic(), []
        size = max(1, min(1000, CHUNK_BYTES // (self.channels * self.image_size**2)))
        with ThreadPoolExecutor() as pool:
            for start in range(0, len(self.chosen), size):
                indices = self.chosen[start : start + size]
                decoded = list(pool.map(self._decode, indices))
                files = [self.listing.files[index] for index in indices]
                unreadable += [
                    (file, it) for file, it in zip(files, decoded, strict=True) if isinstance(it, str)
                ]
                good = [
                    (file, it) for file, it in zip(files, decoded, strict=True) if not isinstance(it, str)
                ]
                if good:
                    labels = np.array([file.label for file, _ in good], dtype=np.int64)
                    yield np.stack([pixels for _, pixels in good]), labels, [file.name for file, _ in good]
                if time.monotonic() - told > 5:
                    told = time.monotonic()
                    logger.info(
                        "%s: decoded %d of %d images", self.root, start + len(indices), len(self.chosen)
                    )
        logger.info(
            "%s: decoded %d images in %.1f s", self.root, len(self.chosen), time.monotonic() - started
        )
        self._judge(unreadable)

    def _decode(self, index: int) -> np.ndarray | str:
        """The pixels of one file, or why it is unreadable."""
        file = self.listing.files[index]
        try:
            content = _read(file)
            if hashlib.sha256(content).digest() != self.digests[index]:
                raise DataError(
                    f"{file.path}: changed while the images were being read; run the command again"
                )
            return decode(content, image_size=self.image_size, channels=self.channels)
        except Unreadable as error:
            return str(error)

    def _judge(self, unreadable: list[tuple[ImageFile, str]]) -> None:
        if not unreadable:
            return
        named = "; ".join(f"{file.name} ({reason})" for file, reason in unreadable[:NUM_NAMED])
        more = f"; and {len(unreadable) - NUM_NAMED} more" if len(unreadable) > NUM_NAMED else ""
        what = f"{len(unreadable)} of {len(self.chosen)} images are unreadable"
        if not self.skip:
            raise DataError(
                f"{self.root}: {what}: {named}{more}; repair or remove them, or set data.unreadable: skip"
            )
        self.notes.append(f"{what} and left out: {named}{more}")


def _hash_files(listing: Listing) -> list[bytes]:
    """SHA-256 of each file's bytes, b"" where there is no reading it."""
    logger.info("reading %d images", len(listing.files))
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_hash_file, listing.files, chunksize=100))


def _hash_file(file: ImageFile) -> bytes:
    try:
        return hashlib.sha256(_read(file)).digest()
    except Unreadable:
        return b""


def _read(file: ImageFile) -> bytes:
    if file.problem:
        raise Unreadable(file.problem)
    try:
        with open(file.path, "rb") as opened_file:  # noqa: PTH123  a Path costs more than the reading
            content = opened_file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    if len(content) > MAX_FILE_BYTES:
        raise Unreadable(f"larger than {MAX_FILE_BYTES:,} bytes")
    return content


def _chosen(
    listing: Listing, digests: list[bytes], part: Literal["train", "test"], test_fraction: float
) -> np.ndarray:
    """Indices of the files of a part. Equal files are never in both: they are held out by their content."""
    if listing.official:
        return np.arange(len(listing.files))
    labels = np.array([file.label for file in listing.files], dtype=np.int64)
    keys = [digest or file.name.encode() for digest, file in zip(digests, listing.files, strict=True)]
    held_out = test_part(labels, keys, fraction=test_fraction, classes=listing.classes)
    return np.flatnonzero(held_out == (part == "test"))


def _key(recipe: str, listing: Listing, files: list[tuple[str, bytes]]) -> str:
    lines = [recipe, json.dumps(listing.classes), *(f"{digest.hex()} {name}" for name, digest in files)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
