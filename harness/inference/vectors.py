"""The vectors of a folder's images, and which of them are most alike: exact, for each is compared with all."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MOST_PAIRS = 10_000  # that are named; all are counted
ROWS, COLUMNS = 1024, 8192  # of a block of scores, when all are compared with all
PAIR = np.dtype([("one", np.int64), ("two", np.int64), ("score", np.float64)])


@dataclass(frozen=True, eq=False)
class Index:
    """folder: of the images.   names: their paths in it, in the order of the vectors.

    states: size and times of each file.   vectors: float32 (N, D), of length 1.
    unreadable: files that are no images, by name: the state, and why.
    models: where the models are from that made it; several may make the same vectors.
    """

    folder: Path
    names: tuple[str, ...]
    states: tuple[str, ...]
    vectors: np.ndarray
    unreadable: dict[str, tuple[str, str]]
    models: tuple[str, ...] = ()

    def path(self, number: int) -> str:
        return os.path.join(self.folder, self.names[number])  # noqa: PTH118  a Path is slower

    def nearest(self, query: np.ndarray, top: int, *, without: str | None = None) -> list[tuple[int, float]]:
        """The most similar images and their scores, best first.   query: (D,).   without: a path not to be found."""
        rough = self.vectors @ query
        count = min(top + 1, len(rough))
        found = np.argpartition(-rough, count - 1)[:count]
        scores = cosines(self.vectors[found], np.broadcast_to(query, (count, len(query))))
        order = np.lexsort((found, -scores))
        skipped = None if without is None else os.path.realpath(without)
        kept = [
            (number, score)
            for number, score in zip(found[order].tolist(), scores[order].tolist(), strict=True)
            if skipped is None or os.path.realpath(self.path(number)) != skipped
        ]
        return kept[:top]

    def pairs(self, threshold: float, *, most: int = MOST_PAIRS) -> tuple[int, list[tuple[int, int, float]]]:
        """How many pairs are at least so similar, and the most similar of them, best first.

        Every image is compared with every other, block by block, in float32: as much as `rounding` says below the
        threshold counts as reaching it. The scores that are returned are computed once more, in float64.
        """
        threshold -= rounding(self.vectors.shape[1])
        count, floor, best = 0, threshold, np.empty(0, dtype=PAIR)
        for top, left, scores in self._blocks_of_scores():
            count += int(np.count_nonzero(scores >= threshold))
            ones, twos = np.nonzero(scores >= floor)
            found = np.empty(len(ones), dtype=PAIR)
            found["one"], found["two"], found["score"] = ones + top, twos + left, scores[ones, twos]
            best = np.concatenate([best, found])
            if len(best) > 2 * most:
                best = _best(best, most)
                floor = best["score"][-1]  # what is less can be among the best no more
        named = _best(best, most)
        for start in range(0, len(named), ROWS):
            part = named[start : start + ROWS]
            part["score"] = cosines(self.vectors[part["one"]], self.vectors[part["two"]])
        return count, [(one, two, score) for one, two, score in _best(named, most).tolist()]

    def _blocks_of_scores(self) -> Iterator[tuple[int, int, np.ndarray]]:
        """The first row and column of each block, and its scores; -inf where a pair has been in a block before."""
        vectors = np.asarray(self.vectors)
        for top in range(0, len(vectors), ROWS):
            for left in range(top, len(vectors), COLUMNS):
                scores = vectors[top : top + ROWS] @ vectors[left : left + COLUMNS].T
                if left < top + ROWS:
                    rows, columns = scores.shape
                    scores[np.tri(rows, columns, k=top - left, dtype=bool)] = -np.inf
                yield top, left, scores


def cosines(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Of each row with the same row of the other: (n, D) and (n, D) to float64 (n,), at most 1; 0 for a row of zeros.

    Equal rows have exactly 1 on every processor: sums of the same products in the same order, and the root of a
    square. A product of float32 matrices has it or the number below, by the order in which its BLAS adds.
    """
    one, two = (np.ascontiguousarray(rows, dtype=np.float64) for rows in (one, two))
    products, *squares = (
        np.einsum("ij,ij->i", left, right) for left, right in ((one, two), (one, one), (two, two))
    )
    lengths = np.sqrt(squares[0] * squares[1])
    found: np.ndarray = np.minimum(products / np.where(lengths > 0, lengths, 1), 1)
    return found


def rounding(size: int) -> float:
    """By how much a float32 scalar product of two vectors of length 1 may be off, whatever the order of its sum.

    The roundings of a sum of D terms grow with the root of D, as their signs differ (Higham and Mary 2019, A new
    approach to probabilistic rounding error analysis); those of scaling the vectors to length 1 come on top.
    """
    return float(np.finfo(np.float32).eps) * (4 + math.sqrt(size))


def _best(found: np.ndarray, most: int) -> np.ndarray:
    return found[np.lexsort((found["two"], found["one"], -found["score"]))][:most]
