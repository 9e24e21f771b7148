"""A head on a frozen backbone: through the backbone in every epoch, or on embeddings that are kept; trials an hour.

Both train the same linear head of a network (random weights: its cost does not depend on them) on one fold of random
images, one thread. Through the backbone one trial is trained; with kept embeddings as many as `--trials` says, the
making of the embeddings included.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness import models
from harness.training import (
    ComputeOptions,
    FoldData,
    Keeper,
    fit,
    options_from,
    predict_logits,
    resolve,
    session,
    statistics_for,
)
from tests.benchmarks.interleave import Contenders, Run

CLASSES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--input-size", type=int, default=64, help="pixels a side that the backbone sees")
    parser.add_argument("--model", choices=("torchvision_net", "timm_net"), default="torchvision_net")
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count this process's seconds, not the wall's"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40)


def contenders(options: argparse.Namespace) -> Contenders:
    return {"through the backbone": partial(through, options), "embeddings kept": partial(kept, options)}


def through(options: argparse.Namespace) -> Run:
    return _timed(options, _pixels(options), num_trials=1)


def kept(options: argparse.Namespace) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        return _timed(options, _pixels(options), num_trials=options.trials, keep=Keeper(Path(folder)))


def _timed(
    options: argparse.Namespace, pixels: np.ndarray, *, num_trials: int, keep: Keeper | None = None
) -> Run:
    compute = resolve(ComputeOptions())
    backbone = {"architecture": options.architecture, "tune": "head", "input_size": options.input_size}
    if options.model == "torchvision_net":
        backbone["stem"] = "original"
    labels = np.arange(len(pixels), dtype=np.int64) % CLASSES
    held_out = np.arange(0, len(pixels), 5)
    train = np.setdiff1d(np.arange(len(pixels)), held_out)
    settings = options_from({"epochs": options.epochs, "optimizer": "adamw", "lr": 1e-3, "augment": "none"})
    models.build(options.model, 3, 32, CLASSES, backbone)  # imports its library
    clock = time.process_time if options.cpu_time else time.perf_counter
    started = clock()
    with session(compute):
        for trial in range(num_trials):
            torch.manual_seed(trial)
            model: Any = models.build(options.model, 3, 32, CLASSES, backbone)
            inputs = pixels
            if keep is not None:
                inputs = keep.inputs(model, pixels, labels, "random images", compute)
            data = FoldData(inputs, labels, train, held_out, CLASSES)
            last = list(fit(model, data, options=settings, compute=compute, seed=trial))[-1]
            predict_logits(model, inputs, statistics_for(model, pixels, train), compute, held_out)
    seconds = clock() - started
    note = f"{num_trials} trials in {seconds:.1f} s, last training loss {last.train_loss:.3f}"
    return Run(3600 * num_trials / seconds, "trials/h", note)


def _pixels(options: argparse.Namespace) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (options.images, 3, 32, 32), dtype=np.uint8)
