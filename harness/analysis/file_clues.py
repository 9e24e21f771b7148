"""What predicts the label besides the picture: how files were made, what they are called, the order they lie in.

No model here is given any of it, so it is noted and fails no audit; some of it reaches the pixels, and then a network
may tell a class by it. Each clue is told by itself.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from harness.analysis.leak_probes import LUCK, Chance, chance_of
from harness.data.images import Images
from harness.data.telling_facts import BYTES, telling_facts
from harness.store.findings import Check

MOST_IMAGES, MOST_FILES = 1000, 3000  # that a classifier is given; whose EXIF is read
TREES = 20
NAME_HASHES = 256
FAR = 0.1  # above chance, from which on a clue is worth a note
NAMED = 0.5  # of the file names, from which on it is said that the class is in them
MODEL, TIME, ORIGINAL, EXIF = 272, 306, 36867, 0x8769  # tags of EXIF
MEANING = {
    "format": "the format reaches no network, but JPEG leaves its blocks in the pixels, and PNG does not",
    "width": "images are made as large as each other, and those that were small are blurred by it",
    "height": "images are made as large as each other, and those that were small are blurred by it",
    "quality": "JPEG's blocks and its blur are in the pixels",
    BYTES: "it tells how a file was saved, and also how much there is to see",
    "mode": "what is converted to the study's channels may look different",
    "has_alpha": "what is transparent is laid on white, which a network sees",
    "camera": "EXIF reaches no network, but a camera's colours, noise and resolution do",
    "taken": "the time reaches no network, but a day's light and surroundings do",
}


def checks(images: Images, facts: Mapping[str, np.ndarray]) -> Iterator[Check]:
    """A check for each kind of clue that there is something of; of the facts of files one for each that tells a class.

    facts: of the files, each (N,), by the names of `telling_facts`.
    """
    if facts:
        yield from _of_files(images, facts)
    if images.names:
        yield _of_names(images)
    if (np.diff(images.labels) < 0).any():  # else the order is only that of the class folders
        yield _of_order(images)


def facts_of(
    images: Images, columns: Mapping[str, np.ndarray], settings: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """What is known of the images' files: the columns of the study's snapshot, and EXIF where files are still there.

    settings: the study's data map. EXIF is left out where a file is gone or has none that can be read.
    """
    facts = dict(columns) if columns and len(next(iter(columns.values()))) == len(images) else {}
    if "bytes" in facts and {"width", "height"} <= facts.keys():
        area = np.maximum(facts["width"].astype(float) * facts["height"].astype(float), 1)
        facts[BYTES] = facts.pop("bytes").astype(float) / area
    root = settings.get("root")
    if root is None or len(images) > MOST_FILES:
        return facts
    folders = [Path(str(root)), Path(str(root)) / "train"]
    paths = [next((one / name for one in folders if (one / name).is_file()), None) for name in images.names]
    found = [_exif(path) for path in paths if path is not None]
    if len(found) == len(images):
        facts["camera"] = np.array([camera or "no camera" for camera, _ in found])
        times = [time for _, time in found]
        if None not in times:
            facts["taken"] = np.array(times)
    return facts


def _exif(path: Path) -> tuple[str, float | None]:
    """The camera and the time, in seconds, that a file says; "" and None where it says none."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            tags = image.getexif()
            camera = str(tags.get(MODEL, "")).strip("\0 ")[:40]
            time = str(tags.get_ifd(EXIF).get(ORIGINAL) or tags.get(TIME) or "")
        return camera, datetime.strptime(time[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:  # no time
        return camera, None
    except Exception:  # as in decoding: hostile files make Pillow raise a dozen types
        return "", None


def _of_files(images: Images, facts: Mapping[str, np.ndarray]) -> Iterator[Check]:
    alone = np.arange(len(images))
    if images.groups is not None:
        pairs = np.column_stack([images.groups, images.labels])
        alone = np.unique(pairs, axis=0, return_index=True)[1]
    found = list(telling_facts(images.labels, images.classes, facts, alone))
    for fact in found:
        sentence = f"{fact.sentence}: {MEANING[fact.fact]}. Make the files of all classes in the same way."
        yield Check(f"files: {fact.fact.replace('_', ' ')}", "noted", abs(fact.difference), None, sentence)
    if not found:
        known = ", ".join(name.replace("_", " ") for name in MEANING if name in facts)
        yield Check(
            "files", "passed", None, None, f"No class is told by what is known of its files ({known})."
        )


def _of_names(images: Images) -> Check:
    """A classifier of the file names, without the class folder."""
    chosen = _some(images)
    stems = [PurePosixPath(images.names[index]).stem.lower() for index in chosen]
    chance = _forest(_name_features(stems), images.labels[chosen])
    says = [
        images.classes[images.labels[index]].lower() in stem
        for index, stem in zip(chosen, stems, strict=True)
    ]
    what = f"File names alone tell the class of {chance.accuracy:.1%} (chance {chance.expected:.1%})"
    if np.mean(says) > NAMED:
        what = f"{np.mean(says):.0%} of the file names contain the class. {what}"
    return _against_chance("file names", chance, what)


def _of_order(images: Images) -> Check:
    """A classifier of where an image lies among the others."""
    chosen = _some(images)
    chance = _forest(chosen[:, None].astype(np.float32), images.labels[chosen])
    what = f"The order of the images alone tells the class of {chance.accuracy:.1%} (chance {chance.expected:.1%})"
    return _against_chance("order of images", chance, what)


def _against_chance(name: str, chance: Chance, what: str) -> Check:
    if chance.p >= LUCK or chance.accuracy <= chance.expected + FAR:
        return Check(name, "passed", chance.accuracy, chance.bound, f"{what}.")
    why = f"{what}: no model here is given it; give it to none, and see whether classes were collected apart."
    return Check(name, "noted", chance.accuracy, chance.bound, why)


def _some(images: Images) -> np.ndarray:
    """Sorted indices of at most so many images, spread over the data set at random."""
    count = min(len(images), MOST_IMAGES)
    return np.sort(np.random.default_rng(0).choice(len(images), count, replace=False))


def _forest(features: np.ndarray, labels: np.ndarray) -> Chance:
    """A forest's predictions for a third of the images, learnt from the others."""
    from sklearn.ensemble import ExtraTreesClassifier

    held_out = np.random.default_rng(1).permutation(len(labels)) < len(labels) // 3
    forest = ExtraTreesClassifier(TREES, max_features=None, random_state=0)
    forest.fit(features[~held_out], labels[~held_out])
    return chance_of(labels[held_out], forest.predict(features[held_out]))


def _name_features(stems: list[str]) -> np.ndarray:
    """Length, digits, and counts of hashed pieces of two and three letters."""
    features = np.zeros((len(stems), NAME_HASHES + 2), dtype=np.float32)
    for row, name in zip(features, stems, strict=True):
        for size in (2, 3):
            for start in range(len(name) - size + 1):
                piece = name[start : start + size].encode()
                row[int.from_bytes(piece, "big") * 2654435761 % 2**32 % NAME_HASHES] += 1
        row[-2:] = len(name), sum(letter.isdigit() for letter in name)
    return features
