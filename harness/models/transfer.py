"""What the files of ready-made architectures share: backbone and head, what of them is trained and how fast.

A network is built with random weights; pretrained ones are loaded when its training begins, so that looking at a
study or serving a trained model fetches nothing. So is a user's own file of them.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from harness.errors import UsageError, did_you_mean
from harness.models.frozen import Encoder, FrozenModel, OwnWeights
from harness.models.weights import sha256

Tune = Literal["head", "last_block", "all"]
Weights = Mapping[str, torch.Tensor]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
Constants = Literal["published", "imagenet", "half"]
IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: Normalisation = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RELATIVES = 12  # architectures that a file of weights for another one is compared with
PIXELS_AT_ONCE = 2**22  # of enlarged images without gradient: 83 of 224×224


@dataclass(frozen=True)
class Preprocessing:
    """What a network's weights were trained with.

    mean, std: of the three channels, for pixels scaled to 0..1.   interpolation: to its input size.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str

    def with_constants(self, constants: Constants) -> "Preprocessing":
        """The same with the mean and std of these; `published` are its own."""
        own = (self.mean, self.std)
        mean, std = {"published": own, "imagenet": IMAGENET, "half": HALF}[constants]
        return Preprocessing(mean, std, self.interpolation)


class Backbone(nn.Module):
    """(N, C, H, W) images of any size to (N, width) features, by a network without its last layer.

    Images of another size are resized to the network's as a whole. The usual recipe for ImageNet cuts their
    border off, which would lose part of the object in images that it fills.
    preprocessing: that of pretrained weights, or None; with it one channel becomes three, normalised like theirs.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, network: nn.Module, width: int, size: int, preprocessing: Preprocessing | None, in_channels: int
    ):
        super().__init__()
        self.network, self.width, self.size = network, width, size
        self.interpolation = "bilinear" if preprocessing is None else preprocessing.interpolation
        self.normalisation: Normalisation | None = None
        self.is_grey = preprocessing is not None and in_channels == 1
        if preprocessing is not None:
            self.normalisation = ((0.0,), (1.0,)) if self.is_grey else (preprocessing.mean, preprocessing.std)
            for name in ("mean", "std"):
                values = torch.tensor(getattr(preprocessing, name))[:, None, None]
                self.register_buffer(name, values, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[2:] == (self.size, self.size):
            return self._features(images)
        if torch.is_grad_enabled() or torch.compiler.is_exporting():
            return self._features(self._resized(images))
        parts = torch.split(images, max(PIXELS_AT_ONCE // self.size**2, 1))
        return torch.cat([self._features(self._resized(part)) for part in parts])

    def _resized(self, images: torch.Tensor) -> torch.Tensor:
        return F.interpolate(images, (self.size, self.size), mode=self.interpolation, antialias=True)

    def _features(self, images: torch.Tensor) -> torch.Tensor:
        if self.is_grey:
            images = (images - self.mean) / self.std
        features: torch.Tensor = self.network(images)
        return features.flatten(1)


@dataclass(frozen=True)
class Source:
    """Where a backbone comes from.

    key: names all that its features depend on.   make: the backbone with random weights.
    weights: the pretrained state for its network, or None for none; may fetch a file.
    file: the user's own with the weights; its content is not in `key`.
    published: raises HarnessError where published weights are neither here nor to be fetched; fetches nothing.
    """

    key: str
    make: Callable[[], Backbone] = field(compare=False)
    weights: Callable[[nn.Module], Weights] | None = field(compare=False)
    file: Path | None = None
    published: Callable[[], None] = field(default=lambda: None, compare=False)

    def trained(self) -> Backbone:
        backbone = self.make()
        if self.weights is not None:
            backbone.network.load_state_dict(self.weights(backbone.network))
        return backbone

    def encoder(self, width: int) -> Encoder:
        """The backbone with its weights, frozen."""
        if self.file is None:
            return Encoder(self.key, width, self.trained, published=self.published)
        content = sha256(self.file)[:16] if self.file.is_file() else "missing"
        return Encoder(f"{self.key} {content}", width, self.trained, OwnWeights(self.key, self.make))


def model(source: Source, num_classes: int, *, tune: Tune, backbone_lr: float, dropout: float) -> nn.Module:
    """The backbone with a new linear layer, of which `tune` says what is trained."""
    if tune == "head":
        width, normalisation = _outline(source)
        return FrozenModel(source.encoder(width), _head(width, num_classes, dropout), normalisation)
    return TransferModel(source, num_classes, dropout, tune, backbone_lr)


class TransferModel(nn.Module):
    """(N, C, H, W) images to (N, classes) logits; with `last_block`, all before the last block stays as it is."""

    def __init__(
        self,
        source: Source,
        num_classes: int,
        dropout: float,
        tune: Literal["last_block", "all"],
        backbone_lr: float,
    ):
        super().__init__()
        self.backbone = source.make()
        self.head = _head(self.backbone.width, num_classes, dropout)
        self.normalisation = self.backbone.normalisation
        self._weights, self._file, self._published = source.weights, source.file, source.published
        found = blocks(self.backbone.network)
        last = len(found) - 1
        self._scales = {
            f"backbone.network.{name}": backbone_lr ** (1 + (last - i) / max(last, 1))
            for i, block in enumerate(found)
            for name in block
        }
        frozen = {"all": set(), "last_block": {name for block in found[:-1] for name in block}}[tune]
        for name, parameter in self.backbone.network.named_parameters():
            parameter.requires_grad_(name not in frozen)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.backbone(images))
        return logits

    @property
    def initialise_from(self) -> Callable[[torch.Tensor], None] | None:
        """Loads the pretrained weights, if there are any; the training images are not looked at."""
        return None if self._weights is None else self._load

    def require_file(self) -> None:
        """Raises UsageError where the weights are a user's file that does not fit."""
        if self._weights is not None and self._file is not None:
            self._weights(self.backbone.network)

    def require_published(self) -> None:
        """Raises HarnessError where published weights are neither here nor to be fetched. Fetches nothing."""
        self._published()

    def learning_rate_scale(self, name: str) -> float:
        """1 for the head; for pretrained layers backbone_lr in the last block, falling to its square in the first."""
        return 1.0 if self._weights is None else self._scales.get(name, 1.0)

    def _load(self, images: torch.Tensor) -> None:
        assert self._weights is not None
        self.backbone.network.load_state_dict(self._weights(self.backbone.network))

    def train(self, mode: bool = True) -> "TransferModel":
        """Frozen parts stay in evaluation mode, so that batch norms keep their statistics."""
        super().train(mode)
        for module in self.backbone.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self


