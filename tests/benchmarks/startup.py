"""From the command to the first result: seconds of wall time, as starts an hour; the yardstick is what imports alone
take.

`tune, first epoch`: from the start of the process to the end of the first epoch of a few images in a new folder,
with its data decoded, its study written down and MLflow's database being made beside; with one worker and with two.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.benchmarks.interleave import Contenders, Run
from tests.benchmarks.memory import STUDY, write_images

FIRST_EPOCH = """
import os, sys, time
from pathlib import Path

if __name__ == "__main__":
    from harness.config.study_file import load_study_file
    from harness import tuning
    settings = tuning.Settings(home=Path("mlruns").absolute(), workers=int(sys.argv[1]), offline=True)
    for event in tuning.tune(load_study_file("study.yaml"), settings):
        if type(event).__name__ == "EpochEnded":
            print(time.time(), flush=True)
            os._exit(0)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def contenders(options: argparse.Namespace) -> Contenders:
    return {
        "import torch, mlflow, optuna": partial(
            command, [sys.executable, "-c", "import torch, mlflow, optuna"]
        ),
        "import torch": partial(command, [sys.executable, "-c", "import torch"]),
        "harness --help": partial(command, [str(Path(sys.executable).with_name("harness")), "--help"]),
        "tune, first epoch, 1 worker": partial(first_epoch, 1),
        "tune, first epoch, 2 workers": partial(first_epoch, 2),
    }


def command(words: list[str]) -> Run:
    started = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return _result(time.perf_counter() - started)


def first_epoch(workers: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_images(work / "images")
        (work / "study.yaml").write_text(STUDY.format(root="images", trials=4))
        (work / "first_epoch.py").write_text(FIRST_EPOCH)
        environment = {**os.environ, "HARNESS_DATA": str(work / "data")}
        started = time.time()
        done = subprocess.run(
            [sys.executable, "first_epoch.py", str(workers)],
            cwd=work, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return _result(float(done.stdout.split()[-1]) - started)


def _result(seconds: float) -> Run:
    return Run(3600 / seconds, "starts/h", figures={"seconds": seconds})
