"""The training of one network on one fold, as a generator of epoch records.

There are no callbacks: the caller logs, reports and stops in its own loop. Every epoch is a pure function of
the state at its start, the seed and the epoch's number, so a resumed training ends with the same bits.
"""

import hashlib
import logging
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from harness.data.folds import inner_split
from harness.errors import TrialError
from harness.profiler import phase, timed
from harness.records import Epoch
from harness.seeds import seed_for
from harness.training import checkpoint as checkpoints
from harness.training import own
from harness.training.augment import draw, mixer, unchanged
from harness.training.balance import epoch_order, loss_weights
from harness.training.checkpoint import Progress
from harness.training.compute import Compute, memory_errors, recorded
from harness.training.features import inputs_for, statistics_for
from harness.training.gradients import GraphedGradients, PlainGradients
from harness.training.losses import mean_loss
from harness.training.optim import Schedule, averaged, make_optimizers
from harness.training.options import Settings, identity
from harness.training.pixels import Inputs, Statistics, evaluate

log = logging.getLogger(__name__)

SPARSE = 5  # epochs, after every so many of which `evaluate: sparse` scores the held-out images
INITIAL_PIXELS = 5000 * 32 * 32  # at most so many are shown to `initialise_from`


@dataclass(frozen=True)
class FoldData:
    """The images of a data set and one division of them.

    pixels: uint8 (N, C, H, W), may be memory-mapped; or float32 (N, D), what a frozen encoder made of them.
    labels: int64 (N,).   groups: int64 (N,), images that belong together, or None.   classes: their names.
    train, held_out: int64 indices; the held-out images, if any, are scored after epochs and decide nothing.
    soft_labels: float32 (N, classes), shares of the classes that are trained on in place of the labels, or None.
    """

    pixels: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    num_classes: int
    groups: np.ndarray | None = None
    classes: Sequence[str] = ()
    soft_labels: np.ndarray | None = None

    @property
    def targets(self) -> np.ndarray:
        """What networks are trained on: labels (N,), or shares of the classes (N, classes)."""
        return self.labels if self.soft_labels is None else self.soft_labels


@dataclass(frozen=True)
class Fitted:
    """What a finished training returns; the network then has the weights of `chosen_epoch`."""

    chosen_epoch: int
    statistics: Statistics


def fit(
    model: nn.Module,
    data: FoldData,
    *,
    options: Settings,
    compute: Compute,
    seed: int,
    checkpoint: Path | None = None,
    before_step: Callable[[], None] = lambda: None,
) -> Generator[Epoch, None, Fitted]:
    """Train `model` in place, yielding each epoch once it is done; the generator returns Fitted.

    Build the model and run this inside `compute.session`, which forks the random state that is seeded here.
    checkpoint: written before each epoch is yielded; if it is there already, its epochs are yielded first and
    the training goes on after them.   before_step: may raise, to stop in the middle of an epoch.
    Raises TrialError for a loss that is not finite (with epoch and step) and for memory that does not
    suffice; StoreError for a checkpoint that cannot be written.
    """
    with memory_errors(), phase("preparation"):
        training = _Training(model, data, options, compute, seed)
    progress = Progress()
    if checkpoint is not None:
        progress = checkpoints.read(checkpoint, training.state(), training.identity())
    yield from tuple(progress.epochs)
    while not training.is_over(progress):
        with memory_errors():
            training.advance(progress, before_step)
        if checkpoint is not None:
            with phase("writing"):
                checkpoints.write(checkpoint, progress, training.state(), training.identity())
        yield progress.epochs[-1]
    if options.train.patience is None:
        model.load_state_dict(training.scored.state_dict())
        return Fitted(len(progress.epochs), training.statistics)
    model.load_state_dict(progress.best_weights)
    return Fitted(progress.best_epoch, training.statistics)


