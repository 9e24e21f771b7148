"""The manifest: which image is held out in which fold, tied to the pixels and labels it was made for."""

import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, get_args

import numpy as np

from harness.config.study_file import Study
from harness.data import near_duplicates
from harness.data.grouping import by_appearance, merged
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates, Kind
from harness.data.split_makers import deal
from harness.errors import CheckFailed, DataError, Problem, StudyError, UsageError
from harness.files import unpacked_size, write_file
from harness.os_errors import require_about_the_file
from harness.seeds import seed_for

SCHEMA = 2
LEFT_OUT = -2  # in place of a fold
ARRAYS = {"image_hashes": np.uint8, "labels": np.int64, "groups": np.int64, "fold_of": np.int64}
HEAD = {"data_hash": str, "num_folds": int, "seed": int}


class LabelledImages(Protocol):
    """What is looked at of images; see `images.Images`."""

    @property
    def content_hash(self) -> str: ...
    @property
    def image_hashes(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray: ...
    @property
    def names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, eq=False)
class Manifest:
    """Folds of one data set.

    data_hash: the images' content hash.   seed: the study's.
    image_hashes: uint8 (N, 16), of the pixels of each image.   labels: int64 (N,).
    groups: int64 (N,), equal for images that are held out together; most are groups of one.
    fold_of: int64 (N,), values 0..num_folds-1, or LEFT_OUT for an image that is in no part of any fold. Where
    cross-validation is repeated, int64 (N, repeats): column r has the folds of repetition r, numbered on. With one fold
    in a repetition, -1 is an image that it does not hold out.
    """

    data_hash: str
    num_folds: int
    seed: int
    image_hashes: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    fold_of: np.ndarray

    @classmethod
    def make(
        cls, images: LabelledImages, fold_of: np.ndarray, groups: np.ndarray, *, num_folds: int, seed: int
    ) -> "Manifest":
        """The manifest of folds that were drawn for these images. Raises CheckFailed if they are none."""
        manifest = cls(
            images.content_hash, num_folds, seed, images.image_hashes, images.labels, groups, fold_of
        )
        manifest.verify()
        return manifest

    @property
    def hash(self) -> str:
        """SHA-256 over everything above: equal splits of equal images have equal hashes."""
        digest = hashlib.sha256(json.dumps([*self._head().values(), len(self.fold_of)]).encode())
        for name, kind in ARRAYS.items():
            array = np.ascontiguousarray(getattr(self, name), dtype=np.dtype(kind).newbyteorder("<"))
            digest.update(array.tobytes())
        return digest.hexdigest()

    @property
    def by_repeat(self) -> np.ndarray:
        """`fold_of` as int64 (N, repeats), however many there are."""
        return self.fold_of.reshape(len(self.fold_of), -1)

    @property
    def is_left_out(self) -> np.ndarray:
        """Which images are in no part of any fold: bool (N,)."""
        left_out: np.ndarray = (self.by_repeat == LEFT_OUT).any(1)
        return left_out

    @property
    def num_parts(self) -> int:
        """Folds of one repetition."""
        return self.num_folds // int(self.by_repeat.shape[1])

    @property
    def first(self) -> "Manifest":
        """Its first repetition alone."""
        return replace(self, fold_of=self.by_repeat[:, 0], num_folds=self.num_parts)

    def train_indices(self, fold: int) -> np.ndarray:
        """The images that a fold is trained on: sorted int64."""
        self._check_fold(fold)
        return np.flatnonzero((self.by_repeat != fold).all(1) & ~self.is_left_out)

    def held_out(self, fold: int) -> np.ndarray:
        """The images that a fold is scored on: sorted int64."""
        self._check_fold(fold)
        return np.flatnonzero((self.by_repeat == fold).any(1))

    def verify(self) -> None:
        """Raises CheckFailed unless each image is held out as often as it should, and then with all of its group.

        That is once in every repetition; with one fold in each, that may never be.
        """
        num_images, repeats = self.by_repeat.shape
        used = np.flatnonzero(~self.is_left_out)
        times = np.zeros(num_images, dtype=np.int64)
        for fold in range(self.num_folds):
            train, held_out = self.train_indices(fold), self.held_out(fold)
            if not len(held_out) or not len(train):
                counts = f"{len(train)} training and {len(held_out)} held-out images"
                raise CheckFailed(f"fold {fold} has {counts}")
            if not np.array_equal(np.union1d(train, held_out), used) or len(np.intersect1d(train, held_out)):
                raise CheckFailed(f"fold {fold}: training and held-out images do not make up the data set")
            times[held_out] += 1
        wrong = (times > repeats if self.num_parts == 1 else times != repeats)[used]
        if wrong.any():
            image, should = int(used[np.argmax(wrong)]), "once" if repeats == 1 else str(repeats)
            raise CheckFailed(f"image {image} is held out {times[image]} times, not {should}")
        order = np.argsort(self.groups, kind="stable")
        same_group = self.groups[order][1:] == self.groups[order][:-1]
        crossing = same_group & (self.by_repeat[order][1:] != self.by_repeat[order][:-1]).any(1)
        if crossing.any():
            group = self.groups[order][1:][crossing][0]
            raise CheckFailed(f"group {group} is in more than one fold: its images leak into their own score")

    def verify_images(self, images: LabelledImages) -> None:
        """Raises CheckFailed that names the first image whose pixels or label are not those of the split."""
        if images.content_hash == self.data_hash:
            return
        if len(images.labels) != len(self.labels):
            raise CheckFailed(
                f"the split was made of {len(self.labels)} images, and now there are {len(images.labels)}"
            )
        pixels = (images.image_hashes != self.image_hashes).any(axis=1)
        labels = images.labels != self.labels
        changed = np.flatnonzero(pixels | labels)
        if not len(changed):
            raise CheckFailed("the images are those of the split, but their size, classes or groups are not")
        first = int(changed[0])
        what = " and ".join(name for name, of in (("pixels", pixels), ("label", labels)) if of[first])
        name = f" ({images.names[first]})" if images.names else ""
        raise CheckFailed(
            f"image {first}{name} has other {what} than when the split was made ({len(changed)} changed in all)"
        )

    def save(self, path: Path) -> None:
        """Write the manifest to one file, in one step."""
        content = io.BytesIO()
        head = {"schema": SCHEMA, "hash": self.hash, **self._head()}
        arrays = {name: np.asarray(getattr(self, name), kind) for name, kind in ARRAYS.items()}
        np.savez_compressed(content, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)
        write_file(path, content.getvalue())

    @classmethod
    def load(cls, path: Path, most_bytes: int | None = None) -> "Manifest":
        """Read what `save` wrote.   most_bytes: that it may unpack to.

        Raises DataError if it is missing, damaged or of another release.
        """
        try:
            packed = path.read_bytes()
            if most_bytes is not None and unpacked_size(packed) > most_bytes:
                raise ValueError("far too large for its images")
            with np.load(io.BytesIO(packed), allow_pickle=False) as content:
                head = json.loads(str(content["head"]))
                if head.pop("schema", 1) != SCHEMA:
                    raise ValueError("written by another release; run the study anew, --as NAME")
                expected = head.pop("hash")
                arrays = {name: content[name].astype(kind) for name, kind in ARRAYS.items()}
            if {name: type(value) for name, value in head.items()} != HEAD:
                raise ValueError("its head is another")
            manifest = cls(**head, **arrays)
            if manifest.hash != expected:
                raise ValueError("its content does not match its hash")
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such split") from None
        except Exception as error:  # zipfile, zlib, numpy and json each have their own
            require_about_the_file(error, path)
            raise DataError(f"{path}: damaged split: {error}") from None
        return manifest

    def _head(self) -> dict[str, str | int]:
        return {"data_hash": self.data_hash, "num_folds": self.num_folds, "seed": self.seed}

    def _check_fold(self, fold: int) -> None:
        if not 0 <= fold < self.num_folds:
            raise ValueError(f"fold must be 0..{self.num_folds - 1} (got {fold})")


