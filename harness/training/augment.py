"""Crops and flips, drawn for every image on its own and expressed as pixel positions.

An augmented batch is then one gather from the stored images (see pixels.py): no padded copy, no loop.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch

from harness.catalog import Between
from harness.seeds import seed_for


@dataclass(frozen=True)
class AugmentOptions:
    """What happens to training images; held-out images are never augmented.

    augment: `standard` shifts each image by up to `crop_padding` pixels, reflecting at its border, and flips
    it; `none` uses the images as they are.
    crop_padding: in pixels; null is an eighth of the image's side: 4 for 32×32.
    flip: left to right. `random` flips each image half of the time; `alternating` flips it in every other
    epoch, a random half of the images beginning (Jordan 2024, arXiv 2404.00498).
    """

    augment: Literal["none", "standard"] = "standard"
    crop_padding: Annotated[int, Between(0, 256)] | None = None
    flip: Literal["none", "random", "alternating"] = "random"


@dataclass(frozen=True)
class Positions:
    """Which pixels make up each image of an epoch.

    rows: (N, H) and columns: (N, W) int64, the stored row and column that each output row and column shows.
    """

    rows: torch.Tensor
    columns: torch.Tensor


def draw(
    options: AugmentOptions, num_images: int, height: int, width: int, *, seed: int, epoch: int
) -> Positions:
    """The crops and flips of one epoch, a pure function of (seed, epoch), the same on every device."""
    if options.augment == "none":
        return unchanged(num_images, height, width)
    generator = torch.Generator().manual_seed(seed_for(seed, "augment", epoch))
    padding = min(height, width) // 8 if options.crop_padding is None else options.crop_padding
    down, right = torch.randint(-padding, padding + 1, (2, num_images, 1), generator=generator)
    flipped = _flips(options.flip, num_images, generator, seed=seed, epoch=epoch)[:, None]
    columns = torch.arange(width)
    columns = torch.where(flipped, width - 1 - columns, columns)
    return Positions(_reflect(torch.arange(height) + down, height), _reflect(columns + right, width))


def unchanged(num_images: int, height: int, width: int) -> Positions:
    """Every image as it is stored."""
    return Positions(
        torch.arange(height).expand(num_images, height), torch.arange(width).expand(num_images, width)
    )


def _flips(kind: str, num_images: int, generator: torch.Generator, *, seed: int, epoch: int) -> torch.Tensor:
    if kind == "none":
        return torch.zeros(num_images, dtype=torch.bool)
    if kind == "alternating":
        generator = torch.Generator().manual_seed(seed_for(seed, "flip"))
    flipped = torch.randint(0, 2, (num_images,), generator=generator).bool()
    return flipped ^ (kind == "alternating" and epoch % 2 == 0)


def _reflect(positions: torch.Tensor, size: int) -> torch.Tensor:
    """Positions mirrored into 0..size-1, border not repeated: numpy.pad's `reflect`, for any distance."""
    period = max(2 * (size - 1), 1)
    wrapped = positions.remainder(period)
    return torch.minimum(wrapped, period - wrapped)
