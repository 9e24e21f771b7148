"""A study's data as `tune` gets them: the training images, the sealed test part, and the snapshot of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.config import plugins
from harness.data import FOLDER, data_home, load_parts, sealed_copies
from harness.data.folder import decoded_copy, of_folder, snapshot_of
from harness.data.holdout import Growth
from harness.data.images import Images
from harness.data.near_duplicates import Duplicates
from harness.data.snapshot import Changes, Snapshot, compare
from harness.errors import DataError
from harness.messages import told_before
from harness.records import Map, Scalar

STORED = "stored"  # the images that `harness.tune` was given in Python: in the store, wherever that lies


@dataclass(frozen=True, eq=False)
class SealedPart:
    """The test part before it is opened: known to be whole, and handed on without a look at it.

    hash: its content's.   num_images: in it.
    """

    hash: str
    num_images: int
    _images: Images

    @property
    def path(self) -> Path | None:
        """Where it lies, if it is on disk."""
        return self._images.path

    def save(self, folder: Path) -> None:
        self._images.save(folder)

    def num_copies(self, train: Images, within: Duplicates, home: Path) -> int:
        """How many of its images show a picture that is in training, too: of their pixels alone, and no more is told.

        within: what was found among the training images.   home: the store, which keeps the number.
        """
        return sealed_copies.number_of(train, self._images, within, home)


@dataclass(frozen=True)
class Sealed:
    """What a study that has begun knows of its test images.

    hash: of their content.   folder: where the store keeps them, if it does.   snapshot: which files they are, or None.
    """

    hash: str
    folder: Path
    snapshot: Snapshot | None


@dataclass(frozen=True, eq=False)
class DataSet:
    """What a study begins with.

    may_change: whether the images come from a folder or from code of the user's own, and are to be kept therefore.
    duplicates: what was found among all files of the snapshot when they were divided, or None.
    """

    train: Images
    test: SealedPart
    snapshot: Snapshot
    may_change: bool
    duplicates: Duplicates | None = None

    def num_copies(self, within: Duplicates, home: Path) -> int:
        """How many sealed images show a picture that is in training, too. Arguments as of `SealedPart.num_copies`."""
        if self.duplicates is not None:
            return sealed_copies.among(self.duplicates, np.array(self.snapshot.parts), self.train.labels)
        return self.test.num_copies(self.train, within, home)


def load_data(settings: Mapping[str, Scalar | Map], growth: Growth | None = None) -> DataSet:
    """Both parts of the data set of a study's `data:` map, checked; nothing of the test part is looked at.

    growth: which part each image was in before, for a study that goes on from another one.
    Raises DataError where the images are missing, unreadable or cannot be trained on, or the test part is so.
    """
    parts = load_parts(data_home(), settings, ["train", "test"], growth)
    train, test, name = parts["train"], parts["test"], str(settings["name"])
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        shapes = f"{test.pixels.shape[1:]}, and the training images {train.pixels.shape[1:]}"
        raise DataError(f"{name}: the test images have the shape {shapes}")
    found = None
    if name == FOLDER:
        folder = of_folder(data_home(), _options(settings), growth)
        try:
            snapshot = snapshot_of(train)
        except DataError:
            snapshot = folder.snapshot()
        found = folder.known_duplicates(snapshot.hashes)
    else:
        snapshot = Snapshot.of_images(train, test)
    return DataSet(
        train,
        SealedPart(test.content_hash, len(test), test),
        snapshot,
        may_change(settings),
        found,
    )


def load_both_again(
    settings: Mapping[str, Scalar | Map], snapshot: Snapshot | None
) -> tuple[Images, SealedPart]:
    """Both parts that a study began with, as `load_again` finds one; nothing of the test part is looked at."""
    growth = None if snapshot is None else Growth(snapshot, takes_new=False)
    parts = load_parts(data_home(), settings, ["train", "test"], growth)
    test = parts["test"]
    return parts["train"], SealedPart(test.content_hash, len(test), test)


def may_change(settings: Mapping[str, Scalar | Map]) -> bool:
    """Whether the images of a `data:` map come from a folder or from code of the user's own."""
    name = str(settings["name"])
    return name == FOLDER or plugins.find("data", name) is not None


def load_again(settings: Mapping[str, Scalar | Map], content_hash: str, snapshot: Snapshot | None) -> Images:
    """The training images that a study began with, from where they were or from a decoded copy of them.

    Files that are new since are left aside. What has come of images that are gone or changed is for the caller to see:
    they may be others than those of the hash. Raises DataError where there are no such images any more.
    """
    if settings["name"] == FOLDER and (copy := decoded_copy(data_home(), content_hash)):
        return copy
    growth = None if snapshot is None else Growth(snapshot, takes_new=False)
    return load_parts(data_home(), settings, ["train"], growth)["train"]


def changes(settings: Mapping[str, Scalar | Map], since: Snapshot) -> Changes:
    """What became of the data set of a study's `data:` map since a snapshot.

    What lies beside the classes of a folder was told when the study began. Raises DataError where it cannot be read any
    more.
    """
    if settings["name"] == FOLDER:
        with told_before("harness.data"):
            return of_folder(data_home(), _options(settings)).changes(since)
    parts = load_parts(data_home(), settings, ["train", "test"], Growth(since, takes_new=True))
    now = Snapshot.of_images(parts["train"], parts["test"])
    return compare(since, now.names, now.hashes)


def _options(settings: Mapping[str, Scalar | Map]) -> dict[str, Scalar | Map]:
    return {name: value for name, value in settings.items() if name != "name"}