def make_split(study: Study, images: Images, home: Path) -> Manifest:
    """The folds of a study's images.   home: where the duplicates of a data set are kept once they have been found.

    Raises DataError if there are too few images or groups, StudyError for a split maker of the user's own that does not
    give a split of these images.
    """
    groups = together(images, kind_of_duplicates(study), home)
    seed = seed_for(study.search.seed, "split")
    try:
        fold_of = deal(study.definition()["cv"], images, groups, seed=seed)
    except UsageError as error:
        raise StudyError(study.source, [Problem("cv.split", str(error))]) from None
    return Manifest.make(images, fold_of, groups, num_folds=study.cv.num_folds, seed=study.search.seed)


def kind_of_duplicates(study: Study) -> Kind:
    """Which duplicates are in one fold: those that `data.duplicates` says, unless `cv.duplicates` says of fewer."""
    of_data: Kind = study.data.get("duplicates", "near")  # of the user's own data set it may be anything
    return study.cv.duplicates if study.cv.duplicates != "near" or of_data not in get_args(Kind) else of_data


def together(images: Images, kind: Kind, home: Path) -> np.ndarray:
    """The images that are held out together: int64 (N,), groups numbered by first appearance.

    kind: near, exact or ignore: which duplicates are joined with the groups that the images have.
    """
    own = np.arange(len(images)) if images.groups is None else images.groups
    alike = near_duplicates.alike(kind, images.pixels, lambda: duplicates_of(images, home), images.labels)
    return by_appearance(np.asarray(merged(own.tolist(), alike.tolist()))).astype(np.int64)


def duplicates_of(images: Images, home: Path) -> Duplicates:
    """The pairs of images that show the same picture: searched once per data set, kept in the store."""
    path = where_duplicates_are(images.content_hash, home)
    return near_duplicates.remembered(path, lambda: near_duplicates.find(images.pixels))


def where_duplicates_are(data_hash: str, home: Path) -> Path:
    """The file that `duplicates_of` keeps them in.   data_hash: of the images' content."""
    return home / "duplicates" / f"{data_hash}.npz"
