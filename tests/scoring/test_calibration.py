"""The calibration curve against scikit-learn's and against the metric."""

import numpy as np
import pytest
import sklearn.calibration as reference

from harness.scoring import METRICS, softmax
from harness.scoring.calibration import calibration_curve


def predictions(seed: int, num_images: int = 500) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, num_images)
    return labels, softmax(2 * generator.normal(size=(num_images, 3)) + np.eye(3)[labels])


@pytest.mark.parametrize("seed", range(3))
def test_its_weighted_mean_gap_is_the_calibration_error(seed):
    labels, probabilities = predictions(seed)
    curve = calibration_curve(labels, probabilities)
    gap = np.nansum(curve.count * np.abs(curve.accuracy - curve.confidence)) / curve.count.sum()
    assert gap == pytest.approx(METRICS["calibration_error"](labels, probabilities))
    assert curve.count.sum() == len(labels)


@pytest.mark.parametrize("bins", [5, 15])
def test_it_agrees_with_scikit_learn_for_the_likeliest_class(bins):
    labels, probabilities = predictions(7)
    right = probabilities.argmax(1) == labels
    accuracy, confidence = reference.calibration_curve(right, probabilities.max(1), n_bins=bins)
    curve = calibration_curve(labels, probabilities, bins=bins)
    has_images = curve.count > 0
    np.testing.assert_allclose(curve.accuracy[has_images], accuracy)
    np.testing.assert_allclose(curve.confidence[has_images], confidence, rtol=1e-6)
    assert np.isnan(curve.accuracy[~has_images]).all() and len(curve.count) == bins
