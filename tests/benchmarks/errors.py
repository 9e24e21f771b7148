"""Errors of trials' means and of their differences against simulations whose truth is known, with and without groups.

Images are points of two classes, 240 of them, alone or in groups of five that share most of what they are (the images
of a patient). Learners: ridge regression, which hardly varies; the same on 12 random features, which varies with its
seed; the same on 4 coordinates drawn at random, which varies so much that training is most of the error. The truth is
the mean accuracy, on 20,000 other images, of 200 such networks that are trained on as many images as a fold's.

Below: corrected errors that are smaller than the sampling error of so many images. False alarms: how often two equal
trials are told apart at the level 5 %.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import sem

from harness.scoring.paired import corrected_t_test, mcnemar
from harness.scoring.sampling import deviations
from harness.scoring.standard_errors import corrected_interval, held_out_fraction, mean_error

IMAGES, GROUP, WIDTH, APART = 240, 5, 20, 2.4
SHARED = 0.7  # standard deviation that the images of a group share, of 1
Row = dict[str, Any]
Network = Callable[[np.ndarray], np.ndarray]
SMALL = ("--runs", "10")  # in a run of all benchmarks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(runs=400)
    parser.add_argument("--folds", default="2,3,5,10", help="numbers of folds, with commas between")


def report(options: argparse.Namespace) -> list[Row]:
    """One row per number of folds, learner, and kind of images, `--runs` simulated studies each."""
    rows = []
    for size in (1, GROUP):
        for name in LEARNERS:
            for num_folds in map(int, options.folds.split(",")):
                rows.append(_row(name, num_folds, size, options.runs))
                print(table(rows).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, in per cent and points of accuracy."""
    lines = [
        "| images | learner | folds | below | interval before: holds, half width | now: holds, half width "
        "| false alarms: t before, now | McNemar by image, by group |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        before, now = (
            f"{row[f'{name}_covers']:.1%}, {100 * row[f'{name}_half']:.1f}" for name in ("plain", "drawn")
        )
        alarms = [f"{row[name]:.1%}" for name in ("plain_alarm", "drawn_alarm", "by_image", "by_group")]
        lines.append(
            f"| {row['images']} | {row['learner']} | {row['folds']} | {row['below']:.0%} | {before} | {now} "
            f"| {alarms[0]}, {alarms[1]} | {alarms[2]}, {alarms[3]} |"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class Sample:
    """points: (n, WIDTH).   labels, groups: int64 (n,)."""

    points: np.ndarray
    labels: np.ndarray
    groups: np.ndarray


def drawn(random: np.random.Generator, centres: np.ndarray, num_groups: int, size: int) -> Sample:
    groups = np.repeat(np.arange(num_groups), size)
    labels = random.integers(0, 2, num_groups)[groups]
    shared = SHARED if size > 1 else 0.0
    points = centres[labels] + shared * random.normal(size=(num_groups, WIDTH))[groups]
    own = np.sqrt(1 - shared**2) * random.normal(size=(len(groups), WIDTH))
    return Sample(points + own, labels, groups)


def ridge(sample: Sample, random: np.random.Generator) -> Network:
    return _fitted(sample, lambda points: points)


def random_features(sample: Sample, random: np.random.Generator) -> Network:
    weights, offsets = random.normal(size=(WIDTH, 12)), random.normal(size=12)
    return _fitted(sample, lambda points: np.tanh(points @ weights + offsets))


def few_coordinates(sample: Sample, random: np.random.Generator) -> Network:
    chosen = random.choice(WIDTH, 4, replace=False)
    return _fitted(sample, lambda points: points[:, chosen])


LEARNERS = {"ridge": ridge, "random features": random_features, "few coordinates": few_coordinates}


def _fitted(sample: Sample, features: Callable[[np.ndarray], np.ndarray]) -> Network:
    def inputs(points: np.ndarray) -> np.ndarray:
        return np.c_[features(points), np.ones(len(points))]

    known = inputs(sample.points)
    weights = np.linalg.solve(known.T @ known + np.eye(known.shape[1]), known.T @ (2 * sample.labels - 1))
    return lambda points: (inputs(points) @ weights > 0).astype(np.int64)


def _row(name: str, num_folds: int, size: int, runs: int) -> Row:
    random, learn = np.random.default_rng([num_folds, size]), LEARNERS[name]
    centres = random.normal(size=(2, WIDTH))
    centres *= APART / np.linalg.norm(centres[0] - centres[1])
    num_groups = IMAGES // size
    others = drawn(random, centres, 20_000 // size, size)
    trained_on = round(num_groups * (num_folds - 1) / num_folds)
    truth = np.mean([
        (learn(drawn(random, centres, trained_on, size), random)(others.points) == others.labels).mean()
        for _ in range(min(200, 20 * runs))
    ])  # fmt: skip
    found = [_study(random, centres, learn, num_folds, num_groups, size, float(truth)) for _ in range(runs)]
    means = {key: float(np.mean([one[key] for one in found])) for key in found[0] if not key.endswith("half")}
    halves = {key: float(np.median([one[key] for one in found])) for key in found[0] if key.endswith("half")}
    images = "alone" if size == 1 else f"groups of {size}"
    error = float(sem([one["drawn_covers"] for one in found]))
    return {
        "images": images,
        "learner": name,
        "folds": num_folds,
        "runs": runs,
        "error": error,
        **means,
        **halves,
    }


def _study(
    random: np.random.Generator,
    centres: np.ndarray,
    learn: Callable[[Sample, np.random.Generator], Network],
    num_folds: int,
    num_groups: int,
    size: int,
    truth: float,
) -> dict[str, float]:
    """Two equal trials on the same folds: the errors of the first, and whether they are told apart."""
    sample = drawn(random, centres, num_groups, size)
    fold_of = (random.permutation(num_groups) % num_folds)[sample.groups]
    scores, right = np.empty((2, num_folds)), np.empty((2, len(fold_of)), dtype=bool)
    spread = []
    for fold in range(num_folds):
        held_out = fold_of == fold
        known = Sample(*(part[~held_out] for part in (sample.points, sample.labels, sample.groups)))
        called = [learn(known, random)(sample.points[held_out]) for _ in range(2)]
        labels = sample.labels[held_out]
        right[:, held_out] = [one == labels for one in called]
        scores[:, fold] = right[:, held_out].mean(1)
        predicted = [np.eye(2, dtype=np.float32)[one] for one in called]
        spread.append(deviations("accuracy", labels, predicted, sample.groups[held_out]))
    spread_of = np.vstack(spread) / np.sqrt(num_folds)
    fraction, mean = held_out_fraction(num_folds), scores[0].mean()
    low, high = corrected_interval(scores[0].tolist(), test_fraction=fraction)
    sampling = float(np.square(spread_of[:, 0]).sum())
    error = mean_error(scores[0].tolist(), num_folds=num_folds, sampling=sampling)
    assert error is not None
    apart = float(np.square(spread_of[:, 0] - spread_of[:, 1]).sum())
    gaps = (scores[0] - scores[1]).tolist()
    return {
        "below": np.sqrt((1 / num_folds + fraction) * scores[0].var(ddof=1)) < np.sqrt(sampling / num_folds),
        "plain_covers": low <= truth <= high,
        "plain_half": (high - low) / 2,
        "drawn_covers": abs(mean - truth) <= error.half_width,
        "drawn_half": error.half_width,
        "plain_alarm": corrected_t_test(gaps, test_fraction=fraction)[1] <= 0.05,
        "drawn_alarm": corrected_t_test(gaps, test_fraction=fraction, sampling=apart)[1] <= 0.05,
        "by_image": mcnemar(right[0], right[1])[2] <= 0.05,
        "by_group": mcnemar(right[0], right[1], sample.groups)[2] <= 0.05,
    }
