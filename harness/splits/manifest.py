"""The manifest: which image is held out in which fold, tied to the images it was made for."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import CheckFailed, DataError
from harness.files import write_file


@dataclass(frozen=True, eq=False)
class Manifest:
    """Folds of one data set.

    data_hash: the images' content hash.   seed: the study's, for the record.
    fold_of: int64 (N,), values 0..num_folds-1.
    """

    data_hash: str
    num_folds: int
    seed: int
    fold_of: np.ndarray

    @property
    def hash(self) -> str:
        """SHA-256 over everything above: equal splits of equal images have equal hashes."""
        head = json.dumps([self.data_hash, self.num_folds, self.seed, len(self.fold_of)])
        return hashlib.sha256(head.encode() + self.fold_of.astype("<i8").tobytes()).hexdigest()

    def train_indices(self, fold: int) -> np.ndarray:
        """The images that a fold is trained on: sorted int64."""
        self._check_fold(fold)
        return np.flatnonzero(self.fold_of != fold)

    def held_out(self, fold: int) -> np.ndarray:
        """The images that a fold is scored on: sorted int64."""
        self._check_fold(fold)
        return np.flatnonzero(self.fold_of == fold)

    def verify(self, groups: np.ndarray | None = None) -> None:
        """Raises CheckFailed unless each image is held out once, and never trained on then, with its group.

        groups: int (N,), or None.
        """
        num_images = len(self.fold_of)
        times = np.zeros(num_images, dtype=np.int64)
        for fold in range(self.num_folds):
            train, held_out = self.train_indices(fold), self.held_out(fold)
            if not len(held_out) or not len(train):
                counts = f"{len(train)} training and {len(held_out)} held-out images"
                raise CheckFailed(f"fold {fold} has {counts}")
            if len(np.union1d(train, held_out)) != num_images or len(np.intersect1d(train, held_out)):
                raise CheckFailed(f"fold {fold}: training and held-out images do not make up the data set")
            times[held_out] += 1
        if (times != 1).any():
            image = int(np.argmax(times != 1))
            raise CheckFailed(f"image {image} is held out {times[image]} times, not once")
        if groups is not None:
            self._verify_groups(groups)

    def save(self, path: Path) -> None:
        """Write the manifest to one file, in one step."""
        head = {
            "data_hash": self.data_hash,
            "num_folds": self.num_folds,
            "seed": self.seed,
            "hash": self.hash,
        }
        content = io.BytesIO()
        np.savez_compressed(content, head=np.array(json.dumps(head)), fold_of=self.fold_of.astype("<i8"))
        write_file(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read what `save` wrote. Raises DataError if it is missing or damaged."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content:
                head, fold_of = json.loads(str(content["head"])), content["fold_of"].astype(np.int64)
            manifest = cls(head["data_hash"], head["num_folds"], head["seed"], fold_of)
            if manifest.hash != head["hash"]:
                raise ValueError("its content does not match its hash")
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such split") from None
        except Exception as error:  # zipfile, zlib, numpy and json each have their own
            raise DataError(f"{path}: damaged split: {error}") from None
        return manifest

    def _check_fold(self, fold: int) -> None:
        if not 0 <= fold < self.num_folds:
            raise ValueError(f"fold must be 0..{self.num_folds - 1} (got {fold})")

    def _verify_groups(self, groups: np.ndarray) -> None:
        order = np.argsort(groups, kind="stable")
        same_group = groups[order][1:] == groups[order][:-1]
        crossing = same_group & (self.fold_of[order][1:] != self.fold_of[order][:-1])
        if crossing.any():
            group = groups[order][1:][crossing][0]
            raise CheckFailed(f"group {group} is in more than one fold: its images leak into their own score")
