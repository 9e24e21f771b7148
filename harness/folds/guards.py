"""Guards: what must hold of every fold and every trial, checked each time. A broken one ends the study.

They are written apart from the code they watch, so a mistake there is not repeated here.
"""

import sys
from typing import Any

import numpy as np

from harness.data.split import LEFT_OUT, Manifest
from harness.errors import CheckFailed

CHUNK_BYTES = 2**24
PROBED = 256  # held-out images that are predicted twice


def division(split: Manifest, fold: int, train: np.ndarray, held_out: np.ndarray) -> None:
    """The images a fold trains on and is scored on are the split's: disjoint, all that it uses, groups whole.

    train, held_out: int64 indices as the training got them.
    """
    overlap = np.intersect1d(train, held_out)
    if len(overlap):
        raise CheckFailed(
            f"fold {fold}: image {overlap[0]} is trained on and scored on ({len(overlap)} such)"
        )
    by_repeat = split.fold_of.reshape(len(split.fold_of), -1)
    left_out = (by_repeat == LEFT_OUT).any(1)
    num_images = int((~left_out).sum())
    if len(np.union1d(train, held_out)) != num_images or len(train) + len(held_out) != num_images:
        raise CheckFailed(f"fold {fold}: its training and held-out images do not make up the data set")
    if left_out[train].any():
        raise CheckFailed(f"fold {fold}: it is trained on images that the split leaves out")
    if (by_repeat[held_out] != fold).all(1).any():
        raise CheckFailed(f"fold {fold}: it is scored on images that the split gives to another fold")
    shared = np.intersect1d(split.groups[train], split.groups[held_out])
    if len(shared):
        raise CheckFailed(f"fold {fold}: group {shared[0]} is trained on and scored on ({len(shared)} such)")


def statistics(fold: int, pixels: np.ndarray, train: np.ndarray, used: Any) -> None:
    """Images are normalised by the mean and deviation of the training images alone.

    pixels: uint8 (N, C, H, W).   used: `mean` and `std` per channel, of pixels scaled to 0..1.
    """
    total = np.zeros(pixels.shape[1])
    squares = np.zeros(pixels.shape[1])
    step = max(CHUNK_BYTES // int(np.prod(pixels.shape[1:])), 1)
    for start in range(0, len(train), step):
        part = pixels[train[start : start + step]]
        total += part.sum((0, 2, 3), dtype=np.int64)
        squares += np.square(part, dtype=np.uint16).sum((0, 2, 3), dtype=np.int64)
    count = len(train) * pixels.shape[2] * pixels.shape[3]
    mean = total / count / 255
    std = np.sqrt(np.maximum(squares / count / 255**2 - mean**2, 0))
    std = np.where(std > 0, std, 1.0)
    if not (np.allclose(mean, used.mean, atol=1e-6) and np.allclose(std, used.std, atol=1e-6)):
        raise CheckFailed(
            f"fold {fold}: images are normalised by other statistics than those of its training images "
            f"(mean {used.mean[0]:.6f}, training images {mean[0]:.6f})"
        )


def evaluation(fold: int, first: np.ndarray, again: np.ndarray) -> None:
    """Scoring changes nothing about an image: predicted twice, the same images give the same bits.

    first, again: float32 (n, classes).
    """
    differ = (first != again).any(1).sum()
    if differ:
        raise CheckFailed(
            f"fold {fold}: {differ} of {len(first)} held-out images were predicted differently a second time: "
            "evaluation must neither augment nor drop out"
        )


def epoch_choice(fold: int, chosen: int, num_epochs: int, *, inner_split: bool) -> None:
    """The scored epoch is the last one, unless an inner split of the training images has chosen it."""
    if not inner_split and chosen != num_epochs:
        raise CheckFailed(
            f"fold {fold}: epoch {chosen} of {num_epochs} was scored; only train.patience may choose an epoch, by "
            "training images"
        )


def sealed_test() -> None:
    """Nothing in this process has opened the test images."""
    sealed = sys.modules.get("harness.data.test_set")
    if getattr(sealed, "opened", False):
        raise CheckFailed(
            "the test images have been opened in this process: nothing may be trained after that"
        )


def covered_once(
    trial: int, held_out: list[np.ndarray], num_images: int, *, wanted: np.ndarray | None = None
) -> None:
    """The held-out images of a complete trial's folds are all images, each once.

    held_out: int64 indices, one array for each fold.   wanted: int (num_images,), how often each is, where not once.
    """
    times = np.bincount(np.concatenate(held_out), minlength=num_images)
    wanted = np.ones(num_images, dtype=np.int64) if wanted is None else wanted
    if len(times) != num_images or (times != wanted).any():
        image = int(np.argmax(times != wanted)) if len(times) == num_images else num_images
        often = "once" if image == num_images or wanted[image] == 1 else wanted[image]
        raise CheckFailed(f"trial {trial}: image {image} was predicted {times[image]} times, not {often}")
