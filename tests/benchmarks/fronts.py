"""Whether the sampler uses a study's second objective: how much of the best possible Pareto front a study finds.

A made-up accuracy and a number of parameters in place of trainings. A larger network is better, less so the larger it
is; a learning rate and a dropout off their best cost accuracy. `share`: the hypervolume of the trials that looked
undominated, by their accuracy without noise, over that of the best possible front; accuracy from 0.5 and parameters on
a logarithmic scale up to the largest network's. `narrow tpe` asks by the same trials' accuracy alone.

    python -m tests.benchmarks fronts [--studies 20] [--trials 20 40 80] [--json]
"""

import argparse
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.config.study_file import Study, parse_study_file
from harness.records import Objective, TrialRecord, Values
from harness.scoring.pareto import front
from harness.search.sampling import Asker, Random, Sampler, Tpe

NOISE = 0.005
WORST = 0.5  # accuracy, below which nothing counts
WIDTHS, DEPTHS = (2, 64), (1, 4)
SMALL = ("--studies", "3", "--trials", "20")  # in a run of all benchmarks
OBJECTIVES = (Objective("accuracy", "maximize"), Objective("parameters", "minimize"))
STUDY = """\
data: {name: digits}
model: {name: resnet, width: {low: 2, high: 64, log: true}, depth: {low: 1, high: 4}, dropout: {low: 0.0, high: 0.9}}
train: {lr: {low: 1e-4, high: 1.0, log: true}}
search: {trials: 40, racing: none}
"""
CONTENDERS: dict[str, tuple[type[Sampler], str]] = {
    "tpe": (Tpe, "[accuracy, parameters]"),
    "narrow tpe": (Tpe, "accuracy"),
    "random": (Random, "[accuracy, parameters]"),
}
Point = tuple[float, float]  # accuracy, parameters


def parameters(width: float, depth: float) -> float:
    return 20 * width + 18 * depth * width**2


def best_accuracy(size: float) -> float:
    """What a network of so many parameters can have: 0.5 for 60, towards 1."""
    return 1 - 0.5 * math.exp(-math.log10(size / 60) / 1.2)


def accuracy(values: Values) -> float:
    """What a trial with these values would have, but for noise."""
    width, depth, dropout, lr = (
        float(values[name] or 0) for name in ("model.width", "model.depth", "model.dropout", "train.lr")
    )
    off = 0.08 * (math.log10(lr) + 1.5) ** 2 + 0.3 * (dropout - 0.2) ** 2
    return max(best_accuracy(parameters(width, depth)) - off, 0.1)


def hypervolume(points: Iterable[Point]) -> float:
    """Of what these points dominate, up to WORST accuracy and the largest network, parameters as their logarithm."""
    most = math.log10(parameters(WIDTHS[1], DEPTHS[1]))
    area, reached = 0.0, WORST
    for score, size in sorted(points, key=lambda point: (point[1], -point[0])):
        if score > reached:
            area += (score - reached) * (most - math.log10(size))
            reached = score
    return area


def best_hypervolume() -> float:
    sizes = [
        parameters(width, depth)
        for width in range(WIDTHS[0], WIDTHS[1] + 1)
        for depth in range(DEPTHS[0], DEPTHS[1] + 1)
    ]
    return hypervolume((best_accuracy(size), size) for size in sizes)


def share_of_study(study: Study, sampler: Sampler, num_trials: int) -> float:
    """Of the best possible hypervolume, after so many trials."""
    asker = Asker(study)
    asker.sampler = sampler
    noise = np.random.default_rng(study.search.seed)
    trials = []
    for number in range(num_trials):
        params = asker.ask(number)
        values = study.space.values(params)
        size = parameters(float(values["model.width"] or 0), float(values["model.depth"] or 0))
        mean = accuracy(values) + float(noise.normal(0, NOISE))
        trials.append(
            TrialRecord(number, "complete", params, values, mean=mean, others={"parameters": (size,)})
        )
        asker.tell(trials[-1])
    found = front(trials, OBJECTIVES)
    return (
        hypervolume((accuracy(one.values), one.others["parameters"][0]) for one in found) / best_hypervolume()
    )


def rows(num_studies: int, num_trials: int) -> list[dict[str, Any]]:
    found = []
    for name, (sampler, objective) in CONTENDERS.items():
        shares = []
        for seed in range(num_studies):
            overrides = [f"search.seed={seed}", f"objective={objective}"]
            study = parse_study_file(STUDY.encode(), overrides, name="x", source="x")
            shares.append(share_of_study(study, sampler(), num_trials))
        found.append(
            {
                "sampler": name, "studies": num_studies, "trials": num_trials, "share": float(np.mean(shares)),
                "share_error": float(np.std(shares, ddof=1) / math.sqrt(num_studies)),
            }
        )  # fmt: skip
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--trials", type=int, nargs="+", default=[20, 40, 80])


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    return [row for trials in options.trials for row in rows(options.studies, trials)]


def table(found: Sequence[dict[str, Any]]) -> str:
    lines = ["| trials | sampler | studies | share of the best hypervolume |", "|---|---|---|---|"]
    for row in found:
        share = f"{row['share']:.1%} ± {row['share_error']:.1%}"
        lines.append(f"| {row['trials']} | {row['sampler']} | {row['studies']} | {share} |")
    return "\n".join(lines)
