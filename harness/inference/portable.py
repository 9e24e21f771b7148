"""A trial's model as one torch module for other code: images in, calibrated probabilities out."""

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


class OfPixels(nn.Module):
    """As `Portable`, for uint8 images or floats of 0..1, which is how most code in Python has them."""

    def __init__(self, model: TrialModel):
        super().__init__()
        self.portable = Portable(model).cpu()
        self.image_shape = model.image_shape
        self.classes = model.classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.ndim != 4 or tuple(images.shape[1:]) != tuple(self.image_shape):
            expected = ", ".join(str(size) for size in ("N", *self.image_shape))
            raise ValueError(f"the model takes images ({expected}), not {tuple(images.shape)}")
        found: torch.Tensor = self.portable(images * 255 if images.is_floating_point() else images)
        return found


class _WithEncoder(nn.Module):
    """A frozen model with its encoder, which is no part of it otherwise."""

    def __init__(self, model: FrozenModel):
        super().__init__()
        self.model = model
        self.encoder = model.encoder.network()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model.head(self.model.inputs(self.encoder(images).float(), None))
        return logits
