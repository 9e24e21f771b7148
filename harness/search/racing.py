"""Racing: after each fold, whether a trial may still win. One rule, one class; its fields are its options.

Most rules compare with the incumbent, the best trial so far that has all its folds. Scores come to a rule such that
higher is better, and only of trials with smaller numbers, so a decision never depends on what happened to be done.
An option stands in the study file's `search:` and is read from the field's annotation, as those of training are.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated

from harness.config.sections import Search
from harness.config.signatures import Between, Younger
from harness.config.study_file import Study
from harness.errors import Problem, StudyError
from harness.scoring.standard_errors import trial_standard_error

logger = logging.getLogger(__name__)
LEAST_FREEDOM = 4  # degrees of freedom of a variance, below which the paired rule and the rung stop nothing
RUNG_CONFIDENCE = 0.975  # that a trial loses, before its short training stops it


@dataclass(frozen=True)
class Field:
    """The trials before: scores per fold, in fold order, of the incumbent and of all that trained a fold.

    num_folds: of a trial that has all.   incumbent: empty as long as no trial has all its folds.
    parts: of one repetition, see `StudyRecord.parts`; None where that is `num_folds`.
    rungs: what those trials scored after their short trainings, in the same order, where there are such.
    sign: by which all these were multiplied, so that higher is better: 1 or -1.   rival: what the incumbent is called.
    """

    num_folds: int
    incumbent: Sequence[float]
    earlier: Sequence[Sequence[float]]
    rungs: Sequence[float] = ()
    sign: float = 1
    rival: str = "the best trial"
    parts: float | None = None

    def shown(self, score: float) -> str:
        """A score as the study's metric has it."""
        return f"{self.sign * score + 0.0:.4f}"  # + 0.0: zero has no sign


@dataclass(frozen=True)
class Rule(ABC):
    """A racing rule. It judges every trial, the first one too."""

    @abstractmethod
    def stops(self, scores: Sequence[float], field: Field) -> str:
        """Why the trial should go no further, or "".   scores: of the folds it has, fewer than all, at least one."""

    def least_trials(self, num_folds: int) -> int:
        """How many trials a study needs so that the rule can ever stop one."""
        return 1


class Never(Rule):
    """Every trial gets all its folds."""

    def stops(self, scores: Sequence[float], field: Field) -> str:
        return ""


class Forgiving(Rule):
    """Stop when the mean so far is below the incumbent's worst fold.

    Source: Bergman, Purucker and Hutter 2024, arXiv 2405.03389.
    """

    def least_trials(self, num_folds: int) -> int:
        return 2  # the incumbent, and one to stop

    def stops(self, scores: Sequence[float], field: Field) -> str:
        if not field.incumbent:
            return ""
        mean, worst = _mean(scores), min(field.incumbent)
        if mean >= worst:
            return ""
        return f"{_so_far(scores, field)} is worse than {field.rival}'s worst fold, {field.shown(worst)}"


