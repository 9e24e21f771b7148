"""One training on a GPU: airbench94_muon as it is, and harness's speed94 with plain steps and with a CUDA graph.

The peer is the file airbench94_muon.py of github.com/KellerJordan/cifar10-airbench, run in a folder of its own that has
the images where it looks for them; the seconds are what it prints for its first run after its own warm-up, compilation
not counted. harness's are those of its epochs, the first included. Accuracies are on the images of `test/`, the peer's
with its test-time augmentation.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harness import config, models, space
from harness.training import Compute, FoldData, fit, options_from, session
from tests.benchmarks.interleave import Contenders, Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, help="folder of train/ and test/, each one folder of images a class"
    )
    parser.add_argument(
        "--airbench", type=Path, help="the peer's airbench94_muon.py; without it harness is alone"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of the study speed94"
    )


def contenders(options: argparse.Namespace) -> Contenders:
    if options.root is None or not torch.cuda.is_available():
        sys.exit("card_training needs a CUDA GPU and --root")
    peer = {"airbench94_muon": partial(airbench, options)} if options.airbench else {}
    return {
        **peer,
        **{f"harness, {way}": partial(ours, way == "graph", options) for way in ("plain", "graph")},
    }


def airbench(options: argparse.Namespace) -> Run:
    """Until its first run after the warm-up is over; it would make 200."""
    with tempfile.TemporaryDirectory() as folder:
        keep(options.root, Path(folder) / "cifar10")
        command = [sys.executable, "-u", str(options.airbench.resolve())]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            rows = [[part.strip() for part in line.split("|")] for line in _until_first_run(process.stdout)]
            process.terminate()
        *_, accuracy, seconds, _ = rows[-1]
        return Run(
            60 / float(seconds),
            "trainings/min",
            figures={"seconds": float(seconds), "accuracy": float(accuracy)},
        )


def keep(root: Path, folder: Path) -> None:
    """The images as the peer's own loader leaves them after its download."""
    folder.mkdir()
    for part in ("train", "test"):
        pixels, labels, classes = read(root / part)
        images = torch.from_numpy(pixels.transpose(0, 2, 3, 1).copy())
        document = {"images": images, "labels": torch.from_numpy(labels), "classes": classes}
        torch.save(document, folder / f"{part}.pt")


def _until_first_run(lines: object) -> list[str]:
    """The table's lines up to the second one that ends a run; the first is the warm-up's."""
    found, ends = [], 0
    for line in lines:  # type: ignore[attr-defined]
        found.append(line)
        ends += "eval" in line
        if ends == 2:
            return found
    raise RuntimeError(f"airbench ended early: {''.join(found)[-2000:]}")


def ours(graph: bool, options: argparse.Namespace) -> Run:
    compute = Compute("cuda", "bf16", channels_last=True, threads=1, cuda_graph=graph)
    (pixels, labels, classes), (others, other_labels, _) = (
        read(options.root / part) for part in ("train", "test")
    )
    indices = np.arange(len(labels) + len(other_labels))
    data = FoldData(
        np.concatenate([pixels, others]),
        np.concatenate([labels, other_labels]),
        indices[: len(labels)],
        indices[len(labels) :],
        len(classes),
    )
    study = config.load("speed94", options.set)
    values = space.resolve(study, space.defaults(study))
    model_options = space.section(values, "model")
    with session(compute):
        torch.manual_seed(options.round)
        model = models.build(str(model_options.pop("name")), 3, 32, classes, model_options)
        settings = options_from(space.section(values, "train"))
        epochs = list(fit(model, data, options=settings, compute=compute, seed=options.round))
    seconds = sum(epoch.seconds for epoch in epochs)
    accuracy = epochs[-1].validation_accuracy
    return Run(60 / seconds, "trainings/min", figures={"seconds": seconds, "accuracy": accuracy})


def read(folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """uint8 (N, 3, 32, 32), int64 (N,), the classes."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = [
        (file, label) for label, name in enumerate(classes) for file in sorted((folder / name).iterdir())
    ]
    pixels = [np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1) for file, _ in files]
    return np.stack(pixels), np.array([label for _, label in files]), classes
