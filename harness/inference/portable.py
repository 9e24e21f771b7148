"""A trial's model as one torch module for other programs: uint8 images in, calibrated probabilities out."""

import torch
from torch import nn

from harness.inference.model import TrialModel
from harness.models.frozen import FrozenModel


class Portable(nn.Module):
    """uint8 (N, C, H, W) images to float32 (N, classes) probabilities; fp32 throughout.

    Normalises as each network's training did, takes the mean of the logits, divides by the temperature.
    """

    def __init__(self, model: TrialModel):
        super().__init__()
        self.networks = nn.ModuleList(
            _WithEncoder(fold.network) if isinstance(fold.network, FrozenModel) else fold.network
            for fold in model.folds
        )
        mean = torch.tensor([fold.statistics.mean for fold in model.folds], dtype=torch.float64)
        std = torch.tensor([fold.statistics.std for fold in model.folds], dtype=torch.float64)
        self.scale: torch.Tensor
        self.shift: torch.Tensor
        self.register_buffer("scale", (1 / (255 * std)).float()[:, None, :, None, None])
        self.register_buffer("shift", (-mean / std).float()[:, None, :, None, None])
        self.temperature = 1.0 if model.temperature is None else model.temperature

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.float()
        logits = [
            network(torch.addcmul(self.shift[place], pixels, self.scale[place])).float()
            for place, network in enumerate(self.networks)
        ]
        mean = logits[0] if len(logits) == 1 else torch.stack(logits).mean(0)
        return (mean / self.temperature).softmax(1)


class _WithEncoder(nn.Module):
    """A frozen model with its encoder, which is no part of it otherwise."""

    def __init__(self, model: FrozenModel):
        super().__init__()
        self.model = model
        self.encoder = model.encoder.network()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model.head(self.model.inputs(self.encoder(images).float(), None))
        return logits
