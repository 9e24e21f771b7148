"""Batches whose images are mixed with one another, and their labels alike: torchvision's MixUp and CutMix."""

from collections.abc import Callable

import torch

from harness.training.augment import AugmentOptions

Mix = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def mixer(options: AugmentOptions, num_classes: int) -> Mix:
    """A function from a batch and its labels, int64 (B,), to what is trained on: labels become (B, classes) shares.

    Without `mix` it gives back what it gets. It draws from torch's global generator.
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
