"""The calibration curve against scikit-learn's and against the metric."""

import numpy as np
import pytest
import sklearn.calibration as reference

from harness.scoring import METRICS, softmax
from harness.scoring.calibration import TEMPERATURES, calibration_curve, fit_temperature


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


def sharpened(seed: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from honest probabilities, and those probabilities with logits multiplied by the temperature."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(20_000, 4))
    honest = softmax(logits).astype(np.float64)
    draws = generator.uniform(size=(len(logits), 1))
    labels = np.minimum((honest.cumsum(1) < draws).sum(1), 3)
    return labels, softmax(logits * temperature)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(temperature):
    labels, probabilities = sharpened(3, temperature)
    assert fit_temperature(labels, probabilities) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_has_a_lower_log_loss():
    labels, probabilities = sharpened(4, 2.0)
    logits = np.log(probabilities.astype(np.float64))
    fitted = fit_temperature(labels, probabilities)
    losses = [METRICS["log_loss"](labels, softmax(logits / (fitted * factor))) for factor in (0.97, 1, 1.03)]
    assert losses[1] == min(losses)


def test_probabilities_of_exactly_zero_and_one_have_a_temperature():
    low, high = TEMPERATURES
    right = np.eye(3)[[0, 1, 2, 0]]
    assert fit_temperature(np.array([0, 1, 2, 0]), right) <= high
    assert low < fit_temperature(np.array([0, 1, 2, 1]), right) <= high * 1.0001
