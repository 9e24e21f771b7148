"""A whole study, from the command to the best trial: the script everybody writes, its relatives, harness; studies/hour.

All tune the same ResNet-8 over the same space on the same JPEG files, with as many trials, folds and epochs, on
the same processors, each in a process and an empty folder of its own, so start-up, decoding, databases and
models count. A peer that would take a night may be cut off after some whole trials (`--peer-trials`): its minutes are
then drawn out to all trials, and its best score is of those that it had. `apart` is the accuracy on other images of
the network with the values that were found, trained by the same code for all, on all training images, from three
seeds: whether what was found quickly is as good. Every round has another seed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.scoring import corrected_standard_error
from tests.benchmarks.interleave import Contenders, Run
from tests.benchmarks.peers import Found, Task, network, read

if TYPE_CHECKING:
    from harness.training import FoldData

SEEDS = 3
PEERS = {
    "stock script": "stock",
    "stock script, WilcoxonPruner": "stock:wilcoxon",
    "stock script, HyperbandPruner": "stock:hyperband",
    "skorch": "skorch_search",
    "Ray Tune": "ray_tune",
    "Ray Tune, ASHA": "ray_tune:asha",
}
NAMES = [*PEERS, "harness"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder of class folders of 32×32 images; else digits")
    parser.add_argument(
        "--images", type=int, default=1000, help="to tune on; as many again, at most 2,000, are apart"
    )
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument(
        "--peer-trials", type=int, help="the others end after so many, and their minutes are drawn out to all"
    )
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--rung", type=float, help="harness only: search.rung")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=["stock script", "harness"])


def contenders(options: argparse.Namespace) -> Contenders:
    for name, module in {"skorch": "skorch", "Ray Tune": "ray", "Ray Tune, ASHA": "ray"}.items():
        if name in options.only and find_spec(module) is None:
            sys.exit(f"{name} is not installed; get it with `uv sync --group bench`")
    return {name: partial(run, name, options) for name in options.only}


def run(name: str, options: argparse.Namespace) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        images, work = Path(folder) / "images", Path(folder) / "work"
        copy_images(options.root, images, options.images, seed=options.round)
        work.mkdir()
        trials = options.trials if name == "harness" else options.peer_trials or options.trials
        task = Task(str(images), trials, options.epochs, options.folds, options.round)
        started = time.perf_counter()
        found = harness(task, work, options.rung) if name == "harness" else peer(PEERS[name], task, work)
        minutes = (time.perf_counter() - started) / 60 * options.trials / trials
        error = corrected_standard_error(found.scores, test_fraction=1 / (options.folds - 1))
        figures = {
            "minutes": minutes,
            "folds": found.folds_trained,
            "best": float(np.mean(found.scores)),
            "± of best": error,
            "apart": accuracy_apart(found.params, task),
        }
        return Run(60 / minutes, "studies/h", figures=figures)


def peer(name: str, task: Task, work: Path) -> Found:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "tests.benchmarks.peers", name, json.dumps(asdict(task))]
    return Found(**json.loads(output(command, work, environment).splitlines()[-1]))


def harness(task: Task, work: Path, rung: float | None) -> Found:
    """The command, with its defaults."""
    (work / "study.yaml").write_text(json.dumps(study_file(task, rung)))
    program = [str(Path(sys.executable).with_name("harness")), "tune", "--study", "study.yaml", "--json"]
    environment = {**os.environ, "HARNESS_DATA": str(work / "data"), "HARNESS_HOME": str(work / "mlruns")}
    document = json.loads(output(program, work, environment))
    trials = {trial["number"]: trial for trial in document["trials"]}
    best = trials[document["best"]["number"]]
    params = {name.partition(".")[2]: value for name, value in best["params"].items()}
    return Found(params, best["folds"], sum(len(trial["folds"]) for trial in trials.values()))


def study_file(task: Task, rung: float | None) -> dict[str, Any]:
    from tests.benchmarks.peers import BATCH_SIZES, LEAST_LR, MOST_DROPOUT, MOST_LR, PADDING, WIDTHS

    return {
        "data": {"name": "folder", "root": task.root},
        "model": {"name": "resnet", "width": WIDTHS, "dropout": {"low": 0.0, "high": MOST_DROPOUT}},
        "train": {
            "epochs": task.epochs,
            "batch_size": BATCH_SIZES,
            "lr": {"low": LEAST_LR, "high": MOST_LR, "log": True},
            "schedule": "one_cycle",
            "crop_padding": PADDING,
        },
        "cv": {"folds": task.folds},
        "search": {"trials": task.trials, "seed": task.seed, **({"rung": rung} if rung else {})},
    }


def output(command: list[str], work: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:5])}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def accuracy_apart(params: dict[str, Any], task: Task) -> float:
    """Of the network with these values, trained on all images that were tuned on, on the others."""
    import torch

    from harness.training import ComputeOptions, fit, options_from, resolve, session
    from tests.benchmarks.peers import PADDING

    data = train_and_apart(task.train, Path(task.root) / "test")
    compute = resolve(ComputeOptions(device="cpu", threads=os.cpu_count() or 1))
    values = {"epochs": task.epochs, "batch_size": params["batch_size"], "lr": params["lr"]}
    scores = []
    for seed in range(SEEDS):
        with session(compute):
            torch.manual_seed(seed)
            options = options_from({**values, "schedule": "one_cycle", "crop_padding": PADDING})
            *_, last = fit(
                network(params, data.num_classes), data, options=options, compute=compute, seed=seed
            )
        scores.append(last.validation_accuracy)
    return float(np.mean(scores))


def train_and_apart(train: Path, apart: Path) -> "FoldData":
    """All images below `train` to train on and all below `apart` held out."""
    from harness.training import FoldData

    (pixels, labels), (others, other_labels) = read(train), read(apart)
    indices = np.arange(len(labels) + len(other_labels))
    return FoldData(
        np.concatenate([pixels, others]),
        np.concatenate([labels, other_labels]),
        indices[: len(labels)],
        indices[len(labels) :],
        len(np.unique(labels)),
    )


def copy_images(root: Path | None, target: Path, num_images: int, *, seed: int) -> None:
    """A random, class-balanced `train` and `test`; without a root, embedded digits as PNG files."""
    random = np.random.default_rng(seed)
    classes = digit_files(target.parent / "digits") if root is None else root
    names = sorted(folder.name for folder in classes.iterdir() if folder.is_dir())
    for name in names:
        files = random.permutation(sorted((classes / name).iterdir()))
        each, apart = num_images // len(names), min(num_images, 2000) // len(names)
        for part, chosen in (("train", files[:each]), ("test", files[each : each + apart])):
            (target / part / name).mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, target / part / name)


def digit_files(folder: Path) -> Path:
    """The embedded digits as 32×32 files."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9).astype(np.uint8)).resize((32, 32)).convert("RGB").save(path)
    return folder
