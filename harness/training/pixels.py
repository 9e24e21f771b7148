"""Images on the device as one uint8 tensor, and normalised batches gathered from it."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import nn

from harness.training.augment import Change, Draws, OwnChange, unchanged
from harness.training.compute import Compute


class Inputs(Protocol):
    """What a network is trained on, as batches gathered by index: `Pixels`, or a frozen encoder's embeddings."""

    height: int
    width: int
    device: torch.device

    def batches(self, indices: np.ndarray, draws: Draws, bounds: list[int]) -> Iterator[torch.Tensor]: ...

    def evaluation_bounds(self, num_images: int) -> list[int]: ...


CHUNK_BYTES = 2**24  # how much of a mapped array is read at a time
EVALUATION_PIXELS = {"cpu": 2**19, "mps": 2**21, "cuda": 2**23}  # a batch of: 512 images of 32×32 on a CPU


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each channel, for pixels scaled to 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def measure(pixels: np.ndarray, indices: np.ndarray) -> Statistics:
    """Statistics of the chosen images only. A channel that never changes gets the deviation 1.

    pixels: uint8 (N, C, H, W).   indices: int64 (n,).
    They come from the exact histogram of each channel, so the order of the images does not matter.
    """
    counts = torch.zeros(pixels.shape[1], 256, dtype=torch.int64)
    step = max(CHUNK_BYTES // int(np.prod(pixels.shape[1:])), 1)
    for start in range(0, len(indices), step):
        part = torch.from_numpy(pixels[indices[start : start + step]])
        for channel, count in enumerate(counts):
            count += torch.bincount(part[:, channel].reshape(-1), minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    weights = counts.double() / counts.sum(1, keepdim=True)
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(1)
    std = torch.where(variance > 0, variance.sqrt(), 1.0)
    return Statistics(tuple(mean.tolist()), tuple(std.tolist()))


class Pixels:
    """All images of a data set on the device; on the CPU a memory-mapped array is used where it lies."""

    def __init__(self, pixels: np.ndarray, statistics: Statistics, compute: Compute):
        """pixels: uint8 (N, C, H, W)."""
        _, self.channels, self.height, self.width = pixels.shape
        self.device = torch.device(compute.device)
        self._layout = torch.channels_last if compute.channels_last else torch.contiguous_format
        self._flat = as_tensor(pixels).reshape(-1).to(self.device)
        self._planes = torch.arange(self.channels, device=self.device) * (self.height * self.width)
        mean, std = torch.tensor([statistics.mean, statistics.std], dtype=torch.float64)
        self._scale = (1 / (255 * std)).to(self.device, torch.float32)
        self._shift = (-mean / std).to(self.device, torch.float32)

    def batches(self, indices: np.ndarray, draws: Draws, bounds: list[int]) -> Iterator[torch.Tensor]:
        """Normalised float32 (B, C, H, W) batches of the images indices[bounds[i]:bounds[i + 1]].

        draws: for each of the indices, in the same order.
        """
        firsts = torch.from_numpy(indices)[:, None] * (self.channels * self.height * self.width)
        rows = (firsts + draws.rows * self.width).to(self.device)
        columns = draws.columns.to(self.device)
        for start, stop in pairwise(bounds):
            images = self._gather(rows[start:stop], columns[start:stop])
            if draws.changes:
                images = _changed(images.permute(0, 3, 1, 2) / 255, draws.changes, start)
                images = images.permute(0, 2, 3, 1) * 255
            images = torch.addcmul(self._shift, images, self._scale).permute(0, 3, 1, 2)
            yield _changed(images, draws.blanks, start).contiguous(memory_format=self._layout)

    def _gather(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """Float32 (B, H, W, C), channels_last once permuted, in 0..255.

        rows: (B, H), of an image's first plane within all pixels.   columns: (B, W).
        """
        offsets = rows[:, :, None, None] + (columns[:, None, :, None] + self._planes)
        return torch.take(self._flat, offsets).float()

    def evaluation_bounds(self, num_images: int) -> list[int]:
        size = max(EVALUATION_PIXELS[self.device.type] // (self.height * self.width), 1)
        return [*range(0, num_images, size), num_images]


@torch.inference_mode()
def evaluate(model: nn.Module, images: Inputs, indices: np.ndarray, compute: Compute) -> torch.Tensor:
    """Float32 (n, classes) outputs on the device for the chosen images, not augmented."""
    model.eval()
    positions = unchanged(len(indices), images.height, images.width)
    bounds = images.evaluation_bounds(len(indices))
    with autocast(compute):
        outputs = [model(batch).float() for batch in images.batches(indices, positions, bounds)]
    return torch.cat(outputs)


def autocast(compute: Compute) -> torch.autocast:
    """Convolutions and matrix products in the compute's precision; weights stay in fp32."""
    return torch.autocast(compute.device, dtype=torch.bfloat16, enabled=compute.precision == "bf16")


def _changed(images: torch.Tensor, changes: tuple[Change | OwnChange, ...], start: int) -> torch.Tensor:
    for change in changes:
        images = change.on(images, start)
    return images


def as_tensor(pixels: np.ndarray) -> torch.Tensor:
    """The array as a tensor on the same memory. Torch warns that a read-only one must not be written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="The given NumPy array is not writable", category=UserWarning
        )
        return torch.from_numpy(np.ascontiguousarray(pixels))
