"""Memory of the processes over hundreds of trials: the driver's, with a worker inside, and its growth by trial, in MB.

The trials are of two folds of one epoch of a tiny network on random images; MLflow gets them all.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

PAGE = os.sysconf("SC_PAGE_SIZE")
SETTLED = 100  # trials, after which memory should stay
SMALL = ("--trials", "60")  # in a run of all benchmarks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=200)


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    from harness import tuning
    from harness.config.study_file import load_study_file
    from harness.search.driver import TrialEnded

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_images(work / "images")
        os.environ["HARNESS_DATA"] = str(work / "data")
        (work / "study.yaml").write_text(STUDY.format(root=work / "images", trials=options.trials))
        study = load_study_file(str(work / "study.yaml"))
        settings = tuning.Settings(home=work / "mlruns", workers=1, offline=True)
        found = [
            (event.trial.number, resident(), open_files())
            for event in tuning.tune(study, settings)
            if isinstance(event, TrialEnded)
        ]
    return [summary(np.array(found, dtype=float))]


STUDY = """
data: {{name: folder, root: {root}, image_size: 8}}
model: {{name: simple_cnn, width: [2, 4], dropout: {{low: 0.0, high: 0.5}}}}
train: {{epochs: 1, batch_size: 32, lr: {{low: 0.001, high: 0.1, log: true}}, augment: none}}
cv: {{folds: 2, duplicates: ignore}}
search: {{trials: {trials}, sampler: random, racing: none}}
"""


def summary(found: np.ndarray) -> dict[str, Any]:
    """found: (trials, 3): number, MB, open files."""
    first = min(SETTLED, len(found) // 2)
    later = found[first:]
    slope = np.polyfit(later[:, 0], later[:, 1], 1)[0]
    return {
        "trials": len(found),
        "settled_after": first,
        "mb_then": float(later[0, 1]),
        "mb_last": float(later[-1, 1]),
        "growth": float(later[-1, 1] / later[0, 1] - 1),
        "mb_per_trial": float(slope),
        "files_then": int(later[0, 2]),
        "files_last": int(later[-1, 2]),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| trials | MB after some | MB at the end | growth | MB a trial | open files |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['trials']} | {row['mb_then']:.0f} (trial {row['settled_after']}) | {row['mb_last']:.0f} | "
            f"{row['growth']:+.1%} | {row['mb_per_trial']:.3f} | {row['files_then']} to {row['files_last']} |"
        )
    return "\n".join(lines)


def resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def write_images(root: Path) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for label in "abc":
        for number in range(20):
            path = root / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
