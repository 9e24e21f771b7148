"""Two workers of one thread each against one: folds of a small network, images/s from the first fold's start to the
last's end.

`harness tune` as a whole runs the same study, without racing, in a fresh folder. Records and bits are the same for
both. The ceiling is what the machine gives to processes that do nothing but train: the bare loop of `cpu_training`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.store.store import Store
from tests.benchmarks.interleave import Contenders, Run
from tests.benchmarks.whole_study import copy_images

FOLDS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, help="folder of class folders of 32×32 images; else digits")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])


def contenders(options: argparse.Namespace) -> Contenders:
    found = {f"{count} worker{'s' * (count > 1)}": partial(run, count, options) for count in options.workers}
    bare = {f"bare loop, {count} at once": partial(ceiling, count, options) for count in options.workers}
    return {**found, **bare}


def ceiling(count: int, options: argparse.Namespace) -> Run:
    """Images/s of so many processes of one thread together."""
    code = (
        "from argparse import Namespace; from tests.benchmarks import cpu_training as c; "
        "o = Namespace(blocks=1, epochs=4, batch_size=128, threads=1); "
        f"print(c.bare(c.random_images({options.images}), o).rate)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return Run(sum(float(process.communicate()[0]) for process in running), "images/s")


def run(workers: int, options: argparse.Namespace, more: Sequence[str] = ()) -> Run:
    """more: arguments of `tune`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        copy_images(options.root, work / "images", options.images, seed=options.round)
        (work / "study.yaml").write_text(json.dumps(study_file(work, options.epochs)))
        program = [str(Path(sys.executable).with_name("harness")), "tune", "--study", "study.yaml"]
        environment = {**os.environ, "HARNESS_DATA": str(work / "data"), "HARNESS_HOME": str(work / "mlruns")}
        command = [*program, "--workers", str(workers), *more]
        subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True)
        store = Store(work / "mlruns")
        trials = store.read_trials("study")
        folds = [fold for trial in trials for key in trial.folds if (fold := store.read_fold(key))]
        seconds = max(fold.started + fold.seconds for fold in folds) - min(fold.started for fold in folds)
        images = len(folds) * options.epochs * options.images * (FOLDS - 1) / FOLDS
        hashes = sorted(fold.hashes["oof.npz"] for fold in folds)
        bits = int(hash_of(hashes), 16)
        return Run(
            images / seconds, "images/s", figures={"seconds": seconds, "hash of all predictions": bits}
        )


def hash_of(texts: list[str]) -> str:
    from harness.files import digest

    return digest("".join(texts).encode())[:6]


def study_file(work: Path, epochs: int) -> dict[str, Any]:
    return {
        "data": {"name": "folder", "root": str(work / "images")},
        "model": {"name": "resnet", "width": [16]},
        "train": {"epochs": epochs, "batch_size": 128, "lr": [0.05, 0.1]},
        "cv": {"folds": FOLDS},
        "search": {"trials": 2, "sampler": "grid", "racing": "none"},
    }
