"""Trials side by side: which of them differ by more than chance, and which is the cheapest of those that do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.leaderboard import mismatch
from harness.errors import RecordError, UsageError
from harness.records import SCHEMA, StudyRecord, TrialRecord, best_of
from harness.scoring import paired
from harness.scoring.standard_errors import corrected_interval, corrected_standard_error
from harness.store.predictions import out_of_fold
from harness.store.store import Store, started_study


@dataclass(frozen=True)
class Contender:
    """A complete trial.   label: as on the command line, STUDY:3.   chosen: whether it is the best of its study."""

    label: str
    record: StudyRecord
    trial: TrialRecord
    chosen: bool


def compare(store: Store, names: Sequence[str], *, rope: float = 0.01, alpha: float = 0.05) -> dict[str, Any]:
    """Compare every trial with the best one, fold by fold and image by image; best first.

    names: STUDY for its best trial, STUDY:3 for trial 3, STUDY:* for all complete ones.
    rope: differences of the objective up to it are equal in practice.   alpha: level of the tests, after Holm.
    Raises UsageError for names that are no complete trial, and for trials of different data, splits or objectives.
    """
    contenders = _contenders(store, names)
    first = contenders[0].record
    sign = 1 if first.direction == "maximize" else -1
    contenders.sort(key=lambda one: (-sign * (one.trial.mean or 0.0), one.label))
    scores = sign * np.array([one.trial.scores for one in contenders])
    test_fraction = 1 / (first.num_folds - 1)
    rows = _rows(store, contenders, scores, test_fraction, rope)
    alike = paired.indistinguishable(scores, test_fraction=test_fraction, alpha=alpha)
    cheapest = paired.cheapest_within_one_error(
        scores.mean(1).tolist(),
        [one.trial.standard_error or 0.0 for one in contenders],
        [one.trial.seconds for one in contenders],
    )
    for place, row in enumerate(rows):
        row |= {"indistinguishable": place in alike, "cheapest": place == cheapest}
    spread = [float(np.std(scores[0] - other, ddof=1)) for other in scores[1:]]
    return {
        "schema": SCHEMA,
        "objective": first.objective,
        "direction": first.direction,
        "num_folds": first.num_folds,
        "num_images": first.data["num_images"],
        "rope": rope,
        "alpha": alpha,
        "trials": rows,
        "smallest_difference": paired.smallest_difference(
            float(np.median(spread)),
            num_folds=first.num_folds,
            test_fraction=test_fraction,
            alpha=alpha,
        ),
    }


def _contenders(store: Store, names: Sequence[str]) -> list[Contender]:
    found: dict[str, Contender] = {}
    for name in names:
        for one in _named(store, name):
            found.setdefault(one.label, one)
    if len(found) < 2:
        raise UsageError(
            "compare needs two trials: STUDY is its best one, STUDY:3 trial 3, STUDY:* all complete ones"
        )
    one, *others = found.values()
    for other in others:
        _require_comparable(one, other)
    return [one, *others]


def _named(store: Store, name: str) -> list[Contender]:
    study, _, wanted = name.partition(":")
    record = started_study(store, study)
    trials = store.read_trials(study)
    best = best_of(trials, record.direction)
    complete = [trial for trial in trials if trial.state == "complete"]
    if best is None:
        raise UsageError(f"study {study} has no complete trial yet")
    numbers = {str(trial.number): [trial] for trial in complete}
    chosen = {"": [best], "best": [best], "*": complete, **numbers}.get(wanted)
    if chosen is None:
        raise UsageError(f"{name}: trial must be * or the number of a complete one ({', '.join(numbers)})")
    return [Contender(f"{study}:{trial.number}", record, trial, trial is best) for trial in chosen]


def _require_comparable(one: Contender, other: Contender) -> None:
    if what := mismatch(one.record, other.record):
        raise UsageError(f"{one.label} and {other.label} cannot be compared: they are of different {what}")


def _rows(
    store: Store, contenders: Sequence[Contender], scores: np.ndarray, test_fraction: float, rope: float
) -> list[dict[str, Any]]:
    """scores: (trials, folds), higher is better, the best first."""
    right = [_right(store, one) for one in contenders]
    rows: list[dict[str, Any]] = []
    for place, one in enumerate(contenders):
        row: dict[str, Any] = {
            "trial": one.label,
            "mean": one.trial.mean,
            "standard_error": one.trial.standard_error,
            "folds": list(one.trial.scores),
            "seconds": one.trial.seconds,
            "best_of_its_study": one.chosen,
        }
        if place:
            row |= _against(scores[place] - scores[0], right[place], right[0], test_fraction, rope)
        rows.append(row)
    adjusted = {
        "t_test": paired.against_best(scores, test_fraction=test_fraction)[1:],
        "mcnemar": paired.holm([row["mcnemar"]["p"] for row in rows[1:]]),
    }
    for test, values in adjusted.items():
        for row, p in zip(rows[1:], values, strict=True):
            row[test]["adjusted"] = p
    return rows


def _against(
    differences: np.ndarray, right: np.ndarray, best: np.ndarray, test_fraction: float, rope: float
) -> dict[str, Any]:
    """A trial against the best one; its difference is negative or zero."""
    gaps = differences.tolist()
    low, high = corrected_interval(gaps, test_fraction=test_fraction)
    t, p = paired.corrected_t_test(gaps, test_fraction=test_fraction)
    only_best, only_this, exact = paired.mcnemar(best, right)
    worse, equivalent, better = paired.correlated_bayes(gaps, test_fraction=test_fraction, rope=rope)
    return {
        "difference": float(np.mean(gaps)),
        "difference_standard_error": corrected_standard_error(gaps, test_fraction=test_fraction),
        "low": low,
        "high": high,
        "t_test": {"t": float(t), "p": float(p)},
        "mcnemar": {"only_best_right": int(only_best), "only_this_right": int(only_this), "p": float(exact)},
        "bayes": {"worse": float(worse), "equivalent": float(equivalent), "better": float(better)},
    }


def _right(store: Store, one: Contender) -> np.ndarray:
    """Which images the trial's out-of-fold predictions get right: bool (N,)."""
    found = out_of_fold(store, one.record, one.trial)
    if not found.complete:
        raise RecordError(f"{one.label}: some of its predictions are gone; run tune again to make them anew")
    right: np.ndarray = found.probabilities.argmax(1) == found.labels
    return right
