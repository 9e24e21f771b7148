"""What happens to each training image, drawn for every image on its own, once an epoch.

Crops and flips are expressed as pixel positions: a batch with no more than these is one gather from the stored
images (see pixels.py), no padded copy, no loop. The rest are functions of distort.py and the images' own amounts.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal, assert_never

import numpy as np
import torch

from harness.config.signatures import Between, Only, OrOwn, Unless
from harness.seeds import seed_for
from harness.training import distort

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AugmentOptions:
    """What happens to training images; held-out images are never augmented.

    augment: `none` uses the images as they are, whatever follows but `mix`; `standard` does to each image, in
    this order, what is not 0 or none. Default: shifts and flips, as everybody trains small images; set flip to none
    where left and right mean something, as with digits.
    crop_padding: shift by up to so many pixels, mirrored at the border; null is an eighth of the image's side.
    flip: left to right; `random` flips each image half of the time, `alternating` in every other epoch, a random
    half of the images beginning (Jordan 2024, arXiv 2404.00498). Default: the usual way.
    rotation: turn by up to so many degrees to either side, mirrored at the border.
    brightness, contrast: changed by a factor of 1 ± so much at most.
    saturation: changed by a factor of 1 ± so much at most; for images of three channels.
    hue: turned by so much of the circle of colours at most; for images of three channels.
    randaugment: so many of RandAugment's 14 operations (Cubuk et al. 2020, arXiv 1909.13719); shifts and turns come
    together before brightness.
    randaugment_magnitude: how strong these are, from 0 to 1. Default: a usual strength, 9 of 30.
    cutout: side of a square that is blanked, as a fraction of the image's (DeVries and Taylor 2017, arXiv 1708.04552).
    mix: blend each image of a batch with another and their labels alike (Zhang et al. 2018, arXiv 1710.09412),
    replace a rectangle by the other's (Yun et al. 2019, arXiv 1905.04899), or either, as it comes.
    mix_alpha: the shares are drawn from Beta(mix_alpha, mix_alpha). Default: every share alike likely.
    """

    augment: Annotated[Literal["none", "standard"], OrOwn()] = "standard"
    crop_padding: Annotated[int, Between(0, 256), Only(augment="standard")] | None = None
    flip: Annotated[Literal["none", "random", "alternating"], Only(augment="standard")] = "random"
    rotation: Annotated[float, Between(0.0, 180.0), Only(augment="standard")] = 0.0
    brightness: Annotated[float, Between(0.0, 1.0), Only(augment="standard")] = 0.0
    contrast: Annotated[float, Between(0.0, 1.0), Only(augment="standard")] = 0.0
    saturation: Annotated[float, Between(0.0, 1.0), Only(augment="standard")] = 0.0
    hue: Annotated[float, Between(0.0, 0.5), Only(augment="standard")] = 0.0
    randaugment: Annotated[int, Between(0, 8), Only(augment="standard")] = 0
    randaugment_magnitude: Annotated[
        float, Between(0.0, 1.0), Only(augment="standard"), Unless(randaugment=0)
    ] = 0.3
    cutout: Annotated[float, Between(0.0, 1.0), Only(augment="standard")] = 0.0
    mix: Literal["none", "mixup", "cutmix", "either"] = "none"
    mix_alpha: Annotated[float, Between(above=0.0), Unless(mix="none")] = 1.0

    def __post_init__(self) -> None:
        single = [field for field in fields(self) if not field.name.startswith(("augment", "mix"))]
        asked = [
            field.name for field in single if getattr(self, field.name) not in (field.default, 0, "none")
        ]
        if self.augment == "none" and asked:
            log.warning("ignored, because augment is none: %s", ", ".join(asked))

    @property
    def changes_images(self) -> bool:
        """Whether an image may look different from one epoch to the next."""
        return self.augment != "none" or self.mix != "none"

    def padding(self, height: int, width: int) -> int:
        """How many pixels a crop of such images is shifted by at most."""
        return min(height, width) // 8 if self.crop_padding is None else self.crop_padding


Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of distort.py


@dataclass(frozen=True)
class Change:
    """One function of distort.py for some images of an epoch.

    which: (n,) int64, their places in the epoch, ascending.   amounts: (n, …), one for each.
    """

    function: Function
    which: torch.Tensor
    amounts: torch.Tensor

    def on(self, images: torch.Tensor, start: int) -> torch.Tensor:
        """The batch (B, C, H, W) that begins at the place `start` of the epoch, changed where it is to be.

        The batch given is used up: a copy for each change of a few images would cost a fifth of RandAugment.
        """
        ends = torch.tensor([start, start + len(images)])
        first, last = torch.searchsorted(self.which, ends).tolist()
        amounts = self.amounts[first:last].to(images.device)
        if len(amounts) in (0, len(images)):
            return self.function(images, amounts) if len(amounts) else images
        places = (self.which[first:last] - start).to(images.device)
        return images.index_copy_(0, places, self.function(images[places], amounts))


@dataclass(frozen=True)
class OwnChange:
    """The user's own augmentation of all images of an epoch. It draws from torch's generators, seeded for each batch.

    function: of float (B, C, H, W) in 0..1, gives the same.
    """

    function: Callable[[torch.Tensor], torch.Tensor]
    seed: int

    def on(self, images: torch.Tensor, start: int) -> torch.Tensor:
        """The batch that begins at the place `start` of the epoch, changed. What is drawn afterwards stays the same."""
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed_for(self.seed, start))
            return self.function(images)


@dataclass(frozen=True)
class Draws:
    """What happens to each of the N images of an epoch.

    rows: (N, H) and columns: (N, W) int64, the stored row and column that each output row and column shows.
    changes: of pixels scaled to 0..1, in their order.   blanks: of normalised ones, afterwards.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    changes: tuple[Change | OwnChange, ...] = ()
    blanks: tuple[Change, ...] = ()


