"""A trial's out-of-fold predictions: what each image was called by the network that had not seen it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.errors import CheckFailed, RecordError
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.store.store import Store


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


def out_of_fold(store: Store, record: StudyRecord, trial: TrialRecord) -> OutOfFold:
    """The predictions of a trial's folds, as far as it got.

    Raises RecordError if the record of a fold is gone, CheckFailed if an image was held out twice.
    """
    folds = [(key, store.read_fold(key)) for key in trial.folds]
    for key, fold in folds:
        if fold is None:
            raise RecordError(
                f"{store.fold_folder(key)}: the fold's record is gone; run tune again to make it anew"
            )
    records = [fold for _, fold in folds if fold is not None]
    return gather(store, records, record.data["num_images"], len(record.data["classes"]))


def gather(store: Store, folds: Iterable[FoldRecord], num_images: int, num_classes: int) -> OutOfFold:
    """The predictions of these folds together. Raises CheckFailed if an image was held out twice."""
    labels = np.full(num_images, -1, dtype=np.int64)
    probabilities = np.full((num_images, num_classes), np.nan, dtype=np.float32)
    fold_of = np.full(num_images, -1, dtype=np.int64)
    for fold in folds:
        found = store.read_predictions(fold)
        indices = found["indices"]
        times = np.bincount(indices, minlength=num_images) + (fold_of >= 0)
        if (times > 1).any():
            raise CheckFailed(f"fold {fold.fold}: image {int(times.argmax())} was held out more than once")
        labels[indices], probabilities[indices], fold_of[indices] = (
            found["labels"], found["probabilities"], fold.fold,
        )  # fmt: skip
    return OutOfFold(labels, probabilities, fold_of)
