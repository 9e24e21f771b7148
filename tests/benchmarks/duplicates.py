"""The search for duplicates: images/s, and of planted copies how many are found, by what was done to them.

A sixth of the images are copies of others. Real images from --root, else smooth random ones; the last contender has
as many images that all look alike, which is the worst case. One thread does all the work.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np

from harness.data.near_duplicates import find
from tests.benchmarks.interleave import Contenders, Run
from tests.data.photographs import brighter, flipped, jpeg, more_contrast, shifted

CHANGES = {
    "flipped": flipped,
    "brightness 0.9": lambda image: brighter(image, 0.9),
    "brightness 1.1": lambda image: brighter(image, 1.1),
    "contrast 0.8": lambda image: more_contrast(image, 0.8),
    "contrast 1.2": lambda image: more_contrast(image, 1.2),
    "JPEG 50": lambda image: jpeg(image, 50),
    "JPEG 60": lambda image: jpeg(image, 60),
    "JPEG 75": lambda image: jpeg(image, 75),
    "JPEG 95": lambda image: jpeg(image, 95),
    "flipped, 1.1, JPEG 60": lambda image: jpeg(brighter(flipped(image), 1.1), 60),
    "a pixel beside": shifted,
    "a pixel beside, JPEG 75": lambda image: jpeg(shifted(image), 75),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder of class folders of 32×32 images; else random ones")
    parser.add_argument("--images", type=int, default=60_000, help="copies included")


def contenders(options: argparse.Namespace) -> Contenders:
    return {
        "different images": partial(search_among_copies, options.root, options.images),
        "images that look alike": partial(search_among_lookalikes, options.images),
    }


def search_among_copies(root: Path | None, num_images: int) -> Run:
    random = np.random.default_rng(0)
    num_copies = num_images // 6
    originals = (
        smooth_images(num_images - num_copies, random)
        if root is None
        else read(root, num_images - num_copies)
    )
    copied = random.choice(len(originals), num_copies, replace=False)
    changes = list(CHANGES.values())
    copies = np.stack([changes[place % len(changes)](originals[index]) for place, index in enumerate(copied)])
    run, groups = timed(np.concatenate([originals, copies]))
    hits = groups[copied] == groups[len(originals) :]
    recalls = [f"{name} {hits[place :: len(changes)].mean():.4f}" for place, name in enumerate(CHANGES)]
    sizes = np.bincount(groups[: len(originals)])
    found = f"{(sizes > 1).sum()} groups of {sizes[sizes > 1].sum()} originals, the largest of {sizes.max()}"
    return Run(run.rate, run.unit, f"{run.note}; {found}; found: {', '.join(recalls)}")


def search_among_lookalikes(num_images: int) -> Run:
    """One picture under so much noise that no two images are duplicates, though all are candidates."""
    random = np.random.default_rng(0)
    picture = smooth_images(1, random)[0]
    noise = random.normal(0, 40, (num_images, 3, 32, 32)).astype(np.float32)
    run, groups = timed(np.clip(picture + noise, 0, 255).astype(np.uint8))
    return Run(run.rate, run.unit, f"{run.note}; largest group {np.bincount(groups).max()}")


def timed(images: np.ndarray) -> tuple[Run, np.ndarray]:
    started, used = time.perf_counter(), time.process_time()
    groups = find(images).groups(len(images))
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - used
    note = f"{len(images):,} images in {seconds:.1f} s, {cpu_seconds:.1f} s of them on the CPU"
    return Run(len(images) / seconds, "images/s", note), groups


def read(root: Path, count: int) -> np.ndarray:
    from harness.data import load_training

    settings = {"name": "folder", "root": str(root), "test_fraction": 0.001}
    images = load_training(settings)
    return np.asarray(images.pixels[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)])


def smooth_images(count: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with the frequency, as that of photographs does: uint8 (count, 3, 32, 32)."""
    frequencies = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)) + 1 / 32
    parts = []
    for start in range(0, count, 1000):
        shape = (min(1000, count - start), 3, *frequencies.shape)
        spectrum = (random.normal(size=shape) + 1j * random.normal(size=shape)) / frequencies
        spectrum[:, 1:] = 0.9 * spectrum[:, :1] + 0.3 * spectrum[:, 1:]  # channels resemble each other
        field = np.fft.irfft2(spectrum, s=(32, 32))
        parts.append(np.clip(127 + 50 * field / field.std((1, 2, 3), keepdims=True), 0, 255).astype(np.uint8))
    return np.concatenate(parts)
