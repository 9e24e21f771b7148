"""Training one fold: a pure function of its task and the images, wherever and whenever it runs."""

import hashlib
import json
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import models, scoring, training
from harness.config.own_code import HARNESS
from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import DataError
from harness.folds import code, guards, option_files
from harness.folds.code import RECIPE
from harness.profiler import phase
from harness.records import Epoch, FoldRecord, Scalar, Values
from harness.seeds import seed_for

NO_FOLD = -1  # as a task's fold: all images are trained on and none is held out


@dataclass(frozen=True)
class FoldTask:
    """Every input of one fold's training, as plain data.

    values: the trial's model.* and train.* values.   fold: its number, or NO_FOLD for a training on all images.
    seed: the study's.
    compute: the resolved device, precision, layout and thread count.
    code: what trains it, as `code.identity` names it; sources of RECIPE are not named at all.
    files: SHA-256 of the files that values name, by the values' names.
    places: where those files are, which is no input; for what is not named, the value says it.
    """

    values: Values
    data_hash: str
    split_hash: str
    num_folds: int
    fold: int
    seed: int
    compute: dict[str, Scalar]
    recipe: int = RECIPE
    code: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict, compare=False)

    def key(self) -> str:
        """The fold's name in the store: equal for equal inputs, whatever study they come from."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()[:40]

    def document(self) -> dict[str, Any]:
        """The task as JSON; without `code` and `files` where they are empty, as in records of releases without them."""
        document = asdict(self)
        del document["places"]
        for name in ("code", "files"):
            if not document[name]:
                del document[name]
        return document


@dataclass(frozen=True)
class TrainedFold:
    """A fold's record with its arrays, ready to be stored."""

    record: FoldRecord
    predictions: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]


def halved(task: FoldTask) -> FoldTask:
    """The same training with every batch in two parts: another task, for batch norm sees the parts."""
    return replace(task, compute={**task.compute, "micro_batches": 2})


def train_fold(
    task: FoldTask,
    images: Images,
    split: Manifest,
    *,
    checkpoint: Path | None = None,
    features: Path | None = None,
    before_step: Callable[[], None] = lambda: None,
) -> Generator[Epoch, None, TrainedFold]:
    """Train one fold, yielding each epoch; the generator returns the trained fold.

    checkpoint: where to keep the state after every epoch, and to go on from if it is there.
    features: where to keep what frozen encoders make of the images; without it they are run every time.
    before_step: called before every step, as a sign of life.
    Raises TrialError for a trial that cannot go on, DataError if images or split are not the task's, CheckFailed if
    this process would train it with other code or other files.
    """
    if (images.content_hash, split.hash) != (task.data_hash, task.split_hash):
        raise DataError("the images or the split are not the ones that the fold was defined on")
    code.require(task.code, str(task.values.get("model.name")), code.others_in(task.values))
    values = option_files.located(task.values, task.files, task.places)
    compute = training.Compute(**task.compute)  # type: ignore[arg-type]
    started, clock = time.time(), time.monotonic()
    settings = training.options_from(models.section(values, "train"))
    with training.session(compute):
        with phase("preparation"):
            model = _seeded_model(task, values, images)
            pixels = _inputs(task, model, images, settings, compute, features)
            data = _divided(task, images, split, pixels)
        fit = training.fit if settings.train.loop == HARNESS else training.fit_by_own_loop
        fitting = fit(
            model,
            data,
            options=settings,
            compute=compute,
            seed=seed_for(task.seed, task.fold, "fit"),
            checkpoint=checkpoint,
            before_step=before_step,
        )
        epochs = []
        while True:
            try:
                epoch = next(fitting)
            except StopIteration as stop:
                fitted = stop.value
                break
            epochs.append(epoch)
            yield epoch
        logits = np.empty((0, data.num_classes), np.float32)
        with phase("evaluation"):
            if len(data.held_out):
                logits = training.predict_logits(
                    model, data.pixels, fitted.statistics, compute, data.held_out
                )
            _guard(task, model, data, fitted, len(epochs), settings, compute)
    return _trained(
        task, model, data, fitted, logits, tuple(epochs), started, time.monotonic() - clock, compute
    )


