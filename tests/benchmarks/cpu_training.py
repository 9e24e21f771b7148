"""Training on the CPU: the script everybody writes, a bare tensor loop, and harness; images/s of training.

All three train the same ResNet with the same optimiser, batch size, images and number of threads. The stock
script holds decoded PIL images in memory, so it pays for no file and no JPEG. It also has its DataLoader's
workers, as usual. Accuracy is on 2,000 other images.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from harness import models
from harness.training import ComputeOptions, FoldData, fit, options_from, predict_logits, resolve, session
from harness.training.pixels import measure
from tests.benchmarks.interleave import Contenders, Run

NUM_HELD_OUT = 2000
LR, MOMENTUM, WEIGHT_DECAY, PADDING = 0.1, 0.9, 5e-4, 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder of class folders of 32×32 images; else random ones")
    parser.add_argument("--blocks", type=int, default=1, help="per stage: 1 is ResNet-8, 3 is ResNet-20")
    parser.add_argument("--images", type=int, default=10_000, help="to train on")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="of the stock script's DataLoader")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="CPU seconds instead of wall time, for a busy machine; only with --threads 1 --workers 0",
    )


def contenders(options: argparse.Namespace) -> Contenders:
    data = (
        random_images(options.images) if options.root is None else read_images(options.root, options.images)
    )
    runs = {"stock script": stock, "bare tensor loop": bare, "harness": ours}
    timed = on_cpu_time if options.cpu_time else on_wall_time
    return {name: partial(timed, run, data, options) for name, run in runs.items()}


def on_wall_time(run: Callable[..., Run], data: FoldData, options: argparse.Namespace) -> Run:
    return run(data, options)


def on_cpu_time(run: Callable[..., Run], data: FoldData, options: argparse.Namespace) -> Run:
    """The run with the process's CPU time for a clock, in harness too; the process ends after it."""
    time.perf_counter = time.process_time
    return run(data, options)


def stock(data: FoldData, options: argparse.Namespace) -> Run:
    """DataLoader with workers, PIL transforms one image at a time, fp32, loss.item() in every step."""
    from torch.utils.data import DataLoader
    from torchvision import transforms

    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    statistics = measure(data.pixels, data.train)
    normalise = [transforms.ToTensor(), transforms.Normalize(statistics.mean, statistics.std)]
    augment = [transforms.RandomCrop(32, padding=PADDING), transforms.RandomHorizontalFlip()]
    loader = DataLoader(
        InMemory(data, data.train, transforms.Compose(augment + normalise)),
        batch_size=options.batch_size,
        shuffle=True,
        num_workers=options.workers,
    )
    model = network(data, options)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LR, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs * len(loader))
    started = time.perf_counter()
    for _ in range(options.epochs):
        model.train()
        total, correct = 0.0, 0
        for images, labels in loader:
            optimizer.zero_grad()
            outputs = model(images)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(labels)
            correct += (outputs.argmax(1) == labels).sum().item()
    seconds = time.perf_counter() - started
    held_out = InMemory(data, data.held_out, transforms.Compose(normalise))
    model.eval()
    with torch.no_grad():
        batches = DataLoader(held_out, batch_size=500)
        right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in batches)
    return result(data, options, seconds, right / len(data.held_out))


