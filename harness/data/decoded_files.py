"""All files of a folder decoded in one pass: pixels to train on, thumbnails to find duplicates by, facts to tell."""

import hashlib
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from uuid import uuid4

import numpy as np

from harness.data.decoding import decode_with_facts
from harness.data.file_facts import Facts
from harness.data.image_files import ImageFile, read
from harness.data.images import ADVICE, CHUNK_BYTES
from harness.data.policy import DEFAULT, Policy
from harness.errors import DataError
from harness.files import telling_disk_trouble
from harness.standalone.image_pixels import UnreadableError

logger = logging.getLogger(__name__)

TELL_EVERY = 10_000
MAX_THREADS = 8  # they pay for photographs; small files hold Python's lock
COMPARED = 32  # pixels of a thumbnail, whatever the image size of the study: so that the test part is the same for all
Shapes = dict[str, tuple[int, ...]]  # (C, H, W) by array
MISSING = Facts("", 0, 0, "", False, 0, None, None, None)  # of a file that is unreadable


@dataclass(frozen=True, eq=False)
class DecodedFiles:
    """pixels: uint8 (N, C, H, W), a memory map; of unreadable files noise, which is like nothing else.

    thumbnails: uint8 (N, 3, COMPARED, COMPARED), of the same kind.   facts, sizes: (N,), the latter in bytes.
    problems: why files are unreadable, by index.
    """

    pixels: np.ndarray
    thumbnails: np.ndarray
    facts: tuple[Facts, ...]
    sizes: tuple[int, ...]
    problems: dict[int, str]


@contextmanager
def decoded(
    files: Sequence[ImageFile],
    digests: Sequence[bytes],
    place: Path,
    *,
    image_size: int,
    channels: int,
    policy: Policy = DEFAULT,
) -> Iterator[DecodedFiles]:
    """Decode the files into a temporary folder beside `place`, which goes afterwards.

    digests: SHA-256 of each file. Raises DataError for a file that has others now; StoreError where the disk is full.
    """
    shapes: Shapes = {"pixels": (channels, image_size, image_size), "thumbnails": (3, COMPARED, COMPARED)}
    folder = place.with_name(f".{place.name[:16]}.{uuid4().hex[:12]}.tmp")
    folder.mkdir(parents=True)
    try:
        with telling_disk_trouble(place, len(files) * sum(map(prod, shapes.values())), advice=ADVICE):
            facts, sizes, problems = _write(files, digests, folder, shapes, policy)
        arrays = {
            name: np.memmap(folder / name, np.uint8, "r", shape=(len(files), *shape))
            for name, shape in shapes.items()
        }
        yield DecodedFiles(**arrays, facts=facts, sizes=sizes, problems=problems)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(
    files: Sequence[ImageFile], digests: Sequence[bytes], folder: Path, shapes: Shapes, policy: Policy
) -> tuple[tuple[Facts, ...], tuple[int, ...], dict[int, str]]:
    sizes = [(shape[1], shape[0]) for shape in shapes.values()]
    step = max(1, min(256, CHUNK_BYTES // prod(shapes["pixels"])))
    facts, num_bytes, problems = [], [], {}
    with (
        ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool,
        (folder / "pixels").open("wb") as pixels,
        (folder / "thumbnails").open("wb") as thumbnails,
        warnings.catch_warnings(action="ignore"),  # Pillow doubts files that it reads all the same
    ):
        for start in range(0, len(files), step):
            part = slice(start, start + step)
            results = pool.map(_decode, files[part], digests[part], [sizes] * step, [policy] * step)
            for index, (size, result) in enumerate(results, start):
                if isinstance(result, str):
                    problems[index] = result
                    random = np.random.default_rng(index)
                    arrays = [random.integers(0, 256, shape, np.uint8) for shape in shapes.values()]
                    result = (arrays, MISSING)
                (image, thumbnail), of_file = result
                pixels.write(image.data)
                thumbnails.write(thumbnail.data)
                facts.append(of_file)
                num_bytes.append(size)
            if (start + step) // TELL_EVERY > start // TELL_EVERY and start + step < len(files):
                logger.info("%s of %s images decoded", f"{start + step:,}", f"{len(files):,}")
    return tuple(facts), tuple(num_bytes), problems


def _decode(
    file: ImageFile, digest: bytes, sizes: Sequence[tuple[int, int]], policy: Policy
) -> tuple[int, tuple[list[np.ndarray], Facts] | str]:
    """The size of a file, and what is in it, or why it is unreadable."""
    size = 0
    try:
        content = read_file(file)
        size = len(content)
        if hashlib.sha256(content).digest() != digest:
            raise DataError(f"{file.path}: changed while it was being read; run the command again")
        return size, decode_with_facts(content, sizes=sizes, policy=policy)
    except UnreadableError as error:
        return size, str(error)


def hash_file(file: ImageFile) -> bytes:
    """SHA-256 of a file's bytes, b"" where there is no reading it."""
    try:
        return hashlib.sha256(read_file(file)).digest()
    except UnreadableError:
        return b""


def read_file(file: ImageFile) -> bytes:
    """The bytes of a listed file. Raises UnreadableError."""
    if file.problem:
        raise UnreadableError(file.problem)
    return read(file.path)