def draw(
    options: AugmentOptions,
    indices: np.ndarray,
    height: int,
    width: int,
    *,
    seed: int,
    epoch: int,
    own: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Draws:
    """What happens in one epoch, a pure function of (seed, epoch), the same on every device.

    indices: int64 (N,), the images in the epoch's order.   own: the user's own augmentation, in place of harness's.
    """
    if own is not None:
        change = OwnChange(own, seed_for(seed, "augment", epoch))
        return replace(unchanged(len(indices), height, width), changes=(change,))
    match options.augment:
        case "none":
            return unchanged(len(indices), height, width)
        case "standard":
            return _standard(options, indices, height, width, seed=seed, epoch=epoch)
        case _:
            assert_never(options.augment)


def _standard(
    options: AugmentOptions, indices: np.ndarray, height: int, width: int, *, seed: int, epoch: int
) -> Draws:
    num_images = len(indices)
    generator = torch.Generator().manual_seed(seed_for(seed, "augment", epoch))
    padding = options.padding(height, width)
    down, right = torch.randint(-padding, padding + 1, (2, num_images, 1), generator=generator)
    flipped = _flips(options, indices, generator, seed=seed, epoch=epoch)[:, None]
    columns = torch.arange(width)
    columns = torch.where(flipped, width - 1 - columns, columns)
    more = _Distortions(options, num_images, height, width, seed_for(seed, "augment", epoch, "distortions"))
    return Draws(
        _reflect(torch.arange(height) + down, height),
        _reflect(columns + right, width),
        tuple(more.changes()),
        tuple(more.blanks()),
    )


def unchanged(num_images: int, height: int, width: int) -> Draws:
    """Every image as it is stored."""
    return Draws(
        torch.arange(height).expand(num_images, height), torch.arange(width).expand(num_images, width)
    )


def _flips(
    options: AugmentOptions, indices: np.ndarray, generator: torch.Generator, *, seed: int, epoch: int
) -> torch.Tensor:
    """(N,) bool."""
    match options.flip:
        case "none":
            return torch.zeros(len(indices), dtype=torch.bool)
        case "random":
            return torch.randint(0, 2, (len(indices),), generator=generator).bool()
        case "alternating":
            generator = torch.Generator().manual_seed(seed_for(seed, "flip"))
            begins = torch.randint(0, 2, (int(indices.max()) + 1,), generator=generator).bool()
            return begins[torch.from_numpy(indices)] ^ (epoch % 2 == 0)
        case _:
            assert_never(options.flip)


def _reflect(positions: torch.Tensor, size: int) -> torch.Tensor:
    """Positions mirrored into 0..size-1, border not repeated: numpy.pad's `reflect`, for any distance."""
    period = max(2 * (size - 1), 1)
    wrapped = positions.remainder(period)
    return torch.minimum(wrapped, period - wrapped)


COLOURS: dict[str, tuple[Function, float]] = {  # the function and its amount that changes nothing
    "brightness": (distort.brightness, 1.0),
    "contrast": (distort.contrast, 1.0),
    "saturation": (distort.saturation, 1.0),
    "hue": (distort.hue, 0.0),
}

# RandAugment's operations, and their amounts for strengths of -1..1, as in torchvision. First come five moves:
# rotate, shear in x and y, translate in x and y. The last is the identity.
PIXEL_OPERATIONS: tuple[tuple[Function, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (distort.brightness, lambda strength: 1 + 0.9 * strength),
    (distort.contrast, lambda strength: 1 + 0.9 * strength),
    (distort.saturation, lambda strength: 1 + 0.9 * strength),
    (distort.sharpness, lambda strength: 1 + 0.9 * strength),
    (distort.posterize, lambda strength: 8 - 4 * strength.abs()),
    (distort.solarize, lambda strength: 1 - strength.abs()),
    (distort.autocontrast, torch.ones_like),
    (distort.equalize, torch.ones_like),
)
NUM_MOVES = 5
NUM_OPERATIONS = NUM_MOVES + len(PIXEL_OPERATIONS) + 1


class _Distortions:
    """All that crops and flips are not, for one epoch. Every option draws from a seed of its own."""

    def __init__(self, options: AugmentOptions, num_images: int, height: int, width: int, seed: int):
        self.options, self.num_images, self.height, self.width = options, num_images, height, width
        self.seed = seed

    def changes(self) -> Iterator[Change]:
        operations = self._operations()
        maps = distort.rotation(self.options.rotation * self._uniform("rotation"))
        for kinds, strengths in operations:
            maps = maps @ self._moves(kinds, strengths)
        moved = (maps != torch.eye(3)).flatten(1).any(1).nonzero()[:, 0]
        yield from _change(distort.move, moved, maps[moved])
        for name, (function, nothing) in COLOURS.items():
            most = getattr(self.options, name)
            if most:
                yield Change(function, torch.arange(self.num_images), nothing + most * self._uniform(name))
        for kinds, strengths in operations:
            for kind, (function, amounts) in enumerate(PIXEL_OPERATIONS, NUM_MOVES):
                which = (kinds == kind).nonzero()[:, 0]
                yield from _change(function, which, amounts(strengths[which]))

    def blanks(self) -> Iterator[Change]:
        if not self.options.cutout:
            return
        side = max(round(self.options.cutout * min(self.height, self.width)), 1)
        generator = self._generator("cutout")
        edges = []
        for length in (self.height, self.width):
            first = torch.randint(0, length, (self.num_images,), generator=generator) - side // 2
            edges += [first, first + side]
        yield Change(distort.cut_out, torch.arange(self.num_images), torch.stack(edges, 1))

    def _operations(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each turn of RandAugment, (N,) kinds of operations and their strengths."""
        generator, magnitude = self._generator("randaugment"), self.options.randaugment_magnitude
        found = []
        for _ in range(self.options.randaugment):
            kinds = torch.randint(0, NUM_OPERATIONS, (self.num_images,), generator=generator)
            signs = torch.randint(0, 2, (self.num_images,), generator=generator) * 2 - 1
            found.append((kinds, signs * magnitude))
        return found

    def _moves(self, kinds: torch.Tensor, strengths: torch.Tensor) -> torch.Tensor:
        rotate, shear_x, shear_y, right, down = (
            torch.where(kinds == kind, strengths, 0.0) for kind in range(NUM_MOVES)
        )
        right, down = (150 / 331 * self.width * right).round(), (150 / 331 * self.height * down).round()
        return (
            distort.rotation(30 * rotate)
            @ distort.shear(0.3 * shear_x, 0.3 * shear_y)
            @ distort.translation(right, down)
        )

    def _uniform(self, name: str) -> torch.Tensor:
        """(N,) in -1..1."""
        return torch.rand(self.num_images, generator=self._generator(name)) * 2 - 1

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed_for(self.seed, name))


def _change(function: Function, which: torch.Tensor, amounts: torch.Tensor) -> Iterator[Change]:
    """The change, if it is one for any image."""
    if len(which):
        yield Change(function, which, amounts)


Mix = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def mixer(options: AugmentOptions, num_classes: int) -> Mix:
    """A function from a batch and its labels, int64 (B,), to what is trained on: labels become (B, classes) shares.

    The labels may be such shares already. Without `mix` it gives back what it gets.
    It draws from torch's global generator.
    """
    if options.mix == "none":
        return lambda images, labels: (images, labels)
    from torchvision.transforms import v2  # takes seconds

    names = {"mixup": (v2.MixUp,), "cutmix": (v2.CutMix,), "either": (v2.MixUp, v2.CutMix)}
    mixes = [kind(alpha=options.mix_alpha, num_classes=num_classes) for kind in names[options.mix]]

    def mix(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = mixes[int(torch.randint(len(mixes), ()))]
        mixed: tuple[torch.Tensor, torch.Tensor] = chosen(images, labels)
        return mixed

    return mix


def as_labels(targets: torch.Tensor) -> torch.Tensor:
    """int64 (B,) labels, of mixed ones the label of the larger share."""
    return targets.argmax(1) if targets.ndim == 2 else targets
