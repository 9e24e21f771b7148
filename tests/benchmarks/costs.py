"""What commands cost as a study grows, along one axis at a time: images, trials, classes, pixels of a side.

Seconds, processor seconds and memory of each command as a user gives it, imports and worker processes included: of a
study of noise, which trains as long as photographs do. Sizes beyond the axis are 1,000 images of 16×16 pixels, 4 trials
of two folds and one epoch, 10 classes.

    python -m tests.benchmarks costs [--axes images trials] [--most 8000] [--rows FILE] [--picture FILE.png]

--most: no size beyond it, of images say.   --rows: measurements are added to this file, and those in it not made again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.charts import png, spec

SMALL = ("--axes", "trials", "--most", "20")  # in a run of all benchmarks


@dataclass(frozen=True)
class Size:
    images: int = 1000
    trials: int = 4
    classes: int = 10
    pixels: int = 16


AXES = {
    "images": (500, 2000, 8000, 32000),
    "trials": (5, 20, 100, 500),
    "classes": (2, 10, 50, 200),
    "pixels": (16, 32, 64, 128, 224),
}
COMMANDS = {
    "check": ["check"],
    "tune": ["tune"],
    "status": ["status"],
    "report": ["report", "-o", "report.html"],
    "audit": ["audit"],
    "confirm": ["confirm"],
    "final": ["final", "--yes"],
    "predict": ["predict"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--axes", nargs="+", choices=AXES, default=[*AXES])
    parser.add_argument("--most", type=int)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--picture", type=Path)


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()] if _has(options.rows) else []
    for axis in options.axes:
        for number in AXES[axis]:
            is_known = any((row["axis"], row["size"]) == (axis, number) for row in rows)
            if is_known or (options.most is not None and number > options.most):
                continue
            size = replace(Size(), **{axis: number})
            new = [{"axis": axis, "size": number, **row} for row in measured(size)]
            rows += new
            if options.rows:
                with options.rows.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in new)
    if options.picture:
        png.save(drawn(rows), options.picture)
    return rows


def _has(path: Path | None) -> bool:
    return path is not None and path.exists()


def measured(size: Size) -> Iterator[dict[str, Any]]:
    """A row for each command, one after the other in one store."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_images(work / "images", size)
        (work / "grows.yaml").write_text(json.dumps(study_file(work / "images", size)))
        for name, words in COMMANDS.items():
            study = "./grows.yaml" if name in ("check", "tune") else "grows"
            some = [str(path) for path in sorted((work / "images").rglob("*.png"))[:100]]
            yield {
                "command": name,
                **run([words[0], study, *words[1:], *(some if name == "predict" else [])], work),
            }


def write_images(root: Path, size: Size) -> None:
    """Noise about a grey of its class, so that there is something to learn."""
    random = np.random.default_rng(0)
    for number in range(size.images):
        label = number % size.classes
        path = root / f"c{label:03}" / f"{number:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = 60 + 130 * label / size.classes
        noise = random.normal(grey, 40, (size.pixels, size.pixels, 3))
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(path, compress_level=1)


def study_file(root: Path, size: Size) -> dict[str, Any]:
    return {
        "data": {"name": "folder", "root": str(root), "image_size": size.pixels},
        "model": {"name": "simple_cnn", "width": 8, "dropout": {"low": 0.0, "high": 0.5}},
        "train": {"epochs": 1, "batch_size": 64, "lr": {"low": 1e-3, "high": 1e-1, "log": True}},
        "cv": {"folds": 2},
        "search": {"trials": size.trials, "racing": "none"},
    }


def run(words: Sequence[str], work: Path) -> dict[str, float]:
    """seconds, processor seconds, MB of the largest process; of the command and all that it has waited for."""
    program = [str(Path(sys.executable).with_name("harness")), *words]
    environment = {**os.environ, "HARNESS_DATA": str(work / "data"), "HARNESS_HOME": str(work / "mlruns")}
    with (work / "said.txt").open("w") as said:
        began = time.perf_counter()
        process = subprocess.Popen(program, cwd=work, env=environment, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    if code := os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{' '.join(words)}: exit code {code}\n{(work / 'said.txt').read_text()[-2000:]}")
    return {
        "seconds": seconds,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "mb": used.ru_maxrss / 1024,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each size: of every command seconds and the most MB."""
    lines = [f"| axis | size | {' | '.join(COMMANDS)} |", "|---" * (2 + len(COMMANDS)) + "|"]
    for axis, size in dict.fromkeys((row["axis"], row["size"]) for row in rows):
        of_size = {row["command"]: row for row in rows if (row["axis"], row["size"]) == (axis, size)}
        cells = [f"{row['seconds']:.1f}, {row['mb']:,.0f}" for row in map(of_size.__getitem__, COMMANDS)]
        lines.append(f"| {axis} | {size:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def drawn(rows: Sequence[dict[str, Any]]) -> spec.Spec:
    """Seconds by size, a panel for each axis, a line for each command."""
    panels = []
    for axis in dict.fromkeys(row["axis"] for row in rows):
        values = [
            {"size": row["size"], "seconds": row["seconds"], "command": row["command"]}
            for row in rows
            if row["axis"] == axis
        ]
        panels.append({
            "width": 330, "height": 240, "data": {"values": values},
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "size", "type": "quantitative", "title": axis, "scale": {"type": "log", "nice": False}},
                "y": {"field": "seconds", "type": "quantitative", "scale": {"type": "log"}},
                "color": {"field": "command", "type": "nominal", "scale": {"scheme": "tableau10"}},
            },
        })  # fmt: skip
    return {
        "$schema": spec.SCHEMA,
        "description": "Seconds of a command by size",
        "columns": 2,
        "concat": panels,
    }
