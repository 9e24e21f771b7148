"""The order in which an epoch meets its images, and what each class weighs, for data sets of uneven classes."""

from dataclasses import dataclass
from typing import Annotated, Literal, assert_never

import numpy as np
import torch

from harness.config.signatures import Between, Only, Younger
from harness.seeds import seed_for


@dataclass(frozen=True)
class BalanceOptions:
    """How often each class is met and how much it counts.

    sampling: `shuffle` meets every image once an epoch; `balanced` draws as many images as there are, with
    replacement, every class as likely as any other. Default: every image counts the same.
    class_weights: `balanced` weighs the loss of an image by the inverse of how frequent its class is, `effective` by
    that of the effective number of its n images, (1 - beta^n) / (1 - beta) (Cui et al. 2019, arXiv 1901.05555).
    effective_beta: beta of `effective`; 0 weighs all classes alike, and the nearer to 1, the nearer to `balanced`.
    Default: one of the paper's, between none and balanced where classes have thousands of images.
    """

    sampling: Literal["shuffle", "balanced"] = "shuffle"
    class_weights: Annotated[
        Literal["none", "balanced", "effective"], Only(loss=("cross_entropy", "focal"))
    ] = "none"
    effective_beta: Annotated[float, Between(0.0, below=1.0), Only(class_weights="effective"), Younger()] = (
        0.999
    )


def epoch_order(
    options: BalanceOptions, labels: np.ndarray, indices: np.ndarray, *, seed: int, epoch: int
) -> np.ndarray:
    """The images of one epoch in their order: int64 (n,), drawn from `indices`, which are (n,) into `labels`."""
    generator = torch.Generator().manual_seed(seed_for(seed, "order", epoch))
    match options.sampling:
        case "shuffle":
            order = torch.randperm(len(indices), generator=generator)
        case "balanced":
            of_indices = labels[indices]
            chances = torch.from_numpy(1 / np.bincount(of_indices)[of_indices])
            order = torch.multinomial(chances, len(indices), replacement=True, generator=generator)
        case _:
            assert_never(options.sampling)
    return np.asarray(indices[order.numpy()])


def loss_weights(
    options: BalanceOptions, labels: np.ndarray, indices: np.ndarray, num_classes: int
) -> torch.Tensor | None:
    """What each class weighs in the loss, (classes,) float32 with mean 1 over the images; None if all the same."""
    match options.class_weights:
        case "none":
            return None
        case "balanced":
            counts = np.bincount(labels[indices], minlength=num_classes)
            weights = len(indices) / (num_classes * np.maximum(counts, 1))
            return torch.from_numpy(weights).float()
        case "effective":
            counts = np.bincount(labels[indices], minlength=num_classes)
            effective = 1 / (1 - np.power(options.effective_beta, np.maximum(counts, 1)))
            return torch.from_numpy(effective * len(indices) / (effective * counts).sum()).float()
        case _:
            assert_never(options.class_weights)
