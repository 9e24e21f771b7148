"""A training loop of the user's own: what it is given, and what becomes of what it yields.

    def fit(network, dataset, epochs, lr): …       trains the network that it is given, and yields after every epoch
    def fit(images, labels, num_classes): …        gives what predicts: see models/own_classifier.py

It never sees an image that its fold holds out: these are predicted here, after each of its epochs, without it.
"""

import inspect
import math
import random
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from harness.errors import TrialError
from harness.models.own_classifier import OwnClassifier
from harness.profiler import phase
from harness.records import Epoch
from harness.seeds import seed_for
from harness.training import own
from harness.training.augment import unchanged
from harness.training.compute import Compute, memory_errors
from harness.training.features import inputs_for, statistics_for
from harness.training.loop import Fitted, FoldData, initialise
from harness.training.options import Settings
from harness.training.pixels import Inputs, evaluate

SAID = ("loss", "accuracy", "lr")  # what a loop may say of an epoch
SEEDS = 2**32  # numpy takes seeds below this


class TrainingImages(Dataset[tuple[torch.Tensor, int]]):
    """The images that a fold is trained on, one by one as its network is to have them: (C, H, W) floats and a label.

    They are normalised, on the device, and not augmented.   called: whenever some are taken.
    """

    def __init__(self, images: Inputs, labels: np.ndarray, indices: np.ndarray, called: Callable[[], None]):
        self._images, self._labels, self._indices, self._called = images, labels, indices, called

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return self.__getitems__([range(len(self))[place]])[0]

    def __getitems__(self, places: Sequence[int]) -> list[tuple[torch.Tensor, int]]:
        """Those of a batch at once, as a DataLoader asks for them."""
        self._called()
        chosen = self._indices[np.asarray(places, np.int64)]
        positions = unchanged(len(chosen), self._images.height, self._images.width)
        batch = next(self._images.batches(chosen, positions, [0, len(chosen)]))
        return list(zip(batch, self._labels[chosen].tolist(), strict=True))


def fit_by_own_loop(
    model: nn.Module,
    data: FoldData,
    *,
    options: Settings,
    compute: Compute,
    seed: int,
    checkpoint: Path | None = None,
    before_step: Callable[[], None] = lambda: None,
) -> Generator[Epoch, None, Fitted]:
    """As `loop.fit`, by the loop that the options name; one that was interrupted begins anew.

    What it draws from the generators of torch, numpy and random is seeded; they are as before between its epochs.
    What it prints goes to stderr.
    Raises TrialError for what is no training loop, and for predictions that are not finite.
    """
    code = own.find("train.loop", options, is_made_once=False)
    assert code is not None
    with memory_errors(), phase("preparation"):
        layout = torch.channels_last if compute.channels_last else torch.contiguous_format
        model.to(device=compute.device, memory_format=layout)  # type: ignore[call-overload]
        statistics = statistics_for(model, data.pixels, data.train)
        images = inputs_for(data.pixels, statistics, compute)
        initialise(model, images, data.train)
        given = _given(code, model, images, data, compute, seed, before_step)
    outside, epochs = _random_states(), 0
    random.seed(seed)
    np.random.seed(seed_for(seed, "numpy") % SEEDS)
    torch.manual_seed(seed_for(seed, "loop"))
    steps = _steps(code, given, model)
    try:
        while True:
            started = time.perf_counter()
            with memory_errors(), redirect_stdout(sys.stderr), _telling_of_processes(code):
                said = next(steps, None)
            if said is None:
                break
            trained = time.perf_counter()
            inside, epochs = _random_states(), epochs + 1
            if epochs > options.train.epochs and "epochs" in code.names:
                raise code.wrong(
                    f"yields more often than {options.train.epochs} times, the epochs that it was given"
                )
            with phase("evaluation"):
                loss, accuracy = _score(model, data, images, compute, epochs)
            seconds = time.perf_counter() - started
            rate = len(data.train) / max(trained - started, 1e-9)
            told = [said.get(name, math.nan) for name in SAID]
            yield Epoch(epochs, told[0], told[1], loss, accuracy, told[2], rate, seconds)
            _set_random_states(inside)
    finally:
        steps.close()
        _set_random_states(outside)
    return Fitted(epochs, statistics)


