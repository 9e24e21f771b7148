"""What predicts the label besides the picture: file names, sizes and order, and the outermost pixels.

Each is given to a forest of trees on a part of the images and scored on the rest.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from harness.analysis.leak_probes import LUCK, Chance, chance_of
from harness.data.images import Images
from harness.store.findings import Check

MOST_IMAGES = 3000
TREES = 20
INSIDE = 16  # pixels along each axis that a simple classifier is given of the inside
NAME_HASHES = 256
FAR = 0.1  # above chance, from which on a clue is worth a note
NEARLY_ALL = 0.95  # of the way from chance to the trial's score


def border(images: Images, score: float) -> Check:
    """A classifier of the outermost pixels: watermarks, frames and scanner marks.

    score: the trial's accuracy. It fails if it comes nearly as far as that, and as the same classifier of the inside.
    """
    chosen = _some(images)
    pixels, labels = images.pixels[chosen], images.labels[chosen]
    width = max(min(pixels.shape[2:]) // 16, 1)
    edge = np.ones(pixels.shape[2:], dtype=bool)
    edge[width:-width, width:-width] = False
    inside = pixels[:, :, width:-width, width:-width]
    stride = -(-inside.shape[2] // INSIDE)
    inner = _forest(inside[:, :, ::stride, ::stride].reshape(len(chosen), -1), labels, "sqrt")
    outer = _forest(pixels[:, :, edge].reshape(len(chosen), -1), labels)
    reach = outer.expected + NEARLY_ALL * (max(score, inner.accuracy) - outer.expected)
    what = f"The outermost {width} pixel(s) alone tell the class of {outer.accuracy:.1%}"
    if outer.p < LUCK and outer.accuracy >= reach:
        why = f"{what}, as the whole image does ({score:.1%}): look there for a mark that gives it away."
        return Check("outermost pixels", "failed", outer.accuracy, reach, why)
    sentence = (
        f"{what}; the trial is right on {score:.1%}, and the inside as simply tells {inner.accuracy:.1%}."
    )
    return Check("outermost pixels", "passed", outer.accuracy, reach, sentence)


def metadata(images: Images, settings: Mapping[str, Any]) -> Check | None:
    """A classifier of file name, order, file size and picture size, without the class folder; None without names.

    settings: the study's data map. No model here is given any of this, so it is a note, not a failure.
    """
    if not images.names:
        return None
    chosen = _some(images)
    names = [images.names[index] for index in chosen]
    features = np.concatenate([_name_features(names), _file_features(names, settings)], axis=1)
    if (np.diff(images.labels) < 0).any():  # else the order is only that of the class folders
        features = np.concatenate([features, chosen[:, None]], axis=1)
    chance = _forest(features, images.labels[chosen])
    named = np.mean(
        [images.classes[images.labels[index]].lower() in _stem(images.names[index]) for index in chosen]
    )
    what = f"File names, sizes and order alone tell the class of {chance.accuracy:.1%} (chance {chance.expected:.1%})"
    if named > 0.5:
        what = f"{named:.0%} of the file names contain the class. {what}"
    if chance.p < LUCK and chance.accuracy > chance.expected + FAR:
        why = f"{what}: no model here is given them; give them to none, and see whether classes were collected apart."
        return Check("file names, sizes and order", "noted", chance.accuracy, chance.bound, why)
    return Check("file names, sizes and order", "passed", chance.accuracy, chance.bound, f"{what}.")


def _some(images: Images) -> np.ndarray:
    """Sorted indices of at most so many images, spread over the data set at random."""
    random = np.random.default_rng(0)
    count = min(len(images), MOST_IMAGES)
    return np.sort(random.choice(len(images), count, replace=False))


def _forest(features: np.ndarray, labels: np.ndarray, most: str | None = None) -> Chance:
    """A forest's predictions for a third of the images, learnt from the others.   most: features tried per node."""
    from sklearn.ensemble import ExtraTreesClassifier

    held_out = np.random.default_rng(1).permutation(len(labels)) < len(labels) // 3
    forest = ExtraTreesClassifier(TREES, max_features=most, random_state=0)
    forest.fit(features[~held_out], labels[~held_out])
    return chance_of(labels[held_out], forest.predict(features[held_out]))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.lower()


def _name_features(names: list[str]) -> np.ndarray:
    """Length, digits, and counts of hashed pieces of two and three letters."""
    features = np.zeros((len(names), NAME_HASHES + 2), dtype=np.float32)
    for row, name in zip(features, map(_stem, names), strict=True):
        for size in (2, 3):
            for start in range(len(name) - size + 1):
                piece = name[start : start + size].encode()
                row[int.from_bytes(piece, "big") * 2654435761 % 2**32 % NAME_HASHES] += 1
        row[-2:] = len(name), sum(letter.isdigit() for letter in name)
    return features


def _file_features(names: list[str], settings: Mapping[str, Any]) -> np.ndarray:
    """File size in bytes, width and height, where the files are still there; else zeros."""
    from PIL import Image

    features = np.zeros((len(names), 3), dtype=np.float32)
    root = settings.get("root")
    folders = [Path(str(root)), Path(str(root)) / "train"] if root else []
    for row, name in zip(features, names, strict=True):
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is not None:
            with Image.open(path) as image:
                row[:] = path.stat().st_size, *image.size
    return features
