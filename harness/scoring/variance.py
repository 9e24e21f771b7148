"""Where the spread of scores comes from, hyperparameters, split, initialisation or folds, and what repeats would buy.

    score = mean + trial + (split + trial × split) + fold of the split + initialisation

The folds of a split hold all images between them, so their differences cancel in a split's mean; what is left of a
split is the luck of which images were trained on together. Method of moments: mean squares, from each of which the
parts below it are taken away. A part that comes out negative is 0; one that the design cannot show is None.
Source: Searle, Casella and McCulloch 1992, Variance Components, chapter 4; for learning, Bouthillier et al. 2021,
arXiv 2103.03098.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Components:
    """By part, `hyperparameters`, `split`, `initialisation`, `residual` (folds): its variance, and its share of all."""

    variance: Mapping[str, float | None]
    share: Mapping[str, float | None]


@dataclass(frozen=True)
class Design:
    """Folds to train for a trial's mean, and the standard error of this mean; None if the parts are not known."""

    trainings: int
    standard_error: float | None


@dataclass(frozen=True)
class WhatPays:
    now: Design
    one_more_seed: Design
    one_more_split: Design


@dataclass(frozen=True)
class Variance:
    """Where the spread of scores comes from, and what more repeats would buy."""

    components: Components
    what_pays: WhatPays


def variance_of(scores: np.ndarray, *, has_same_folds: bool = False) -> Variance:
    """Both of the following of the same scores, (trials, splits, seeds, folds).

    has_same_folds: the splits are one and the same, trained from further seeds; then its part is not known.
    """
    trials, splits, seeds, folds = scores.shape
    of_one = scores.reshape(trials, 1, splits * seeds, folds)
    components = variance_components(of_one if has_same_folds else scores)
    return Variance(components, what_pays(components, scores.shape))


def variance_components(scores: np.ndarray) -> Components:
    """The parts of the variance of one fold's score.

    scores: (trials, splits, seeds, folds), NaN where not trained. Seeds may be repeated on some splits only; a run that
    lacks a fold is left out; split and hyperparameters are judged by the splits that every trial has.
    Without repeated seeds the residual contains the initialisation. Raises ValueError if there is no such split.
    """
    runs = np.where(np.isnan(scores).any(3, keepdims=True), np.nan, scores)
    counts = (~np.isnan(runs[..., 0])).sum(2)
    shared = (counts > 0).all(0)
    if not shared.any():
        raise ValueError("no split has all folds of every trial")
    initialisation = _within(runs, axis=2)
    folds = _within(runs, axis=3)
    if folds is not None:
        folds = max(0.0, folds - (initialisation or 0.0))

    means = np.nansum(runs[:, shared], axis=(2, 3)) / counts[:, shared] / scores.shape[3]
    num_trials, num_splits = means.shape
    noise = float(np.mean(1 / counts[:, shared])) * (initialisation or 0.0) / scores.shape[3]
    split = hyperparameters = None
    if num_splits > 1:
        split = max(0.0, float(means.var(1, ddof=1).mean()) - noise)
    if num_trials > 1:
        if num_splits > 1:
            beside = means - means.mean(1, keepdims=True) - means.mean(0) + means.mean()
            noise = float((beside**2).sum()) / (num_trials - 1) / (num_splits - 1)
        hyperparameters = max(0.0, float(means.mean(1).var(ddof=1)) - noise / num_splits)

    variance = {
        "hyperparameters": hyperparameters,
        "split": split,
        "initialisation": initialisation,
        "residual": folds,
    }
    total = sum(part for part in variance.values() if part is not None) or 1.0
    return Components(
        variance, {name: None if part is None else part / total for name, part in variance.items()}
    )


def what_pays(components: Components, shape: tuple[int, ...]) -> WhatPays:
    """The standard error of a trial's mean over its splits: now, and with one more seed or split.

    shape: of the scores, (trials, splits, seeds, folds). The mean has one seed on each split; one more seed trains
    every split again, one more split trains its folds once. The error is about these images: that there are only so
    many is not in it. A new split comes with a new seed, so fold for fold it never buys less than a seed.
    """
    _, num_splits, _, num_folds = shape
    split, seed = components.variance["split"], components.variance["initialisation"]

    def design(splits: int, seeds: int) -> Design:
        error = None
        if split is not None and seed is not None:
            error = float(np.sqrt(split / splits + seed / (splits * seeds * num_folds)))
        return Design(splits * seeds * num_folds, error)

    return WhatPays(
        now=design(num_splits, 1),
        one_more_seed=design(num_splits, 2),
        one_more_split=design(num_splits + 1, 1),
    )


def _within(values: np.ndarray, *, axis: int) -> float | None:
    """Variance along an axis, pooled over all else and leaving out NaN; None if nothing is repeated there."""
    count = (~np.isnan(values)).sum(axis, keepdims=True)
    mean = np.nansum(values, axis=axis, keepdims=True) / np.maximum(count, 1)
    freedom = int(np.maximum(count - 1, 0).sum())
    return float(np.nansum((values - mean) ** 2)) / freedom if freedom else None
