"""The loss of a batch, from logits and labels, or shares of them: cross-entropy, or the focal loss."""

from typing import assert_never

import torch
from torch.nn import functional as F

from harness.training.gradients import Loss
from harness.training.options import TrainOptions


def mean_loss(options: TrainOptions, weight: torch.Tensor | None) -> Loss:
    """The mean loss over a batch.   weight: what each class counts, (classes,), or None.

    It takes logits (B, classes) and targets, int64 (B,) labels or (B, classes) shares of them.
    """
    smoothing = options.label_smoothing
    match options.loss:
        case "cross_entropy":
            return lambda logits, targets: F.cross_entropy(
                logits, targets, weight=weight, label_smoothing=smoothing
            )
        case "focal":
            return lambda logits, targets: focal_loss(
                logits, targets, gamma=options.focal_gamma, weight=weight, label_smoothing=smoothing
            )
        case _:
            assert_never(options.loss)


def focal_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    gamma: float,
    weight: torch.Tensor | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross-entropy in which a class's term counts (1 - its probability)^gamma: what is certain counts little.

    Arguments and their meaning, and what the mean is taken over, are those of torch's cross-entropy, which it is with a
    gamma of 0.   Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002; softmax in place of
    its sigmoid, which for two classes is the same.
    """
    logs = F.log_softmax(logits, dim=1)
    is_labels = targets.ndim == 1
    shares = F.one_hot(targets, logits.shape[1]).to(logs.dtype) if is_labels else targets
    counted = len(logits) if weight is None or not is_labels else weight[targets].sum()
    shares = (1 - label_smoothing) * shares + label_smoothing / logits.shape[1]
    uncertain = (-torch.expm1(logs)).clamp(min=torch.finfo(logs.dtype).tiny)  # at 0 a power has no gradient
    terms = -shares * uncertain**gamma * logs
    return (terms if weight is None else terms * weight).sum() / counted
