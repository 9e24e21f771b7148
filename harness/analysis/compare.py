"""Trials side by side: which of them differ by more than chance, and which is the cheapest of those that do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from harness.analysis.leaderboard import mismatch
from harness.documents import INLINE
from harness.errors import RecordError, UsageError
from harness.records import TrialRecord
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
        """Which images its out-of-fold predictions get right: bool (N,). Raises RecordError if some are gone.

        Of repeated cross-validation what the first repetition says: the same image again is no further one to count.
        """
        found = self.study.out_of_fold(self.trial)
        if not found.complete:
            raise RecordError(
                f"{self.label}: some of its predictions are gone; run tune again to make them anew"
            )
        return found.first.right


@dataclass(frozen=True)
class TTest:
    """adjusted: p for all pairs of trials that are compared, by Holm."""

    t: float
    p: float
    adjusted: float


@dataclass(frozen=True)
class McNemar:
    """Images that only the best trial has right, and only this one.   adjusted: p for all trials, by Holm."""

    only_best_right: int
    only_this_right: int
    p: float
    adjusted: float


@dataclass(frozen=True)
class Bayes:
    """Probabilities that the trial is worse than the best one, equal in practice, and better; they sum to 1."""

    worse: float
    equivalent: float
    better: float


@dataclass(frozen=True)
class AgainstBest:
    """A trial against the best one.   difference: of their means, negative or zero; low, high: its 95 % interval."""

    difference: float
    difference_standard_error: float
    low: float
    high: float
    t_test: TTest
    mcnemar: McNemar
    bayes: Bayes


@dataclass(frozen=True)
class ComparedTrial:
    """trial: STUDY:3.   folds: its scores.   against_best: None for the best one itself.

    indistinguishable: from the best one.   cheapest: of those within one standard error of the best one.
    """

    trial: str
    mean: float | None
    standard_error: float | None
    folds: tuple[float, ...]
    seconds: float
    best_of_its_study: bool
    against_best: AgainstBest | None = field(metadata=INLINE)
    indistinguishable: bool
    cheapest: bool


@dataclass(frozen=True)
class Comparison:
    """Trials, best first.   smallest_difference: one that would be found four times out of five."""

    objective: str
    direction: Literal["maximize", "minimize"]
    num_folds: int
    num_images: int
    rope: float
    alpha: float
    trials: tuple[ComparedTrial, ...]
    smallest_difference: float


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


def compare(trials: Sequence[Contender], *, rope: float = 0.01, alpha: float = 0.05) -> Comparison:
    """Compare every trial with the best one, fold by fold and image by image; best first.

    rope: differences of the objective up to it are equal in practice.   alpha: level of the tests, after Holm.
    Raises UsageError for fewer than two, and for trials of different data, splits or objectives.
    """
    _require_comparable(trials)
    first = trials[0].study.record
    contenders = sorted(trials, key=lambda one: (-first.sign * (one.trial.mean or 0.0), one.label))
    scores = first.sign * np.array([one.trial.scores for one in contenders])
    test_fraction = held_out_fraction(first.parts)
    against_best = _against_best([one.right for one in contenders], scores, test_fraction, rope)
    alike = paired.indistinguishable(scores, test_fraction=test_fraction, alpha=alpha)
    cheapest = paired.cheapest_within_one_error(
        scores.mean(1).tolist(),
        [one.trial.standard_error or 0.0 for one in contenders],
        [one.trial.seconds for one in contenders],
    )
    spread = [float(np.std(scores[0] - other, ddof=1)) for other in scores[1:]]
    return Comparison(
        objective=first.objective,
        direction=first.direction,
        num_folds=first.num_folds,
        num_images=first.data["num_images"],
        rope=rope,
        alpha=alpha,
        trials=tuple(
            ComparedTrial(
                trial=one.label,
                mean=one.trial.mean,
                standard_error=one.trial.standard_error,
                folds=one.trial.scores,
                seconds=one.trial.seconds,
                best_of_its_study=one.trial is one.study.best,
                against_best=against,
                indistinguishable=place in alike,
                cheapest=place == cheapest,
            )
            for place, (one, against) in enumerate(zip(contenders, [None, *against_best], strict=True))
        ),
        smallest_difference=paired.smallest_difference(
            float(np.median(spread)), num_folds=first.num_folds, test_fraction=test_fraction, alpha=alpha
        ),
    )


def _require_comparable(trials: Sequence[Contender]) -> None:
    if len(trials) < 2:
        raise UsageError(
            "compare needs two trials: STUDY is its best one, STUDY:3 trial 3, STUDY:* all complete ones"
        )
    one, *others = trials
    if one.study.record.num_folds == 1:
        raise UsageError(
            f"{one.label} is scored on one held-out part, and compare judges by the differences between folds: set "
            "cv.folds to 2 or more, or cv.repeats, in a new study"
        )
    for other in others:
        if what := mismatch(one.study.record, other.study.record):
            raise UsageError(
                f"{one.label} and {other.label} cannot be compared: they are of different {what}"
            )


def _against_best(
    right: Sequence[np.ndarray], scores: np.ndarray, test_fraction: float, rope: float
) -> list[AgainstBest]:
    """Each trial but the first against that.

    right: which images each has right, bool (N,).   scores: (trials, folds), higher is better, the best first.
    """
    t_adjusted = paired.against_best(scores, test_fraction=test_fraction)[1:]
    counted = [paired.mcnemar(right[0], other) for other in right[1:]]
    exact_adjusted = paired.holm([exact for _, _, exact in counted])
    found = []
    for place, (only_best, only_this, exact) in enumerate(counted):
        gaps = (scores[place + 1] - scores[0]).tolist()
        low, high = corrected_interval(gaps, test_fraction=test_fraction)
        t, p = paired.corrected_t_test(gaps, test_fraction=test_fraction)
        worse, equivalent, better = paired.correlated_bayes(gaps, test_fraction=test_fraction, rope=rope)
        found.append(
            AgainstBest(
                difference=float(np.mean(gaps)),
                difference_standard_error=corrected_standard_error(gaps, test_fraction=test_fraction),
                low=low,
                high=high,
                t_test=TTest(float(t), float(p), t_adjusted[place]),
                mcnemar=McNemar(int(only_best), int(only_this), float(exact), exact_adjusted[place]),
                bayes=Bayes(float(worse), float(equivalent), float(better)),
            )
        )
    return found
