"""Studies made up from random numbers in a real store, over the embedded digits: large ones, and hostile ones."""

from dataclasses import asdict, dataclass

import numpy as np

from harness import scoring
from harness.data import load_training
from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import Manifest
from harness.records import Epoch, FoldRecord, StudyRecord, TrialRecord
from harness.scoring import corrected_standard_error
from harness.store.store import Store
from harness.training import Compute

TEXT = """\
# Does it pay?
data: {name: digits}
model: {name: resnet, depth: {low: 1, high: 4}, width: [8, 16, 32], dropout: {low: 0.0, high: 0.5}}
train:
  {epochs: 20, batch_size: [64, 128], lr: {low: 1e-3, high: 1.0, log: true}, optimizer: [sgd, adamw]}
cv: {folds: 5}
search: {trials: 100, sampler: tpe, racing: paired, seed: 0}
"""
SEARCHED = {
    "model.depth": {"low": 1, "high": 4},
    "model.width": [8, 16, 32],
    "model.dropout": {"low": 0.0, "high": 0.5},
    "train.batch_size": [64, 128],
    "train.lr": {"low": 1e-3, "high": 1.0, "log": True},
    "train.optimizer": ["sgd", "adamw"],
}


@dataclass(frozen=True)
class Shape:
    """How large a study is. stopped: the share of its trials that racing stops, failed: of those that fail."""

    num_trials: int = 4
    num_folds: int = 3
    num_epochs: int = 3
    stopped: float = 0.2
    failed: float = 0.1


def made_up(
    store: Store,
    name: str,
    shape: Shape | None = None,
    *,
    seed: int = 0,
    question: str = "Does it pay?",
    classes: tuple[str, ...] = (),
    reason: str = "cannot win any more",
) -> StudyRecord:
    """Write a study with its split, trials and folds. classes: other names than the data set's."""
    shape = shape or Shape()
    images = load_training({"name": "digits"})
    if classes:
        images = Images(images.pixels, images.labels, classes)
    groups = np.arange(len(images))
    fold_of = make_folds(images.labels, num_folds=shape.num_folds, seed=0, groups=groups)
    split = Manifest.make(images, fold_of, groups, num_folds=shape.num_folds, seed=0)
    split.save(store.study_folder(name) / "split.npz")
    record = _record(name, question, images, split, shape)
    store.write_study(record)
    random = np.random.default_rng(seed)
    for number in range(shape.num_trials):
        store.write_trial(name, _trial(store, record, images, split, shape, number, random, reason))
    return record


def _record(name: str, question: str, images: Images, split: Manifest, shape: Shape) -> StudyRecord:
    definition: dict[str, dict[str, object]] = {"model": {}, "train": {}, "search": {"racing": "paired"}}
    for path, setting in SEARCHED.items():
        part, _, option = path.partition(".")
        definition[part][option] = setting
    return StudyRecord(
        name=name,
        question=question,
        text=TEXT,
        definition=definition,
        objective="accuracy",
        direction="maximize",
        num_folds=shape.num_folds,
        num_trials=shape.num_trials,
        seed=0,
        data={
            "settings": {"name": "digits"},
            "hash": images.content_hash,
            "classes": list(images.classes),
            "num_images": len(images),
            "image_shape": list(images.pixels.shape[1:]),
        },
        split_hash=split.hash,
        compute=asdict(Compute("cpu", "fp32", channels_last=True, threads=1)),
        provenance={
            "commit": "c0ffee" * 6 + "abcd",
            "dirty": True,
            "packages": {"torch": "2.15"},
            "python": "3.11",
        },
        created=1_760_000_000.0,
    )


def _trial(
    store: Store, record: StudyRecord, images: Images, split: Manifest, shape: Shape, number: int,
    random: np.random.Generator, reason: str,
) -> TrialRecord:  # fmt: skip
    params: dict[str, bool | int | float | str | None] = {
        "model.depth": int(random.integers(1, 5)),
        "model.width": int(random.choice([8, 16, 32])),
        "model.dropout": float(random.uniform(0, 0.5)),
        "train.batch_size": int(random.choice([64, 128])),
        "train.lr": float(10 ** random.uniform(-3, 0)),
        "train.optimizer": str(random.choice(["sgd", "adamw"])),
    }
    fate = (number % 10) / 10  # trial 0 is complete
    state = "failed" if fate >= 1 - shape.failed else "stopped" if 0 < fate <= shape.stopped else "complete"
    num_folds = {"failed": 0, "stopped": 1, "complete": shape.num_folds}[state]
    skill = float(random.normal(2.0 if state == "stopped" else 3.0, 0.2))
    folds = [
        _fold(store, images, split, shape, f"{record.name}{number}", fold, skill, random)
        for fold in range(num_folds)
    ]
    scores = tuple(fold.metrics["accuracy"] for fold in folds)
    return TrialRecord(
        number=number,
        state=state,  # type: ignore[arg-type]
        params=params,
        values={**params, "model.name": "resnet", "train.epochs": shape.num_epochs},
        folds=tuple(fold.key for fold in folds),
        scores=scores,
        mean=float(np.mean(scores)) if scores else None,
        standard_error=corrected_standard_error(scores, test_fraction=1 / (shape.num_folds - 1))
        if len(scores) > 1
        else None,
        reason="" if state == "complete" else reason,
        failure="loss" if state == "failed" else "",
        seconds=8.5 * len(folds),
        started=record.created if folds else 0.0,
    )


def _fold(
    store: Store, images: Images, split: Manifest, shape: Shape, key: str, fold: int, skill: float,
    random: np.random.Generator,
) -> FoldRecord:  # fmt: skip
    indices = split.held_out(fold)
    labels, num_classes = images.labels[indices], len(images.classes)
    logits = random.normal(size=(len(labels), num_classes)) + skill * np.eye(num_classes)[labels]
    probabilities = scoring.softmax(logits)
    losses = 2.3 * 0.8 ** np.arange(1, shape.num_epochs + 1) + random.normal(size=shape.num_epochs) * 0.03
    epochs = [
        Epoch(number, loss, 1 - loss / 3, loss + 0.1, 0.95 - loss / 3, 0.1, 900.0, 1.0)
        for number, loss in enumerate(losses.tolist(), 1)
    ]
    counts = scoring.confusion_matrix(labels, probabilities.argmax(1), num_classes)
    record = FoldRecord(
        key="".join(character if character.isalnum() else "-" for character in key) + f"-{fold}",
        fold=fold,
        task={},
        epochs=tuple(epochs),
        chosen_epoch=shape.num_epochs,
        metrics=scoring.score(labels, probabilities),
        confusion=tuple(map(tuple, counts.tolist())),
        num_parameters=1234,
        seconds=8.5,
        started=1_760_000_000.0,
        fingerprint={"torch": "2.15"},
        hashes={},
    )
    predictions = {"indices": indices, "labels": labels, "probabilities": probabilities.astype(np.float32)}
    known = store.write_fold(record, predictions, {"weight": np.zeros(1, np.float32)})
    store.drop_weights([record.key])  # as of a trial that is not the best: MLflow gets no model of it
    return known
