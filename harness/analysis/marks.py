"""Frames, tags and stamps: pixels that are alike in the images of one class alone, while most of its pixels are not.

What the trial scores does not matter. What is in sight anyway in all images (of a fixed camera, digits on black) is no
mark, so such data hide one. How often this is right and wrong: docs/probes.md.
"""

from dataclasses import dataclass

import numpy as np

from harness.data.images import Images
from harness.store.findings import Check

MOST_IMAGES, MOST_BYTES = 3000, 2**27
FEWEST = 8  # images of a class, to say anything of it
BLOCK = 4096  # pixels that are looked at together

SURE, REMARKABLE = 0.3, 0.2  # share of a class's images that have the mark
TIMES_SURE, TIMES = 8, 5  # times as many as what is ordinary
TOLERANCE, LEAST_TOLERANCE, MOST_TOLERANCE = 0.1, 2, 8  # of a pixel's deviation; in grey levels
NUM_CANDIDATES, NUM_PLACES = 30, 1024
OBJECT = 0.025  # of an image: what is larger, and in the middle, may be the object itself

ADVICE = "remove it from all images, or crop them, and train anew"


def sample(images: Images) -> np.ndarray:
    """Sorted indices of at most so many images, and bytes, spread over the data set at random."""
    size = int(np.prod(images.pixels.shape[1:]))
    count = min(len(images), MOST_IMAGES, max(MOST_BYTES // size, 100))
    return np.sort(np.random.default_rng(0).choice(len(images), count, replace=False))


@dataclass(frozen=True, eq=False)
class _Mark:
    """What is alike in the images of a class.   own, others: shares of images that have it.   times: than ordinary.

    places: bool (H, W).
    """

    label: int
    own: float
    others: float
    times: float
    places: np.ndarray

    @property
    def may_be_object(self) -> bool:
        """Whether it is large and touches no side."""
        edge = np.zeros_like(self.places)
        width = max(min(edge.shape) // 16, 1)
        edge[:width] = edge[-width:] = edge[:, :width] = edge[:, -width:] = True
        return not (self.places & edge).any() and bool(self.places.mean() > OBJECT)

    def where(self) -> str:
        down, right = (np.flatnonzero(self.places.any(axis)) for axis in (1, 0))
        rows = f"row {down[0]}" if len(down) == 1 else f"rows {down[0]} to {down[-1]}"
        columns = f"column {right[0]}" if len(right) == 1 else f"columns {right[0]} to {right[-1]}"
        count = int(self.places.sum())
        return (
            f"{count:,} pixel{'s' * (count > 1)} in {rows}, {columns} {'is' if count == 1 else 'are'} alike"
        )


def check(images: Images) -> Check:
    """Pixels that have one colour in the images of a class, and neither in others nor elsewhere.

    Ordinary is the largest of: the share of the class's images that a pixel's commonest colour has in the median over
    all pixels, the share that have this colour at other pixels, the share of other images that have it here.
    """
    found = [mark for label in range(len(images.classes)) if (mark := _fixed_mark(images, label))]
    name = "marks at one place"
    best = max(found, key=lambda mark: mark.times, default=None)
    if best is None:
        return Check(name, "passed", None, None, "No pixel is alike in the images of one class alone.")
    is_sure = best.own >= SURE and best.times >= TIMES_SURE
    what = (
        f"{best.where()} in {best.own:.0%} of class {images.classes[best.label]} and in "
        f"{best.others:.0%} of all others, where such pixels differ from image to image"
    )
    if is_sure and not best.may_be_object:
        sentence = f"{what}: a frame, tag or stamp tells the class; {ADVICE}."
        return Check(name, "failed", best.own, SURE, sentence)
    what += ": if that is not the object itself, " if best.may_be_object else ": it may be a mark; if so, "
    return Check(name, "noted", best.own, SURE, f"{what}{ADVICE}.")


def _fixed_mark(images: Images, label: int) -> _Mark | None:
    pixels = images.pixels.reshape(*images.pixels.shape[:2], -1)
    own, others = pixels[images.labels == label], pixels[images.labels != label]
    if min(len(own), len(others)) < FEWEST:
        return None
    blocks = [slice(start, start + BLOCK) for start in range(0, pixels.shape[2], BLOCK)]
    deviation = np.median(np.concatenate([own[:, :, block].std(0).mean(0) for block in blocks]))
    tolerance = int(np.clip(TOLERANCE * deviation, LEAST_TOLERANCE, MOST_TOLERANCE))
    colours = np.concatenate([_commonest(own[:, :, block], tolerance) for block in blocks], axis=1)

    def shares(side: np.ndarray) -> np.ndarray:
        return np.concatenate([_share(side[:, :, block], colours[:, block], tolerance) for block in blocks])

    have = shares(own)
    least = max(float(np.median(have)), 2 / len(own))
    if not ((have >= REMARKABLE) & (have >= TIMES * least)).any():
        return None  # whatever the others have
    elsewhere = shares(others)
    ordinary = np.maximum(elsewhere, least)
    random = np.random.default_rng(0)
    places = random.permutation(pixels.shape[2])[:NUM_PLACES]
    for place in np.argsort(elsewhere - have, kind="stable")[:NUM_CANDIDATES]:
        colour = np.broadcast_to(colours[:, place, None], (len(colours), len(places)))
        usual = float(np.median(_share(own[:, :, places], colour, tolerance)))
        of_others = float(_share(others[:, :, places], colour, tolerance).mean())
        ordinary[place] = max(ordinary[place], usual, of_others)
    is_marked = (have >= REMARKABLE) & (have >= TIMES * ordinary)
    looked_at = np.argsort(elsewhere - have, kind="stable")[:NUM_CANDIDATES]
    best = looked_at[np.argmax(np.where(is_marked, have / ordinary, 0)[looked_at])]
    if not is_marked[best]:
        return None
    return _Mark(
        label, float(have[best]), float(elsewhere[best]), float(have[best] / ordinary[best]),
        is_marked.reshape(images.pixels.shape[2:]),
    )  # fmt: skip


def _commonest(pixels: np.ndarray, tolerance: int) -> np.ndarray:
    """About the colour that most images have at each pixel: float (C, P).   pixels: (n, C, P)."""
    codes = np.zeros((len(pixels), pixels.shape[2]), np.int32)
    for channel in pixels.transpose(1, 0, 2):
        codes = codes * 64 + channel // (2 * tolerance + 1)
    ranked = np.sort(codes, axis=0)
    rows = np.arange(len(ranked))[:, None]
    starts = np.ones_like(ranked, bool)
    starts[1:] = ranked[1:] != ranked[:-1]
    run = rows - np.maximum.accumulate(np.where(starts, rows, 0), axis=0)
    commonest = ranked[run.argmax(0), np.arange(ranked.shape[1])]
    has_it = (codes == commonest)[:, None]
    mean: np.ndarray = (pixels * has_it).sum(0, dtype=np.float64) / has_it.sum(0)
    return mean


def _share(pixels: np.ndarray, colours: np.ndarray, tolerance: int) -> np.ndarray:
    """Of the images, those whose colour is about this one: float (P,).   pixels: (n, C, P).   colours: (C, P)."""
    least = np.clip(np.ceil(colours - tolerance - 0.5), 0, 255).astype(np.uint8)
    most = np.clip(np.floor(colours + tolerance + 0.5), 0, 255).astype(np.uint8)
    near: np.ndarray = ((pixels >= least) & (pixels <= most)).all(1).mean(0)
    return near
