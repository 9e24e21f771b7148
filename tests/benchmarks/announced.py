"""What a study announces of its network, and what that network scores on images that nobody has seen.

Many small studies of a folder's images (500 to 2,000 for training, 3 or 5 folds, 8 or 16 trials), each tuned, confirmed
and refitted as `final` does it; the network is then scored on 10,000 other images of the folder, which no study has.
`bias`: what was announced less what came, in points.   `covered`: how often the 95 % interval has what came. The last
rows are about the choice: by how much the best trial's network and the confirmed winner's are better than that of trial
0, the defaults, on the unseen images, and how often they are worse.

    python -m tests.benchmarks announced --root FOLDER [--studies 45] [--first 0] [--rows FILE] [--picture FILE.png]
        [--cv '{"repeats": 2}'] [--search '{"patience": 4}'] [--objective roc_auc]

FOLDER has a folder of images for each class.   --rows: a file of studies that are done, gone on from.   --cv, --search:
values of these sections that are to be others than a study's own.   --objective: a metric; scores, bias and widths are
then in hundredths of it.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import harness
from harness import models, scoring, training
from harness.analysis.confirm import confirm
from harness.analysis.final import refit_task
from harness.folds.fold import NO_FOLD
from harness.folds.train_folds import train_tasks, workplace_of
from harness.inference.model import load_fold_model
from harness.records import FoldRecord
from harness.search.selection_bias import corrected_score
from harness.store.findings import Confirmation
from harness.store.loaded_study import LoadedStudy
from harness.store.store import WEIGHTS, Store

SIDE, UNSEEN = 16, 10_000
SEALED = 0.25  # of the training images: the part that a study has sealed, which is not used here
SMALL = ("--studies", "1")
STUDY: dict[str, Any] = {
    "model": {"name": "simple_cnn", "width": [4, 8, 16], "dropout": {"low": 0.0, "high": 0.5}},
    "train": {
        "epochs": [6, 12], "batch_size": [32, 64], "lr": {"low": 0.003, "high": 0.3, "log": True},
        "optimizer": "sgd", "schedule": "one_cycle", "augment": ["none", "standard"],
    },
    "tracker": "none",
}  # fmt: skip
ANNOUNCED = ("fold score", "corrected", "confirmed", "expected")


def images_of(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (N, 16, 16, 3) and their labels."""
    pixels, labels = [], []
    for label, folder in enumerate(sorted(path for path in root.iterdir() if path.is_dir())):
        for file in sorted(folder.iterdir()):
            with Image.open(file) as image:
                pixels.append(np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)))
            labels.append(label)
    return np.array(pixels), np.array(labels)


def announced(
    seed: int,
    pixels: np.ndarray,
    labels: np.ndarray,
    home: Path,
    *,
    objective: str,
    **others: Mapping[str, Any],
) -> dict[str, Any]:
    """One study: what it announces, and what its network scores on the unseen images.

    others: values of its sections that are to be others.
    """
    order = np.random.default_rng(99).permutation(len(labels))
    unseen, pool = order[:UNSEEN], order[UNSEEN:]
    random = np.random.default_rng(1000 + seed)
    size, folds, trials = (int(random.choice(values)) for values in ([500, 1000, 2000], [3, 5], [8, 16]))
    rows = np.random.default_rng(seed).permutation(pool)[: int(size * (1 + SEALED))]
    document = STUDY | {
        "objective": objective,
        "cv": {"folds": folds, **others.get("cv", {})},
        "search": {"trials": trials, "seed": seed, **others.get("search", {})},
    }
    name = f"announced {seed}"
    harness.tune(document, data=(pixels[rows], labels[rows]), name=name, home=home, progress=False)
    study = LoadedStudy.open(Store(home), name)
    as_many = {**study.record.data, "test": {**study.record.data["test"], "num_images": UNSEEN}}
    study = replace(study, record=replace(study.record, data=as_many))
    corrected = corrected_score(study)
    *_, found = confirm(study, top=2)
    assert isinstance(found, Confirmation) and found.champion and corrected and study.best
    return {
        "seed": seed, "objective": objective, "images": size, "folds": study.record.num_folds,
        "trials": len(study.trials),
        "fold score": study.best.mean, "corrected": [corrected.corrected, corrected.low, corrected.high],
        "confirmed": found.champion.confirmed, "champion": asdict(found.champion),
        "expected": [found.champion.expected, found.champion.low, found.champion.high],
        "truth": _scored(study, found.winner, pixels[unseen], labels[unseen]),
        "best": [study.best.number, _scored(study, study.best.number, pixels[unseen], labels[unseen])],
        "defaults": [study.trials[0].mean, _scored(study, 0, pixels[unseen], labels[unseen])],
    }  # fmt: skip


