"""The training of one network on one fold, as a generator of epoch records.

There are no callbacks: the caller logs, reports and stops in its own loop. Every epoch is a pure function of
the state at its start, the seed and the epoch's number, so a resumed training ends with the same bits.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from harness.catalog import Between
from harness.errors import TrialError
from harness.records import Epoch
from harness.seeds import seed_for
from harness.training import checkpoint as checkpoints
from harness.training.augment import AugmentOptions, draw
from harness.training.checkpoint import Progress
from harness.training.compute import Compute
from harness.training.optim import OptimOptions, Schedule, make_optimizer, take_step
from harness.training.pixels import Pixels, Statistics, autocast, evaluate, measure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainOptions:
    """How long and on what.

    batch_size: a last batch of one image joins the batch before it, for the sake of batch norm.
    clip_norm: the gradient is scaled down to this norm; null never.
    patience: stop after so many epochs without a better accuracy on an inner split of the training part, and
    choose the best epoch; null trains all epochs and chooses the last.
    inner_fraction: of the training part, set aside as that inner split; with patience only.
    keep_models: whose weights the store keeps; the training does not look at it.
    """

    epochs: Annotated[int, Between(1, 100_000)] = 20
    batch_size: Annotated[int, Between(1, 65_536)] = 128
    label_smoothing: Annotated[float, Between(0.0, 0.99)] = 0.0
    clip_norm: Annotated[float, Between(above=0.0)] | None = None
    patience: Annotated[int, Between(1)] | None = None
    inner_fraction: Annotated[float, Between(above=0.0, high=0.5)] = 0.1
    keep_models: Literal["best", "all", "none"] = "best"


@dataclass(frozen=True)
class Settings:
    """Everything a study's `train:` map sets."""

    train: TrainOptions = field(default_factory=TrainOptions)
    optim: OptimOptions = field(default_factory=OptimOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)


@dataclass(frozen=True)
class FoldData:
    """The images of a data set and one division of them.

    pixels: uint8 (N, C, H, W), may be memory-mapped.   labels: int64 (N,).
    train, held_out: int64 indices; the held-out images are scored after every epoch and decide nothing.
    """

    pixels: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    held_out: np.ndarray
    num_classes: int


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
    with _memory_errors():
        training = _Training(model, data, options, compute, seed)
    progress = Progress()
    if checkpoint is not None:
        progress = checkpoints.read(checkpoint, model, training.optimizer, training.identity())
    yield from tuple(progress.epochs)
    while not training.is_over(progress):
        with _memory_errors():
            training.advance(progress, before_step)
        if checkpoint is not None:
            checkpoints.write(checkpoint, progress, model, training.optimizer, training.identity())
        yield progress.epochs[-1]
    if options.train.patience is None:
        return Fitted(len(progress.epochs), training.statistics)
    model.load_state_dict(progress.best_weights)
    return Fitted(progress.best_epoch, training.statistics)


class _Training:
    """What stays the same over the epochs of one `fit`."""

    def __init__(self, model: nn.Module, data: FoldData, options: Settings, compute: Compute, seed: int):
        self.data, self.options, self.compute, self.seed = data, options, compute, seed
        layout = torch.channels_last if compute.channels_last else torch.contiguous_format
        self.model = model.to(device=compute.device, memory_format=layout)  # type: ignore[call-overload]
        self.statistics = measure(data.pixels, data.train)
        self.images = Pixels(data.pixels, self.statistics, compute)
        self.train, self.inner = data.train, data.train[:0]
        if options.train.patience is not None:
            self.train, self.inner = self._inner_split()
        self.bounds = batch_bounds(len(self.train), options.train.batch_size)
        self.num_steps = len(self.bounds) - 1
        self.optimizer = make_optimizer(model, options.optim)
        self.schedule = Schedule(
            options.optim, num_epochs=options.train.epochs, steps_per_epoch=self.num_steps
        )

    def identity(self) -> dict[str, object]:
        """What a checkpoint must agree on to belong to this training."""
        parts = (self.train, self.inner, self.data.held_out)
        return {
            "options": {**asdict(self.options), "train": {**asdict(self.options.train), "keep_models": None}},
            "compute": asdict(self.compute),
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
        loss, accuracy = self._score(self.data.held_out, epoch)
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

    def _train_epoch(self, epoch: int, before_step: Callable[[], None]) -> tuple[float, float]:
        """Mean loss and accuracy over the epoch's batches, as the network met them."""
        options, device = self.options.train, self.images.device
        torch.manual_seed(seed_for(self.seed, "dropout", epoch))
        indices = self._shuffled(epoch)
        labels = torch.from_numpy(self.data.labels[indices]).to(device)
        positions = draw(
            self.options.augment,
            len(indices),
            self.images.height,
            self.images.width,
            seed=self.seed,
            epoch=epoch,
        )
        losses = torch.zeros(self.num_steps, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        self.model.train()
        for step, images in enumerate(self.images.batches(indices, positions, self.bounds)):
            before_step()
            targets = labels[self.bounds[step] : self.bounds[step + 1]]
            self._set_learning_rate((epoch - 1) * self.num_steps + step)
            with autocast(self.compute):
                logits = self.model(images)
            loss = F.cross_entropy(logits.float(), targets, label_smoothing=options.label_smoothing)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if options.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
            take_step(self.optimizer)
            losses[step] = loss.detach()
            correct += (logits.detach().argmax(1) == targets).sum()
        return _mean_loss(losses, self.bounds, epoch), correct.item() / len(indices)

    def _score(self, indices: np.ndarray, epoch: int) -> tuple[float, float]:
        """Cross-entropy and accuracy, without label smoothing."""
        logits = evaluate(self.model, self.images, indices, self.compute)
        labels = torch.from_numpy(self.data.labels[indices]).to(logits.device)
        loss = F.cross_entropy(logits, labels).item()
        if not np.isfinite(loss):
            raise TrialError(f"non-finite loss on the held-out images after epoch {epoch}")
        return loss, (logits.argmax(1) == labels).double().mean().item()

    def _consider(self, progress: Progress, epoch: int) -> None:
        """Remember the epoch if the inner split is the best so far: by accuracy, then by loss."""
        loss, accuracy = self._score(self.inner, epoch)
        score = (accuracy, -loss)
        if progress.best_score is None or score > progress.best_score:
            progress.best_epoch, progress.best_score = epoch, score
            progress.best_weights = {
                name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()
            }

    def _shuffled(self, epoch: int) -> np.ndarray:
        generator = torch.Generator().manual_seed(seed_for(self.seed, "order", epoch))
        order = torch.randperm(len(self.train), generator=generator).numpy()
        return np.asarray(self.train[order])

    def _set_learning_rate(self, step: int) -> None:
        rate = self.schedule.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _inner_split(self) -> tuple[np.ndarray, np.ndarray]:
        from harness.splits.folds import inner_split

        fraction, seed = self.options.train.inner_fraction, seed_for(self.seed, "inner")
        train, inner = inner_split(self.data.labels, self.data.train, fraction=fraction, seed=seed)
        return train, inner


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
        raise TrialError(f"non-finite loss at epoch {epoch}, step {step}")
    sizes = torch.tensor(bounds).diff().double()
    return float((means * sizes).sum() / sizes.sum())


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn memory that does not suffice into a TrialError: the study can go on without this trial."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrialError("not enough GPU memory; lower train.batch_size or the size of the model") from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
            raise
        raise TrialError("not enough memory; lower train.batch_size or the size of the model") from error