def _given(
    code: own.OwnCode, model: nn.Module, images: Inputs, data: FoldData, compute: Compute, seed: int,
    before_step: Callable[[], None],
) -> dict[str, Any]:  # fmt: skip
    """The arguments that it takes, by name; arrays are its own, to do with as it likes."""
    makers: dict[str, Callable[[], Any]] = {
        "network": lambda: model,
        "dataset": lambda: TrainingImages(images, data.labels, data.train, before_step),
        "images": lambda: np.array(data.pixels[data.train]),
        "labels": lambda: np.array(data.labels[data.train]),
        "soft_labels": lambda: None if data.soft_labels is None else data.soft_labels[data.train],
        "num_classes": lambda: data.num_classes,
        "classes": lambda: list(data.classes),
        "device": lambda: compute.device,
        "seed": lambda: seed_for(seed, "loop") % SEEDS,
    }
    return {name: make() for name, make in makers.items() if name in code.names}


def _steps(
    code: own.OwnCode, given: Mapping[str, Any], model: nn.Module
) -> Generator[dict[str, float], None, None]:
    """What it says of each of its epochs, while the model is as that left it; without any yield, of all as one."""
    result = code(**given)
    yielded = False
    if inspect.isgenerator(result):
        steps = result
        while True:
            try:
                value = next(steps)
            except StopIteration as stop:
                result = stop.value
                break
            yielded = True
            yield _said(code, value, model)
    if not yielded or result is not None:
        said = _said(code, result, model)
        if not yielded:
            yield said


def _said(code: own.OwnCode, value: Any, model: nn.Module) -> dict[str, float]:
    """What a yielded or returned value says; a classifier in it is held by the model from now on."""
    if isinstance(model, OwnClassifier):
        classifier, value = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        model.hold(classifier)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        hint = "; the network that it is given is what is kept" if isinstance(value, nn.Module) else ""
        raise code.wrong(f"yields a {kind}, where a map of {', '.join(SAID)} may stand, or nothing{hint}")
    if unknown := [name for name in value if name not in SAID]:
        raise code.wrong(f"says {unknown[0]!r} of an epoch; known are {', '.join(SAID)}")
    said = {name: float(number) for name, number in value.items()}
    if not math.isfinite(said.get("loss", 0.0)):
        raise TrialError(
            f"non-finite loss ({said['loss']}) in the training loop {code.plugin.name}", "non-finite"
        )
    return said


def _score(
    model: nn.Module, data: FoldData, images: Inputs, compute: Compute, epoch: int
) -> tuple[float, float]:
    """Cross-entropy and accuracy on the held-out images; NaN where there are none."""
    if not len(data.held_out):
        return math.nan, math.nan
    was_training = model.training
    logits = evaluate(model, images, data.held_out, compute)
    model.train(was_training)
    labels = torch.from_numpy(data.labels[data.held_out]).to(logits.device)
    loss = F.cross_entropy(logits, labels).item()
    if not math.isfinite(loss):
        raise TrialError(f"non-finite loss on the held-out images after epoch {epoch}", "non-finite")
    return loss, (logits.argmax(1) == labels).double().mean().item()


@contextmanager
def _telling_of_processes(code: own.OwnCode) -> Iterator[None]:
    """Say what helps where it starts processes, which a worker process cannot have."""
    try:
        yield
    except AssertionError as error:
        if "daemonic processes" not in str(error):
            raise
        raise code.wrong(
            "starts processes, which a worker may not: leave num_workers of a DataLoader at 0"
        ) from error


def _random_states() -> tuple[Any, Any, Any]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _set_random_states(states: tuple[Any, Any, Any]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
