"""What `compute: auto` measures and chooses for some networks: images/s of all processes together, by candidate."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.config.study_file import load_study_file
from harness.data.images import Images
from harness.folds.executor import num_processors
from harness.search.autotune import choose, name

NETWORKS = {
    "simple_cnn": ["model.name=simple_cnn"],
    "ResNet-8": ["model.name=resnet", "model.blocks=1"],
    "block_mixture, width 8": [
        "model.name=block_mixture",
        "model.width=8",
        "model.blocks=3",
        "model.branches=4",
    ],
    "speednet, width 16": ["model.name=speednet", "model.width=16"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (1024, 3, 32, 32), dtype=np.uint8)
    images = Images(pixels, np.arange(1024) % 10, tuple("0123456789"))
    rows = []
    for network, changes in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            images.save(Path(folder) / "images")
            study = load_study_file(
                "smoke", ["model={}", *changes, "train={batch_size: 128}", "compute=auto"]
            )
            choice = choose(study, images, Path(folder) / "images", Path(folder))
            chosen = name(choice.compute, num_processors())
            rows.append({"network": network, "chosen": chosen, "measured": choice.measured})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    candidates = list(rows[0]["measured"])
    lines = [f"| network | {' | '.join(candidates)} |", "|---" * (len(candidates) + 1) + "|"]
    for row in rows:
        rates = [f"{row['measured'][one]:,.0f}" for one in candidates]
        marked = [
            f"**{rate}**" if one == row["chosen"] else rate
            for one, rate in zip(candidates, rates, strict=True)
        ]
        lines.append(f"| {row['network']} | {' | '.join(marked)} |")
    return "\n".join(lines)
