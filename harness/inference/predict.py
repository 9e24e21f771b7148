"""From image files to predictions, as a stream: threads read and decode, this one runs the network.

Memory does not grow with the number of files.
"""

import contextlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np

from harness.data.decoding import decode
from harness.data.image_files import Candidate, read
from harness.inference.model import TrialModel
from harness.standalone.image_pixels import UnreadableError

BATCH_PIXELS = 2**19  # of one channel: 512 images of 32×32
CHUNK_IMAGES = (
    64  # that a thread decodes in one go; to hand over a single small file costs more than to decode it
)
MAX_THREADS = 8


@dataclass(frozen=True, eq=False)
class Predicted:
    """The result for one file.   probabilities: float32 (classes,), or None where `problem` says why there are none."""

    path: str
    probabilities: np.ndarray | None
    problem: str = ""


def predict_files(
    model: TrialModel, files: Iterable[Candidate], *, raw: bool = False
) -> Generator[Predicted, None, None]:
    """Every file's prediction, in order. Images are made of files as `data/folder.py` made the training images.

    raw: without the temperature. Warnings are off meanwhile: Pillow doubts files that it reads all the same.
    Raises DataError for a model whose images are not made of files.
    """
    with contextlib.closing(decoded_batches(model, files)) as batches:
        for batch in batches:
            yield from _predicted(model, batch, raw=raw)


Decoder = Callable[[bytes], np.ndarray]
Decoded = tuple[str, np.ndarray | str]  # a path, and its pixels or why there are none


def decoded_batches(model: TrialModel, files: Iterable[Candidate]) -> Generator[list[Decoded], None, None]:
    """Every file's pixels, in order, in batches of as many as a network is given at once.

    Warnings and errors as above.
    """
    channels, side = model.require_files()
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    size = max(1, BATCH_PIXELS // (side * side))
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(threads) as pool:
        to_pixels = partial(decode, image_size=side, channels=channels, policy=model.policy)
        decoded = _decoded(pool, iter(files), to_pixels, side, chunk=min(CHUNK_IMAGES, size), ahead=threads)
        while batch := list(islice(decoded, size)):
            yield batch


def _predicted(model: TrialModel, batch: list[Decoded], *, raw: bool) -> Iterator[Predicted]:
    pixels = [found for _, found in batch if not isinstance(found, str)]
    rows = iter(model.predict(np.stack(pixels), raw=raw) if pixels else ())
    for path, found in batch:
        yield Predicted(path, None, found) if isinstance(found, str) else Predicted(path, next(rows))


def _decoded(
    pool: ThreadPoolExecutor,
    files: Iterator[Candidate],
    to_pixels: Decoder,
    size: int,
    *,
    chunk: int,
    ahead: int,
) -> Iterator[Decoded]:
    """ahead: chunks for which threads are kept busy, beside as many that make the next batch."""
    waiting: deque[Future[list[Decoded]]] = deque()
    most = 2 * ahead + max(1, BATCH_PIXELS // (size * size) // chunk)
    try:
        while True:
            while len(waiting) < most and (part := list(islice(files, chunk))):
                waiting.append(pool.submit(_decode_all, part, to_pixels))
            if not waiting:
                return
            yield from waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _decode_all(files: list[Candidate], to_pixels: Decoder) -> list[Decoded]:
    found: list[Decoded] = []
    for path, problem in files:
        try:
            if problem:
                raise UnreadableError(problem)
            found.append((path, to_pixels(read(path))))
        except UnreadableError as error:
            found.append((path, str(error)))
    return found
