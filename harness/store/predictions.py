"""Held-out predictions: those of a fold, in a file beside its record, and of all folds of a trial together."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.errors import CheckFailed, RecordError
from harness.files import digest, unpacked_size
from harness.os_errors import NOT_THE_FILE, explained
from harness.records import FoldRecord, StudyRecord
from harness.scoring.find_metric import find_metric
from harness.scoring.metrics import METRICS, score

PREDICTIONS = "oof.npz"
MOST_EXPANSION = 100  # how many times its own size a file of arrays may unpack to


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Predictions for the N images of a study, each by the fold that held it out.

    labels: int64 (N,).   probabilities: float32 (N, classes).   fold_of: int64 (N,).
    Where the trial has no such fold yet, the label is -1, the row NaN and the fold -1.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    fold_of: np.ndarray

    @property
    def complete(self) -> bool:
        return bool((self.fold_of >= 0).all())

    @property
    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) and probabilities (n, classes) of the images that a fold has predicted."""
        held_out = self.fold_of >= 0
        return self.labels[held_out], self.probabilities[held_out]

    @property
    def right(self) -> np.ndarray:
        """Which images are predicted right: bool (N,)."""
        right: np.ndarray = self.probabilities.argmax(1) == self.labels
        return right


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
        if isinstance(error, OSError) and error.errno in NOT_THE_FILE:
            raise explained(error, path) or error from None
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

    Raises RecordError if some are gone or damaged, CheckFailed if an image was held out twice.
    """
    num_images, num_classes = study.data["num_images"], len(study.data["classes"])
    labels = np.full(num_images, -1, dtype=np.int64)
    probabilities = np.full((num_images, num_classes), np.nan, dtype=np.float32)
    fold_of = np.full(num_images, -1, dtype=np.int64)
    for fold in folds:
        found = read_predictions(fold)
        indices, path = found["indices"], fold.folder / PREDICTIONS
        if len(indices) and indices.max() >= num_images:
            raise RecordError(f"{path}: damaged: image {indices.max()} of {num_images}")
        if found["probabilities"].shape[1] != num_classes:
            raise RecordError(
                f"{path}: damaged: {found['probabilities'].shape[1]} classes in place of {num_classes}"
            )
        times = np.bincount(indices, minlength=num_images) + (fold_of >= 0)
        if (times > 1).any():
            raise CheckFailed(f"fold {fold.fold}: image {int(times.argmax())} was held out more than once")
        labels[indices], fold_of[indices] = found["labels"], fold.fold
        probabilities[indices] = found["probabilities"]
    return OutOfFold(labels, probabilities, fold_of)