class InMemory(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Decoded PIL images, the best case of an image folder."""

    def __init__(self, data: FoldData, indices: np.ndarray, transform: Any):
        self.images = [Image.fromarray(data.pixels[index].transpose(1, 2, 0)) for index in indices]
        self.labels = data.labels[indices].tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def bare(data: FoldData, options: argparse.Namespace) -> Run:
    """What an expert writes by hand: a normalised, padded tensor, crops as windows, bf16, channels_last."""
    compute = resolve(ComputeOptions(device="cpu", threads=options.threads))
    torch.manual_seed(0)
    torch.set_num_threads(compute.threads)
    statistics = measure(data.pixels, data.train)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (statistics.mean, statistics.std))
    images = (torch.from_numpy(data.pixels[data.train]) / 255 - mean) / std
    padded = F.pad(images, (PADDING,) * 4, mode="reflect").permute(0, 2, 3, 1).contiguous().to(compute.dtype)
    labels = torch.from_numpy(data.labels[data.train])
    model = network(data, options).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LR, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY, fused=True
    )
    num_steps = -(-len(images) // options.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.epochs * num_steps)
    started = time.perf_counter()
    for _ in range(options.epochs):
        model.train()
        total, correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for batch, chosen in windows(padded, options.batch_size):
            with torch.autocast("cpu", torch.bfloat16, enabled=compute.precision == "bf16"):
                outputs = model(batch)
            loss = F.cross_entropy(outputs.float(), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach() * len(chosen)
            correct += (outputs.detach().argmax(1) == labels[chosen]).sum()
        total.item(), correct.item()
    seconds = time.perf_counter() - started
    predicted = predict_logits(model, data.pixels[data.held_out], statistics, compute).argmax(1)
    return result(data, options, seconds, float((predicted == data.labels[data.held_out]).mean()))


def windows(padded: torch.Tensor, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled (B, C, 32, 32) crops, half of them flipped, from padded (N, 40, 40, C) images."""
    num_images, height, width, channels = padded.shape
    places, size = 2 * PADDING + 1, height - 2 * PADDING
    strides = (height * width * channels, width * channels, channels, width * channels, 1)
    views = padded.as_strided((num_images, places, places, size, size * channels), strides)
    for chosen in torch.randperm(num_images).split(batch_size):
        top, left = torch.randint(0, places, (2, len(chosen)))
        batch = views[chosen, top, left].view(-1, size, size, channels)
        batch = torch.where(torch.rand(len(chosen), 1, 1, 1) < 0.5, batch.flip(2), batch)
        yield batch.permute(0, 3, 1, 2), chosen


def ours(data: FoldData, options: argparse.Namespace) -> Run:
    """harness as `tune` uses it, without the store."""
    compute = resolve(ComputeOptions(device="cpu", threads=options.threads))
    values = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "lr": LR,
        "momentum": MOMENTUM,
        "weight_decay": WEIGHT_DECAY,
        "crop_padding": PADDING,
    }
    with session(compute):
        torch.manual_seed(0)
        model = network(data, options)
        epochs = list(fit(model, data, options=options_from(values), compute=compute, seed=0))
    seconds = sum(len(data.train) / epoch.images_per_second for epoch in epochs)
    return result(data, options, seconds, epochs[-1].validation_accuracy)


def network(data: FoldData, options: argparse.Namespace) -> nn.Module:
    return models.build("resnet", 3, 32, data.num_classes, {"blocks": options.blocks})


def result(data: FoldData, options: argparse.Namespace, seconds: float, accuracy: float) -> Run:
    return Run(len(data.train) * options.epochs / seconds, "images/s", f"accuracy {accuracy:.3f}")


def read_images(root: Path, num_train: int) -> FoldData:
    """A seeded sample of the images below `root`, one folder per class."""
    classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    files = [(file, label) for label, name in enumerate(classes) for file in sorted((root / name).iterdir())]
    chosen = np.random.default_rng(0).permutation(len(files))[: num_train + NUM_HELD_OUT]
    pixels = [np.asarray(Image.open(files[index][0]).convert("RGB")).transpose(2, 0, 1) for index in chosen]
    return divided(np.stack(pixels), np.array([files[index][1] for index in chosen]), len(classes))


def random_images(num_train: int) -> FoldData:
    print("no --root: random images; their accuracy means nothing", file=sys.stderr)
    generator = np.random.default_rng(0)
    num_images = num_train + NUM_HELD_OUT
    pixels = generator.integers(0, 256, (num_images, 3, 32, 32), dtype=np.uint8)
    return divided(pixels, generator.integers(0, 10, num_images), 10)


def divided(pixels: np.ndarray, labels: np.ndarray, num_classes: int) -> FoldData:
    indices = np.arange(len(pixels))
    return FoldData(pixels, labels, indices[NUM_HELD_OUT:], indices[:NUM_HELD_OUT], num_classes)
