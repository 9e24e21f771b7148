"""Duplicates among images: the same picture, also mirrored, brighter, of other contrast, or saved again as JPEG.

Candidates are neighbours in sorted lists of a perceptual hash, so the work grows with the number of images and
not with its square. A candidate counts only if its pixels agree in every part of the picture: two pictures that
look alike are not duplicates. Of images smaller than 16 pixels only equal ones count, mirrored or brightened.
"""

import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness.data.grouping import merged
from harness.data.image_similarity import SAME, SMALLEST, luminance, similarity
from harness.data.images import hash_images
from harness.errors import StoreError
from harness.files import write_file

logger = logging.getLogger(__name__)

VERSION = 1  # raised when other pairs are found
CHUNK_BYTES = 2**24
BLOCK = 2**14  # images whose neighbours are looked at together
TELL_FROM = 20_000  # images: fewer take no time worth a message
FREQUENCIES = 8  # of each axis, in the perceptual hash
PLAIN = 2.0  # grey levels: an image that deviates less from its mean has nothing to compare
TABLES = 16  # sorted lists of hashes
FEW_TABLES = 2  # where nothing but rounding can change a hash
ROTATION = 4  # bits by which each list's order is turned against the one before
NEIGHBOURS = 32  # of each image, before and after it in a list
MOST_BITS = 14  # in which two hashes may differ
CLOSEST = 8  # candidates of each image whose pixels are looked at
LIKELY = 0.85  # correlation of low frequencies from which on pixels are looked at


class Pixels(Protocol):
    """uint8 (N, C, H, W): an array, a memory map, or anything that is read like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Any) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Pairs of images that show the same picture: enough to connect all that do, or to name all across two sets.

    pairs: int64 (P, 2), sorted indices; the first is the smaller one where a single set was searched.
    exact: bool (P,), whether the pixels are equal.   similarity: float32 (P,), 0.8..1.
    """

    pairs: np.ndarray
    exact: np.ndarray
    similarity: np.ndarray

    def only_exact(self) -> "Duplicates":
        return Duplicates(self.pairs[self.exact], self.exact[self.exact], self.similarity[self.exact])

    def groups(self, num_images: int) -> np.ndarray:
        """The group of each image: int64 (N,), numbered by first appearance; most are groups of one."""
        members = [*range(num_images), *self.pairs[:, 0].tolist()]
        links = [*range(num_images), *self.pairs[:, 1].tolist()]
        together = merged(members, links)[:num_images]
        return np.unique(together, return_inverse=True)[1].astype(np.int64)


def find(pixels: Pixels, other: Pixels | None = None) -> Duplicates:
    """The duplicates among images, or with `other` those across two sets: (index here, index there).

    pixels, other: uint8 (N, C, H, W), of equal C, H and W. Images of one colour are duplicates if they are equal.
    """
    if pixels.shape[0] >= TELL_FROM:
        logger.info("looking for duplicates of %s images", f"{pixels.shape[0]:,}")
    there = pixels if other is None else other
    hashes, described = _describe(pixels)
    other_hashes, other_described = (hashes, described) if other is None else _describe(other)
    equals, other_equals = _equals(hashes), _equals(other_hashes)
    exact = {(equals[key][0], index) for index, key in enumerate(other_hashes) if key in equals}
    exact |= {(index, other_equals[key][0]) for index, key in enumerate(hashes) if key in other_equals}
    ours, theirs = (np.array([same[0] for same in found.values()], int) for found in (equals, other_equals))
    num_tables = TABLES if min(pixels.shape[2:]) >= SMALLEST else FEW_TABLES
    near, mirrored = _candidates(described[ours], other_described[theirs], num_tables)
    near = np.stack([ours[near[:, 0]], theirs[near[:, 1]]], axis=1)
    scores = dict.fromkeys(exact, 1.0)
    if other is None:
        scores = {(one, two): 1.0 for one, two in exact if one < two}
        near = np.unique(np.column_stack([np.sort(near, axis=1), mirrored]), axis=0)
        near = near[near[:, 0] < near[:, 1]]
        near, mirrored = near[:, :2], near[:, 2] == 1
    for (one, two), score in zip(near.tolist(), _similarities(pixels, there, near, mirrored), strict=True):
        if score >= SAME:
            ones, twos = (
                ([one], [two]) if other is None else (equals[hashes[one]], other_equals[other_hashes[two]])
            )
            for pair in {*product(ones, [two]), *product([one], twos)}:
                scores[pair] = max(score, scores.get(pair, 0.0))
    pairs = sorted(scores)
    return Duplicates(
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.array([pair in exact for pair in pairs], dtype=bool),
        np.array([scores[pair] for pair in pairs], dtype=np.float32),
    )