def blocks(network: nn.Module) -> list[list[str]]:
    """The names of a network's parameters, block by block from the first layers to the last.

    Chains of modules are taken apart, and so is what holds chains and over half of all parameters, like a trunk.
    What has no weight matrix, like a norm, belongs to the block before it.
    """
    found: list[list[str]] = []
    for names in _parameter_groups(network, "", _size(network) / 2):
        if found and all(network.get_parameter(name).ndim < 2 for name in names):
            found[-1] += names
        else:
            found.append(names)
    return found


def working_size(network: nn.Module, in_channels: int, size: int, *, own_size: int) -> int:
    """`size`, doubled until the network takes images of so many pixels, at most its own size."""
    while size < own_size and not takes(network, in_channels, size):
        size = min(2 * size, own_size)
    return size


def takes(network: nn.Module, in_channels: int, size: int) -> bool:
    """Whether the network can compute with images of so many pixels."""
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, in_channels, size, size))
    except (RuntimeError, ValueError, AssertionError):
        return False
    finally:
        network.train()
    return True


def unfit(architecture: str, size: int) -> UsageError:
    """An error for an input size that an architecture cannot take."""
    return UsageError(f"{architecture} cannot take images of input_size {size}; null is a size that suits it")


def unknown(what: str, name: str, known: list[str]) -> UsageError:
    """An error that lists only the nearest of many names."""
    near = get_close_matches(name, known, n=5, cutoff=0.4)
    return UsageError(f"unknown {what} '{name}'" + (did_you_mean(name, near) if near else ""))


def relatives(
    architecture: str, known: list[str], make: Callable[[str], nn.Module]
) -> Iterator[tuple[str, Weights]]:
    """Architectures of similar names, each with a state of the right shapes and no values.

    make: the network of a name, without its last layer.
    """
    for name in get_close_matches(architecture, known, n=RELATIVES + 1, cutoff=0.5):
        if name != architecture:
            with suppress(Exception), torch.device("meta"):
                yield name, make(name).state_dict()


def _head(width: int, num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, num_classes))


@cache
def _outline(source: Source) -> tuple[int, Normalisation | None]:
    """What a head has to know of its frozen backbone, without its weights."""
    with torch.random.fork_rng(devices=[]):
        backbone = source.make()
    return backbone.width, backbone.normalisation


def _parameter_groups(module: nn.Module, prefix: str, half: float) -> Iterator[list[str]]:
    own = [prefix + name for name, _ in module.named_parameters(recurse=False)]
    if own:
        yield own
    for name, child in module.named_children():
        if _is_chain(child) or (_size(child) > half and any(map(_is_chain, child.children()))):
            yield from _parameter_groups(child, f"{prefix}{name}.", half)
        elif _size(child):
            yield [f"{prefix}{name}.{parameter}" for parameter, _ in child.named_parameters()]


def _is_chain(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
