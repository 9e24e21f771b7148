"""Whether the sampler uses a study's conditions: how often it finds a best that lies in one branch alone.

A made-up score in place of trainings. With `resnet` it is at most 0.7, and easily so; only `simple_cnn` has up to 0.9,
near one learning rate and dropout and with adamw. `gradual`: it rises from afar, and a little with sgd. `deceptive`:
outside a narrow peak `simple_cnn` has 0.5, less than nearly any `resnet`. Each model has a dropout of its own. `found`:
studies whose best trial has 0.85 or more. `best`: its score in the mean. `ungrouped` is TPE that is asked the same and
told nothing of branches: what not every trial has is then drawn by itself.

    python -m tests.benchmarks conditions [--studies 100] [--trials 40] [--peaks gradual deceptive] [--json]
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.config.study_file import Study, parse_study_file
from harness.records import TrialRecord, Values
from harness.search.sampling import Asker, Random, Sampler, Tpe

FOUND = 0.85
WIDTHS = {"gradual": (1.2, 0.4, 0.6), "deceptive": (0.5, 0.15, 0.0)}  # decades of lr, dropout; share with sgd
NOISE = 0.01
SMALL = ("--studies", "5", "--trials", "20")  # in a run of all benchmarks
STUDY = """\
data: {name: digits}
model:
  - {name: resnet, depth: {low: 1, high: 4}, dropout: {low: 0.0, high: 0.9}}
  - {name: simple_cnn, width: {low: 8, high: 64}, dropout: {low: 0.0, high: 0.9}}
train:
  lr: {low: 1e-4, high: 1.0, log: true}
  optimizer: [sgd, adamw]
  momentum: {low: 0.5, high: 0.99, when: {optimizer: sgd}}
search: {trials: 40, racing: none}
"""


class Ungrouped(Tpe):
    """TPE as for a study without conditions."""

    def make(self, seed: int, *, conditional: bool) -> Any:
        return super().make(seed, conditional=False)


CONTENDERS: dict[str, type[Sampler]] = {"tpe": Tpe, "ungrouped": Ungrouped, "random": Random}


def score(values: Values, peak: str) -> float:
    """What a trial with these values would score, but for noise: 0.4 to 0.9."""
    lr, dropout = math.log10(float(values["train.lr"] or 1)), float(values["model.dropout"] or 0)
    if values["model.name"] == "resnet":
        return 0.7 - 0.02 * (lr + 1) ** 2 - 0.1 * dropout
    of_lr, of_dropout, with_sgd = WIDTHS[peak]
    near = math.exp(-(((lr + 2.5) / of_lr) ** 2) - ((dropout - 0.4) / of_dropout) ** 2)
    return 0.5 + 0.4 * near * (1.0 if values["train.optimizer"] == "adamw" else with_sgd)


def best_of_study(study: Study, sampler: Sampler, num_trials: int, peak: str) -> float:
    """The best score, without its noise, of the trial that looked best."""
    asker = Asker(study)
    asker.sampler = sampler
    noise = np.random.default_rng(study.search.seed)
    looked, best = -math.inf, 0.0
    for number in range(num_trials):
        params = asker.ask(number)
        values = study.space.values(params)
        mean = score(values, peak) + float(noise.normal(0, NOISE))
        asker.tell(TrialRecord(number, "complete", params, values, mean=mean))
        if mean > looked:
            looked, best = mean, score(values, peak)
    return best


def rows(num_studies: int, num_trials: int, peak: str) -> list[dict[str, Any]]:
    found = []
    for name, sampler in CONTENDERS.items():
        bests = []
        for seed in range(num_studies):
            study = parse_study_file(STUDY.encode(), [f"search.seed={seed}"], name="x", source="x")
            bests.append(best_of_study(study, sampler(), num_trials, peak))
        hits = np.array(bests) >= FOUND
        error = math.sqrt(hits.mean() * (1 - hits.mean()) / num_studies)
        found.append(
            {
                "peak": peak, "sampler": name, "studies": num_studies, "trials": num_trials,
                "found": float(hits.mean()), "found_error": error, "best": float(np.mean(bests)),
                "best_error": float(np.std(bests) / math.sqrt(num_studies)),
            }
        )  # fmt: skip
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--peaks", nargs="+", default=list(WIDTHS), choices=list(WIDTHS))


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    return [row for peak in options.peaks for row in rows(options.studies, options.trials, peak)]


def table(found: Sequence[dict[str, Any]]) -> str:
    lines = ["| peak | sampler | studies | trials | found | best score |", "|---|---|---|---|---|---|"]
    for row in found:
        share = f"{row['found']:.0%} ± {row['found_error']:.0%}"
        lines.append(
            f"| {row['peak']} | {row['sampler']} | {row['studies']} | {row['trials']} | {share} | "
            f"{row['best']:.3f} ± {row['best_error']:.3f} |"
        )
    return "\n".join(lines)
