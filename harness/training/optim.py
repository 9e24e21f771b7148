"""Optimisers, and learning-rate schedules as pure functions of the step."""

import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from typing import Annotated, Any, Literal

import torch
from torch import nn

from harness.catalog import Between

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OptimOptions:
    """How the weights are changed.

    lr: the highest learning rate; the schedule multiplies it.   momentum, nesterov: of sgd.
    weight_decay: on weight matrices and convolution kernels, not on biases and norms.
    warmup_epochs: the learning rate rises linearly for so long; not with one_cycle, which has its own rise.
    step_size, gamma: `step` multiplies the learning rate by gamma every step_size epochs.
    peak_at: where in the run, 0..1, one_cycle reaches lr.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[float, Between(above=0.0)] = 0.1
    momentum: Annotated[float, Between(0.0, 0.9999)] = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Between(0.0)] = 5e-4
    schedule: Literal["constant", "step", "cosine", "linear", "one_cycle"] = "cosine"
    warmup_epochs: Annotated[float, Between(0.0)] = 0.0
    step_size: Annotated[int, Between(1)] = 10
    gamma: Annotated[float, Between(above=0.0, high=1.0)] = 0.1
    peak_at: Annotated[float, Between(above=0.0, high=0.99)] = 0.3


def make_optimizer(model: nn.Module, options: OptimOptions) -> torch.optim.Optimizer:
    """The optimiser over the trainable parameters of `model`, one fused kernel a step."""
    _spare_the_compiler()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decay = [parameter for parameter in trainable if parameter.ndim > 1]
    plain = [parameter for parameter in trainable if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": group, "weight_decay": amount}
        for group, amount in ((decay, options.weight_decay), (plain, 0.0))
        if group
    ]
    if options.optimizer == "sgd":
        nesterov = options.nesterov and options.momentum > 0  # torch refuses nesterov without momentum
        return torch.optim.SGD(
            groups, lr=options.lr, momentum=options.momentum, nesterov=nesterov, fused=True
        )
    kind = torch.optim.Adam if options.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=options.lr, fused=True)


def take_step(optimizer: torch.optim.Optimizer) -> None:
    """One step of the optimiser, without what torch wraps around it for hooks and torch.compile.

    Nothing of that is used here, and its first call imports torch.compile's 900 modules: 5 s in every process.
    """
    with torch.no_grad():
        inspect.unwrap(type(optimizer).step)(optimizer)


def _spare_the_compiler() -> None:
    """Keep the making of an optimiser from importing torch.compile too.

    torch exempts some bookkeeping methods from compilation when they are first called. Each is named here as
    its own exempted form, which is where torch looks first. On a torch that looks elsewhere this does nothing.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)


class Schedule:
    """The learning rate of every step of a run, known beforehand; so a resumed run meets the same ones."""

    def __init__(self, options: OptimOptions, *, num_epochs: int, steps_per_epoch: int):
        self.options = options
        self.num_steps = num_epochs * steps_per_epoch
        self.steps_per_epoch = steps_per_epoch
        self.warmup = min(round(options.warmup_epochs * steps_per_epoch), self.num_steps)
        if options.schedule == "one_cycle" and self.warmup:
            log.warning("warmup_epochs is ignored: the schedule one_cycle has its own rise")
            self.warmup = 0

    def learning_rate(self, step: int) -> float:
        """At step 0 … num_steps - 1, counted over the whole run."""
        return self.options.lr * self.multiplier(step)

    def multiplier(self, step: int) -> float:
        """The learning rate at `step` as a fraction of the highest one."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.options.schedule == "constant":
            return 1.0
        if self.options.schedule == "step":
            return self.options.gamma ** (step // self.steps_per_epoch // self.options.step_size)
        if self.options.schedule == "one_cycle":
            return _one_cycle(step, self.num_steps, self.options.peak_at)
        progress = (step - self.warmup) / max(self.num_steps - self.warmup, 1)
        return 1.0 - progress if self.options.schedule == "linear" else _cosine(1.0, 0.0, progress)

    def __iter__(self) -> Iterator[float]:
        return (self.learning_rate(step) for step in range(self.num_steps))


def _one_cycle(step: int, num_steps: int, peak_at: float) -> float:
    """From 1/25 up to 1, then down to 1/250,000: torch's OneCycleLR without its momentum cycle.

    Source: Smith and Topin 2018, arXiv 1708.07120.
    """
    peak = peak_at * num_steps - 1
    if step <= peak:
        return _cosine(1 / 25, 1.0, step / peak if peak > 0 else 1.0)
    return _cosine(1.0, 1 / 25 / 1e4, (step - peak) / max(num_steps - 1 - peak, 1))


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + cos(pi * progress)) / 2
