"""Embeddings of a frozen encoder: computed once per data set, kept on disk, then trained on in place of pixels."""

import hashlib
import io
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.files import telling_disk_trouble, with_checksum, without_checksum, write_file
from harness.os_errors import require_about_the_file
from harness.training.augment import unchanged
from harness.training.compute import Compute, recorded
from harness.training.pixels import Inputs, Pixels, Statistics, as_tensor, autocast, evaluate, measure

log = logging.getLogger(__name__)

PART = 2048  # images that a crash costs at most
BATCH = {"cpu": 64, "mps": 128, "cuda": 256}  # encoders see images at their own, larger size
EVALUATION_ROWS = 8192
TELL_SECONDS = 10.0  # at least so long between two lines about the progress


class Embeddings:
    """Rows of a float32 (N, D) array on the device, in batches: `pixels.Pixels` for a frozen encoder's outputs."""

    height = width = 1

    def __init__(self, rows: np.ndarray, compute: Compute):
        self.device = torch.device(compute.device)
        self._rows = as_tensor(rows).to(self.device)

    def batches(self, indices: np.ndarray, draws: Any, bounds: list[int]) -> Iterator[torch.Tensor]:
        """Float32 (B, D) batches of the rows indices[bounds[i]:bounds[i + 1]]; nothing is drawn for them."""
        chosen = torch.from_numpy(indices).to(self.device)
        for start, stop in pairwise(bounds):
            yield self._rows[chosen[start:stop]]

    def evaluation_bounds(self, num_images: int) -> list[int]:
        return [*range(0, num_images, EVALUATION_ROWS), num_images]


def inputs_for(array: np.ndarray, statistics: Statistics, compute: Compute) -> Inputs:
    """The images of a uint8 (N, C, H, W) array, or the embeddings of a float32 (N, D) one, on the device."""
    return Pixels(array, statistics, compute) if array.ndim == 4 else Embeddings(array, compute)


def statistics_for(model: nn.Module, pixels: np.ndarray, train: np.ndarray) -> Statistics:
    """What images are normalised by: the model's own constants, or the statistics of the training images.

    pixels: uint8 (N, C, H, W).   train: int64 (n,).
    A frozen encoder without constants of its own gets fixed ones, since all folds share its embeddings.
    """
    declared = getattr(model, "normalisation", None)
    if declared is not None:
        return Statistics(*(tuple(map(float, part)) for part in declared))
    if hasattr(model, "encoder"):
        return Statistics((0.5,) * pixels.shape[1], (0.25,) * pixels.shape[1])
    return measure(pixels, train)


def predict_logits(
    model: nn.Module,
    array: np.ndarray,
    statistics: Statistics,
    compute: Compute,
    indices: np.ndarray | None = None,
) -> np.ndarray:
    """Float32 (n, classes) outputs of the network, in evaluation mode.

    array: uint8 (N, C, H, W) images or float32 (N, D) embeddings.   indices: int64 (n,), which; None is all.
    """
    chosen = np.arange(len(array)) if indices is None else indices
    return evaluate(model, inputs_for(array, statistics, compute), chosen, compute).cpu().numpy()


@dataclass(frozen=True)
class Keeper:
    """Keeps arrays in a folder, so that each is computed once, by one process at a time.

    made_by: names what computes them, that is, all that may change their bits: code, versions, instruction sets.
    """

    folder: Path
    made_by: str = ""

    def __call__(self, key: str, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """The tensor kept under a key, which may be any text; made the first time."""
        return torch.from_numpy(np.array(self._kept(_name(self.made_by + key), lambda: make().cpu().numpy())))

    def embeddings(
        self, encoder: Any, pixels: np.ndarray, data_hash: str, statistics: Statistics, compute: Compute
    ) -> np.ndarray:
        """What `encoder` (a models.frozen.Encoder) makes of all images: float32 (N, size), mapped from disk.

        pixels: uint8 (N, C, H, W).   data_hash: names them.
        """
        key = json.dumps([encoder.key, data_hash, asdict(statistics), recorded(compute)])
        name = _name(self.made_by + key)

        def make() -> np.ndarray:
            return np.concatenate(list(self._embed_in_parts(name, encoder, pixels, statistics, compute)))

        return self._kept(name, make)

    def inputs(
        self, model: Any, pixels: np.ndarray, labels: np.ndarray, data_hash: str, compute: Compute
    ) -> np.ndarray:
        """What the head of `model` (a models.frozen.FrozenModel) is trained on: float32 (N, D)."""
        statistics = statistics_for(model, pixels, np.empty(0, np.int64))
        rows = self.embeddings(model.encoder, pixels, data_hash, statistics, compute)
        inputs: np.ndarray = model.inputs(as_tensor(rows), torch.from_numpy(labels)).numpy()
        return inputs

    def _embed_in_parts(
        self, name: str, encoder: Any, pixels: np.ndarray, statistics: Statistics, compute: Compute
    ) -> Iterator[np.ndarray]:
        """Embeddings of PART images each; those that an interrupted run has left are not made again."""
        said = time.monotonic()
        for start in range(0, len(pixels), PART):
            path = self.folder / f"{name}.parts" / f"{start // PART:06}.npy"
            part = _intact(path)
            if part is None:
                part = _embed(encoder, pixels[start : start + PART], statistics, compute)
                _write(path, part)
            if time.monotonic() - said > TELL_SECONDS:
                said = time.monotonic()
                log.info("%d of %d images have gone through the encoder", start + len(part), len(pixels))
            yield part

    def _kept(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        from filelock import FileLock

        path = self.folder / f"{name}.npy"
        with telling_disk_trouble(path, 0):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if _intact(path) is None:
                    _write(path, make())
                    shutil.rmtree(self.folder / f"{name}.parts", ignore_errors=True)
        kept = _intact(path)
        assert kept is not None
        return kept


@lru_cache(maxsize=64)
def _verified(path: Path, _: int) -> np.ndarray | None:
    """The array, mapped, if the SHA-256 that follows it in the file is its own; read once a process."""
    try:
        if without_checksum(path.read_bytes()) is None:
            raise ValueError("it has another checksum")
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:  # the last of these if it is whole, but not by `_write`
        require_about_the_file(error, path)
        log.warning("%s is damaged (%s); it is made anew", path, error)
        return None
    return mapped if isinstance(mapped, np.ndarray) else None


def _intact(path: Path) -> np.ndarray | None:
    return _verified(path, path.stat().st_mtime_ns) if path.exists() else None


def _write(path: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_file(path, with_checksum(buffer.getvalue()))


@torch.inference_mode()
def _embed(encoder: Any, pixels: np.ndarray, statistics: Statistics, compute: Compute) -> np.ndarray:
    images = Pixels(pixels, statistics, compute)
    bounds = [*range(0, len(pixels), BATCH[compute.device]), len(pixels)]
    positions = unchanged(len(pixels), images.height, images.width)
    with autocast(compute):
        batches = [
            encoder(batch).float() for batch in images.batches(np.arange(len(pixels)), positions, bounds)
        ]
    return torch.cat(batches).cpu().numpy()


def _name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:40]
