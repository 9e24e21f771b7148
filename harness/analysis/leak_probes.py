"""Probes of a trial: it is trained once more on data where an honest score must be chance. One probe, one class.

Most train one fold with the trial's own values, for a few epochs. What is above chance by more than luck explains
came from somewhere it should not have come from. A probe's fields are its options: `harness audit STUDY --set
permuted_labels.epochs=20`.
"""

import inspect
import shutil
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from harness import models, training
from harness.config import catalog
from harness.config.kinds import NO_NETWORK
from harness.config.own_code import HARNESS
from harness.config.signatures import Between
from harness.data.images import Images
from harness.data.split import Manifest
from harness.folds.cluster import THIS_PROCESS
from harness.folds.executor import Cluster
from harness.folds.fold import FoldTask
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import Step, Training, told, train_tasks
from harness.folds.worker import Workplace
from harness.records import FoldRecord, Scalar, TrialRecord, Values
from harness.seeds import seed_for
from harness.store.findings import Check
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import read_predictions
from harness.store.store import Store

LUCK = 0.001  # probability of so good a score by luck, below which a probe fails


@dataclass(frozen=True)
class Chance:
    """How good predictions are that know nothing, and how good they may be by luck.

    right: images predicted right, of `total`.   expected, bound: accuracies.   p: of so many right by luck.
    """

    right: int
    total: int
    expected: float
    bound: float
    p: float

    @property
    def accuracy(self) -> float:
        return self.right / self.total


def chance_of(labels: np.ndarray, predictions: np.ndarray) -> Chance:
    """Compare with predictions as frequent per class as these, but dealt to images at random.

    labels, predictions: int64 (n,). One-sided binomial test: the number of right ones among n, each right with the
    probability that a class is predicted and is the true one, summed over classes.
    """
    from scipy.special import bdtr, bdtrik

    total, classes = len(labels), int(max(labels.max(), predictions.max())) + 1
    shares = [np.bincount(values, minlength=classes) / total for values in (labels, predictions)]
    expected = float(shares[0] @ shares[1])
    right = int((labels == predictions).sum())
    p = 1.0 if right == 0 else float(1 - bdtr(right - 1, total, expected))
    bound = float(np.ceil(bdtrik(1 - LUCK, total, expected))) / total
    return Chance(right, total, expected, min(bound, 1.0), p)


