"""Is one trial better than another? Tests and choices from scores on the same folds, or on the same images.

Scores are such that higher is better, differences are first minus second. test_fraction is test size / train size of
a fold: 1/(k - 1) for k folds, however often repeated.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from harness.scoring.standard_errors import corrected_standard_error


def corrected_t_test(differences: Sequence[float], *, test_fraction: float) -> tuple[float, float]:
    """Student's t and two-sided p of no difference in the mean, with the error corrected for the folds' overlap.

    differences: (k,) one per fold, k >= 2. If all are equal, t is 0 or infinite and p 1 or 0.
    Raises ValueError for fewer than two. Source: Nadeau and Bengio 2003, Machine Learning 52.
    """
    from scipy.special import stdtr

    mean, error = (
        float(np.mean(differences)),
        corrected_standard_error(differences, test_fraction=test_fraction),
    )
    statistic = mean / error if error else math.copysign(math.inf, mean) if mean else 0.0
    return statistic, float(2 * stdtr(len(differences) - 1, -abs(statistic)))


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray) -> tuple[int, int, float]:
    """Images that only a, and only b, has right, and the exact two-sided p of these being equally likely.

    correct_a, correct_b: bool (N,). The p is about these very networks: it knows nothing of how much others, trained
    on other folds or from other seeds, would differ.
    """
    from scipy.stats import binomtest

    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return only_a, only_b, p


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
    differences: Sequence[float], *, test_fraction: float, rope: float
) -> tuple[float, float, float]:
    """Probabilities that the mean difference is below -rope, within it, and above rope; they sum to 1.

    rope: half the width of the region of practical equivalence, in units of the scores. The posterior is Student's t
    about the mean difference, with the corrected error and k - 1 degrees of freedom.
    Source: Corani and Benavoli 2015, Machine Learning 100, with correlation test / (test + train) between folds;
    Benavoli et al. 2017, J. of Machine Learning Research 18.
    """
    from scipy.stats import t

    mean, error = (
        float(np.mean(differences)),
        corrected_standard_error(differences, test_fraction=test_fraction),
    )
    if not error:
        return float(mean < -rope), float(abs(mean) <= rope), float(mean > rope)
    posterior = t(df=len(differences) - 1, loc=mean, scale=error)
    worse, better = float(posterior.cdf(-rope)), float(posterior.sf(rope))
    return worse, max(0.0, 1 - worse - better), better


def smallest_difference(
    standard_deviation: float,
    *,
    num_folds: int,
    test_fraction: float,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """The true difference that the corrected t-test would find with this power, at the two-sided level alpha.

    standard_deviation: of the paired differences from fold to fold.   num_folds: scores of each, >= 2.
    The power is that of the noncentral t: a normal mean over the root of chi-squared, averaged over the latter's
    quantiles.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri, ndtr, stdtrit

    freedom = num_folds - 1
    quantiles = (np.arange(2000) + 0.5) / 2000
    margins = stdtrit(freedom, 1 - alpha / 2) * np.sqrt(chdtri(freedom, quantiles) / freedom)

    def excess(shift: float) -> float:
        return float((ndtr(shift - margins) + ndtr(-shift - margins)).mean()) - power

    shift = brentq(excess, 0.0, margins.max() + 10)
    return float(shift * standard_deviation * np.sqrt(1 / num_folds + test_fraction))


def against_best(scores: np.ndarray, *, test_fraction: float) -> list[float]:
    """Adjusted p of the corrected t-test of each trial against the one with the highest mean, whose own p is 1.

    scores: (trials, k), all folds of each. Which trial is best is seen in the same scores, so Holm's adjustment is
    for all pairs of trials: for those with the best only, equal trials were told apart in 8 to 15 % of simulated
    comparisons of ten instead of 5 %.
    """
    best = int(scores.mean(1).argmax())
    pairs = list(combinations(range(len(scores)), 2))
    tests = [corrected_t_test(scores[a] - scores[b], test_fraction=test_fraction) for a, b in pairs]
    adjusted = dict(zip(pairs, holm([p for _, p in tests]), strict=True))
    return [adjusted.get((min(best, other), max(best, other)), 1.0) for other in range(len(scores))]


def indistinguishable(scores: np.ndarray, *, test_fraction: float, alpha: float = 0.05) -> list[int]:
    """Indices of the trials that cannot be told apart from the best one, best first: `against_best` above alpha.

    scores: (trials, k), all folds of each.
    """
    p_values = against_best(scores, test_fraction=test_fraction)
    order = np.argsort(-scores.mean(1), kind="stable")
    return [int(index) for index in order if p_values[index] > alpha]


def cheapest_within_one_error(means: Sequence[float], errors: Sequence[float], costs: Sequence[float]) -> int:
    """Index of the cheapest trial whose mean is at most one standard error of the best one below the best mean.

    Of equally cheap ones the better.   Source: Breiman et al. 1984, Classification and Regression Trees.
    """
    best = int(np.argmax(means))
    near = [index for index, mean in enumerate(means) if mean >= means[best] - errors[best]]
    return min(near, key=lambda index: (costs[index], -means[index]))
