"""The score of the best of many trials, corrected for having been picked: bootstrap bias-corrected cross-validation.

The best of many noisy scores is too good. So the choice is repeated on resampled images: the trial that is best on
the images drawn is scored on those that were not; the mean of these scores is the corrected one. Among equal trials
it is unbiased; among unequal ones a little low, because a choice from resampled images is worse than the real one.
What no resampling of images can see is how lucky the winner's networks were in their initialisation and splits.

Source: Tsamardinos, Greasidou and Borboudakis 2018, Bootstrapping the out-of-sample predictions for efficient and
accurate cross-validation, Machine Learning 107, doi 10.1007/s10994-018-5714-4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness.scoring.find_metric import find_metric
from harness.scoring.resampling import Resampled, bootstrap_weights, resampled

SLOW_REPEATS = 200  # of a metric that has no short form and is computed on each resample as it stands


@dataclass(frozen=True)
class CorrectedBest:
    """The best of `num_trials`: its score as it is, corrected for the choice, and the 95 % interval of the latter."""

    naive: float
    corrected: float
    low: float
    high: float
    num_trials: int


def corrected_best(
    metric: str,
    labels: np.ndarray,
    probabilities: Sequence[np.ndarray],
    *,
    eligible: Sequence[bool],
    repeats: int = 1000,
    seed: int = 0,
    groups: np.ndarray | None = None,
    fold_of: np.ndarray | None = None,
) -> CorrectedBest:
    """Score of the trial that is best by the metric of its pooled predictions, with and without correction.

    A metric that compares images with one another (`of_weights`) is not pooled where `fold_of` is known: it is the mean
    over folds, as a trial's score is, for the probabilities of different networks rank images otherwise than one does.

    metric: a name that `find_metric` knows; without `per_image` and `of_counts`, `repeats` is at most 200. It may then
    rise or fall as images get fewer, as `average_precision` and `calibration_error` do: by what all trials change
    in the mean from all images to those scored, the result is moved back.   labels: int (N,), N >= 2.
    probabilities: (N, classes) per trial; NaN rows where a trial stopped by racing has no predictions.
    eligible: which trials may be the best; they have all rows.   groups: int (N,); whole groups are resampled.
    fold_of: int (N,), whose network predicted each row.

    Stopped trials compete too, or the winner would seem to have been chosen from fewer. A row that one lacks is
    taken from a complete trial drawn at random (a hot deck). That keeps equal trials unbiased, because whether a
    fold was trained depends on earlier folds only. A trial without any row is left out.

    The interval: percentiles of the scores on the images not drawn, which are N/e images in the mean; drawn back
    towards the corrected score by sqrt(e - 1), the ratio of the standard deviation of their mean to that of N
    resampled images. Raises ValueError if no trial is eligible or an eligible one lacks rows.
    """
    better = find_metric(metric)
    sign = 1 if better.higher_is_better else -1
    networks = [np.arange(len(labels))]
    if better.of_weights is not None and fold_of is not None:
        networks = [np.flatnonzero(fold_of == fold) for fold in np.unique(fold_of)]
    trials = _complete(probabilities, eligible, np.random.default_rng(seed), networks)
    naive = max(
        (
            float(np.mean([better(labels[part], rows[part]) for part in networks]))
            for rows, may in zip(probabilities, eligible, strict=True)
            if may
        ),
        key=lambda score: sign * score,
    )
    units = np.arange(len(labels)) if groups is None else groups
    is_linear = better.per_image is not None or better.of_counts is not None
    weights = bootstrap_weights(units, repeats if is_linear else min(repeats, SLOW_REPEATS), seed)
    evaluate = resampled(metric, labels, trials, networks)
    scores, winners = _repeated_choices(evaluate, weights, sign, num_trials=len(trials))
    spread = np.take_along_axis(scores, winners[:, None], axis=1)[:, 0]
    if not is_linear:
        spread -= (scores.mean(0) - evaluate(np.ones((1, len(labels)), np.float32))[0]).mean()
    low, high = np.percentile(spread, [2.5, 97.5])
    if len(trials) == 1:
        return CorrectedBest(naive, naive, float(low), float(high), 1)
    corrected = float(spread.mean())
    shrink = 1 / np.sqrt(np.e - 1)
    low, high = (corrected + shrink * (edge - corrected) for edge in (low, high))
    return CorrectedBest(naive, corrected, float(low), float(high), len(trials))


def _repeated_choices(
    evaluate: Resampled, resamples: Iterator[np.ndarray], sign: int, *, num_trials: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all trials on the images not drawn, (resamples, trials), and which was best on those drawn.

    A single trial is chosen by nothing, so it is scored on those drawn.
    """
    scores, winners = [], []
    for weights in resamples:
        left = (weights == 0).astype(np.float32)
        if num_trials > 1:
            weights, left = weights[left.any(1)], left[left.any(1)]
        drawn = evaluate(weights)
        winners.append((sign * drawn).argmax(1))
        scores.append(evaluate(left) if num_trials > 1 else drawn)
    return np.concatenate(scores), np.concatenate(winners)


def _complete(
    probabilities: Sequence[np.ndarray],
    eligible: Sequence[bool],
    generator: np.random.Generator,
    networks: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """Every trial that has rows, those it lacks from eligible trials at random: for each of several networks one."""
    lacks = [np.isnan(rows).any(1) for rows in probabilities]
    donors = [rows for rows, may in zip(probabilities, eligible, strict=True) if may]
    if not donors:
        raise ValueError("no trial is complete, so there is no best one")
    for number, (lack, may) in enumerate(zip(lacks, eligible, strict=True)):
        if may and lack.any():
            raise ValueError(f"trial {number} is eligible but lacks {lack.sum()} predictions")
    trials = []
    for rows, lack in zip(probabilities, lacks, strict=True):
        if lack.any() and not lack.all():
            rows = rows.copy()
            donor = generator.integers(len(donors), size=len(lack))
            if len(networks) > 1:
                for part in networks:
                    donor[part] = donor[part[0]]
            donor[~lack] = -1
            for number, given in enumerate(donors):
                rows[donor == number] = given[donor == number]
        if not lack.all():
            trials.append(rows)
    return trials