def remembered(path: Path, search: Callable[[], Duplicates]) -> Duplicates:
    """What an earlier search has left at `path`; where there is nothing intact, it is searched and kept there."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            if kept["version"] == VERSION:
                return Duplicates(kept["pairs"], kept["exact"], kept["similarity"])
    except Exception as error:  # zipfile, zlib and numpy each have their own
        if path.exists():
            logger.warning("%s: damaged (%s); it is made anew", path, error)
    found = search()
    content = io.BytesIO()
    np.savez(content, version=VERSION, pairs=found.pairs, exact=found.exact, similarity=found.similarity)
    try:
        write_file(path, content.getvalue())
    except StoreError as error:
        logger.warning("%s: the duplicates that were found will be looked for again", error)
    return found


def descriptors(pixels: Pixels) -> np.ndarray:
    """The low frequencies of each image's luminance: float32 (N, 63), of length 1, or 0 for an image of one colour.

    Neither brightness nor contrast changes them; mirroring an image changes the signs of some.
    """
    return _describe(pixels)[1]


def _describe(pixels: Pixels) -> tuple[list[bytes], np.ndarray]:
    """Each image's hash and descriptor."""
    _, _, height, width = pixels.shape
    hashes: list[bytes] = []
    described = [np.empty((0, FREQUENCIES**2 - 1), np.float32)]
    rows, columns = _cosines(height), _cosines(width)
    for chunk in _chunks(pixels):
        hashes += map(bytes, hash_images(chunk))
        low = (rows @ luminance(chunk) @ columns.T).reshape(len(chunk), -1)[:, 1:]
        length = np.linalg.norm(low, axis=1, keepdims=True)
        plain = length < PLAIN * np.sqrt(height * width)
        described.append(np.where(plain, 0, low / np.where(plain, 1, length)))
    return hashes, np.concatenate(described)


def _chunks(pixels: Pixels) -> Iterator[np.ndarray]:
    num_images, *shape = pixels.shape
    step = max(1, CHUNK_BYTES // int(np.prod(shape)))
    for start in range(0, num_images, step):
        yield pixels[start : start + step]


def _equals(hashes: list[bytes]) -> dict[bytes, list[int]]:
    """The images of each hash, in order."""
    found: dict[bytes, list[int]] = {}
    for index, key in enumerate(hashes):
        found.setdefault(key, []).append(index)
    return found


def _candidates(ours: np.ndarray, theirs: np.ndarray, num_tables: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of descriptors worth a look at the pixels: int64 (P, 2); and whether one is mirrored: bool (P,).

    Their signs are the hash. Each list is sorted by its bits in another order, so that hashes that differ in a few
    bits are neighbours in some list (Charikar 2002, Similarity estimation techniques from rounding algorithms).
    """
    rows, listed = np.flatnonzero(ours.any(1)), np.flatnonzero(theirs.any(1))
    around = np.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    sides = (ours[rows], ours[rows] * MIRROR)
    places, likeness = np.empty(0, np.int64), np.empty(0, np.float32)  # place in (ours, theirs, mirrored)
    shape = len(ours), len(theirs), len(sides)
    for table, mirrored in product(range(num_tables if len(listed) else 0), range(len(sides))):
        order = np.roll(LOWEST_FIRST, -ROTATION * table)
        codes, wanted = _code(theirs[listed], order), _code(sides[mirrored], order)
        ranks = np.argsort(codes, kind="stable")
        codes = codes[ranks]
        middle = np.searchsorted(codes, wanted)
        all_places, all_likeness = [places], [likeness]
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            near = np.clip(middle[part, None] + around, 0, len(ranks) - 1)
            hits, columns = np.nonzero(np.bitwise_count(codes[near] ^ wanted[part, None]) <= MOST_BITS)
            one, two = hits + start, listed[ranks[near[hits, columns]]]
            all_places.append(np.ravel_multi_index((rows[one], two, np.full_like(one, mirrored)), shape))
            all_likeness.append(np.einsum("ij,ij->i", sides[mirrored][one], theirs[two]))
        places, likeness = _closest(np.concatenate(all_places), np.concatenate(all_likeness), shape)
    one, two, is_mirrored = np.unravel_index(places, shape)
    return np.column_stack([one, two]), is_mirrored == 1


def _closest(
    places: np.ndarray, likeness: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Of each image the few candidates, once each, that are most alike."""
    likely = likeness >= LIKELY
    places, first = np.unique(places[likely], return_index=True)
    likeness = likeness[likely][first]
    image = places // (shape[1] * shape[2])
    order = np.lexsort((-likeness, image))
    few = order[np.arange(len(order)) - np.searchsorted(image, image) < CLOSEST]
    return places[few], likeness[few]


def _code(described: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The signs of descriptors in some order, the first as the highest bit: uint64 (N,)."""
    bits = np.zeros((len(described), 64), dtype=bool)
    bits[:, : len(order)] = described[:, order] > 0
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def _similarities(ours: Pixels, theirs: Pixels, pairs: np.ndarray, mirrored: np.ndarray) -> Iterator[float]:
    """How well the pixels of each pair agree, -1..1; a few pairs are read at a time."""
    step = max(1, CHUNK_BYTES // 16 // int(np.prod(ours.shape[1:])))
    for start in range(0, len(pairs), step):
        part = slice(start, start + step)
        one, two = ours[pairs[part, 0]], theirs[pairs[part, 1]]
        two = np.where(mirrored[part, None, None, None], two[..., ::-1], two)
        yield from similarity(one, two).tolist()


def _cosines(size: int) -> np.ndarray:
    """The lowest rows of the cosine transform's matrix, (FREQUENCIES, size); 0 where there is no such frequency."""
    frequency, place = np.arange(FREQUENCIES)[:, None], np.arange(size)
    waves = np.cos(np.pi / size * frequency * (place + 0.5)) * np.sqrt(np.where(frequency, 2, 1) / size)
    return np.where(frequency < size, waves, 0).astype(np.float32)


ROWS, COLUMNS = (axis.ravel()[1:] for axis in np.indices((FREQUENCIES, FREQUENCIES)))
LOWEST_FIRST = np.argsort(ROWS + COLUMNS, kind="stable")
MIRROR = np.where(COLUMNS % 2, -1, 1).astype(np.float32)  # what mirroring an image does to its descriptor
