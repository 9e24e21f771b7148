"""The statistics against simulations whose truth is known: bias of the winner, intervals, false alarms, power.

Winner: 50 trials, right or wrong per image, alike to a degree because some images are hard for all (`alike`, the
correlation of a latent normal variable). Bias is the reported score minus the winner's true accuracy; what the images
made all trials look better or worse in the mean, known here, is taken off: it has mean 0, and hides small biases.
False alarms: trials equal by construction, each a real learner on features of its own, on the same folds.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import sem

from harness.scoring.bbc_cv import corrected_best
from harness.scoring.paired import corrected_t_test, holm, indistinguishable, mcnemar, smallest_difference
from harness.scoring.standard_errors import MeanError, corrected_interval
from harness.search.racing import RULES, Field

FOLDS = 5
TEST_FRACTION = 1 / (FOLDS - 1)
Row = dict[str, Any]
Learner = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SMALL = ("--runs", "30")  # in a run of all benchmarks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(runs=600)
    parser.add_argument("--only", default="", help="rows whose name contains this")


def report(options: argparse.Namespace) -> list[Row]:
    """One row per simulation, `--runs` simulated studies each; a third of them where images are 5,000."""
    rows = []
    for name, run in simulations(options.runs):
        if options.only in name:
            rows.append(run())
            print(table(rows).splitlines()[-1], file=sys.stderr, flush=True)
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, in points or per cent."""
    lines = [
        "| simulation | n | naive | corrected (standard error) | 95 % interval holds it | bound | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        covered = "" if row["coverage"] is None else f"{100 * row['coverage']:.1f} %"
        naive, corrected = (f"{100 * row[key]:.2f}" for key in ("naive", "corrected"))
        lines.append(
            f"| {row['simulation']} | {row['runs']} | {naive} | {corrected} ({100 * row['error']:.2f}) | {covered} "
            f"| {row['bound']} | {row['note']} |"
        )
    return "\n".join(lines)


def simulations(runs: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Every simulation by name."""
    worlds = [World(images, alike=alike) for images in (500, 5000) for alike in (0.0, 0.5, 0.8)]
    worlds += [World(images, rule="forgiving", alike=alike) for images in (500, 5000) for alike in (0.0, 0.5)]
    worlds += [World(images, rule=rule) for images in (500, 5000) for rule in ("paired", "median")]
    worlds += [
        World(images, rule=rule, spread=spread)
        for images in (500, 5000)
        for rule in ("none", "forgiving")
        for spread in (0.02, 0.1)
    ]
    worlds += [World(images, luck=0.01) for images in (500, 5000)]
    for world in worlds:
        yield world.name, partial(winner, world, runs=runs if world.num_images < 5000 else runs // 3)
    for learner in (centroid, stump):
        for repeats in (1, 10):
            yield "false alarms", partial(false_alarms, learner, repeats=repeats, runs=4 * runs)
            yield "interval", partial(interval, learner, repeats=repeats, runs=runs)
    for learner, repeats in ((centroid, 4), (stump, 1), (stump, 4)):
        yield "false alarms, best of ten", partial(best_of_ten, learner, repeats=repeats, runs=runs)
    for num_folds in (FOLDS, 10 * FOLDS):
        yield "power", partial(power, num_folds=num_folds, runs=10 * runs)


@dataclass(frozen=True)
class World:
    """50 trials of true accuracy `accuracy` less |normal| * spread each, and by fold normal * luck."""

    num_images: int
    rule: str = "none"
    alike: float = 0.5
    spread: float = 0.0
    luck: float = 0.0
    accuracy: float = 0.8
    num_trials: int = 50

    @property
    def name(self) -> str:
        kind = f"unequal by {100 * self.spread:g} points" if self.spread else "equal"
        luck = f", luck of {100 * self.luck:g} points a fold" if self.luck else ""
        racing = "" if self.rule == "none" else f", racing {self.rule}"
        return f"winner of {self.num_trials} {kind}, {self.num_images:,} images, alike {self.alike}{luck}{racing}"

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Which images each trial has right, bool (N, trials), image i in fold i % 5; true accuracies (trials,)."""
        truth = self.accuracy - self.spread * np.abs(random.normal(size=self.num_trials))
        by_fold = truth + self.luck * random.normal(size=(FOLDS, self.num_trials))
        quantile = ndtri(np.clip(by_fold, 0.01, 0.99))
        own = random.standard_normal((self.num_images, self.num_trials), dtype=np.float32)
        shared = random.standard_normal((self.num_images, 1), dtype=np.float32)
        latent = np.sqrt(self.alike) * shared + np.sqrt(1 - self.alike) * own
        return latent < quantile[np.arange(self.num_images) % FOLDS], np.clip(truth, 0.01, 0.99)


def race(right: np.ndarray, rule: str) -> np.ndarray:
    """How many folds each trial gets under a racing rule: int (trials,)."""
    scores = np.stack([right[fold::FOLDS].mean(0) for fold in range(FOLDS)], axis=1).tolist()
    seen: list[list[float]] = []
    best: list[float] = []
    for trial in scores:
        stops = (
            n
            for n in range(1, FOLDS)
            if best and RULES[rule]().stops(trial[:n], Field(FOLDS, best, tuple(seen)))
        )
        seen.append(trial[: next(stops, FOLDS)])
        if len(seen[-1]) == FOLDS and sum(trial) > sum(best):
            best = trial
    return np.array([len(trial) for trial in seen])


def winner(world: World, *, runs: int, repeats: int = 200) -> Row:
    """Bias of the naive and the corrected score of the best complete trial, and the interval's coverage."""
    random = np.random.default_rng(0)
    labels = np.zeros(world.num_images, dtype=np.int64)
    naive, corrected, left_out, covered, widths, complete = ([] for _ in range(6))
    for seed in range(runs):
        right, truth = world.draw(random)
        num_folds = race(right, world.rule)
        eligible = num_folds == FOLDS
        has = (np.arange(world.num_images) % FOLDS)[:, None] < num_folds
        called = np.where(has, right, np.nan).astype(np.float32)
        trials = [np.stack([column, 1 - column], axis=1) for column in called.T]
        found = corrected_best("accuracy", labels, trials, eligible=eligible, repeats=repeats, seed=seed)
        true = truth[np.where(eligible, right.mean(0), -1).argmax()]
        shared = true + right.mean() - truth.mean()
        naive.append(found.naive - shared)
        corrected.append(found.corrected - shared)
        covered.append(found.low <= true <= found.high)
        widths.append(found.high - found.low)
        complete.append(eligible.mean())
        if not eligible.all():
            alone = [trial for trial, may in zip(trials, eligible, strict=True) if may]
            only = corrected_best(
                "accuracy", labels, alone, eligible=[True] * len(alone), repeats=repeats, seed=seed
            )
            left_out.append(only.corrected - shared)
    without = float(np.mean(left_out)) if left_out else None
    note = f"interval {100 * np.mean(widths):.1f} wide"
    if without is not None:
        note += f"; {np.mean(complete):.0%} of trials complete; without the stopped ones {100 * without:.2f}"
    bound = "none" if world.luck or world.spread else "0.5" if world.num_images < 5000 else "0.1"
    row = _row(world.name, naive, corrected, f"bias {bound}", note)
    return row | {"coverage": float(np.mean(covered)), "without_stopped": without}


def centroid(features: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """What the nearer of the two class means calls every image."""
    means = [features[train & (labels == label)].mean(0) for label in (False, True)]
    return (features - (means[0] + means[1]) / 2) @ (means[1] - means[0]) > 0


def stump(features: np.ndarray, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """What the one feature whose class means differ most calls every image: an unstable learner."""
    means = [features[train & (labels == label)].mean(0) for label in (False, True)]
    gap = means[1] - means[0]
    feature = np.abs(gap).argmax()
    middle = (means[0] + means[1])[feature] / 2
    return (features[:, feature] - middle) * gap[feature] > 0


def cross_validate(
    learner: Learner, random: np.random.Generator, *, num_trials: int, repeats: int, num_images: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (trials, 5 * repeats) of equal trials on the same folds, and what each had right at the first repeat."""
    labels = random.random(num_images) < 0.5
    shift = 0.3 * (2 * labels[:, None] - 1)
    features = [random.normal(size=(num_images, 10)) + shift for _ in range(num_trials)]
    scores = np.empty((num_trials, repeats * FOLDS))
    first = np.empty((num_trials, num_images), dtype=bool)
    for repeat in range(repeats):
        fold_of = random.permutation(num_images) % FOLDS
        for fold in range(FOLDS):
            held_out = fold_of == fold
            for trial in range(num_trials):
                right = (learner(features[trial], labels, ~held_out) == labels)[held_out]
                scores[trial, repeat * FOLDS + fold] = right.mean()
                if repeat == 0:
                    first[trial, held_out] = right
    return scores, first


def false_alarms(learner: Learner, *, repeats: int, runs: int) -> Row:
    """How often two equal trials are told apart at the level 5 %: naive paired t, corrected t, McNemar."""
    random = np.random.default_rng(1)
    naive, corrected, by_image = [], [], []
    for _ in range(runs):
        scores, right = cross_validate(learner, random, num_trials=2, repeats=repeats)
        differences = (scores[0] - scores[1]).tolist()
        naive.append(corrected_t_test(differences, test_fraction=0.0)[1] <= 0.05)
        corrected.append(corrected_t_test(differences, test_fraction=TEST_FRACTION)[1] <= 0.05)
        by_image.append(mcnemar(right[0], right[1])[2] <= 0.05)
    name = f"false alarms, two equal trials, {_design(learner, repeats)}"
    return _row(name, naive, corrected, "6 %", f"McNemar {100 * np.mean(by_image):.1f}")


def best_of_ten(learner: Learner, *, repeats: int, runs: int) -> Row:
    """How often any of ten equal trials is told apart from the best of them."""
    random = np.random.default_rng(2)
    naive, with_best, corrected = [], [], []
    for _ in range(runs):
        scores, _ = cross_validate(learner, random, num_trials=10, repeats=repeats)
        best = scores.mean(1).argmax()
        for fraction, alarms in ((0.0, naive), (TEST_FRACTION, with_best)):
            others = [
                corrected_t_test(scores[best] - scores[other], test_fraction=fraction)[1]
                for other in range(10)
                if other != best
            ]
            alarms.append(min(holm(others)) <= 0.05)
        corrected.append(len(indistinguishable(scores, test_fraction=TEST_FRACTION)) < 10)
    name = f"false alarms, best of ten equal trials, {_design(learner, repeats)}"
    note = f"corrected t, Holm for pairs with the best only {100 * np.mean(with_best):.1f}"
    return _row(name, naive, corrected, "6 %", note)


def interval(learner: Learner, *, repeats: int, runs: int) -> Row:
    """How often the nominal 95 % interval of one trial's mean holds its expectation (taken over all runs)."""
    random = np.random.default_rng(3)
    found = [cross_validate(learner, random, num_trials=1, repeats=repeats)[0][0] for _ in range(runs)]
    truth = np.mean(found)
    naive, corrected = (
        [low <= truth <= high for low, high in (corrected_interval(s, test_fraction=f) for s in found)]
        for f in (0.0, TEST_FRACTION)
    )
    name = f"interval of a mean, {_design(learner, repeats)}"
    return _row(name, naive, corrected, ">= 92 %", "per cent of intervals that hold the truth")


def power(*, num_folds: int, runs: int) -> Row:
    """How often the corrected t-test finds `smallest_difference`, folds correlated as it assumes; naive: no shift."""
    random = np.random.default_rng(4)
    shared = TEST_FRACTION / (1 + TEST_FRACTION)  # correlation: test / (test + train)
    visible = np.sqrt(1 - shared)  # standard deviation from fold to fold
    error = MeanError(float(visible) * math.sqrt(1 / num_folds + TEST_FRACTION), num_folds - 1)
    shift = smallest_difference(error)
    none, found = [], []
    for _ in range(runs):
        differences = np.sqrt(shared) * random.normal() + visible * random.normal(size=num_folds)
        none.append(corrected_t_test(differences, test_fraction=TEST_FRACTION)[1] <= 0.05)
        found.append(corrected_t_test(differences + shift, test_fraction=TEST_FRACTION)[1] <= 0.05)
    name = f"power at the smallest difference, {num_folds} folds"
    return _row(name, none, found, "80 %", f"naive: without a difference; shift {shift:.2f} deviations")


def _design(learner: Learner, repeats: int) -> str:
    return f"{learner.__name__}, {FOLDS} folds" + (f" × {repeats}" if repeats > 1 else "")


def _row(name: str, naive: Sequence[float], corrected: Sequence[float], bound: str, note: str) -> Row:
    return {
        "simulation": name,
        "runs": len(corrected),
        "naive": float(np.mean(naive)),
        "corrected": float(np.mean(corrected)),
        "error": float(sem(np.asarray(corrected, dtype=np.float64))),
        "coverage": None,
        "bound": bound,
        "note": note,
    }
