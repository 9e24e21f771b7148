"""A mark that is pasted anywhere: pixels that are equal to the last bit in many images of one class.

Whatever is saved as JPEG, scaled or turned afterwards is not equal any more, and is not found. Where other patterns are
repeated as well, as in drawings and digits, one of a class alone says nothing.
"""

import numpy as np

from harness.analysis.marks import ADVICE, FEWEST, SURE, TIMES_SURE
from harness.data.images import Images
from harness.store.findings import Check

PATCH, LEAST_RANGE = 3, 12  # pixels; grey levels in a patch that is no flat one
SEVERAL = 4  # images with a patch, from which on it is common
LEAST_SHARE = 0.1  # of the common patches that are a mark's: with less, others are repeated as well
MOST_COMMON = 0.3  # of all patches that are common: with more, images are drawn, and everything is repeated


def check(images: Images) -> Check:
    """A patch of 3×3 pixels, equal to the last bit, in many images of one class and in hardly any other."""
    name = "repeated pattern"
    passed = Check(
        name, "passed", None, SURE, "No pattern of pixels is repeated in the images of one class alone."
    )
    if min(images.pixels.shape[2:]) < 2 * PATCH:
        return passed
    patches, image = _patches(images.pixels)
    _, of_patch, counts = np.unique(patches, return_inverse=True, return_counts=True)
    if not len(counts) or (counts[of_patch] >= SEVERAL).mean() > MOST_COMMON:
        return passed
    common = np.flatnonzero(counts >= SEVERAL)
    rank = np.full(len(counts), -1)
    rank[common] = np.arange(len(common))
    is_common = rank[of_patch] >= 0
    table = np.zeros((len(common), len(images.classes)))
    np.add.at(table, (rank[of_patch][is_common], images.labels[image[is_common]]), 1)
    sizes = np.bincount(images.labels, minlength=len(images.classes))
    own = table / np.maximum(sizes, 1)
    others = (table.sum(1, keepdims=True) - table) / np.maximum(len(images) - sizes, 1)
    ordinary = np.maximum(others, 2 / np.maximum(sizes, 1))
    is_mark = (own >= SURE) & (own >= TIMES_SURE * ordinary) & (sizes >= FEWEST)
    if not is_mark.any() or is_mark.any(1).mean() < LEAST_SHARE:
        return passed
    place, label = np.unravel_index(np.where(is_mark, own, 0).argmax(), own.shape)
    sentence = (
        f"{own[place, label]:.0%} of class {images.classes[label]} and {others[place, label]:.0%} of all others have "
        f"{PATCH}×{PATCH} pixels that are equal to the last bit, wherever they lie: a mark of the class; {ADVICE}."
    )
    return Check(name, "failed", float(own[place, label]), SURE, sentence)


def _patches(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A hash of every patch that is not flat, once for each image that has it, and which image: uint64 and int (m,)."""
    from numpy.lib.stride_tricks import sliding_window_view

    height, width = (side - PATCH + 1 for side in pixels.shape[2:])
    random, step = np.random.default_rng(0), max(2**20 // (height * width), 1)
    factors = random.integers(1, 2**63, (pixels.shape[1], PATCH, PATCH), dtype=np.uint64) * 2 + 1
    hashes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for start in range(0, len(pixels), step):
        chunk = pixels[start : start + step]
        found = np.zeros((len(chunk), height, width), np.uint64)
        for channel, row, column in np.ndindex(*factors.shape):
            part = chunk[:, channel, row : row + height, column : column + width]
            found += part.astype(np.uint64) * factors[channel, row, column]
        window = sliding_window_view(chunk.mean(1, dtype=np.float32), (PATCH, PATCH), axis=(1, 2))
        has_detail = window.max((3, 4)) - window.min((3, 4)) >= LEAST_RANGE
        for index in range(len(chunk)):
            own = np.unique(found[index][has_detail[index]])
            hashes.append(own)
            owners.append(np.full(len(own), start + index))
    return np.concatenate(hashes), np.concatenate(owners)
