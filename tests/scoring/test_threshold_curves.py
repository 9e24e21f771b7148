"""Points of ROC and precision-recall curves are scikit-learn's, and few of many keep the curve's shape."""

import numpy as np
import pytest
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from harness.scoring.threshold_curves import MOST_POINTS, threshold_curve


def drawn(count: int, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(count)
    positive = random.random(count) < 0.3
    return positive, (random.random(count) * 0.7 + 0.3 * positive).round(decimals)


@pytest.mark.parametrize("decimals", [1, 6])
def test_the_points_are_those_of_scikit_learn(decimals: int) -> None:
    positive, scores = drawn(60, decimals)
    found = threshold_curve(positive, scores)
    assert found is not None
    false, recall, thresholds = roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.threshold, thresholds[1:], atol=1e-5)
    np.testing.assert_allclose(found.false_positive_rate, false[1:], atol=1e-5)
    np.testing.assert_allclose(found.recall, recall[1:], atol=1e-5)
    precision, _, _ = precision_recall_curve(positive, scores)
    np.testing.assert_allclose(found.precision, precision[-2::-1], atol=1e-5)


def test_few_points_of_many_have_the_curves_area() -> None:
    positive, scores = drawn(50_000, 9)
    found = threshold_curve(positive, scores)
    assert found is not None and MOST_POINTS / 2 < len(found.recall) <= MOST_POINTS
    area = auc((0, *found.false_positive_rate), (0, *found.recall))
    assert area == pytest.approx(roc_auc_score(positive, scores), abs=1e-3)
    assert found.recall[-1] == found.false_positive_rate[-1] == 1


def test_a_class_without_others_has_none() -> None:
    assert threshold_curve(np.ones(3, bool), np.ones(3)) is None
    assert threshold_curve(np.zeros(3, bool), np.ones(3)) is None
