"""Duplicates among images: the same picture, also mirrored, turned, shifted, zoomed, framed or saved again.

Every image is described by its coarse forms and colours, the nearest by these are laid over one another, and a pair
counts only if its detail agrees: two pictures that look alike are not duplicates. What is sure may be held out together
(see scenes.py for what is not: frames of a fixed camera); what is likely is shown. Of images smaller than 16 pixels
only equal ones count, mirrored or brightened.
"""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, Literal, Protocol, assert_never

import numpy as np
from threadpoolctl import threadpool_limits

from harness.data import image_similarity as similar
from harness.data.grouping import components
from harness.data.image_similarity import SMALLEST, SURE
from harness.data.images import hash_images
from harness.data.looks import SIDE, Looks, resized, turned
from harness.data.neighbours import TURNS, described, in_threads, nearest
from harness.data.scenes import frames, joined
from harness.errors import StoreError
from harness.files import write_file

logger = logging.getLogger(__name__)

VERSION = 5  # raised when other pairs are found
CHUNK_BYTES = 2**21
SECONDS_OF_50_000 = 55  # of one processor, see tests/benchmarks
LEAST_MINUTES = 5  # of a search that is called long
BATCH = 512  # pairs that are compared together
TELL_FROM = 20_000  # images: fewer take no time worth a message
ROUNDS = 3  # of looking for pairs between groups


Kind = Literal["near", "exact", "ignore"]  # which duplicates are held out together


