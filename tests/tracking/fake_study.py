"""A finished study made up from random numbers, with real files: for tests of what is shown of it."""

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from harness import models, scoring
from harness.files import digest_of
from harness.records import Epoch, FoldRecord, StudyRecord, TrialRecord
from harness.scoring import corrected_standard_error
from harness.scoring.standard_errors import with_half_width
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import PREDICTIONS
from harness.store.store import WEIGHTS, Store
from harness.training import Compute

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CREATED = 1_760_000_000.25
MODEL = {"model.name": "resnet", "model.depth": 1, "model.blocks": 1, "model.width": 4, "model.norm": "batch"}


@dataclass
class FakeStudy:
    """Records as a store would hand them over. folder: where the folds' files lie."""

    folder: Path
    name: str = "digits depth"
    num_folds: int = 3
    num_epochs: int = 4
    images_per_fold: int = 40
    record: StudyRecord = field(init=False)
    trials: list[TrialRecord] = field(default_factory=list)
    folds: dict[str, FoldRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.record = StudyRecord(
            name=self.name,
            question="Does depth help on digits?\nharness tune --study digits",
            text="# Does depth help on digits?\ndata: {name: digits}\n",
            definition={
                "data": {"name": "digits", "test_fraction": 0.2},
                "model": {"name": "resnet", "dropout": {"low": 0.0, "high": 0.5}, "depth": 1},
                "train": {"epochs": self.num_epochs, "lr": {"low": 1e-3, "high": 0.1, "log": True}},
                "cv": {"folds": self.num_folds},
                "search": {"sampler": "tpe", "seed": 7},
                "objective": "accuracy",
            },
            objective="accuracy",
            direction="maximize",
            num_folds=self.num_folds,
            num_trials=4,
            seed=7,
            data={
                "settings": {"name": "digits"},
                "hash": "d" * 64,
                "classes": CLASSES,
                "num_images": self.num_folds * self.images_per_fold,
                "image_shape": [1, 8, 8],
            },
            split_hash="5" * 64,
            compute=asdict(Compute("cpu", "fp32", channels_last=True, threads=1)),
            provenance={
                "commit": "c0ffee" * 6 + "abcd",
                "dirty": True,
                "diff": "--- a/x\n+++ b/x\n",
                "packages": {"torch": torch.__version__},
                "user": "ada",
            },
            created=CREATED,
        )

    @property
    def loaded(self) -> LoadedStudy:
        """As it is now. Its folds have no records on disk, so it has them from here."""
        return LoadedStudy(Store(self.folder), self.record, tuple(self.trials), _folds={**self.folds})

    def add_trial(
        self, state: str = "complete", num_folds: int | None = None, **values: object
    ) -> TrialRecord:
        number = len(self.trials)
        generator = np.random.default_rng(number)
        params = {
            "model.dropout": round(float(generator.uniform(0, 0.5)), 3),
            "train.lr": 10 ** generator.uniform(-3, -1),
        }
        folds = [
            self._fold(number, fold) for fold in range(self.num_folds if num_folds is None else num_folds)
        ]
        scores = tuple(fold.metrics["accuracy"] for fold in folds)
        error = (
            corrected_standard_error(scores, test_fraction=1 / (self.num_folds - 1))
            if len(scores) > 1
            else None
        )
        trial = TrialRecord(
            number=number,
            state=state,
            params=params,
            values={**MODEL, **params, "train.clip_norm": None, "train.keep_models": "best", **values},
            folds=tuple(fold.key for fold in folds),
            scores=scores,
            mean=float(np.mean(scores)) if scores else None,
            standard_error=error,
            reason={"stopped": "cannot win any more", "failed": "non-finite loss at epoch 1, step 3"}.get(
                state, ""
            ),
            seconds=sum(fold.seconds for fold in folds),
            started=min((fold.started for fold in folds), default=0.0),
        )
        self.trials.append(with_half_width(trial))
        return self.trials[-1]

    def _fold(self, trial: int, fold: int) -> FoldRecord:
        generator = np.random.default_rng([trial, fold])
        key = hashlib.sha256(f"{trial} {fold}".encode()).hexdigest()[:40]
        labels = generator.integers(0, len(CLASSES), self.images_per_fold)
        skill = 1.5 + 0.3 * trial
        logits = generator.normal(size=(len(labels), len(CLASSES))) + skill * np.eye(len(CLASSES))[labels]
        probabilities = scoring.softmax(logits)
        folder = self.folder / "folds" / key
        self._write_files(folder, seed=100 * trial + fold, labels=labels, probabilities=probabilities)
        started = CREATED + 100 * trial + 10 * fold
        record = FoldRecord(
            key=key,
            fold=fold,
            task={},
            epochs=tuple(self._epoch(number, generator) for number in range(1, self.num_epochs + 1)),
            chosen_epoch=self.num_epochs,
            metrics=scoring.score(labels, probabilities),
            confusion=tuple(
                map(tuple, scoring.confusion_matrix(labels, probabilities.argmax(1), len(CLASSES)).tolist())
            ),
            num_parameters=1234,
            seconds=8.5,
            started=started,
            fingerprint={},
            hashes={name: digest_of(folder / name) for name in (PREDICTIONS, WEIGHTS)},
            folder=folder,
        )
        self.folds[key] = record
        return record

    def _epoch(self, number: int, generator: np.random.Generator) -> Epoch:
        loss = 2.3 * 0.9**number + generator.normal() * 0.03
        return Epoch(
            epoch=number,
            train_loss=loss,
            train_accuracy=1 - loss / 3,
            validation_loss=loss * 1.2 + 0.1,
            validation_accuracy=0.95 - loss / 3,
            learning_rate=0.1 / number,
            images_per_second=900.0 + number,
            seconds=8.0 / self.num_epochs,
        )

    def _write_files(self, folder: Path, *, seed: int, labels: np.ndarray, probabilities: np.ndarray) -> None:
        folder.mkdir(parents=True)
        indices = seed % 100 * len(labels) + np.arange(len(labels))
        np.savez(folder / "oof.npz", indices=indices, labels=labels, probabilities=probabilities)
        torch.manual_seed(seed)
        options = {key.removeprefix("model."): value for key, value in MODEL.items() if key != "model.name"}
        network = models.build("resnet", 1, 8, len(CLASSES), options)
        statistics = {"harness.mean": torch.tensor([0.3 + seed / 1e4]), "harness.std": torch.tensor([0.25])}
        save_file({**network.state_dict(), **statistics}, folder / "weights.safetensors")


def fake_study(folder: Path, **options: object) -> FakeStudy:
    """Four trials: complete, stopped after two folds, failed before any, complete (and best)."""
    study = FakeStudy(folder, **options)
    study.add_trial()
    study.add_trial("stopped", num_folds=2)
    study.add_trial("failed", num_folds=0)
    study.add_trial()
    return study
