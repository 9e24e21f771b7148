"""A study, opened once: the one way to read it. Whoever shows, compares, judges or delivers a study gets this."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from harness.data.split import Manifest
from harness.errors import CheckFailed, RecordError, UsageError
from harness.files import read_json
from harness.records import FoldRecord, StudyRecord, TrialRecord, best_of, mixed_fingerprints
from harness.scoring.standard_errors import corrected_standard_error
from harness.store.findings import AnyFinding, Finding
from harness.store.store import Store, started_study

DELIVERY = "mlflow.json"  # what MLflow was shown last, in a study's folder


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


def gathered(study: StudyRecord, folds: Sequence[FoldRecord]) -> OutOfFold:
    """The predictions of these folds together, for all images of the study.

    Raises RecordError if some are gone or damaged, CheckFailed if an image was held out twice.
    """
    num_images, num_classes = study.data["num_images"], len(study.data["classes"])
    labels = np.full(num_images, -1, dtype=np.int64)
    probabilities = np.full((num_images, num_classes), np.nan, dtype=np.float32)
    fold_of = np.full(num_images, -1, dtype=np.int64)
    for fold in folds:
        found = Store.read_predictions(fold)
        indices = found["indices"]
        times = np.bincount(indices, minlength=num_images) + (fold_of >= 0)
        if (times > 1).any():
            raise CheckFailed(f"fold {fold.fold}: image {int(times.argmax())} was held out more than once")
        labels[indices], fold_of[indices] = found["labels"], fold.fold
        probabilities[indices] = found["probabilities"]
    return OutOfFold(labels, probabilities, fold_of)


@dataclass(frozen=True, eq=False)
class LoadedStudy:
    """A study as its records were when it was opened; each is read at most once, when it is first looked at.

    record: what the study is.   trials: by number.   is_driven: whether a process worked on it just then.
    """

    store: Store
    record: StudyRecord
    trials: tuple[TrialRecord, ...]
    is_driven: bool = False
    _folds: dict[str, FoldRecord | None] = field(default_factory=dict, repr=False)
    _predictions: dict[int, OutOfFold] = field(default_factory=dict, repr=False)
    _findings: dict[str, Finding | None] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, store: Store, name: str) -> "LoadedStudy":
        """Raises UsageError if no study of that name has been started, RecordError for a damaged one."""
        record = started_study(store, name)
        is_driven = store.is_driven(name)  # before the trials: what ends meanwhile is at worst called running
        return cls(store, record, tuple(store.read_trials(name)), is_driven)

    @property
    def name(self) -> str:
        return self.record.name

    @cached_property
    def best(self) -> TrialRecord | None:
        """The complete trial with the best mean over its folds; the earliest of equals."""
        return best_of(self.trials, self.record.direction)

    @cached_property
    def ended(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials if trial.state != "running")

    @cached_property
    def ranked(self) -> tuple[TrialRecord, ...]:
        """The complete trials, best first, the earlier of equals first."""
        complete = [trial for trial in self.trials if trial.state == "complete" and trial.mean is not None]
        sign = self.record.sign
        return tuple(sorted(complete, key=lambda trial: (-sign * (trial.mean or 0.0), trial.number)))

    @property
    def is_finished(self) -> bool:
        """Whether all its trials have ended and nobody works on it."""
        return not self.is_driven and len(self.ended) >= self.record.num_trials

    def top(self, count: int) -> list[TrialRecord]:
        """The best `count` complete trials, best first, and the defaults. Raises UsageError if none is complete."""
        if not self.ranked:
            raise UsageError(f"study {self.name} has no complete trial yet; go on with tune first")
        return [*self.ranked[:count], *(trial for trial in self.ranked[count:] if trial.number == 0)]

    def complete_trial(self, wanted: str = "best") -> TrialRecord:
        """The best trial, or the complete one with that number. Raises UsageError where there is none."""
        if self.best is None:
            raise UsageError(f"study {self.name} has no complete trial yet; go on with tune first")
        if wanted == "best":
            return self.best
        complete = {str(trial.number): trial for trial in self.trials if trial.state == "complete"}
        if wanted not in complete:
            raise UsageError(f"study {self.name} has no complete trial {wanted} ({', '.join(complete)})")
        return complete[wanted]

    def fold(self, key: str) -> FoldRecord | None:
        """The fold of that key; None where it is gone or damaged."""
        if key not in self._folds:
            self._folds[key] = self.store.read_fold_record(key)
        return self._folds[key]

    @cached_property
    def mixed_fingerprints(self) -> dict[str, tuple[str, ...]]:
        """In what the folds of all trials were computed differently; empty where all were computed alike."""
        return mixed_fingerprints(fold for trial in self.trials for fold in self.folds(trial))

    def folds(self, trial: TrialRecord) -> list[FoldRecord]:
        """The folds of a trial that are there, in its order."""
        return [fold for key in trial.folds if (fold := self.fold(key)) is not None]

    def all_folds(self, trial: TrialRecord) -> list[FoldRecord]:
        """Every fold that the trial has trained. Raises RecordError if one is gone."""
        for key in trial.folds:
            if self.fold(key) is None:
                where = self.store.fold_folder(key)
                raise RecordError(f"{where}: the fold's record is gone; run tune again to make it anew")
        return self.folds(trial)

    def out_of_fold(self, trial: TrialRecord) -> OutOfFold:
        """The predictions of a trial's folds, as far as it got.

        Raises RecordError if a fold or its predictions are gone, CheckFailed if an image was held out twice.
        """
        if trial.number not in self._predictions:
            self._predictions[trial.number] = gathered(self.record, self.all_folds(trial))
        return self._predictions[trial.number]

    def standard_error(self, scores: Sequence[float]) -> float | None:
        """Of the mean of these scores, one per fold, corrected for the folds' overlap; None below two."""
        if len(scores) < 2:
            return None
        return corrected_standard_error(list(scores), test_fraction=self.record.test_fraction)

    def finding(self, kind: type[AnyFinding]) -> AnyFinding | None:
        """The last finding of that type, or None. Raises RecordError for a damaged or newer one."""
        if kind.kind not in self._findings:
            self._findings[kind.kind] = self.store.read_finding(self.name, kind)
        found = self._findings[kind.kind]
        assert found is None or isinstance(found, kind)
        return found

    @cached_property
    def delivery(self) -> dict[str, Any]:
        """What MLflow was shown last, by its run ids and hashes; empty where nothing is known of that."""
        try:
            return read_json(self.store.study_folder(self.name) / DELIVERY)
        except (OSError, RecordError):
            return {}

    @cached_property
    def split(self) -> Manifest:
        """Raises DataError for one that is gone or damaged."""
        return Manifest.load(self.store.study_folder(self.name) / "split.npz")
