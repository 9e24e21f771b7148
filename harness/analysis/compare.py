"""Trials side by side: which of them differ by more than chance, and which is the cheapest of those that do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.analysis.leaderboard import mismatch
from harness.errors import RecordError, UsageError
from harness.records import SCHEMA, TrialRecord
from harness.scoring import paired
from harness.scoring.standard_errors import corrected_interval, corrected_standard_error, held_out_fraction
from harness.store.loaded_study import LoadedStudy


@dataclass(frozen=True)
class Contender:
    """A complete trial of a study."""

    study: LoadedStudy
    trial: TrialRecord

    @property
    def label(self) -> str:
        """As on the command line: STUDY:3."""
        return f"{self.study.name}:{self.trial.number}"

    @property
    def right(self) -> np.ndarray:
        """Which images its out-of-fold predictions get right: bool (N,). Raises RecordError if some are gone."""
        found = self.study.out_of_fold(self.trial)
        if not found.complete:
            raise RecordError(
                f"{self.label}: some of its predictions are gone; run tune again to make them anew"
            )
        return found.right


def named(opened: Callable[[str], LoadedStudy], names: Sequence[str]) -> list[Contender]:
    """The trials of these names: STUDY is its best one, STUDY:3 trial 3, STUDY:* all complete ones; each once.

    opened: the study of a name.   Raises UsageError for names that are no complete trial.
    """
    found: dict[str, Contender] = {}
    for name in names:
        label, _, wanted = name.partition(":")
        study = opened(label)
        chosen = [study.complete_trial(wanted if wanted not in ("", "*") else "best")]
        if wanted == "*":
            chosen = [trial for trial in study.trials if trial.state == "complete"]
        for trial in chosen:
            found.setdefault(f"{label}:{trial.number}", Contender(study, trial))
    return list(found.values())


def compare(trials: Sequence[Contender], *, rope: float = 0.01, alpha: float = 0.05) -> dict[str, Any]:
    """Compare every trial with the best one, fold by fold and image by image; best first.

    rope: differences of the objective up to it are equal in practice.   alpha: level of the tests, after Holm.
    Raises UsageError for fewer than two, and for trials of different data, splits or objectives.
    """
    _require_comparable(trials)
    first = trials[0].study.record
    sign = first.sign
    contenders = sorted(trials, key=lambda one: (-sign * (one.trial.mean or 0.0), one.label))
    scores = sign * np.array([one.trial.scores for one in contenders])
    test_fraction = held_out_fraction(first.num_folds)
    rows = _rows(contenders, scores, test_fraction, rope)
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


def _require_comparable(trials: Sequence[Contender]) -> None:
    if len(trials) < 2:
        raise UsageError(
            "compare needs two trials: STUDY is its best one, STUDY:3 trial 3, STUDY:* all complete ones"
        )
    one, *others = trials
    for other in others:
        if what := mismatch(one.study.record, other.study.record):
            raise UsageError(
                f"{one.label} and {other.label} cannot be compared: they are of different {what}"
            )


def _rows(
    contenders: Sequence[Contender], scores: np.ndarray, test_fraction: float, rope: float
) -> list[dict[str, Any]]:
    """scores: (trials, folds), higher is better, the best first."""
    right = [one.right for one in contenders]
    rows: list[dict[str, Any]] = []
    for place, one in enumerate(contenders):
        row: dict[str, Any] = {
            "trial": one.label,
            "mean": one.trial.mean,
            "standard_error": one.trial.standard_error,
            "folds": list(one.trial.scores),
            "seconds": one.trial.seconds,
            "best_of_its_study": one.trial is one.study.best,
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
