"""What `harness check` says of a study: its space, its budget, its models' sizes, its time."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cli.render import duration, number
from harness.config import search_space
from harness.config.settings import Choice, Range
from harness.config.study_file import Study, as_json
from harness.errors import HarnessError


@dataclass(frozen=True)
class Plan:
    """rows: (name, values, trial 0's value).   document: the same for scripts."""

    rows: list[tuple[str, str, str]]
    totals: str
    document: dict[str, Any]


def plan(study: Study) -> Plan:
    """Everything that can be said without loading torch or the images."""
    first = search_space.defaults(study)
    searched = search_space.searched(study)
    rows = [(path, in_words(setting), number(first[path])) for path, setting in searched.items()]
    trials = search_space.num_trials(study)
    folds = trials * study.cv.folds
    epochs = folds * _most_epochs(study)
    size = search_space.grid_size(study)
    combinations = "infinitely many" if math.isinf(size) else f"{size:,.0f}"
    totals = (
        f"at most {trials} trials × {study.cv.folds} folds = {folds:,} folds, {epochs:,} epochs; "
        f"{combinations} combinations; sampler {study.search.sampler}, racing {study.search.racing}, "
        f"objective {study.objective}"
    )
    document = {
        "schema": 1,
        "study": study.name,
        "space": {path: as_json(setting) for path, setting in searched.items()},
        "defaults": first,
        "num_trials": trials,
        "num_folds": folds,
        "num_epochs": epochs,
    }
    return Plan(rows, totals, document)


def in_words(setting: Choice | Range) -> str:
    """Like "0.001 … 0.1 (log)" or "16, 32, 64"."""
    if isinstance(setting, Choice):
        return ", ".join(number(value) for value in setting.values)
    step = f" (step {setting.step:g})" if setting.step else ""
    return f"{setting.low:g} … {setting.high:g}{' (log)' if setting.log else ''}{step}"


def ask_sizes(study: Study, overrides: list[str], *, measure: bool, images: Path | None) -> dict[str, Any]:
    """The answer of `search/preflight.py`, from a process of its own, which also draws `images` if asked to.

    Raises HarnessError if that was asked and has not happened.
    """
    asked = {"study": study.source, "overrides": overrides, "measure": measure}
    reply = _ask(asked | {"images": images and str(images)})
    if images is not None and "error" in reply:
        raise HarnessError(reply["error"])
    return reply


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.search.preflight"],  # nothing of the current folder
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"error": (done.stderr.strip().splitlines() or ["no answer"])[-1]}
    reply: dict[str, Any] = json.loads(lines[-1])
    return reply


def size_lines(study: Study, plan: Plan, sizes: dict[str, Any]) -> list[str]:
    """Images, models and time in words."""
    if "error" in sizes:
        return [f"models and time are unknown: {sizes['error']}"]
    lines = [_images_line(sizes["num_images"], sizes["balance"])]
    for word, (count, options) in zip(("smallest", "largest"), sizes["sizes"], strict=False):
        differing = {path.removeprefix("model.") for path in search_space.searched(study)}
        chosen = ", ".join(f"{key} {number(value)}" for key, value in options.items() if key in differing)
        lines.append(f"{word} model: {count:,} parameters" + (f" ({chosen})" if chosen else ""))
    if "images_per_second" in sizes:
        lines += _time_lines(study, plan, sizes)
    return lines


def _images_line(num_images: int, balance: dict[str, Any]) -> str:
    (small, fewest), (large, most) = balance["smallest"], balance["largest"]
    line = (
        f"{num_images:,} images in {balance['num_classes']} classes: "
        f"from {fewest:,} of {small} to {most:,} of {large}, ratio {balance['ratio']:.1f}"
    )
    if balance["num_groups"] is None:
        return line
    return f"{line}; {balance['num_groups']:,} groups, the largest of {balance['largest_group']:,} images"


def _time_lines(study: Study, plan: Plan, sizes: dict[str, Any]) -> list[str]:
    images = sizes["num_images"] * (1 - 1 / study.cv.folds) * plan.document["num_epochs"]
    words = ("if all were like trial 0", "if all had the largest model")
    return [
        f"{duration(images / speed)} in one process {word} ({speed:,.0f} images/s)"
        for word, speed in zip(words, sizes["images_per_second"], strict=True)
    ]


def _most_epochs(study: Study) -> int:
    epochs = study.train["epochs"]
    if isinstance(epochs, Choice):
        return max(int(value or 0) for value in epochs.values)
    return int(epochs.high if isinstance(epochs, Range) else epochs)
