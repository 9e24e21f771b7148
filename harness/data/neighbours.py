"""The images that may show the same picture as another: the nearest by a description of forms and colours.

All images are compared with all others, also mirrored and turned by 90°, in blocks of a matrix product.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from harness.data.looks import SIDE, luminance

FREQUENCIES, CHROMA_FREQUENCIES = 5, 4  # of each axis
EDGE = 3  # pixels of 32 that are not described: there may be a frame
HIGHEST = 3.0  # frequency: from about here on, a small shift changes more than it tells
COLOURS = 2.0  # weight of chroma
PLAIN = 2.0  # grey levels: an image that deviates less from its mean has nothing to compare
CLOSEST = 12  # neighbours of each image that are looked at
LIKELY = 0.6  # likeness, -1..1, from which on they are
TURNS = 8  # in how many ways a picture can lie: mirrored or not, turned by 0, 90, 180 or 270 degrees
SCALE = 2048  # of descriptions, in whole numbers: float32 has sums of their products exactly, in any order
ROWS, COLUMNS = 256, 1024  # of a matrix product: a mebibyte, which stays in a processor's cache
MAX_THREADS = 4
NONE = np.empty(0, np.int64)

Result = TypeVar("Result")


def described(scaled: np.ndarray) -> np.ndarray:
    """The low frequencies of images: whole numbers, float32 (n, D), of length SCALE, or 0 for an image of one colour.

    scaled: float32 (n, C, 32, 32). Brightness and contrast change nothing; small rotations, shifts and zooms little.
    Rounded from float64, so that another processor's last bits give the same numbers.
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
        parts.append((rows @ plane.astype(np.float64) @ rows.T * weights).reshape(len(plane), count**2))
    found = np.concatenate(parts, axis=1)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    plain = scaled.std((2, 3), dtype=np.float64).max(1, keepdims=True) < PLAIN
    whole: np.ndarray = np.rint(np.where(plain, 0, found * (SCALE / np.maximum(length, 1e-6)))).astype(
        np.float32
    )
    return whole


def nearest(
    ours: np.ndarray, theirs: np.ndarray | None, *, turns: int = TURNS
) -> tuple[np.ndarray, np.ndarray]:
    """Of each image the most similar others: int64 pairs (P, 2), and how the second has to be turned, int64 (P,).

    ours, theirs: what `described` makes of two sets; or None: pairs within one set are wanted, first index < second.
    """
    there = ours if theirs is None else theirs
    backs = [turn if turn % 2 else -turn % TURNS for turn in range(turns)]

    def look(start: int) -> tuple[np.ndarray, ...]:
        rows = ours[start : start + ROWS]
        lying = [
            _turned_descriptions(rows, back) for back in backs
        ]  # instead of the others, each the other way
        kept, cells = _Closest(len(rows)), np.empty((len(rows), COLUMNS), np.float32)
        for first in range(start if theirs is None else 0, len(there), COLUMNS):
            tile = there[first : first + COLUMNS].T
            likeness = cells[:, : tile.shape[1]]
            for turn, some in enumerate(lying):
                np.matmul(some, tile, out=likeness)
                if theirs is None and first < start + ROWS:
                    likeness[
                        np.arange(first, first + tile.shape[1]) <= start + np.arange(len(rows))[:, None]
                    ] = -1
                kept.add(likeness, first, turn)
            kept.settle(at_least=len(rows))
        row, _, column, turn_of = kept.settle(at_least=0)
        return row + start, column, turn_of

    parts = in_threads(look, range(0, len(ours), ROWS))
    one, two, turn_of = (np.concatenate(part) for part in zip(*parts, strict=True)) if parts else [NONE] * 3
    return np.column_stack([one, two]), turn_of


def in_threads(call: Callable[[int], Result], starts: Iterable[int]) -> list[Result]:
    """What the calls return, in the order of starts."""
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(call, starts))


class _Closest:
    """The largest CLOSEST likenesses of each row, of all tiles that have been added.

    Those that may be among them are gathered, and sorted when there are many.
    """

    def __init__(self, count: int) -> None:
        self.least = np.full(count, LIKELY * SCALE**2, np.float32)  # that has to be surpassed, of each row
        self.found = [(NONE, np.empty(0, np.float32), NONE, NONE)]  # row, likeness, column, turn

    def add(self, likeness: np.ndarray, first: int, turn: int) -> None:
        """likeness: (count, columns), of columns from `first` on."""
        rows = np.flatnonzero(likeness.max(1) > self.least)
        if len(rows):
            some = likeness[rows]
            row, column = np.nonzero(some > self.least[rows, None])
            self.found.append((rows[row], some[row, column], column + first, np.full(len(row), turn)))

    def settle(self, at_least: int) -> tuple[np.ndarray, ...]:
        """Leaves the closest, row by row and the closest first, if so many were added since."""
        if sum(len(part[0]) for part in self.found[1:]) < at_least or len(self.found) == 1:
            return self.found[0]
        row, likeness, column, turn = (np.concatenate(part) for part in zip(*self.found, strict=True))
        order = np.lexsort((turn, column, -likeness, row))
        starts = np.searchsorted(row[order], np.arange(len(self.least)))
        place = np.arange(len(order)) - starts[row[order]]
        last = order[place == CLOSEST - 1]
        self.least[row[last]] = likeness[last]
        order = order[place < CLOSEST]
        self.found = [(row[order], likeness[order], column[order], turn[order])]
        return self.found[0]


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
    waves: np.ndarray = np.cos(np.pi / size * frequency * (place + 0.5)) * np.sqrt(
        np.where(frequency, 2, 1) / size
    )
    return waves