@dataclass(frozen=True)
class Paired(Rule):
    """Stop when the final mean will not be worth having: hardly better than the incumbent's, judged fold by fold.

    confidence: the probability, that the final mean is not better by more than the indifference, from which on a trial
    is stopped. Default: it trains fewer folds than 95 % would, and costs a
    little in 1 to 3 of 100 studies (docs/decisions.md).
    indifference: by how much a trial must become better to be worth its folds, in standard errors of the incumbent.
    Default: a third of one is far below what such a study can tell.

    A trial that is ahead so far is not stopped.

    Differences to the incumbent on the same folds leave out what is hard about a fold. Their variance is pooled over
    this trial and all before it. After n of k folds the final mean difference lies around the one so far with
    variance s²(1/n - 1/k), that of sampling without replacement.
    Source: races by paired differences, Moore and Lee 1994, who stop at an indifference, too.
    """

    confidence: Annotated[float, Between(0.5, 0.9999), Younger(was=0.95)] = 0.9
    indifference: Annotated[float, Between(0, 10), Younger(was=0.0)] = 0.33

    def least_trials(self, num_folds: int) -> int:
        # The incumbent, one to stop, and between them as many whole trials as the variance lacks: the one to stop
        # has num_folds - 1 scores at most while it can still be stopped, and so num_folds - 2 degrees of freedom.
        lacking = max(LEAST_FREEDOM - (num_folds - 2), 0)
        return 2 + -(-lacking // max(num_folds - 1, 1))

    def stops(self, scores: Sequence[float], field: Field) -> str:
        variance, freedom = _paired_variance([*field.earlier, scores], field.incumbent)
        if freedom < LEAST_FREEDOM:
            return ""
        from scipy.special import stdtrit

        n, k, gap = len(scores), field.num_folds, _mean(_differences(scores, field.incumbent))
        margin = float(stdtrit(freedom, self.confidence)) * (variance * (1 / n - 1 / k)) ** 0.5
        worth = self.worth(field.incumbent, field.parts or k)
        if gap + margin >= worth or gap > 0:
            return ""
        behind = f"{_so_far(scores, field)} is {-gap:.4f} behind {field.rival} on the same folds"
        if gap + margin < 0:
            return f"{behind}, more than chance explains ({margin:.4f})"
        return f"{behind}, and will hardly end better by more than {worth:.4f}"

    def worth(self, incumbent: Sequence[float], num_folds: float) -> float:
        """By how much the mean of a trial must be better than the incumbent's; of scores of this kind.

        num_folds: of one repetition.
        """
        return self.indifference * (trial_standard_error(incumbent, num_folds=num_folds) or 0.0)


@dataclass(frozen=True)
class Median(Rule):
    """Stop when the mean so far is below the median of the earlier trials' means over the same folds.

    It stops nothing until a trial has all its folds.
    warm_up: trials that it must know before it stops one. Default: as Optuna's MedianPruner.
    Source: Golovin et al. 2017, Google Vizier, section 3.2.2; Optuna's MedianPruner waits for five trials, too.
    """

    warm_up: Annotated[int, Between(1, 1000), Younger()] = 5

    def least_trials(self, num_folds: int) -> int:
        return self.warm_up + 1

    def stops(self, scores: Sequence[float], field: Field) -> str:
        peers = [_mean(trial[: len(scores)]) for trial in field.earlier if len(trial) >= len(scores)]
        if not field.incumbent or len(peers) < self.warm_up or _mean(scores) >= median(peers):
            return ""
        return f"{_so_far(scores, field)} is below the median of {len(peers)} trials, {field.shown(median(peers))}"


RULES: dict[str, type[Rule]] = {"none": Never, "forgiving": Forgiving, "paired": Paired, "median": Median}


def rule_of(search: Search) -> Rule:
    """The racing rule that a study asks for, with its options."""
    return search.with_options(RULES[search.racing])


def require_enough_trials(study: Study) -> None:
    """Raise StudyError for a racing rule that is asked for by name and has too few trials to ever stop one.

    Where `--set` has made the trials of a file's race so few, as to try a study out, that is told and harms nothing.
    """
    search, folds = study.search, study.cv.num_folds
    if "racing" in search.model_fields_set and search.racing != "none" and folds == 1:
        why = "has nothing to stop: with one fold a trial is over when its score is known; use none, or leave it out"
        raise StudyError(study.source, [Problem("search.racing", f"{search.racing} {why}")])
    least = rule_of(search).least_trials(folds)
    if "racing" not in search.model_fields_set or search.trials >= least:
        return  # the default may well have nothing to do
    others = [name for name in ("forgiving", "none") if RULES[name]().least_trials(folds) <= search.trials]
    why = f"{search.racing} can stop nothing before trial {least - 1} with {folds} folds"
    changed = [change.partition("=")[0].strip() for change in study.overrides]
    if "search.trials" in changed and "search.racing" not in changed:
        logger.warning("search.racing: %s, and search.trials=%d: all folds are trained", why, search.trials)
        return
    advice = f"use {' or '.join(others)}, or more trials"
    raise StudyError(
        study.source, [Problem("search.racing", f"{why}, and search.trials={search.trials}; {advice}")]
    )


@dataclass(frozen=True)
class Line:
    """The least-squares line through what fold 0 scored (height) over what its short training did (centre ± spread).

    spread, residuals: sums of squares.
    """

    centre: float
    height: float
    slope: float
    spread: float
    residuals: float

    @classmethod
    def through(cls, rungs: Sequence[float], firsts: Sequence[float]) -> "Line":
        """rungs, firsts: one of each trial; at least two rungs differ."""
        centre, height = _mean(rungs), _mean(firsts)
        spread = sum((rung - centre) ** 2 for rung in rungs)
        pairs = list(zip(rungs, firsts, strict=True))
        slope = sum((rung - centre) * first for rung, first in pairs) / spread
        residuals = sum((first - height - slope * (rung - centre)) ** 2 for rung, first in pairs)
        return cls(centre, height, slope, spread, residuals)

    def at(self, rung: float) -> float:
        """What fold 0 is expected to score."""
        return self.height + self.slope * (rung - self.centre)


def stops_at_rung(score: float, field: Field) -> str:
    """Why a trial should get no fold at full length, or "".   score: of fold 0 after its short training.

    field: its `rungs` are of the trials in `earlier`, one each.

    What fold 0 will score is predicted from the short training by the line through the trials before (least squares),
    and what that says of the final mean by their paired differences. The trial stops if it then loses to the best
    trial with 97.5 % probability: the line has to show what a short training is worth here, before it counts.
    """
    if not field.incumbent:
        return ""
    variance, freedom = _paired_variance(field.earlier, field.incumbent)
    firsts = [trial[0] for trial in field.earlier]
    points = len(firsts)
    if min(freedom, points - 2) < LEAST_FREEDOM or len(set(field.rungs)) < 2:
        return ""
    from scipy.special import stdtrit

    line = Line.through(field.rungs, firsts)
    fold_0 = line.at(score)
    error = line.residuals / (points - 2) * (1 + 1 / points + (score - line.centre) ** 2 / line.spread)
    error += variance * (1 - 1 / field.num_folds)
    margin = float(stdtrit(points - 2, RUNG_CONFIDENCE)) * error**0.5
    if fold_0 + margin >= field.incumbent[0]:
        return ""
    said = f"short training {field.shown(score)}: fold 0 would come to {field.shown(fold_0)} ± {margin:.4f}"
    return f"{said}, behind the best trial's {field.shown(field.incumbent[0])}"


def _paired_variance(trials: Sequence[Sequence[float]], incumbent: Sequence[float]) -> tuple[float, int]:
    """Of the differences to the incumbent fold by fold, pooled over trials; and its degrees of freedom."""
    differences = [_differences(trial, incumbent) for trial in trials]
    freedom = sum(len(trial) - 1 for trial in differences if any(trial))  # the incumbent itself has none
    squares = sum(sum((d - _mean(trial)) ** 2 for d in trial) for trial in differences)
    return squares / max(freedom, 1), freedom


def _differences(trial: Sequence[float], incumbent: Sequence[float]) -> list[float]:
    return [score - best for score, best in zip(trial, incumbent, strict=False)]


def _mean(scores: Sequence[float]) -> float:
    return sum(scores) / len(scores)


def _so_far(scores: Sequence[float], field: Field) -> str:
    return f"mean {field.shown(_mean(scores))} after {len(scores)} of {field.num_folds} folds"
