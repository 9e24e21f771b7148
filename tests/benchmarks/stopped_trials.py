"""What the sampler should be told of a stopped trial: the mean of the folds that it has, or the mean to be expected.

Simulated studies, asked by the real sampler and raced by the real rule. A configuration's score comes from regression
trees that were fitted to the recorded configurations of racing_replay, random and proposed ones; a study's folds are
easier or harder, each score has noise, both as large as recorded (`--fold-spread` makes folds differ more, as those of
few groups do). `regret`: by how much the best trial's true score is below the best configuration's, in points; `gain`:
by how much less that is for `expected` than for `so_far` in the same studies.

    python -m tests.benchmarks stopped_trials [--studies 200] [--fold-spread 0.008] [--json]
"""

import argparse
import gzip
import json
from collections.abc import Sequence
from functools import cache
from statistics import fmean
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from harness.config.study_file import Study, parse_study_file
from harness.records import TrialRecord, Values
from harness.search.racing import Field, rule_of
from harness.search.sampling import Asker
from tests.benchmarks.racing_replay import PROPOSED, RECORDING

NOISE = 0.017  # of a fold's score, standard deviation, beside what its fold does
FOLDS, BATCH = 5, 4
SMALL = ("--studies", "2")  # in a run of all benchmarks
STUDY = RECORDING.with_name("racing_recording.yaml").read_bytes()


@cache
def truth() -> tuple[ExtraTreesRegressor, float]:
    """Scores by configuration, and the best of 2,000 random ones."""
    rows = json.loads(gzip.decompress(RECORDING.read_bytes()))["configurations"]
    rows += [row for study in json.loads(gzip.decompress(PROPOSED.read_bytes()))["studies"] for row in study]
    found = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=0)
    found.fit([numbers(row["params"]) for row in rows], [fmean(row["scores"]) for row in rows])
    asker = Asker(_study("none", "so_far", 1, sampler="random"))
    drawn = [numbers(asker.ask(number)) for number in range(2000)]
    return found, float(found.predict(drawn).max())


def numbers(values: Values) -> list[float]:
    """A configuration as the trees take it."""
    return [
        float(values["model.width"] or 0), float(values["model.dropout"] or 0),
        float(np.log2(float(values["train.batch_size"] or 1))), float(np.log(float(values["train.lr"] or 1))),
        float(values["train.optimizer"] == "sgd"), float(values["train.augment"] == "standard"),
    ]  # fmt: skip


def _study(racing: str, stopped_as: str, seed: int, sampler: str = "tpe") -> Study:
    changes = {"racing": racing, "stopped_as": stopped_as, "seed": seed, "sampler": sampler}
    overrides = ["data.root=.", *(f"search.{name}={value}" for name, value in changes.items())]
    return parse_study_file(STUDY, overrides, name="simulated", source="racing_recording.yaml")


def simulated(
    racing: str, stopped_as: str, seed: int, *, trials: int, fold_spread: float
) -> tuple[float, float]:
    """Regret, and the share of the folds that were trained."""
    study = _study(racing, stopped_as, seed)
    asker, rule, (trees, best_there_is) = Asker(study), rule_of(study.search), truth()
    easy = np.random.default_rng(seed).normal(0, fold_spread, FOLDS)
    incumbent: list[float] = []
    earlier: list[list[float]] = []
    trained, best = 0, 0.0
    for first in range(0, trials, BATCH):
        batch = range(first, min(first + BATCH, trials))
        asked = [asker.ask(number) for number in batch]
        ended = []
        for number, values, mean in zip(
            batch, asked, trees.predict([numbers(one) for one in asked]), strict=True
        ):
            noise = np.random.default_rng([seed, number]).normal(0, NOISE, FOLDS)
            scores = (mean + easy + noise).tolist()
            folds = next(
                (
                    n
                    for n in range(1, FOLDS)
                    if incumbent and rule.stops(scores[:n], Field(FOLDS, incumbent, earlier))
                ),
                FOLDS,
            )
            scores, trained = scores[:folds], trained + folds
            earlier.append(scores)
            if folds == FOLDS and (not incumbent or fmean(scores) > fmean(incumbent)):
                incumbent, best = scores, float(mean)
            state: Any = "complete" if folds == FOLDS else "stopped"
            ended.append(TrialRecord(number, state, values, {}, scores=tuple(scores), mean=fmean(scores)))
        for trial in ended:
            asker.tell(trial)
    return 100 * (best_there_is - best), trained / trials / FOLDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument(
        "--fold-spread", type=float, default=0.008, help="standard deviation of how easy folds are"
    )


def report(options: argparse.Namespace) -> list[dict[str, Any]]:
    def many(racing: str, stopped_as: str) -> np.ndarray:
        size: dict[str, Any] = {"trials": options.trials, "fold_spread": options.fold_spread}
        return np.array([simulated(racing, stopped_as, seed, **size) for seed in range(options.studies)])

    rows = []
    for racing in ("none", "paired", "forgiving"):
        so_far = many(racing, "so_far")
        rows.append(_row(racing, "so_far", so_far, so_far))
        if racing != "none":
            rows.append(_row(racing, "expected", many(racing, "expected"), so_far))
    return rows


def _row(racing: str, stopped_as: str, found: np.ndarray, so_far: np.ndarray) -> dict[str, Any]:
    regret, gains = found[:, 0], so_far[:, 0] - found[:, 0]
    row = {"racing": racing, "stopped_as": stopped_as, "folds": float(found[:, 1].mean())}
    row |= {"regret": float(regret.mean()), "regret_error": _error(regret)}
    return row | {"gain": float(gains.mean()), "gain_error": _error(gains)}


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / len(values) ** 0.5)


def table(found: Sequence[dict[str, Any]]) -> str:
    lines = ["| racing | stopped as | regret, points | folds trained | gain |", "|---|---|---|---|---|"]
    for row in found:
        gain = f"{row['gain']:+.2f} ± {row['gain_error']:.2f}" if row["stopped_as"] == "expected" else "–"
        lines.append(
            f"| {row['racing']} | {row['stopped_as']} | {row['regret']:.2f} ± {row['regret_error']:.2f} | "
            f"{row['folds']:.0%} | {gain} |"
        )
    return "\n".join(lines)
