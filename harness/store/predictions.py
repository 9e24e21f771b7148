"""Held-out predictions: those of a fold, in a file beside its record, and of all folds of a trial together."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.errors import CheckFailed, RecordError
from harness.files import digest, unpacked_size
from harness.os_errors import require_about_the_file
from harness.records import FoldRecord, StudyRecord
from harness.scoring.find_metric import find_metric
from harness.scoring.metrics import METRICS, score
from harness.scoring.sampling import deviations

PREDICTIONS = "oof.npz"
MOST_EXPANSION = 100  # how many times its own size a file of arrays may unpack to


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions for the N images of a study, each by the fold that held it out: n of them, a row each.

    labels: int64 (n,).   probabilities: float32 (n, classes).   fold_of: int64 (n,).
    Row i is of image i. Where cross-validation was repeated, n is N times the repetitions: row r·N + i is what
    repetition r says of image i. Where the trial has no such fold yet, or a hold-out never holds the image out,
    the label is -1, the row NaN and the fold -1.
    num_images: N.   num_folds: that a complete trial has.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    fold_of: np.ndarray
    num_images: int
    num_folds: int

    @property
    def complete(self) -> bool:
        """Whether every fold is there."""
        return len(np.unique(self.fold_of[self.fold_of >= 0])) == self.num_folds

    @property
    def images(self) -> np.ndarray:
        """The image of each row: int64 (n,)."""
        return np.arange(len(self.labels)) % self.num_images

    @property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) and probabilities (n, classes) of the images that a fold has predicted."""
        held_out = self.fold_of >= 0
        return self.labels[held_out], self.probabilities[held_out]

    def of_images(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images (m,) that were held out, their labels, and mean probabilities over the repetitions: one row each."""
        is_known = (self.fold_of >= 0).reshape(-1, self.num_images)
        images = np.flatnonzero(is_known.any(0))
        labels = self.labels.reshape(-1, self.num_images).max(0)[images]
        if len(is_known) == 1:
            return images, labels, self.probabilities[images]
        of_image = self.probabilities.reshape(len(is_known), self.num_images, -1)[:, images]
        return images, labels, np.nanmean(of_image, axis=0)

    @property
    def first(self) -> "OutOfFold":
        """What the first repetition says: one row for each image."""
        rows = slice(self.num_images)
        return replace(
            self,
            labels=self.labels[rows],
            probabilities=self.probabilities[rows],
            fold_of=self.fold_of[rows],
        )

    @property
    def right(self) -> np.ndarray:
        """Which rows are predicted right: bool (n,)."""
        right: np.ndarray = self.probabilities.argmax(1) == self.labels
        return right & (self.fold_of >= 0)


def packed(predictions: Mapping[str, np.ndarray]) -> bytes:
    """The file's content.

    predictions: `indices` int64 (n,), `labels` int64 (n,), `probabilities` float32 (n, classes).
    """
    buffer = io.BytesIO()
    contiguous: dict[str, Any] = {name: np.ascontiguousarray(array) for name, array in predictions.items()}
    np.savez(buffer, **contiguous)
    return buffer.getvalue()


def scored(record: FoldRecord) -> FoldRecord:
    """The fold with its score by every metric: what has become one since it was trained judges its predictions.

    Raises RecordError where they are needed, and gone or damaged.
    """
    if not record.metrics or METRICS.keys() <= record.metrics.keys():
        return record
    predictions = read_predictions(record)
    scores = score(predictions["labels"], predictions["probabilities"])
    return replace(record, metrics={**scores, **record.metrics})


def score_by(record: FoldRecord, objective: str) -> float:
    """The fold's score by a metric, which may be the user's own. Raises RecordError, and what the metric raises."""
    if objective in record.metrics:
        return record.metrics[objective]
    predictions = read_predictions(record)
    return find_metric(objective)(predictions["labels"], predictions["probabilities"])


def sampling_variance(record: FoldRecord, objective: str, groups: np.ndarray) -> float:
    """The variance of a fold's score for its held-out images being a sample; above 0 even where none is wrong.

    groups: int64 (N,), of all images; whole groups are drawn.
    Raises RecordError for predictions that are gone or damaged, and what the metric raises.
    """
    found = read_predictions(record)
    spread = deviations(objective, found["labels"], [found["probabilities"]], groups[found["indices"]])
    return float(np.square(spread).sum())


def read_predictions(record: FoldRecord) -> dict[str, np.ndarray]:
    """What was packed for this fold. Raises RecordError where it is gone or damaged."""
    path = record.folder / PREDICTIONS
    try:
        content = path.read_bytes()
        if digest(content) != record.hashes.get(PREDICTIONS):
            raise ValueError("their content does not match its hash")
        if unpacked_size(content) > MOST_EXPANSION * len(content):
            raise ValueError("they would unpack to far more")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("indices", "labels", "probabilities")}
        _require_fitting(**found)
    except Exception as error:  # zipfile, zlib and numpy each have their own
        require_about_the_file(error, path)
        raise RecordError(f"{path}: damaged predictions: {error}") from None
    return found


def _require_fitting(indices: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Raise ValueError unless these are what `packed` takes."""
    if any(array.dtype != np.int64 or array.ndim != 1 for array in (indices, labels)):
        raise ValueError("indices and labels must be int64 (n,)")
    if probabilities.dtype != np.float32 or probabilities.ndim != 2 or not probabilities.shape[1]:
        raise ValueError(
            f"probabilities must be float32 (n, classes), not {probabilities.dtype} {probabilities.shape}"
        )
    if not len(indices) == len(labels) == len(probabilities):
        raise ValueError(f"{len(indices)} indices, {len(labels)} labels and {len(probabilities)} rows")
    if len(indices) and (indices.min() < 0 or len(np.unique(indices)) < len(indices)):
        raise ValueError("an image is there twice, or has a negative number")
    if len(labels) and not 0 <= labels.min() <= labels.max() < probabilities.shape[1]:
        raise ValueError(
            f"labels must be 0..{probabilities.shape[1] - 1}, not {labels.min()}..{labels.max()}"
        )


def gathered(study: StudyRecord, folds: Sequence[FoldRecord]) -> OutOfFold:
    """The predictions of these folds together, for all images of the study.

    Raises RecordError if some are gone or damaged, CheckFailed if an image was held out twice in a repetition.
    """
    num_images, num_classes = study.data["num_images"], len(study.data["classes"])
    num_rows = num_images * study.repeats
    labels = np.full(num_rows, -1, dtype=np.int64)
    probabilities = np.full((num_rows, num_classes), np.nan, dtype=np.float32)
    fold_of = np.full(num_rows, -1, dtype=np.int64)
    for fold in folds:
        found = read_predictions(fold)
        indices, path = found["indices"], fold.folder / PREDICTIONS
        if len(indices) and indices.max() >= num_images:
            raise RecordError(f"{path}: damaged: image {indices.max()} of {num_images}")
        if found["probabilities"].shape[1] != num_classes:
            raise RecordError(
                f"{path}: damaged: {found['probabilities'].shape[1]} classes in place of {num_classes}"
            )
        rows = indices + num_images * (fold.fold * study.repeats // study.num_folds)
        times = np.bincount(rows, minlength=num_rows) + (fold_of >= 0)
        if (times > 1).any():
            image = int(times.argmax()) % num_images
            raise CheckFailed(f"fold {fold.fold}: image {image} was held out more than once")
        labels[rows], fold_of[rows] = found["labels"], fold.fold
        probabilities[rows] = found["probabilities"]
    return OutOfFold(labels, probabilities, fold_of, num_images, study.num_folds)
