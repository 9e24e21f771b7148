"""Trials side by side: which of them differ by more than chance, and which is the cheapest of those that do not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from harness.analysis.leaderboard import mismatch
from harness.documents import INLINE, WHERE_SET
from harness.errors import HarnessError, RecordError, UsageError
from harness.records import TrialRecord
from harness.scoring import paired
from harness.scoring.standard_errors import MeanError, held_out_fraction
from harness.store.loaded_study import LoadedStudy
from harness.store.trial_scores import fold_deviations


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
    """A trial against the best one.   difference: of their means, negative or zero; low, high: its 95 % interval.

    mcnemar: whole groups stand for one where images belong together, those of one patient say.
    """

    difference: float
    difference_standard_error: float
    low: float
    high: float
    t_test: TTest
    mcnemar: McNemar
    bayes: Bayes


@dataclass(frozen=True)
class ComparedTrial:
    """trial: STUDY:3.   half_width: of the 95 % interval.   folds: its scores.   against_best: None for the best.

    indistinguishable: from the best one.   cheapest: of those within one standard error of the best one.
    """

    trial: str
    mean: float | None
    standard_error: float | None
    half_width: float | None
    folds: tuple[float, ...]
    seconds: float
    best_of_its_study: bool
    against_best: AgainstBest | None = field(metadata=INLINE)
    indistinguishable: bool
    cheapest: bool


@dataclass(frozen=True)
class Comparison:
    """Trials, best first.   smallest_difference: one that would be found four times out of five.

    scored_by: what must be known of scores that are not of folds that were dealt once.
    """

    objective: str
    direction: Literal["maximize", "minimize"]
    num_folds: int
    num_images: int
    rope: float
    alpha: float
    trials: tuple[ComparedTrial, ...]
    smallest_difference: float
    scored_by: str = field(default="", metadata=WHERE_SET)


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
    right, groups = [one.right for one in contenders], contenders[0].study.split.groups
    spread = _deviations(first.objective, contenders)
    if first.num_folds == 1 and spread is None:
        raise UsageError(
            f"{contenders[0].label} is scored on one held-out part, of which {first.objective} cannot be resampled: "
            "set cv.folds to 2 or more, or cv.repeats, in a new study"
        )
    against_best = _against_best(
        right, scores, test_fraction, rope, spread, None if len(np.unique(groups)) == len(groups) else groups
    )
    alike = paired.indistinguishable(scores, test_fraction=test_fraction, alpha=alpha, deviations=spread)
    cheapest = paired.cheapest_within_one_error(
        scores.mean(1).tolist(),
        [one.trial.standard_error or 0.0 for one in contenders],
        [one.trial.seconds for one in contenders],
    )
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
                half_width=one.trial.half_width,
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
            _typical_error(scores, test_fraction, spread), alpha=alpha
        ),
        scored_by=first.scored_by,
    )


def _deviations(objective: str, contenders: Sequence[Contender]) -> np.ndarray | None:
    """None for a metric of the user's own that has no value for some resample."""
    try:
        return fold_deviations(objective, [(one.study, one.trial) for one in contenders])
    except RecordError:
        raise
    except (HarnessError, ValueError):
        return None


def _apart(deviations: np.ndarray | None, num_trials: int) -> list[float | None]:
    """The `sampling` of the difference of each trial to the first; None where it is not known."""
    return [None] * num_trials if deviations is None else paired.squared_distances(deviations)[0].tolist()


def _typical_error(scores: np.ndarray, test_fraction: float, deviations: np.ndarray | None) -> MeanError:
    """The median one of the differences to the best trial."""
    errors = [
        paired.difference_error(scores[0] - other, test_fraction=test_fraction, sampling=apart)
        for other, apart in zip(scores[1:], _apart(deviations, len(scores))[1:], strict=True)
    ]
    return sorted(errors, key=lambda error: error.standard_error)[len(errors) // 2]


def _require_comparable(trials: Sequence[Contender]) -> None:
    if len(trials) < 2:
        raise UsageError(
            "compare needs two trials: STUDY is its best one, STUDY:3 trial 3, 'STUDY:*' (in quotes) all complete ones"
        )
    one, *others = trials
    for other in others:
        if what := mismatch(one.study.record, other.study.record):
            raise UsageError(
                f"{one.label} and {other.label} cannot be compared: they are of different {what}"
            )


def _against_best(
    right: Sequence[np.ndarray],
    scores: np.ndarray,
    test_fraction: float,
    rope: float,
    deviations: np.ndarray | None,
    groups: np.ndarray | None,
) -> list[AgainstBest]:
    """Each trial but the first against that.

    right: which images each has right, bool (N,).   scores: (trials, folds), higher is better, the best first.
    deviations: of `fold_deviations`.   groups: int64 (N,), of images that belong together.
    """
    t_adjusted = paired.against_best(scores, test_fraction=test_fraction, deviations=deviations)[1:]
    counted = [paired.mcnemar(right[0], other, groups) for other in right[1:]]
    apart = _apart(deviations, len(scores))
    exact_adjusted = paired.holm([exact for _, _, exact in counted])
    found = []
    for place, (only_best, only_this, exact) in enumerate(counted):
        gaps = (scores[place + 1] - scores[0]).tolist()
        sampling, mean = apart[place + 1], float(np.mean(gaps))
        error = paired.difference_error(gaps, test_fraction=test_fraction, sampling=sampling)
        worse, equivalent, better = paired.correlated_bayes(
            gaps, test_fraction=test_fraction, rope=rope, sampling=sampling
        )
        found.append(
            AgainstBest(
                difference=mean,
                difference_standard_error=error.standard_error,
                low=mean - error.half_width,
                high=mean + error.half_width,
                t_test=TTest(error.t_of(mean), error.p_of(mean), t_adjusted[place]),
                mcnemar=McNemar(int(only_best), int(only_this), float(exact), exact_adjusted[place]),
                bayes=Bayes(float(worse), float(equivalent), float(better)),
            )
        )
    return found
