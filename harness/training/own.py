"""The parts of a training that may be the user's own code, ready to be called.

What a function takes beside its subject, and what a class is made with, are train options and options of its own, as
`config/own_code.py` reads them. Nothing here is used by a training that names no such code.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from harness.config import catalog, plugins
from harness.config.kinds import KINDS
from harness.config.plugins import Plugin
from harness.errors import TrialError, UsageError
from harness.training.optim import Factor, Groups
from harness.training.options import Settings

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class OwnCode:
    """A function, or what a class of the user's own has made.

    names: of its arguments, in their order.   constants: those that stay the same through a training.
    is_object: whether a class has made it.
    """

    plugin: Plugin
    function: Callable[..., Any]
    names: tuple[str, ...]
    constants: Mapping[str, Any]
    is_object: bool

    def __call__(self, **given: Any) -> Any:
        """What it gives for those of the arguments that it names."""
        return self.function(
            **{name: value for name, value in given.items() if name in self.names}, **self.constants
        )

    def wrong(self, said: str) -> TrialError:
        return TrialError(f"{KINDS[self.plugin.kind].word} {self.plugin.name}: {self.plugin.place} {said}")


def find(kind: str, settings: Settings, *, is_made_once: bool = True, **given: Any) -> OwnCode | None:
    """The code that an option names, None where it is harness's.

    given: further values by the names of its arguments.   is_made_once: a class is made here, and what it makes called.
    """
    values = {**asdict(settings.train), **asdict(settings.optim), **asdict(settings.augment)}
    values |= asdict(settings.balance) | given
    name = str(values[kind.partition(".")[2]])
    plugin = plugins.find(kind, name)
    if plugin is None:
        if name not in catalog.shipped(kind):
            raise UsageError(f"there is no {KINDS[kind].word} {name!r} any more")
        return None
    function = plugins.load(plugin)
    constants = {argument: values[argument] for argument in plugins.given(kind) if argument in values}
    for option in catalog.options(kind, name):
        constants.pop(option.name, None)
        if (
            settings.own.get(option.name, option.default) != option.default
        ):  # its default it has from its signature
            constants[option.name] = settings.own[option.name]
    taken = inspect.signature(function).parameters
    constants = {name: value for name, value in constants.items() if name in taken}
    is_object = inspect.isclass(function) and is_made_once
    if is_object:
        function, constants = function(**constants), {}
    called = function.forward if isinstance(function, nn.Module) else function
    return OwnCode(plugin, function, tuple(inspect.signature(called).parameters), constants, is_object)


def loss(settings: Settings, weight: torch.Tensor | None, device: str) -> Loss | None:
    """The mean loss over a batch by the user's own loss; None where it is harness's.

    weight: what each class counts, (classes,), or None.   Raises TrialError for what is no loss of a batch.
    """
    own = find("train.loss", settings, weight=weight)
    if own is None:
        return None
    if isinstance(own.function, nn.Module):
        own.function.to(device)

    def mean_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if isinstance(own.function, nn.Module):
            value = own.function(logits, targets)
        else:
            value = own(logits=logits, input=logits, targets=targets, target=targets)
        if not isinstance(value, torch.Tensor) or value.shape not in ((), (len(logits),)):
            what = (
                f"a tensor of {tuple(value.shape)}"
                if isinstance(value, torch.Tensor)
                else type(value).__name__
            )
            raise own.wrong(
                f"gives {what} for {len(logits)} images; a loss is one number, or one for each image"
            )
        return value.mean()

    return mean_loss


def optimizer(settings: Settings) -> Callable[[Groups], torch.optim.Optimizer] | None:
    """What makes the user's own optimiser of groups as torch has them; None where it is harness's.

    Raises TrialError for what is no optimiser of these groups.
    """
    nesterov = settings.optim.nesterov and settings.optim.momentum > 0  # torch refuses it without momentum
    own = find("train.optimizer", settings, is_made_once=False, nesterov=nesterov)
    if own is None:
        return None

    def make(groups: Groups) -> torch.optim.Optimizer:
        found = own(params=groups)
        if not isinstance(found, torch.optim.Optimizer):
            raise own.wrong(f"gives a {type(found).__name__}, not a torch.optim.Optimizer")
        if not all("lr_scale" in group for group in found.param_groups):
            raise own.wrong("makes other groups of `params`; hand them to torch.optim.Optimizer as they are")
        return found

    return make


def schedule(settings: Settings) -> Factor | None:
    """The user's own schedule; None where it is harness's. Raises TrialError for a factor that cannot be."""
    own = find("train.schedule", settings)
    if own is None:
        return None

    def factor(progress: float, step: int, num_steps: int, epoch: int, num_epochs: int) -> float:
        given = {
            "progress": progress,
            "step": step,
            "num_steps": num_steps,
            "epoch": epoch,
            "num_epochs": num_epochs,
        }
        value = float(own(**given))
        if not (math.isfinite(value) and value >= 0):
            raise own.wrong(
                f"gives {value} at step {step} of {num_steps}; a factor on lr is finite and not below 0"
            )
        return value

    return factor


def augmentation(settings: Settings) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The user's own augmentation of a batch, float (B, C, H, W) in 0..1; None where it is harness's.

    A function is given `images`, the batch, or `image`, one after the other. What a class has made is given one image
    after the other, as torchvision's are, unless its argument is called `images`.
    Raises TrialError for what is no such batch afterwards.
    """
    own = find("train.augment", settings)
    if own is None:
        return None

    def augment(images: torch.Tensor) -> torch.Tensor:
        if "images" in own.names:
            after = own(images=images)
        elif own.is_object:
            after = torch.stack([own.function(image) for image in images])
        elif "image" in own.names:
            after = torch.stack([own(image=image) for image in images])
        else:
            raise own.wrong("takes neither images, a batch, nor image")
        if not isinstance(after, torch.Tensor):
            raise own.wrong(f"gives a {type(after).__name__} for images, not a tensor")
        if (after.shape, after.dtype) != (images.shape, images.dtype):
            was, became = (f"{tuple(one.shape)} {one.dtype}" for one in (images, after))
            raise own.wrong(f"makes {became} of images {was}; shape and type must stay")
        return after

    return augment