class Pixels(Protocol):
    """uint8 (N, C, H, W): an array, a memory map, or anything that is read like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Any) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Pairs of images that show the same picture, or parts of one: enough to connect all that do.

    pairs: int64 (P, 2), sorted indices; the first is the smaller one where a single set was searched.
    exact: bool (P,), whether the pixels are equal.   similarity: float32 (P,), 0..1.
    level: uint8 (P,), PARTLY, LIKELY or SURE to be one picture.
    turn: uint8 (P,), how the second image was turned (see neighbours.turned) to lie as the first.
    motion: complex64 (P, 2), how it then lies over it (see registration.Motion).
    """

    pairs: np.ndarray
    exact: np.ndarray
    similarity: np.ndarray
    level: np.ndarray
    turn: np.ndarray
    motion: np.ndarray

    @property
    def sure(self) -> np.ndarray:
        """Which pairs show one picture: bool (P,)."""
        is_sure: np.ndarray = self.level == SURE
        return is_sure

    def of(self, chosen: np.ndarray) -> "Duplicates":
        """Some of the pairs, by a mask or by indices."""
        return Duplicates(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def only_exact(self) -> "Duplicates":
        return self.of(self.exact)

    def joined(self, num_images: int, labels: np.ndarray | None = None) -> "Duplicates":
        """The pairs to be held out together: sure ones of one class, but for frames of one scene (see scenes.py).

        labels: int (N,), or None.
        """
        return self.of(joined(self.pairs, self.exact, self.level, num_images, labels))

    def groups(self, num_images: int, labels: np.ndarray | None = None) -> np.ndarray:
        """The group of each image that is held out as one: int64 (N,), numbered by first appearance."""
        return components(self.joined(num_images, labels).pairs, num_images)


def alike(kind: Kind, pixels: Pixels, search: Callable[[], Duplicates], labels: np.ndarray) -> np.ndarray:
    """The group of each image of which all are held out together, as duplicates of this kind: int64 (N,).

    search: finds near ones, too, where they count.
    """
    match kind:
        case "ignore":
            return np.arange(len(labels))
        case "exact":
            return find_equal(pixels).groups(len(labels))
        case "near":
            return search().groups(len(labels), labels)
        case _:
            assert_never(kind)


def find(pixels: Pixels, other: Pixels | None = None) -> Duplicates:
    """The duplicates among images, or with `other` those across two sets: (index here, index there).

    pixels, other: uint8 (N, C, H, W), of equal C, H and W. Images of one colour are duplicates if they are equal.
    """
    if pixels.shape[0] >= TELL_FROM:
        logger.info(
            "looking for duplicates of %s images%s", f"{pixels.shape[0]:,}", _how_long(pixels.shape[0])
        )
    with threadpool_limits(1, user_api="blas"):  # whose own threads would wait for one another
        return _find(pixels, other)


def find_equal(pixels: Pixels) -> Duplicates:
    """The pairs of equal images: the first one of each picture with every other."""
    first: dict[bytes, int] = {}
    pairs = []
    step = max(1, CHUNK_BYTES // int(np.prod(pixels.shape[1:])))
    for start in range(0, pixels.shape[0], step):
        for place, key in enumerate(hash_images(pixels[start : start + step])):
            one = first.setdefault(bytes(key), start + place)
            if one != start + place:
                pairs.append((one, start + place))
    number = len(pairs)
    return Duplicates(
        np.array(sorted(pairs), np.int64).reshape(-1, 2),
        np.ones(number, bool),
        np.ones(number, np.float32),
        np.full(number, SURE, np.uint8),
        np.zeros(number, np.uint8),
        np.tile(np.array([1, 0], np.complex64), (number, 1)),
    )


def _find(pixels: Pixels, other: Pixels | None) -> Duplicates:
    ours = _Described.of(pixels)
    theirs = None if other is None else _Described.of(other)
    found = _search(ours, theirs, ours.firsts, None if theirs is None else theirs.firsts)
    if theirs is None:
        for _ in range(ROUNDS):
            together = components(np.array(list(found), np.int64).reshape(-1, 2), len(ours.hashes))
            _, first, sizes = np.unique(together[ours.firsts], return_index=True, return_counts=True)
            more = _search(ours, None, ours.firsts[np.sort(first[sizes > 1])], None)
            if more.keys() <= found.keys():
                break
            found = more | found
    return _collected(ours, theirs, found)


def copies(pixels: Pixels, labels: np.ndarray, other: Pixels, within: Duplicates | None = None) -> Duplicates:
    """The pairs across two sets that show one picture, but for frames of a scene that are not equal.

    pixels, labels: of the training images.   within: what `find` finds among them, where that is known.
    """
    found, within = find(pixels, other), within or find(pixels)
    is_frame = frames(within.pairs, within.exact, within.level, len(labels), labels)
    return found.of(found.exact | (found.sure & ~is_frame[found.pairs[:, 0]]))


def minutes(num_images: int) -> float:
    """Of processor time that a search takes, or 0.0 where it is short; it grows with the square of the images."""
    found = SECONDS_OF_50_000 * (num_images / 50_000) ** 2 / 60
    return found if found >= LEAST_MINUTES else 0.0


def _how_long(num_images: int) -> str:
    if not (found := minutes(num_images)):
        return ""
    return (
        f", once: some {found:,.0f} minutes of processor time (duplicates: exact looks for equal ones alone)"
    )


def remembered(path: Path, search: Callable[[], Duplicates]) -> Duplicates:
    """What an earlier search has left at `path`; where there is nothing intact, it is searched and kept there."""
    names = [field.name for field in fields(Duplicates)]
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            if kept["version"] == VERSION:
                return Duplicates(**{name: kept[name] for name in names})
    except Exception as error:  # zipfile, zlib and numpy each have their own
        if path.exists():
            logger.warning("%s: damaged (%s); it is made anew", path, error)
    found = search()
    content = io.BytesIO()
    np.savez(content, version=VERSION, **{name: getattr(found, name) for name in names})
    try:
        write_file(path, content.getvalue())
    except StoreError as error:
        logger.warning("%s: the duplicates that were found will be looked for again", error)
    return found


@dataclass(frozen=True, eq=False)
class _Described:
    """Images, and what is looked at of them.

    hashes: of the pixels.   equals: the images of each hash, in order.   firsts: one of each picture, sorted.
    looks: of all that are not small.   descriptions: float32 (N, D), see neighbours.described.
    """

    pixels: Pixels
    hashes: list[bytes]
    equals: dict[bytes, list[int]]
    firsts: np.ndarray
    looks: Looks
    descriptions: np.ndarray

    @classmethod
    def of(cls, pixels: Pixels) -> "_Described":
        num_images, channels = pixels.shape[:2]
        step = max(1, CHUNK_BYTES // int(np.prod(pixels.shape[1:])))

        def look(start: int) -> tuple[list[bytes], Looks, np.ndarray]:
            chunk = pixels[start : start + step]
            scaled = resized(chunk)
            looks = Looks.at(scaled if _is_large(pixels) else scaled[:0])
            return list(map(bytes, hash_images(chunk))), looks, described(scaled)

        empty = np.empty((0, channels, SIDE, SIDE), np.float32)
        parts = [([], Looks.at(empty), described(empty)), *in_threads(look, range(0, num_images, step))]
        hashes = [key for part, _, _ in parts for key in part]
        equals: dict[bytes, list[int]] = {}
        for index, key in enumerate(hashes):
            equals.setdefault(key, []).append(index)
        firsts = np.array([same[0] for same in equals.values()], np.int64)
        looks = Looks.together([part for _, part, _ in parts])
        return cls(pixels, hashes, equals, firsts, looks, np.concatenate([part for _, _, part in parts]))


def _is_large(pixels: Pixels) -> bool:
    return min(pixels.shape[2:]) >= SMALLEST


Pair = tuple[int, int]
How = tuple[int, float, int, complex, complex]  # level, similarity, turn, motion: the larger, the surer
Found = dict[Pair, How]


def _search(ours: _Described, theirs: _Described | None, here: np.ndarray, there: np.ndarray | None) -> Found:
    """What shows one picture, at least in parts, of the images `here`, or of those and the images `there`."""
    others, rows = (ours, here) if theirs is None or there is None else (theirs, there)
    here, rows = (
        part[side.descriptions[part].any(1)] for side, part in ((ours, here), (others, rows))
    )  # none of one colour
    described_there = None if theirs is None else theirs.descriptions[rows]
    is_large = _is_large(ours.pixels)
    pairs, turns = nearest(ours.descriptions[here], described_there, turns=TURNS if is_large else 2)
    pairs = np.column_stack([here[pairs[:, 0]], rows[pairs[:, 1]]])
    judge = _judge if is_large else _judge_small

    def look(start: int) -> list[tuple[Pair, How]]:
        part = slice(start, start + BATCH)
        return judge(ours, others, pairs[part], turns[part])

    found: Found = {}
    for some in in_threads(look, range(0, len(pairs), BATCH)):
        for pair, how in some:  # one may be alike in two ways, mirrored and not
            found[pair] = max(how, found.get(pair, how), key=_sureness)
    return found


def _sureness(how: How) -> tuple[int, float]:
    return how[:2]


def _judge(
    ours: _Described, theirs: _Described, pairs: np.ndarray, turns: np.ndarray
) -> list[tuple[Pair, How]]:
    agreed = similar.agreement(ours.looks, theirs.looks, pairs, turns)
    kept = np.flatnonzero(agreed.level)
    level, motion = agreed.level[kept], agreed.motion.of(kept)
    if ours.pixels.shape[1] == 3 and len(kept):
        colours = (resized(side.pixels[pairs[kept, place]]) for place, side in enumerate((ours, theirs)))
        first, second = colours
        level = np.minimum(level, similar.allowed_by_colours(first, turned(second, turns[kept]), motion))
    hows = zip(
        level.tolist(), agreed.similarity[kept].tolist(), turns[kept].tolist(), motion.a.tolist(),
        motion.t.tolist(), strict=True,
    )  # fmt: skip
    return list(zip(map(tuple, pairs[kept].tolist()), hows, strict=True))


def _judge_small(
    ours: _Described, theirs: _Described, pairs: np.ndarray, turns: np.ndarray
) -> list[tuple[Pair, How]]:
    one, two = ours.pixels[pairs[:, 0]], turned(theirs.pixels[pairs[:, 1]], turns)
    equal = np.flatnonzero(similar.equal_but_for_rounding(one, two))
    return [(tuple(pairs[place].tolist()), (SURE, 1.0, int(turns[place]), 1 + 0j, 0j)) for place in equal]


def _collected(ours: _Described, theirs: _Described | None, found: Found) -> Duplicates:
    """Equal images beside those that were found; across two sets every image with a duplicate is named."""
    there = ours if theirs is None else theirs
    as_it_is = (SURE, 1.0, 0, 1 + 0j, 0j)
    exact = {(ours.equals[key][0], index) for index, key in enumerate(there.hashes) if key in ours.equals} | {
        (index, there.equals[key][0]) for index, key in enumerate(ours.hashes) if key in there.equals
    }
    hows: Found = {}
    for (one, two), how in found.items():
        if theirs is None:
            hows[one, two] = how
            continue
        ones, twos = ours.equals[ours.hashes[one]], theirs.equals[theirs.hashes[two]]
        for pair in {*product(ones, [two]), *product([one], twos)}:
            hows[pair] = max(how, hows.get(pair, how), key=_sureness)
    if theirs is None:
        exact = {(one, two) for one, two in exact if one < two}
    hows |= dict.fromkeys(exact, as_it_is)
    pairs = sorted(hows)
    table = list(zip(*(hows[pair] for pair in pairs), strict=True)) if pairs else [()] * 5
    return Duplicates(
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.array([pair in exact for pair in pairs], dtype=bool),
        np.array(table[1], dtype=np.float32),
        np.array(table[0], dtype=np.uint8),
        np.array(table[2], dtype=np.uint8),
        np.array([table[3], table[4]], dtype=np.complex64).T.reshape(-1, 2),
    )
