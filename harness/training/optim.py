"""Optimisers, the moving average of their weights, and learning-rate schedules as pure functions of the step."""

import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import cos, pi
from typing import Annotated, Any, Literal, assert_never

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from harness.config.signatures import Between, Only, OrOwn, Unless

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OptimOptions:
    """How the weights are changed.

    optimizer: `muon` changes convolution kernels by orthogonalised momentum, and what is left by `rest`. Default: SGD
    with momentum generalises as well as any on small images, and is the cheapest.
    lr: the highest learning rate; the schedule multiplies it. Default: what SGD with momentum and batch norm usually
    starts from at batches of 128 (He et al. 2016); adam and adamw want a hundredth of it.
    momentum: of sgd and muon. Default: as nearly everybody has it.
    nesterov: whether the momentum of sgd and muon is Nesterov's. Default: it costs nothing, and most recipes have it.
    weight_decay: on weight matrices and convolution kernels, not on biases and norms. Default: of the usual recipes for
    CIFAR-10 (Zagoruyko and Komodakis 2016).
    rest: with muon only, the optimiser of all but kernels. Default: as in the recipe that brought muon to images.
    rest_lr: with muon only, the learning rate of all but kernels; null is lr.
    schedule: how the learning rate changes from step to step. Default: it ends at 0 whatever the number of epochs, and
    has nothing more to set.
    warmup_epochs: the learning rate rises linearly for so long; not with one_cycle and triangular, which rise.
    step_size, gamma: `step` multiplies the learning rate by gamma every step_size epochs. Default: a tenth after half
    of the default epochs.
    peak_at: where in the run, 0..1, one_cycle and triangular reach lr. Default: PyTorch's of its one-cycle schedule.
    ema: decay a step of an exponential moving average of the weights, which is what is scored and kept then.
    """

    optimizer: Annotated[Literal["sgd", "adam", "adamw", "muon"], OrOwn()] = "sgd"
    lr: Annotated[float, Between(above=0.0)] = 0.1
    momentum: Annotated[float, Between(0.0, 0.9999), Only(optimizer=("sgd", "muon"))] = 0.9
    nesterov: Annotated[bool, Only(optimizer=("sgd", "muon"))] = True
    weight_decay: Annotated[float, Between(0.0)] = 5e-4
    rest: Annotated[Literal["sgd", "adamw"], Only(optimizer="muon")] = "sgd"
    rest_lr: Annotated[float, Between(above=0.0), Only(optimizer="muon")] | None = None
    schedule: Annotated[
        Literal["constant", "step", "cosine", "linear", "triangular", "one_cycle"], OrOwn()
    ] = "cosine"
    warmup_epochs: Annotated[float, Between(0.0), Unless(schedule=("triangular", "one_cycle"))] = 0.0
    step_size: Annotated[int, Between(1), Only(schedule="step")] = 10
    gamma: Annotated[float, Between(above=0.0, high=1.0), Only(schedule="step")] = 0.1
    peak_at: Annotated[float, Between(above=0.0, high=0.99), Only(schedule=("triangular", "one_cycle"))] = 0.3
    ema: Annotated[float, Between(0.0, 0.999999)] | None = None


Groups = list[dict[str, Any]]
Factor = Callable[[float, int, int, int, int], float]  # of progress, step, num_steps, epoch, num_epochs


def make_optimizers(
    model: nn.Module, options: OptimOptions, own: Callable[[Groups], torch.optim.Optimizer] | None = None
) -> list[torch.optim.Optimizer]:
    """The optimisers that share the trainable parameters of `model`: one, or with muon two.

    Each of their groups has an `lr_scale`, by which the schedule's learning rate is multiplied.
    own: makes the user's own optimiser of such groups.
    """
    _spare_the_compiler()
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if own is not None:
        found = [own(_groups(model, named, options))]
    elif options.optimizer != "muon":
        found = [_optimizer(options.optimizer, _groups(model, named, options), options)]
    else:
        found = _muon_and_rest(model, named, options)
    for optimizer in found:
        # The step without what torch wraps around it for hooks and torch.compile, to be called under no_grad. Nothing
        # of that is used here, and its first call imports torch.compile's 900 modules: 5 s in every process.
        bare = inspect.unwrap(type(optimizer).step)
        if own is None or bare.__module__.startswith(
            "torch.optim"
        ):  # what others wrap around theirs may be needed
            optimizer.step = partial(bare, optimizer)  # type: ignore[method-assign]
    return found


def _muon_and_rest(
    model: nn.Module, named: list[tuple[str, nn.Parameter]], options: OptimOptions
) -> list[torch.optim.Optimizer]:
    kernels = [(name, parameter) for name, parameter in named if parameter.ndim == 4]
    others = [(name, parameter) for name, parameter in named if parameter.ndim != 4]
    rest = _groups(model, others, options, scale=(options.rest_lr or options.lr) / options.lr)
    found: list[torch.optim.Optimizer] = []
    if kernels:
        found.append(KernelMuon(_groups(model, kernels, options), options))
    if rest:
        found.append(_optimizer(options.rest, rest, options))
    return found


def _optimizer(
    kind: Literal["sgd", "adam", "adamw"], groups: Groups, options: OptimOptions
) -> torch.optim.Optimizer:
    """One fused kernel a step."""
    match kind:
        case "sgd":
            nesterov = options.nesterov and options.momentum > 0  # torch refuses nesterov without momentum
            return torch.optim.SGD(
                groups, lr=options.lr, momentum=options.momentum, nesterov=nesterov, fused=True
            )
        case "adam":
            return torch.optim.Adam(groups, lr=options.lr, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=options.lr, fused=True)
        case _:
            assert_never(kind)