class _Training:
    """What stays the same over the epochs of one `fit`."""

    def __init__(self, model: nn.Module, data: FoldData, options: Settings, compute: Compute, seed: int):
        self.data, self.options, self.compute, self.seed = data, options, compute, seed
        layout = torch.channels_last if compute.channels_last else torch.contiguous_format
        self.model = model.to(device=compute.device, memory_format=layout)  # type: ignore[call-overload]
        self.statistics = statistics_for(model, data.pixels, data.train)
        self.images = inputs_for(data.pixels, self.statistics, compute)
        self.train, self.inner = data.train, data.train[:0]
        if options.train.patience is not None:
            self.train, self.inner = inner_split(
                data.labels, data.train, fraction=options.train.inner_fraction,
                seed=seed_for(seed, "inner"), groups=data.groups, classes=data.classes,
            )  # fmt: skip
        self.bounds = batch_bounds(len(self.train), options.train.batch_size)
        self.num_steps = len(self.bounds) - 1
        initialise(model, self.images, self.train)
        self.optimizers = make_optimizers(model, options.optim, own.optimizer(options))
        self.average = None if options.optim.ema is None else averaged(model, options.optim.ema)
        self.class_weights = loss_weights(options.balance, data.labels, self.train, data.num_classes)
        if self.class_weights is not None:
            self.class_weights = self.class_weights.to(compute.device)
        self.schedule = Schedule(
            options.optim, num_epochs=options.train.epochs, steps_per_epoch=self.num_steps,
            own=own.schedule(options),
        )  # fmt: skip
        self.augmentation = own.augmentation(options)
        plain = PlainGradients(
            model,
            compute,
            own.loss(options, self.class_weights, compute.device)
            or mean_loss(options.train, self.class_weights),
        )
        self.gradients = GraphedGradients(plain) if compute.cuda_graph else plain

    @property
    def scored(self) -> nn.Module:
        """The network that is scored and kept: with a moving average of its weights, that one."""
        return self.model if self.average is None else self.average.module

    def state(self) -> checkpoints.State:
        return checkpoints.State(self.model, self.optimizers, self.average)

    def identity(self) -> dict[str, object]:
        """What a checkpoint must agree on to belong to this training."""
        parts = (self.train, self.inner, self.data.held_out)
        return {
            "options": identity(self.options),
            "compute": recorded(self.compute),
            "seed": self.seed,
            "indices": hashlib.sha256(b"|".join(part.tobytes() for part in parts)).hexdigest(),
            "statistics": asdict(self.statistics),
            "shapes": {name: list(value.shape) for name, value in self.model.state_dict().items()},
        }

    def is_over(self, progress: Progress) -> bool:
        done, patience = len(progress.epochs), self.options.train.patience
        stale = patience is not None and done - progress.best_epoch >= patience
        return done >= self.options.train.epochs or stale

    def advance(self, progress: Progress, before_step: Callable[[], None]) -> None:
        """Train one more epoch and add its record to the progress."""
        epoch = len(progress.epochs) + 1
        started = time.perf_counter()
        train_loss, train_accuracy = self._train_epoch(epoch, before_step)
        trained = time.perf_counter()
        with phase("evaluation"):
            held_out = self.data.held_out if self._is_looked_at(epoch) else self.data.held_out[:0]
            loss, accuracy = self._score(held_out, epoch)
            if len(self.inner):
                self._consider(progress, epoch)
        progress.epochs.append(
            Epoch(
                epoch=epoch,
                train_loss=train_loss,
                train_accuracy=train_accuracy,
                validation_loss=loss,
                validation_accuracy=accuracy,
                learning_rate=self.schedule.learning_rate(epoch * self.num_steps - 1),
                images_per_second=len(self.train) / (trained - started),
                seconds=time.perf_counter() - started,
            )
        )

    def _is_looked_at(self, epoch: int) -> bool:
        """Whether the held-out images are scored after it."""
        looks = self.options.train.evaluate
        is_fifth = looks == "sparse" and epoch % SPARSE == 0
        return looks == "every" or is_fifth or epoch == self.options.train.epochs

    def _train_epoch(self, epoch: int, before_step: Callable[[], None]) -> tuple[float, float]:
        """Mean loss and accuracy over the epoch's batches, as the network met them."""
        options, device = self.options.train, self.images.device
        torch.manual_seed(seed_for(self.seed, "dropout", epoch))
        indices = epoch_order(self.options.balance, self.data.labels, self.train, seed=self.seed, epoch=epoch)
        targets = torch.from_numpy(self.data.targets[indices]).to(device)
        draws = draw(
            self.options.augment, indices, self.images.height, self.images.width, seed=self.seed, epoch=epoch,
            own=self.augmentation,
        )  # fmt: skip
        mix = mixer(self.options.augment, self.data.num_classes)
        losses = torch.zeros(self.num_steps, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        self.model.train()
        for step, images in enumerate(timed("data", self.images.batches(indices, draws, self.bounds))):
            before_step()
            images, aims = mix(images, targets[self.bounds[step] : self.bounds[step + 1]])
            rate = self.schedule.learning_rate((epoch - 1) * self.num_steps + step)
            for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
                group["lr"] = rate * group["lr_scale"]
            loss, hits = self.gradients(images, aims)
            losses[step] += loss
            correct += hits
            if options.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
            with phase("optimiser"):
                with torch.no_grad():
                    for optimizer in self.optimizers:
                        optimizer.step()
                if self.average is not None:
                    self.average.update_parameters(self.model)
        return _mean_loss(losses, self.bounds, epoch), correct.item() / len(indices)

    def _score(self, indices: np.ndarray, epoch: int) -> tuple[float, float]:
        """Cross-entropy and accuracy, without label smoothing; NaN where there is no image."""
        if not len(indices):
            return math.nan, math.nan
        logits = evaluate(self.scored, self.images, indices, self.compute)
        labels = torch.from_numpy(self.data.labels[indices]).to(logits.device)
        loss = F.cross_entropy(logits, labels).item()
        if not np.isfinite(loss):
            raise TrialError(f"non-finite loss on the held-out images after epoch {epoch}", "non-finite")
        return loss, (logits.argmax(1) == labels).double().mean().item()

    def _consider(self, progress: Progress, epoch: int) -> None:
        """Remember the epoch if the inner split is the best so far: by accuracy, then by loss."""
        loss, accuracy = self._score(self.inner, epoch)
        score = (accuracy, -loss)
        if progress.best_score is None or score > progress.best_score:
            progress.best_epoch, progress.best_score = epoch, score
            progress.best_weights = {
                name: tensor.detach().clone() for name, tensor in self.scored.state_dict().items()
            }


def initialise(model: nn.Module, images: Inputs, train: np.ndarray) -> None:
    """Let a network that asks for it look at training images before its first step.   train: int64 (n,), which."""
    look = getattr(model, "initialise_from", None)
    if look is None:
        return
    most = max(INITIAL_PIXELS // (images.height * images.width), 1)
    chosen = train[:: -(-len(train) // most)]
    positions = unchanged(len(chosen), images.height, images.width)
    with torch.no_grad():
        look(next(images.batches(chosen, positions, [0, len(chosen)])))


def batch_bounds(num_images: int, batch_size: int) -> list[int]:
    """Where batches begin and end; a last batch of one image joins the one before, which batch norm needs."""
    bounds = [*range(0, num_images, batch_size), num_images]
    if len(bounds) > 2 and batch_size > 1 and bounds[-1] - bounds[-2] == 1:
        del bounds[-2]
    return bounds


def _mean_loss(losses: torch.Tensor, bounds: list[int], epoch: int) -> float:
    """Mean over images. The losses leave the device here, once an epoch."""
    means = losses.double().cpu()
    if not bool(means.isfinite().all()):
        step = int((~means.isfinite()).nonzero()[0]) + 1
        raise TrialError(f"non-finite loss at epoch {epoch}, step {step}", "non-finite")
    sizes = torch.tensor(bounds).diff().double()
    return float((means * sizes).sum() / sizes.sum())
