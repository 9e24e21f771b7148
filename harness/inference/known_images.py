"""Which of a user's images a model has seen: its training images, what resembles them, and the sealed test part."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data import near_duplicates
from harness.data.image_files import read
from harness.data.images import Images, hash_images
from harness.data.snapshot import TEST
from harness.errors import HarnessError
from harness.folds.train_folds import images_of
from harness.inference.find_model import Found
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store


@dataclass(frozen=True, eq=False)
class KnownImages:
    """What is known of images, bool (n,) each.

    unchecked: why nobody could look, or "".   equal, alike: to a training image, in its pixels or as a near duplicate.
    sealed: of the study's test part.
    """

    unchecked: str
    equal: np.ndarray
    alike: np.ndarray
    sealed: np.ndarray


def study_of(store: Store, found: Found) -> LoadedStudy | None:
    """The study that the model came from, if it is in this store."""
    study = LoadedStudy.find(store, found.study)
    if study is None or tuple(study.record.data["classes"]) != found.model.classes:
        return None
    return study if tuple(study.record.data["image_shape"]) == found.model.image_shape else None


def known_images(study: LoadedStudy | None, paths: Sequence[str], pixels: np.ndarray) -> KnownImages:
    """Look for a study's images among others; None where the study is not here.

    paths: (n,) files.   pixels: uint8 (n, C, H, W), what they are as images of the study.
    """
    none = np.zeros(len(paths), bool)
    if study is None:
        return KnownImages("the study that has them is not in this store", none, none, none)
    try:
        training = images_of(study.store, study.record)
    except HarnessError as error:
        return KnownImages(str(error).splitlines()[0], none, none, _sealed(study, paths, pixels, None))
    found = near_duplicates.find(training.pixels, pixels)
    equal, alike = none.copy(), none.copy()
    equal[found.pairs[found.exact, 1]] = True
    alike[found.pairs[:, 1]] = True
    sealed = _sealed(study, paths, pixels, training) & ~equal
    return KnownImages("", equal, alike & ~equal, sealed)


def _sealed(
    study: LoadedStudy, paths: Sequence[str], pixels: np.ndarray, training: Images | None
) -> np.ndarray:
    """Which images are of the study's test part, by the hashes in its snapshot: bool (n,). No test image is read.

    Of a study of an earlier release, which has none: what lies in its folder and is no training image that is known.
    """
    of_pixels = [one.tobytes() for one in hash_images(pixels)]
    if (snapshot := study.snapshot) is not None:
        hashes = {snapshot.hashes[row] for row in snapshot.rows(TEST).tolist()}
        of_files = (hashlib.sha256(read(place)).hexdigest() for place in paths)
        return np.array(
            [one.hex() in hashes or file in hashes for one, file in zip(of_pixels, of_files, strict=True)]
        )
    settings = study.record.data["settings"]
    if settings["name"] != "folder":
        return np.zeros(len(paths), bool)
    root = Path(str(settings["root"])).expanduser().resolve()
    trained = set() if training is None else set(map(bytes, training.image_hashes))
    return np.array(
        [
            one not in trained and Path(place).resolve().is_relative_to(root)
            for one, place in zip(of_pixels, paths, strict=True)
        ]
    )
