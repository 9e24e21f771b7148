"""Which of planted label errors are found, and what else is called one, beside cleanlab on the same predictions.

A share of the labels is moved to another class, any as likely as any other. Networks are trained by cross-validation on
the labels as they then are, and their out-of-fold probabilities are judged, as `harness gallery` does. Without --root
it is digits alone. `called right`: out-of-fold predictions that are the true class. `first half`: precision among the
likeliest, half as many as were planted. Errors that the images had before count as wrongly found. `shared`: images that
both judges find, of those that either does.
"""

import argparse
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from harness import models
from harness.data import digits
from harness.data.folds import make_folds
from harness.scoring import softmax
from harness.scoring.label_errors import label_issues
from harness.training import Compute, FoldData, fit, options_from, predict_logits, session

SMALL = ("--noise", "0.2", "--images", "500", "--epochs", "2")
CPU = Compute("cpu", "fp32", channels_last=True, threads=1)
TRAIN = {"batch_size": 64, "optimizer": "adamw", "lr": 0.003, "weight_decay": 0.01, "schedule": "one_cycle"}
Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, help="folder, or zip, of class folders of 32×32 images, beside the digits"
    )
    parser.add_argument("--images", type=int, default=3000, help="of --root, evenly from its sorted files")
    parser.add_argument(
        "--noise", type=float, nargs="+", default=[0.1, 0.2, 0.4], help="shares of moved labels"
    )
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--folds", type=int, default=4)


def report(options: argparse.Namespace) -> list[Row]:
    rows = list(of_images("digits", *_digits(), options))
    if options.root is not None:
        rows += of_images(options.root.stem, *read(options.root, options.images), options)
    return rows


def of_images(name: str, pixels: np.ndarray, truth: np.ndarray, options: argparse.Namespace) -> Iterator[Row]:
    for noise in options.noise:
        labels = moved(truth, noise, np.random.default_rng(0))
        probabilities = out_of_fold(pixels, labels, num_folds=options.folds, epochs=options.epochs)
        wrong = labels != truth
        found = {"harness": label_issues(labels, probabilities)}
        if (peer := _cleanlab(labels, probabilities)) is not None:
            found["cleanlab"] = peer
        for judge, indices in found.items():
            yield {
                "data": name, "images": len(labels), "noise": noise, "judge": judge, "planted": int(wrong.sum()),
                "called_right": float((probabilities.argmax(1) == truth).mean()), "found": len(indices),
                "precision": float(wrong[indices].mean()), "recall": float(wrong[indices].sum() / wrong.sum()),
                "first_half": float(wrong[indices[: int(wrong.sum() / 2)]].mean()),
                "shared": len(np.intersect1d(indices, found["harness"])) / len(np.union1d(indices, found["harness"])),
            }  # fmt: skip


def moved(truth: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """The labels, so many of them another class's."""
    num_classes = int(truth.max()) + 1
    chosen = random.permutation(len(truth))[: round(share * len(truth))]
    labels = truth.copy()
    labels[chosen] = (truth[chosen] + random.integers(1, num_classes, len(chosen))) % num_classes
    return labels


def out_of_fold(pixels: np.ndarray, labels: np.ndarray, *, num_folds: int, epochs: int) -> np.ndarray:
    """Probabilities (N, classes) of each image by a network that was not trained on it."""
    num_classes, folds = int(labels.max()) + 1, make_folds(labels, num_folds=num_folds, seed=0)
    augment = "none" if pixels.shape[-1] < 16 else "standard"
    settings = options_from({**TRAIN, "epochs": epochs, "augment": augment})
    found = np.zeros((len(labels), num_classes), np.float32)
    with session(CPU):
        for fold in range(num_folds):
            torch.manual_seed(fold)
            network = models.build("resnet", pixels.shape[1], pixels.shape[-1], num_classes, {"width": 16})
            train, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            data = FoldData(pixels, labels, train, held_out[:0], num_classes)
            fitting = fit(network, data, options=settings, compute=CPU, seed=fold)
            while True:
                try:
                    next(fitting)
                except StopIteration as stop:
                    statistics = stop.value.statistics
                    break
            found[held_out] = softmax(predict_logits(network, pixels, statistics, CPU, held_out))
    return found


def read(root: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images evenly from the sorted files of class folders, in a folder or a zip: uint8 (n, 3, H, W), and classes."""
    if root.suffix == ".zip":
        with zipfile.ZipFile(root) as archive:
            names = sorted(name for name in archive.namelist() if not name.endswith("/"))
            chosen = names[:: max(len(names) // count, 1)][:count]
            files = [Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen]
    else:
        names = sorted(path.relative_to(root).as_posix() for path in root.glob("*/*"))
        chosen = names[:: max(len(names) // count, 1)][:count]
        files = [Image.open(root / name).convert("RGB") for name in chosen]
    pixels = np.stack([np.asarray(file).transpose(2, 0, 1) for file in files])
    _, labels = np.unique([name.split("/")[-2] for name in chosen], return_inverse=True)
    return pixels, labels.astype(np.int64)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    images = digits.load(Path(), "train", test_fraction=0.01)
    return images.pixels, images.labels


def _cleanlab(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray | None:
    """Its issues by the same method, likeliest first; None where it is not installed."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return None
    found: np.ndarray = find_label_issues(
        labels, probabilities, filter_by="prune_by_noise_rate",
        return_indices_ranked_by="self_confidence", n_jobs=1,
    )  # fmt: skip
    return found


def table(rows: Sequence[Row]) -> str:
    head = "| images | moved | called right | judge | found | precision | recall | first half | shared |"
    lines = [head, "|---" * 9 + "|"]
    for row in rows:
        shares = " | ".join(f"{row[name]:.1%}" for name in ("precision", "recall", "first_half", "shared"))
        lines.append(
            f"| {row['images']:,} {row['data']} | {row['noise']:.0%}, {row['planted']:,} | {row['called_right']:.0%} | "
            f"{row['judge']} | {row['found']:,} | {shares} |"
        )
    return "\n".join(lines)
