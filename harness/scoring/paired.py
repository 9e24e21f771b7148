"""Is one trial better than another? Tests and choices from scores on the same folds, or on the same images.

Scores are such that higher is better, differences are first minus second. test_fraction is test size / train size of
a fold: 1/(k - 1) for k folds, however often repeated. sampling is the variance of one fold's difference for its
images being a sample (`sampling.deviations`), below which no error comes where it is given.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from harness.scoring.standard_errors import MeanError, mean_error


def difference_error(
    differences: Sequence[float], *, test_fraction: float, sampling: float | None = None
) -> MeanError:
    """The error of the mean difference.   differences: (k,) one per fold.

    That of one difference, of a hold-out, is the images' alone. Raises ValueError for fewer than two without
    `sampling`.
    """
    num_folds = 1 + 1 / test_fraction if test_fraction else math.inf
    found = mean_error(differences, num_folds=num_folds, sampling=sampling)
    if found is None:
        raise ValueError(f"an error needs at least 2 differences (got {len(differences)})")
    return found


def corrected_t_test(
    differences: Sequence[float], *, test_fraction: float, sampling: float | None = None
) -> tuple[float, float]:
    """Student's t and two-sided p of no difference in the mean, with the error corrected for the folds' overlap.

    differences: (k,) one per fold, k >= 2, or 1 with `sampling`. Without it t is 0 or infinite where all are equal, and
    p 1 or 0. Raises ValueError for fewer. Source: Nadeau and Bengio 2003, Machine Learning 52.
    """
    error, mean = (
        difference_error(differences, test_fraction=test_fraction, sampling=sampling),
        float(np.mean(differences)),
    )
    return error.t_of(mean), error.p_of(mean)


def mcnemar(
    correct_a: np.ndarray, correct_b: np.ndarray, groups: np.ndarray | None = None
) -> tuple[int, int, float]:
    """Images that only a, and only b, has right, and the exact two-sided p of these being equally likely.

    correct_a, correct_b: bool (N,).   groups: int64 (N,), of images that stand or fall together: then each group's
    surplus of one of the two is equally likely to be the other's, which is the same test where no image has company.
    The p is about these very networks: it knows nothing of how much others, trained on other folds or from other
    seeds, would differ.   Source of the groups' test: Durkalski et al. 2003, Statistics in Medicine 22, made exact.
    """
    from scipy.stats import binomtest

    only_a, only_b = correct_a & ~correct_b, correct_b & ~correct_a
    count_a, count_b = int(only_a.sum()), int(only_b.sum())
    if groups is None:
        p = float(binomtest(count_a, count_a + count_b).pvalue) if count_a + count_b else 1.0
        return count_a, count_b, p
    units = np.unique(groups, return_inverse=True)[1]
    surplus = np.bincount(units, only_a.astype(np.float64) - only_b.astype(np.float64))
    return count_a, count_b, _sign_flip(np.abs(surplus).astype(np.int64), abs(count_a - count_b))


def _sign_flip(sizes: np.ndarray, seen: int) -> float:
    """Probability that the sum of these numbers, each with a sign by the toss of a coin, is at least so far from 0.

    By the sum's characteristic function, the product of cosines, so to about 1e-12.
    """
    values, counts = np.unique(sizes[sizes > 0], return_counts=True)
    total = int((values * counts).sum())
    if not total:
        return 1.0
    angles = 2 * np.pi * np.arange(2 * total + 1) / (2 * total + 1)
    waves = np.prod(np.cos(np.outer(values, angles)) ** counts[:, None], axis=0)
    chances = np.fft.fft(waves).real / (2 * total + 1)  # of the sums 0, 1, …, total, -total, …, -1
    far = 2 * chances[seen : total + 1].sum() if seen else 1.0
    return float(min(max(far, 0.0), 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p adjusted for their number, by Holm's step-down rule, in the order given.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian J. of Statistics 6.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    stepped = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return [float(p) for p in adjusted]


def correlated_bayes(
    differences: Sequence[float], *, test_fraction: float, rope: float, sampling: float | None = None
) -> tuple[float, float, float]:
    """Probabilities that the mean difference is below -rope, within it, and above rope; they sum to 1.

    rope: half the width of the region of practical equivalence, in units of the scores. The posterior is Student's t
    about the mean difference, with the error and the degrees of freedom of the corrected t-test.
    Source: Corani and Benavoli 2015, Machine Learning 100, with correlation test / (test + train) between folds;
    Benavoli et al. 2017, J. of Machine Learning Research 18.
    """
    from scipy.stats import t

    error, mean = (
        difference_error(differences, test_fraction=test_fraction, sampling=sampling),
        float(np.mean(differences)),
    )
    if not error.standard_error:
        return float(mean < -rope), float(abs(mean) <= rope), float(mean > rope)
    posterior = t(df=error.freedom, loc=mean, scale=error.standard_error)
    worse, better = float(posterior.cdf(-rope)), float(posterior.sf(rope))
    return worse, max(0.0, 1 - worse - better), better


def smallest_difference(error: MeanError, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The true difference that the corrected t-test would find with this power, at the two-sided level alpha.

    error: of a mean difference.   The power is that of the noncentral t: a normal mean over the root of chi-squared,
    averaged over the latter's quantiles.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri, ndtr, stdtrit

    quantiles, freedom = (np.arange(2000) + 0.5) / 2000, min(error.freedom, 1e6)  # which is the normal's
    margins = stdtrit(freedom, 1 - alpha / 2) * np.sqrt(chdtri(freedom, quantiles) / freedom)

    def excess(shift: float) -> float:
        return float((ndtr(shift - margins) + ndtr(-shift - margins)).mean()) - power

    return float(brentq(excess, 0.0, margins.max() + 10)) * error.standard_error


def against_best(
    scores: np.ndarray, *, test_fraction: float, deviations: np.ndarray | None = None
) -> list[float]:
    """Adjusted p of the corrected t-test of each trial against the one with the highest mean, whose own p is 1.

    scores: (trials, k), all folds of each.   deviations: (rows, trials), the squared length of the difference of two
    columns being the `sampling` of these two. Which trial is best is seen in the same scores, so Holm's adjustment is
    for all pairs of trials: for those with the best only, equal trials were told apart in 8 to 15 % of simulated
    comparisons of ten instead of 5 %.
    """
    best = int(scores.mean(1).argmax())
    pairs = list(combinations(range(len(scores)), 2))
    apart = None if deviations is None else squared_distances(deviations)
    tests = [
        corrected_t_test(
            scores[a] - scores[b],
            test_fraction=test_fraction,
            sampling=None if apart is None else float(apart[a, b]),
        )
        for a, b in pairs
    ]
    adjusted = dict(zip(pairs, holm([p for _, p in tests]), strict=True))
    return [adjusted.get((min(best, other), max(best, other)), 1.0) for other in range(len(scores))]


def squared_distances(deviations: np.ndarray) -> np.ndarray:
    """Of each column from each other: (trials, trials)."""
    products = deviations.T @ deviations
    lengths = np.diag(products)
    found: np.ndarray = np.maximum(lengths[:, None] + lengths - 2 * products, 0.0)
    return found


def indistinguishable(
    scores: np.ndarray, *, test_fraction: float, alpha: float = 0.05, deviations: np.ndarray | None = None
) -> list[int]:
    """Indices of the trials that cannot be told apart from the best one, best first: `against_best` above alpha.

    scores, deviations: as of that.
    """
    p_values = against_best(scores, test_fraction=test_fraction, deviations=deviations)
    order = np.argsort(-scores.mean(1), kind="stable")
    return [int(index) for index in order if p_values[index] > alpha]


def cheapest_within_one_error(means: Sequence[float], errors: Sequence[float], costs: Sequence[float]) -> int:
    """Index of the cheapest trial whose mean is at most one standard error of the best one below the best mean.

    Of equally cheap ones the better.   Source: Breiman et al. 1984, Classification and Regression Trees.
    """
    best = int(np.argmax(means))
    near = [index for index, mean in enumerate(means) if mean >= means[best] - errors[best]]
    return min(near, key=lambda index: (costs[index], -means[index]))