def _scored(study: LoadedStudy, number: int, pixels: np.ndarray, labels: np.ndarray) -> float:
    """The study's metric of the trial's network, trained on all images."""
    trial, record = study.trials[number], study.record
    task = refit_task(study, trial)
    trained = train_tasks(workplace_of(study.store, record), {NO_FOLD: task}, with_weights=[task.key()])
    refit = next(report for _, report in trained if isinstance(report, FoldRecord))
    compute = training.Compute(**record.compute)
    model = load_fold_model(
        study.store.fold_folder(refit.key) / WEIGHTS, values=models.architecture(trial.values),
        image_shape=tuple(record.data["image_shape"]), classes=record.data["classes"],
        sha256=refit.hashes[WEIGHTS], compute=compute,
    )  # fmt: skip
    with training.session(compute):
        logits = model.predict_logits(pixels.transpose(0, 3, 1, 2), compute)
    return float(scoring.METRICS[record.objective](labels, scoring.softmax(logits)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path)
    parser.add_argument("--studies", type=int, default=45)
    parser.add_argument("--first", type=int, default=0, help="seed of the first study; the others follow")
    parser.add_argument("--rows", type=Path, help="studies that are done")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--cv", type=json.loads, default={}, help="values of this section, as JSON")
    parser.add_argument("--search", type=json.loads, default={})
    parser.add_argument("--objective", choices=sorted(scoring.METRICS), default="accuracy")


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.root is None:
        raise SystemExit("--root FOLDER is needed: a folder of images for each class")
    known = options.rows.read_text().splitlines() if options.rows and options.rows.exists() else []
    rows = [json.loads(line) for line in known][: options.studies]
    missing = range(options.first + len(rows), options.first + options.studies)
    pixels, labels = images_of(options.root) if missing else (np.empty(0), np.empty(0))
    for seed in missing:
        with tempfile.TemporaryDirectory() as home:
            others = {"objective": options.objective, "cv": options.cv, "search": options.search}
            rows.append(announced(seed, pixels, labels, Path(home), **others))
        if options.rows:
            with options.rows.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    if options.picture:
        draw(rows, options.picture)
    return list(summary(rows))


def summary(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    truth = np.array([row["truth"] for row in rows])
    for name in ANNOUNCED:
        values = np.array([np.atleast_1d(row[name]) for row in rows])
        errors = 100 * (values[:, 0] - truth)
        row = {
            "announced": name,
            "studies": len(rows),
            "bias": float(errors.mean()),
            "bias_error": float(errors.std(ddof=1) / len(rows) ** 0.5) if len(rows) > 1 else None,
            "error": float(np.sqrt((errors**2).mean())),
            "covered": None,
            "half_width": None,
        }
        if values.shape[1] > 1:
            _, low, high = values.T
            row |= {
                "covered": float(np.mean((low <= truth) & (truth <= high))),
                "half_width": float(50 * (high - low).mean()),
            }
        yield row
    yield from _gains([row for row in rows if "defaults" in row])


def _gains(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What was chosen against the defaults, on the unseen images; `announced` is what the fold scores had said."""
    if not rows:
        return
    higher = [scoring.METRICS[row.get("objective", "accuracy")].higher_is_better for row in rows]
    better = 100 * np.where(higher, 1, -1)
    defaults = np.array([row["defaults"][1] for row in rows])
    said = better * np.array([row["fold score"] - row["defaults"][0] for row in rows])
    for name, truths in (
        ("gain of the best trial", [row["best"][1] for row in rows]),
        ("gain of the confirmed winner", [row["truth"] for row in rows]),
    ):
        gains = better * (np.array(truths) - defaults)
        yield {
            "announced": name, "studies": len(rows), "bias": float(gains.mean()),
            "bias_error": float(gains.std(ddof=1) / len(rows) ** 0.5) if len(rows) > 1 else None,
            "error": None, "covered": None, "half_width": None,
            "worse": float(np.mean(gains < 0)), "said": float(said.mean()),
        }  # fmt: skip


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """What was expected, with its interval, against what came."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 4.6), layout="constrained")
    truth = [row["truth"] for row in rows]
    expected, low, high = np.array([row["expected"] for row in rows]).T
    axes.errorbar(
        truth, expected, [expected - low, high - expected], fmt="o", ms=3.5, lw=0.8, label="expected, 95 %"
    )
    axes.scatter(
        truth, [row["fold score"] for row in rows], marker="x", color="tab:orange", s=18, label="fold score"
    )
    ends = [min(truth) - 0.02, max(truth) + 0.02]
    axes.plot(ends, ends, color="0.5", lw=1)
    axes.set(xlabel=f"accuracy on {UNSEEN:,} images that nobody had seen", ylabel="announced")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=110)


def table(found: Sequence[dict[str, Any]]) -> str:
    lines = ["| announced | studies | bias, points | error (rms) | covered | half width |", "|---" * 6 + "|"]
    gains = [row for row in found if "worse" in row]
    for row in found:
        if row in gains:
            continue
        covered = "–" if row["covered"] is None else f"{row['covered']:.0%}"
        width = "–" if row["half_width"] is None else f"{row['half_width']:.1f}"
        cells = [row["announced"], row["studies"], _with_error(row), f"{row['error']:.1f}"]
        lines.append(f"| {' | '.join(map(str, [*cells, covered, width]))} |")
    if gains:
        lines += [
            "",
            "| over the defaults, points | studies | by the folds | unseen | worse |",
            "|---" * 5 + "|",
        ]
    for row in gains:
        cells = [
            row["announced"],
            row["studies"],
            f"{row['said']:+.1f}",
            _with_error(row),
            f"{row['worse']:.0%}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _with_error(row: dict[str, Any]) -> str:
    return f"{row['bias']:+.1f}" + (f" ± {row['bias_error']:.1f}" if row["bias_error"] is not None else "")