def _seeded_model(task: FoldTask, values: Values, images: Images) -> Any:
    import torch

    torch.manual_seed(seed_for(task.seed, task.fold, "init"))
    options = models.architecture(values)
    _, channels, height, _ = images.pixels.shape
    return models.build(str(options.pop("name")), channels, height, images.classes, options)


def _divided(task: FoldTask, images: Images, split: Manifest, pixels: np.ndarray) -> "training.FoldData":
    """The images in the two parts of the fold."""
    no_fold = task.fold == NO_FOLD
    data = training.FoldData(
        pixels=pixels,
        labels=images.labels,
        train=np.arange(len(images)) if no_fold else split.train_indices(task.fold),
        held_out=np.arange(0) if no_fold else split.held_out(task.fold),
        num_classes=len(images.classes),
        groups=split.groups,
        classes=images.classes,
        soft_labels=images.soft_labels,
    )
    if not no_fold:
        guards.division(split, task.fold, data.train, data.held_out)
    return data


def _inputs(
    task: FoldTask,
    model: Any,
    images: Images,
    settings: "training.Settings",
    compute: "training.Compute",
    features: Path | None,
) -> np.ndarray:
    """The pixels, or where nothing changes them on their way to a frozen encoder, what its model makes of them."""
    if not hasattr(model, "encoder"):
        return images.pixels
    if features is None:
        model.prepare(lambda key, make: make())
        return images.pixels
    keep = training.Keeper(features, json.dumps([task.code, _fingerprint(task, compute)], sort_keys=True))
    model.prepare(keep)
    if settings.augment.changes_images or settings.train.loop != HARNESS:
        return images.pixels
    return keep.inputs(model, images.pixels, images.labels, images.content_hash, compute)


def _fingerprint(task: FoldTask, compute: "training.Compute") -> dict[str, str]:
    imported = code.third_party(str(task.values["model.name"]), code.others_in(task.values))
    return training.fingerprint(compute, imported)


def _guard(
    task: FoldTask,
    model: Any,
    data: "training.FoldData",
    fitted: "training.Fitted",
    num_epochs: int,
    settings: "training.Settings",
    compute: "training.Compute",
) -> None:
    """Check what was trained; the guards say what must hold."""
    few = (data.held_out if len(data.held_out) else data.train)[: guards.PROBED]
    first, again = (
        training.predict_logits(model, data.pixels, fitted.statistics, compute, few) for _ in range(2)
    )
    guards.evaluation(task.fold, first, again)
    guards.epoch_choice(
        task.fold, fitted.chosen_epoch, num_epochs, inner_split=settings.train.patience is not None
    )
    declared = getattr(model, "normalisation", None) is not None or hasattr(model, "encoder")
    if not declared:
        guards.statistics(task.fold, data.pixels, data.train, fitted.statistics)
    guards.sealed_test()


def _trained(
    task: FoldTask,
    model: Any,
    data: "training.FoldData",
    fitted: "training.Fitted",
    logits: np.ndarray,
    epochs: tuple[Epoch, ...],
    started: float,
    seconds: float,
    compute: "training.Compute",
) -> TrainedFold:
    labels = data.labels[data.held_out]
    probabilities = scoring.softmax(logits)
    state = model.kept_state() if hasattr(model, "kept_state") else model.state_dict()
    weights = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()}
    weights |= {
        "harness.mean": np.asarray(fitted.statistics.mean),
        "harness.std": np.asarray(fitted.statistics.std),
    }
    record = FoldRecord(
        key=task.key(),
        fold=task.fold,
        task=task.document(),
        epochs=epochs,
        chosen_epoch=fitted.chosen_epoch,
        metrics=scoring.score(labels, probabilities) if len(labels) else {},
        confusion=tuple(
            map(tuple, scoring.confusion_matrix(labels, logits.argmax(1), data.num_classes).tolist())
        ),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        seconds=seconds,
        started=started,
        fingerprint=_fingerprint(task, compute),
        hashes={},
    )
    predictions = {"indices": data.held_out, "labels": labels, "probabilities": probabilities}
    return TrainedFold(record, predictions, weights)
