"""The images that may show the same picture as another: the nearest by a description of forms and colours.

All images are compared with all others, also mirrored and turned by 90°, in blocks of a matrix product.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from harness.data.image_similarity import SIDE, luminance

FREQUENCIES, CHROMA_FREQUENCIES = 6, 3  # of each axis
EDGE = 3  # pixels of 32 that are not described: there may be a frame
HIGHEST = 3.5  # frequency: from about here on, a small shift changes more than it tells
COLOURS = 2.0  # weight of chroma
PLAIN = 2.0  # grey levels: an image that deviates less from its mean has nothing to compare
CLOSEST = 8  # neighbours of each image that are looked at
LIKELY = 0.6  # likeness, -1..1, from which on they are
TURNS = 8  # in how many ways a picture can lie: mirrored or not, turned by 0, 90, 180 or 270 degrees
MOST_ROWS = 512
BLOCK_CELLS = 2**24  # of a matrix product that are in memory at once
FOLDED = 64  # columns of which at first only the largest value is looked at
MAX_THREADS = 4


def described(scaled: np.ndarray) -> np.ndarray:
    """The low frequencies of images: float32 (n, D), of length 1, or 0 for an image of one colour.

    scaled: float32 (n, C, 32, 32). Brightness and contrast change nothing; small rotations, shifts and zooms little.
    """
    inner = scaled[:, :, EDGE : SIDE - EDGE, EDGE : SIDE - EDGE]
    grey = luminance(inner)
    planes = [(grey, FREQUENCIES, 1.0)]
    if scaled.shape[1] == 3:
        planes += [(inner[:, channel] - grey, CHROMA_FREQUENCIES, COLOURS) for channel in (2, 0)]
    parts = []
    for plane, count, weight in planes:
        rows = _cosines(plane.shape[1], count)
        frequency = np.hypot(*np.indices((count, count)))
        weights = weight * frequency * np.exp(-np.square(frequency / HIGHEST))
        if plane is not grey:
            weights[0, 0] = weights[0, 1] / 2
        parts.append((rows @ plane @ rows.T * weights).reshape(len(plane), count**2))
    found = np.concatenate(parts, axis=1).astype(np.float32)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    plain = scaled.std((2, 3)).max(1, keepdims=True) < PLAIN
    return np.where(plain, 0, found / np.maximum(length, 1e-6))


def nearest(ours: np.ndarray, theirs: np.ndarray | None, turns: int = TURNS) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of images worth a closer look: int64 (P, 2), and by which turn of the second one: int64 (P,).

    ours, theirs: what `described` makes of two sets; or None: pairs within one set are wanted, first index < second.
    """
    there = ours if theirs is None else theirs
    best = np.full((len(ours), CLOSEST), LIKELY, np.float32)
    index = np.full((len(ours), CLOSEST), -1, np.int64)
    turn_of = np.zeros((len(ours), CLOSEST), np.int64)
    step = max(1, min(MOST_ROWS, BLOCK_CELLS // max(len(there), 1)))
    workers = min(MAX_THREADS, os.cpu_count() or 1)

    def look(worker: int) -> None:
        buffer = np.empty(step * len(there), np.float32)  # memory that is new each time took half of the time
        for start in range(worker * step, len(ours), workers * step):
            rows = slice(start, start + step)
            first = start if theirs is None else 0
            shape = len(ours[rows]), len(there) - first
            likeness = buffer[: shape[0] * shape[1]].reshape(shape)
            np.matmul(ours[rows], turned_there[first:].T, out=likeness)
            if theirs is None:
                np.copyto(likeness[:, : shape[0]], -1, where=np.tri(shape[0], dtype=bool))
            values, columns = _largest(likeness)
            values = np.concatenate([best[rows], values], axis=1)
            columns = np.concatenate([index[rows], columns + first], axis=1)
            turns_there = np.concatenate([turn_of[rows], np.full((shape[0], CLOSEST), turn)], axis=1)
            order = np.argsort(-values, axis=1, kind="stable")[:, :CLOSEST]
            best[rows], index[rows], turn_of[rows] = (
                np.take_along_axis(table, order, 1) for table in (values, columns, turns_there)
            )

    with ThreadPoolExecutor(workers) as pool:
        for turn in range(turns if len(there) else 0):
            turned_there = _turned_descriptions(there, turn)
            list(pool.map(look, range(workers)))
    one, place = np.nonzero(index >= 0)
    return np.column_stack([one, index[one, place]]), turn_of[one, place]


def _largest(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest few of each row and their columns, (n, CLOSEST) each; the value is -1 where there are no more."""
    count, width = values.shape
    folded = width // FOLDED
    columns = np.broadcast_to(np.arange(width), values.shape)
    if folded > CLOSEST:  # those in the columns with the largest of FOLDED values, which is one pass over all
        highest = values[:, : folded * FOLDED].reshape(count, FOLDED, folded).max(1)
        leading = np.argpartition(-highest, CLOSEST - 1, axis=1)[:, :CLOSEST]
        places = leading[:, None] + folded * np.arange(FOLDED)[:, None]
        columns = np.concatenate([places.reshape(count, -1), columns[:, folded * FOLDED :]], axis=1)
    inside = np.take_along_axis(values, columns, 1)
    few = min(CLOSEST, inside.shape[1])
    places = np.argpartition(-inside, few - 1, axis=1)[:, :few]
    found, where = np.full((count, CLOSEST), -1, np.float32), np.full((count, CLOSEST), -1)
    found[:, :few] = np.take_along_axis(inside, places, 1)
    where[:, :few] = np.take_along_axis(columns, places, 1)
    return found, where


def _turned_descriptions(descriptions: np.ndarray, turn: int) -> np.ndarray:
    """What the descriptions of turned images would be."""
    parts = []
    for start, count in _planes(descriptions.shape[1]):
        part = descriptions[:, start : start + count**2].reshape(-1, count, count)
        if turn % 2:
            part = part * _mirroring(count)
        for _ in range(turn // 2):  # transposed and mirrored upside down
            part = part.transpose(0, 2, 1) * _mirroring(count)[:, None]
        parts.append(part.reshape(len(part), -1))
    return np.concatenate(parts, axis=1)


def _planes(width: int) -> Iterator[tuple[int, int]]:
    yield 0, FREQUENCIES
    for start in range(FREQUENCIES**2, width, CHROMA_FREQUENCIES**2):
        yield start, CHROMA_FREQUENCIES


def _mirroring(count: int) -> np.ndarray:
    return np.where(np.arange(count) % 2, -1, 1).astype(np.float32)


def _cosines(size: int, count: int) -> np.ndarray:
    """The lowest rows of the cosine transform's matrix: (count, size)."""
    frequency, place = np.arange(count)[:, None], np.arange(size)
    waves = np.cos(np.pi / size * frequency * (place + 0.5)) * np.sqrt(np.where(frequency, 2, 1) / size)
    return waves.astype(np.float32)
