"""Lays one image over another: by which rotation, zoom and shift they agree best.

Gauss-Newton steps of an inverse compositional search (Baker and Matthews 2004, Lucas-Kanade 20 years on), over many
pairs at once. A point of an image is a complex number, x + iy, from the middle and in half sides; a motion takes the
point z of the first image to a·z + t of the second one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ZOOM = 1.33
MOST_TURN = 0.25  # radians, about
MOST_SHIFT = 0.3  # half sides
MOST_STEP = 0.15  # of one step, in each of the four
LEAST_GAIN = 0.3  # contrast of the second image by that of the first


@dataclass(frozen=True, eq=False)
class Motion:
    """How the second image of each pair lies over the first.   a, t: complex64 (n,), as above."""

    a: np.ndarray
    t: np.ndarray

    @classmethod
    def none(cls, count: int) -> "Motion":
        return cls(np.ones(count, np.complex64), np.zeros(count, np.complex64))

    def of(self, chosen: np.ndarray) -> "Motion":
        return Motion(self.a[chosen], self.t[chosen])


def align(
    ones: np.ndarray,
    which: np.ndarray,
    two: np.ndarray,
    start: Motion | None = None,
    *,
    least: Sequence[float],
    margin: int,
) -> tuple[Motion, np.ndarray]:
    """The motions by which the second image of each pair agrees best with the first, brightness and contrast aside.

    And the correlations that they reach, -1..1, (n,).

    ones: float32 (m, side, side), each once.   which: int (n,), the first image of each pair.
    two: float32 (n, side, side), the second ones.   start: where to begin, if not with no motion.
    least: for each step the correlation that it needs: others are left as they are.
    margin: pixels at the edges that are not looked at.
    """
    points = grid(ones.shape[1], margin)
    solver, template = _solver(ones, margin)[which], inner(ones, margin)[which]
    motion = Motion.none(len(two)) if start is None else Motion(start.a.copy(), start.t.copy())
    seen = inner(two, margin) if start is None else warped(two, start, points)[0]
    reached = correlation(template, seen)
    going = np.arange(len(two))
    for enough in least:
        good = reached[going] >= enough
        if not good.all():
            going, seen, template, two, solver = (part[good] for part in (going, seen, template, two, solver))
        solved = (solver @ seen[..., None])[..., 0]
        gain = np.where(solved[:, 4] < 0, -1, 1) * np.maximum(np.abs(solved[:, 4]), LEAST_GAIN)
        step = np.clip(solved[:, :4] / gain[:, None], -MOST_STEP, MOST_STEP)
        a = motion.a[going] / (1 + step[:, 2] + 1j * step[:, 3])
        a = np.clip(a.real, 1 / MOST_ZOOM, MOST_ZOOM) + 1j * np.clip(a.imag, -MOST_TURN, MOST_TURN)
        t = motion.t[going] - a * (step[:, 0] + 1j * step[:, 1])
        t = np.clip(t.real, -MOST_SHIFT, MOST_SHIFT) + 1j * np.clip(t.imag, -MOST_SHIFT, MOST_SHIFT)
        motion.a[going], motion.t[going] = a, t
        seen, _ = warped(two, motion.of(going), points)
        reached[going] = correlation(template, seen)
    return motion, reached


def _solver(one: np.ndarray, margin: int) -> np.ndarray:
    """What takes the pixels of the second image to the four parts of a step, a gain, an offset: float32 (n, 6, P)."""
    count, side, _ = one.shape
    inside = np.s_[:, margin : side - margin, margin : side - margin]
    points = grid(side, margin)
    scale = 2 / side
    slope = np.gradient(one, axis=2)[inside] + 1j * np.gradient(one, axis=1)[inside]
    slope = slope.reshape(count, len(points)) / scale
    turning = np.conj(points) * slope
    columns = [slope.real, slope.imag, turning.real, turning.imag]
    basis = np.empty((count, 6, len(points)), np.float32)
    for place, column in enumerate([*columns, inner(one, margin), np.float32(1)]):
        basis[:, place] = column
    normal = basis @ basis.transpose(0, 2, 1)
    ridge = 1e-4 * np.einsum("nkk->nk", normal) + 1e-2
    solver: np.ndarray = np.linalg.inv(normal + np.eye(6, dtype=np.float32) * ridge[:, None]) @ basis
    return solver


def grid(side: int, margin: int) -> np.ndarray:
    """The points of an image without its edges, row by row: complex64 (P,)."""
    places = (np.arange(margin, side - margin) - (side - 1) / 2) * (2 / side)
    return (places[None] + 1j * places[:, None]).ravel().astype(np.complex64)


def warped(images: np.ndarray, motion: Motion, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images at the points that motions take these points to: float32 (n, P); and which are inside: bool (n, P).

    images: (n, side, side).   points: complex64 (P,).
    """
    count, side, _ = images.shape
    moved = (motion.a[:, None] * points + motion.t[:, None]) * np.float32(side / 2)
    middle = np.float32((side - 1) / 2)
    x, y = moved.real + middle, moved.imag + middle
    inside = (x >= -0.5) & (x <= side - 0.5) & (y >= -0.5) & (y <= side - 0.5)
    x, y = np.clip(x, 0, side - 1.001), np.clip(y, 0, side - 1.001)
    left, top = x.astype(np.int32), y.astype(np.int32)
    x, y = x - left, y - top
    places = np.arange(count, dtype=np.int32)[:, None] * side**2 + top * side + left
    flat = images.ravel()
    upper, lower = (flat.take(places + row) * (1 - x) + flat.take(places + row + 1) * x for row in (0, side))
    return upper * (1 - y) + lower * y, inside


def inner(images: np.ndarray, margin: int) -> np.ndarray:
    """Images (n, side, side) without edges, row by row: (n, P)."""
    side = images.shape[1]
    inside: np.ndarray = images[:, margin : side - margin, margin : side - margin]
    return inside.reshape(-1, (side - 2 * margin) ** 2)


def correlation(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(n, P) each to (n,)."""
    one, two = (values - values.mean(1, keepdims=True) for values in (one, two))
    energies = np.einsum("np,np->n", one, one) * np.einsum("np,np->n", two, two)
    correlated: np.ndarray = np.einsum("np,np->n", one, two) / np.sqrt(np.maximum(energies, 1e-3))
    return correlated
