"""The audit's looks at images, files and names: how often they are wrong of honest data, which planted leaks they find.

None of them knows what a trial scores, so an honest set stands for all honest studies of it, weak or strong. Thresholds
were chosen on the sets of --first 0, 1 and 2; rates are of others, like those of --first 7. --root has photographs of
one folder a class; without it there are made-up images alone.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.analysis import duplicate_leakage, file_clues, look_alikes
from harness.analysis.audit import of_pixels
from harness.data import near_duplicates
from harness.data.folds import make_folds
from harness.store.findings import Check
from tests.data.honest_sets import ImageSet, honest_sets
from tests.data.planted_leaks import planted_leaks

SMALL = ("--scale", "0.05", "--images", "300", "--seeds", "1")
FOLDS = 5
ORDER = ("failed", "noted", "passed")
Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root", type=Path, help="folder of class folders of photographs; else made-up images only"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of honest sets, which is 242")
    parser.add_argument("--images", type=int, default=600, help="of a set with a leak")
    parser.add_argument("--seeds", type=int, default=3, help="sets with each leak, each of other images")
    parser.add_argument(
        "--first", type=int, default=0, help="seed of the first of them, and of the honest sets"
    )


def report(options: argparse.Namespace) -> list[Row]:
    rows = []
    for one in honest_sets(options.root, seed=options.first, scale=options.scale):
        rows.append({"of": "honest", "set": one.name, "images": len(one.images), **judged(one)})
    for seed in range(options.first, options.first + options.seeds):
        for one in planted_leaks(options.root, seed=seed, count=options.images):
            rows.append({"of": "leak", "set": one.name, "images": len(one.images), **judged(one)})
    return rows


def judged(one: ImageSet) -> Row:
    """The worst verdict of all checks, and that of each; of a check that is not passed, its sentence."""
    found = list(checks(one))
    verdict = min((check.verdict for check in found), key=ORDER.index)
    sentences = [check.sentence for check in found if check.verdict != "passed"]
    return {
        "verdict": verdict, "by_check": {kind(check): check.verdict for check in found}, "sentences": sentences,
    }  # fmt: skip


def kind(check: Check) -> str:
    """The facts of files are one kind of check."""
    return check.probe.partition(":")[0]


def checks(one: ImageSet) -> Iterator[Check]:
    """As the audit makes them, of five folds in which copies are held out together, unless the set says otherwise."""
    images = one.images
    yield from of_pixels(images)
    yield from sorted(
        file_clues.checks(images, one.facts), key=lambda check: ORDER.index(check.verdict), reverse=True
    )
    found = near_duplicates.find(images.pixels)
    groups = np.arange(len(images)) if one.apart else found.groups(len(images), images.labels)
    fold_of = make_folds(images.labels, num_folds=FOLDS, seed=0, groups=None if one.apart else groups)
    joined = found.joined(len(images), images.labels).pairs
    crossing = int((fold_of[joined[:, 0]] != fold_of[joined[:, 1]]).sum())
    yield duplicate_leakage.check_folds(
        crossing, len(images), what=f"{len(joined)} pairs show the same picture"
    )
    yield from look_alikes.checks(images, found, groups)


def table(rows: Sequence[Row]) -> str:
    honest = [row for row in rows if row["of"] == "honest"]
    lines = [f"| check | failed of {len(honest)} honest sets | noted |", "|---" * 3 + "|"]
    for name in [*dict.fromkeys(name for row in rows for name in row["by_check"]), "any"]:
        verdicts = [row["verdict"] if name == "any" else row["by_check"].get(name) for row in honest]
        cells = [
            f"{verdicts.count(which)} ({verdicts.count(which) / len(honest):.1%})"
            for which in ("failed", "noted")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    kinds = dict.fromkeys(row["set"].partition(":")[0] for row in honest)
    lines += ["", "| honest sets | n | failed | noted |", "|---" * 4 + "|"]
    for name in kinds:
        verdicts = [row["verdict"] for row in honest if row["set"].partition(":")[0] == name]
        lines.append(f"| {name} | {len(verdicts)} | {verdicts.count('failed')} | {verdicts.count('noted')} |")
    lines += ["", "| leak | n | failed | noted | missed | by |", "|---" * 6 + "|"]
    leaks = [row for row in rows if row["of"] == "leak"]
    for name in dict.fromkeys(row["set"] for row in leaks):
        of_leak = [row for row in leaks if row["set"] == name]
        verdicts = [row["verdict"] for row in of_leak]
        counts = [str(verdicts.count(which)) for which in ORDER]
        lines.append(
            f"| {name} | {len(of_leak)} | {' | '.join(counts)} | {_by([row['by_check'] for row in of_leak])} |"
        )
    return "\n".join(lines)


def _by(found: Sequence[Mapping[str, str]]) -> str:
    """Which checks found it, and in how many of the sets."""
    names = [name for verdicts in found for name, verdict in verdicts.items() if verdict != "passed"]
    return ", ".join(f"{name} {names.count(name)}" for name in dict.fromkeys(names)) or "-"