def _groups(
    model: nn.Module, named: list[tuple[str, nn.Parameter]], options: OptimOptions, *, scale: float = 1.0
) -> list[dict[str, Any]]:
    """Parameters of equal weight decay and learning-rate factor together, in the model's order."""
    factor = getattr(model, "learning_rate_scale", lambda name: 1.0)
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for decays in (True, False):
        for name, parameter in named:
            if (parameter.ndim > 1) == decays:
                key = (options.weight_decay if decays else 0.0, scale * factor(name))
                found.setdefault(key, []).append(parameter)
    return [
        {"params": members, "weight_decay": decay, "lr": options.lr * scale, "lr_scale": scale}
        for (decay, scale), members in found.items()
    ]


class KernelMuon(torch.optim.Muon):
    """torch's Muon for convolution kernels: each is one matrix, a row for every output channel.

    The matrices lie on the kernels' own memory. The order of their columns follows its layout, which changes
    nothing: orthogonalisation does not depend on it.   Source: Jordan 2024, kellerjordan.github.io/posts/muon
    """

    def __init__(self, groups: list[dict[str, Any]], options: OptimOptions):
        self.kernels = [kernel for group in groups for kernel in group["params"]]
        matrices = iter([nn.Parameter(_as_matrix(kernel.detach())) for kernel in self.kernels])
        of_matrices = [{**group, "params": [next(matrices) for _ in group["params"]]} for group in groups]
        super().__init__(of_matrices, lr=options.lr, momentum=options.momentum, nesterov=options.nesterov)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        matrices = [matrix for group in self.param_groups for matrix in group["params"]]
        for matrix, kernel in zip(matrices, self.kernels, strict=True):
            gradient = kernel.grad
            assert gradient is not None
            like = torch.channels_last if _is_channels_last(kernel) else torch.contiguous_format
            matrix.grad = _as_matrix(gradient.contiguous(memory_format=like))
        with torch.no_grad():
            inspect.unwrap(torch.optim.Muon.step)(self)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for kernel in self.kernels:
            kernel.grad = None


def _as_matrix(kernel: torch.Tensor) -> torch.Tensor:
    """(out, in, height, width) as (out, in·height·width) on the same memory."""
    if _is_channels_last(kernel):
        kernel = kernel.permute(0, 2, 3, 1)
    return kernel.view(kernel.shape[0], -1)


def _is_channels_last(kernel: torch.Tensor) -> bool:
    return not kernel.is_contiguous() and kernel.is_contiguous(memory_format=torch.channels_last)


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
    """The learning rate of every step of a run, known beforehand; so a resumed run meets the same ones.

    own: the user's own schedule, which comes after warmup_epochs as harness's do.
    """

    def __init__(
        self, options: OptimOptions, *, num_epochs: int, steps_per_epoch: int, own: Factor | None = None
    ):
        self.options, self.own, self.num_epochs = options, own, num_epochs
        self.num_steps = num_epochs * steps_per_epoch
        self.steps_per_epoch = steps_per_epoch
        self.warmup = min(round(options.warmup_epochs * steps_per_epoch), self.num_steps)
        if options.schedule in ("one_cycle", "triangular") and self.warmup:
            log.warning("warmup_epochs is ignored: the schedule %s has its own rise", options.schedule)
            self.warmup = 0

    def learning_rate(self, step: int) -> float:
        """At step 0 … num_steps - 1, counted over the whole run."""
        return self.options.lr * self.multiplier(step)

    def multiplier(self, step: int) -> float:
        """The learning rate at `step` as a fraction of the highest one."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(self.num_steps - self.warmup, 1)
        if self.own is not None:
            return self.own(progress, step, self.num_steps, step // self.steps_per_epoch, self.num_epochs)
        match self.options.schedule:
            case "constant":
                return 1.0
            case "step":
                return self.options.gamma ** (step // self.steps_per_epoch // self.options.step_size)
            case "one_cycle":
                return _one_cycle(step, self.num_steps, self.options.peak_at)
            case "triangular":
                return _triangular(step, self.num_steps, self.options.peak_at)
            case "linear":
                return 1.0 - progress
            case "cosine":
                return _cosine(1.0, 0.0, progress)
            case _:
                assert_never(self.options.schedule)

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


def _triangular(step: int, num_steps: int, peak_at: float) -> float:
    """From a fifth linearly up to 1, then linearly down to the step after the last one's 0."""
    peak = peak_at * num_steps
    if step < peak:
        return 0.2 + 0.8 * step / peak
    return (num_steps - step) / max(num_steps - peak, 1)


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + cos(pi * progress)) / 2


Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` that `update_parameters(model)` moves towards it, by 1 - decay of the way.

    The first steps go further, (1 + n) / (10 + n) being the decay of step n, so that the initial weights are soon
    forgotten. Floating-point buffers, such as the statistics of batch norms, are averaged like weights.
    """

    def move(averages: Tensors, weights: Tensors, num_averaged: torch.Tensor | int) -> None:
        steps = int(num_averaged)
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight, 1 - min(decay, (1 + steps) / (10 + steps)))
            else:
                average.copy_(weight)

    return AveragedModel(model, multi_avg_fn=move, use_buffers=True)
