"""An exponential moving average of a network's weights, which often scores better than the weights themselves."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

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