@dataclass(frozen=True)
class AuditedTrial:
    """Where the probes of a trial are trained: a store of their own, so that an interrupted audit goes on."""

    study: LoadedStudy
    trial: TrialRecord
    images: Images
    split: Manifest
    cluster: Cluster = THIS_PROCESS

    @property
    def home(self) -> Store:
        return Store(self.study.store.study_folder(self.study.name) / "probes")

    def train(
        self, changed: Images, split: Manifest, *, epochs: int | None = None
    ) -> Generator[Step, None, FoldRecord]:
        """Fold 0 of the trial on other images; returns its record.

        epochs: at most so many, and no early stopping; None for a training as the trial's.
        """
        split = replace(split, data_hash=changed.content_hash)
        path = self.home.home / f"{split.hash[:16]}.npz"
        split.save(path)
        workplace = Workplace(self.home.keep_images(changed), path, self.home.home)
        tasks = {0: self._task(changed, split, epochs)}
        for step in told(train_tasks(workplace, tasks, cluster=self.cluster), tasks, lambda _: "fold 0"):
            if isinstance(step, Training):
                yield step
            else:
                record = step[1]
        return record

    def predicted(self, fold: FoldRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """indices, labels and predicted labels of a fold's held-out images."""
        found = read_predictions(fold)
        return found["indices"], found["labels"], found["probabilities"].argmax(1)

    def close(self) -> None:
        shutil.rmtree(self.home.home, ignore_errors=True)

    def _task(self, images: Images, split: Manifest, epochs: int | None) -> FoldTask:
        values = self.trial.values
        if epochs is not None:
            known = values["train.epochs"]
            assert isinstance(known, int)
            values = {**values, "train.epochs": min(known, epochs), "train.patience": None}
        trial = replace(self.trial, values=values)
        task = fold_tasks(self.study.record, trial, split_hash=split.hash)[0]
        return replace(task, data_hash=images.content_hash)


@dataclass(frozen=True)
class Probe(ABC):
    """A probe. Its name in PROBES is what it is called by."""

    @abstractmethod
    def check(self, subject: AuditedTrial) -> Generator[Step, None, Check | None]:
        """Yields lines of progress, and returns what it found, or None where it does not apply."""


@dataclass(frozen=True)
class TextMadeFromTheLabel(Probe):
    """Whether what a model is given changes with the image's label; not for one that reads nothing but images.

    images: how many it looks at, at most.
    """

    images: Annotated[int, Between(1, 100000)] = 64

    def check(self, subject: AuditedTrial) -> Generator[Step, None, Check | None]:
        yield from ()
        values = models.architecture(subject.trial.values)
        if not reads_text(subject.trial.values):
            return None
        differ = _inputs_differ(subject, values, self.images)
        if differ:
            why = (
                f"The text given with an image is made from its label ({differ[0]} of {differ[1]} images get another "
                "text when their label is changed), so the model is told what it should find out."
            )
            return Check("text made from the label", "failed", differ[0] / differ[1], 0.0, why)
        sentence = "The texts are the same for every image, whatever its label."
        return Check("text made from the label", "passed", 0.0, 0.0, sentence)


@dataclass(frozen=True)
class PermutedLabels(Probe):
    """Labels are dealt out anew before anything is made from them: nothing can be learnt that holds.

    epochs: of its training, at most; a label that hides among what the model is given is found the more surely, the
    more there are.
    """

    epochs: Annotated[int, Between(1, 100000)] = 5

    def check(self, subject: AuditedTrial) -> Generator[Step, None, Check]:
        random = np.random.default_rng(seed_for(subject.study.record.seed, "probe", "labels"))
        deal = random.permutation(len(subject.images))
        soft_labels = subject.images.soft_labels
        changed = replace(
            subject.images, labels=subject.images.labels[deal], path=None,
            soft_labels=None if soft_labels is None else soft_labels[deal],
        )  # fmt: skip
        fold = yield from subject.train(changed, subject.split, epochs=self.epochs)
        return _against_chance(
            "permuted labels",
            chance_of(*subject.predicted(fold)[1:]),
            "With the labels dealt out at random it scores {:.1%} on held-out images",
            "the label itself is among what the model is given",
        )


@dataclass(frozen=True)
class BlankImages(Probe):
    """Every image is replaced by noise: whatever is still known does not come from the images.

    epochs: of its training, at most.
    """

    epochs: Annotated[int, Between(1, 100000)] = 5

    def check(self, subject: AuditedTrial) -> Generator[Step, None, Check]:
        random = np.random.default_rng(seed_for(subject.study.record.seed, "probe", "noise"))
        noise = random.integers(0, 256, subject.images.pixels.shape, dtype=np.uint8)
        changed = replace(subject.images, pixels=noise, path=None)
        fold = yield from subject.train(changed, subject.split, epochs=self.epochs)
        return _against_chance(
            "images replaced by noise",
            chance_of(*subject.predicted(fold)[1:]),
            "With every image replaced by noise it scores {:.1%}",
            "something other than the image tells the label",
        )


@dataclass(frozen=True)
class BlankText(Probe):
    """All classes get one name: what the texts say is lost, the images stay. Not for a model that reads no text.

    epochs: of its training, at most.
    """

    epochs: Annotated[int, Between(1, 100000)] = 5

    def check(self, subject: AuditedTrial) -> Generator[Step, None, Check | None]:
        if not reads_text(subject.trial.values):
            return None
        names = ("thing",) * len(subject.images.classes)
        changed = replace(subject.images, classes=names, path=None)
        fold = yield from subject.train(changed, subject.split, epochs=self.epochs)
        accuracy = fold.metrics["accuracy"]
        sentence = f"With one name for all classes, so that only the images tell them apart, it scores {accuracy:.1%}."
        return Check("texts that say nothing", "passed", accuracy, None, sentence)


PROBES: dict[str, type[Probe]] = {
    "text_made_from_the_label": TextMadeFromTheLabel,
    "permuted_labels": PermutedLabels,
    "blank_images": BlankImages,
    "blank_text": BlankText,
}


def probes(options: Mapping[str, Mapping[str, Scalar]]) -> Iterator[tuple[str, Probe]]:
    """Every probe by name, in the order in which they are made.   options: by name of the probe, then of the option."""
    for name, kind in PROBES.items():
        yield name, kind(**options.get(name, {}))


def _against_chance(name: str, chance: Chance, what: str, why: str) -> Check:
    """Passed where luck explains the score.   what: a sentence about it, with a place for it; why it is not luck."""
    said = what.format(chance.accuracy)
    if chance.p < LUCK:
        sentence = f"{said}, where chance is {chance.expected:.1%}: {why}."
        return Check(name, "failed", chance.accuracy, chance.bound, sentence)
    luck = f"with {chance.total:,} images up to {chance.bound:.1%} may be luck"
    sentence = f"{said}, as guessing does ({chance.expected:.1%}); {luck}."
    return Check(name, "passed", chance.accuracy, chance.bound, sentence)


def reads_text(values: Values) -> bool:
    """Whether a trial's model is built from the names of the classes, or its training loop is given them."""
    model, loop = (
        str(values["model.name"]),
        catalog.entry("train.loop", str(values.get("train.loop", HARNESS))),
    )
    if loop and "classes" in loop.takes:
        return True
    return model != NO_NETWORK and "classes" in inspect.signature(models.builder(model)).parameters


def _inputs_differ(subject: AuditedTrial, values: Values, most: int) -> tuple[int, int] | None:
    """Of how many images, and of how many looked at, `most` of them, what the head is given changes with the label."""
    import torch

    _, channels, height, _ = subject.images.pixels.shape
    options = {key: value for key, value in values.items() if key != "name"}
    compute = training.on_this_machine(training.Compute(**subject.study.record.compute))
    count = min(len(subject.images), most)
    labels = torch.from_numpy(subject.images.labels[:count])
    others = (labels + 1) % len(subject.images.classes)
    with training.session(compute):
        model: Any = models.build(str(values["name"]), channels, height, subject.images.classes, options)
        if not hasattr(model, "encoder"):
            return None
        model.prepare(lambda key, make: make())
        embeddings = torch.randn(count, model.encoder.size)
        given = [model.inputs(embeddings, chosen) for chosen in (labels, others)]
    differ = int((given[0] != given[1]).any(1).sum())
    return (differ, count) if differ else None
