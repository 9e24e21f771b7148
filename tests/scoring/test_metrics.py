"""Metrics against scikit-learn, and against hand computations where it has none."""

import numpy as np
import pytest
import sklearn.metrics as reference

from harness import scoring
from harness.config import catalog
from harness.scoring import METRICS


def predictions(
    seed: int, num_images: int = 200, num_classes: int = 5, absent: int = 1, decimals: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that are right more often than not; the last classes have no images.

    absent: how many.   decimals: of the logits before the softmax; few make ties.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, num_classes - absent, num_images)
    logits = generator.normal(size=(num_images, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    return labels, scoring.softmax(logits if decimals is None else logits.round(decimals))


REFERENCES = {
    "accuracy": lambda y, p: reference.accuracy_score(y, p.argmax(1)),
    "macro_precision": lambda y, p: reference.precision_score(
        y, p.argmax(1), average="macro", zero_division=0
    ),
    "macro_recall": lambda y, p: reference.recall_score(y, p.argmax(1), average="macro", zero_division=0),
    "macro_f1": lambda y, p: reference.f1_score(y, p.argmax(1), average="macro", zero_division=0),
    "balanced_accuracy": lambda y, p: np.mean([np.mean(p[y == c].argmax(1) == c) for c in np.unique(y)]),
    "log_loss": lambda y, p: reference.log_loss(y, p, labels=range(p.shape[1])),
    "top3_accuracy": lambda y, p: reference.top_k_accuracy_score(y, p, k=3, labels=range(p.shape[1])),
    "brier_score": lambda y, p: reference.brier_score_loss(
        y, p / p.sum(1, keepdims=True, dtype=float), labels=range(p.shape[1]), scale_by_half=False
    ),
    "cohen_kappa": lambda y, p: reference.cohen_kappa_score(y, p.argmax(1)),
    "quadratic_kappa": lambda y, p: reference.cohen_kappa_score(
        y, p.argmax(1), labels=range(p.shape[1]), weights="quadratic"
    ),
    "matthews_correlation": lambda y, p: reference.matthews_corrcoef(y, p.argmax(1)),
    "roc_auc": lambda y, p: np.mean([reference.roc_auc_score(y == c, p[:, c]) for c in np.unique(y)]),
    "average_precision": lambda y, p: np.mean(
        [reference.average_precision_score(y == c, p[:, c]) for c in np.unique(y)]
    ),
}
CASES = {
    "one_class_absent": {},
    "many_classes": {"num_images": 400, "num_classes": 40},
    "three_classes": {"num_classes": 3},
    "two_classes": {"num_classes": 2, "absent": 0},
    "every_class_there": {"absent": 0},
    "three_classes_absent": {"num_classes": 6, "absent": 3},
    "few_images": {"num_images": 12, "num_classes": 3, "absent": 1},
    "ties": {"num_classes": 3, "absent": 0, "decimals": 0},
    "ties_of_two_classes": {"num_classes": 2, "absent": 0, "decimals": 0},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", REFERENCES)
def test_a_metric_agrees_with_its_reference_in_every_case(name, case):
    for seed in range(5):
        labels, probabilities = predictions(seed, **CASES[case])
        if name == "top3_accuracy" and (probabilities.shape[1] < 4 or "decimals" in CASES[case]):
            continue  # scikit-learn breaks ties the other way, and warns where all classes are among three
        expected = REFERENCES[name](labels, probabilities)
        assert METRICS[name](labels, probabilities) == pytest.approx(expected, abs=1e-6), seed


@pytest.mark.parametrize("seed", range(3))
def test_ranking_metrics_are_those_that_scikit_learn_has_for_whole_studies(seed):
    """Its one-vs-rest areas, which it has only where every class has images; of two classes that of the second."""
    labels, probabilities = predictions(seed, absent=0)
    expected = reference.roc_auc_score(labels, probabilities.astype(float), multi_class="ovr")
    assert METRICS["roc_auc"](labels, probabilities) == pytest.approx(expected, abs=1e-9)
    expected = reference.average_precision_score(np.eye(5)[labels], probabilities)
    assert METRICS["average_precision"](labels, probabilities) == pytest.approx(expected, abs=1e-9)
    labels, probabilities = predictions(seed, num_classes=2, absent=0)
    expected = reference.roc_auc_score(labels, probabilities[:, 1])
    assert METRICS["roc_auc"](labels, probabilities) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("roc_auc", 0.5), ("average_precision", 1.0), ("cohen_kappa", 0.0), ("quadratic_kappa", 0.0),
        ("matthews_correlation", 0.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("num_classes", [2, 4])
def test_a_fold_of_one_class_alone_has_a_finite_value(name, value, num_classes):
    labels = np.ones(7, dtype=np.int64)
    assert METRICS[name](labels, np.eye(num_classes)[labels]) == value


@pytest.mark.parametrize("name", ["cohen_kappa", "quadratic_kappa", "matthews_correlation", "roc_auc"])
def test_a_network_that_always_says_the_same_is_at_chance(name):
    labels, _ = predictions(0)
    constant = np.tile(np.float32([0.5, 0.2, 0.1, 0.1, 0.1]), (len(labels), 1))
    assert METRICS[name](labels, constant) == pytest.approx(METRICS[name](labels, constant[:, ::-1]))
    assert METRICS[name](labels, constant) == {"roc_auc": 0.5}.get(name, 0.0)


def test_balanced_accuracy_agrees_with_scikit_learn_where_every_prediction_has_images():
    labels = np.array([0, 0, 0, 1, 1, 2])
    probabilities = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    expected = reference.balanced_accuracy_score(labels, probabilities.argmax(1))
    assert METRICS["balanced_accuracy"](labels, probabilities) == pytest.approx(expected)


def test_calibration_error_by_hand():
    """Two images at 0.95 (one right) and two at 0.55 (both right): (2·|0.5-0.95| + 2·|1-0.55|) / 4."""
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.55, 0.45], [0.45, 0.55]])
    labels = np.array([0, 1, 0, 1])
    assert METRICS["calibration_error"](labels, probabilities) == pytest.approx(0.45)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin():
    """0.6 = 9/15 shares a bin with 0.59; their errors cancel there, and would not in two bins."""
    labels = np.array([0, 1])
    probabilities = np.array([[0.6, 0.4], [0.59, 0.41]])
    assert METRICS["calibration_error"](labels, probabilities) == pytest.approx(abs(1 - 0.6 - 0.59) / 2)


def test_a_certain_and_wrong_prediction_has_a_finite_loss():
    loss = METRICS["log_loss"](np.array([1]), np.array([[1.0, 0.0]], dtype=np.float32))
    assert loss == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_top3_accuracy_is_one_with_three_classes():
    labels, probabilities = predictions(0, num_classes=3)
    assert METRICS["top3_accuracy"](labels, probabilities) == 1.0


def test_perfect_predictions_reach_the_best_value_of_every_metric():
    labels = np.arange(4)
    found = scoring.score(labels, np.eye(4))
    for name, metric in METRICS.items():
        assert found[name] == pytest.approx(1.0 if metric.higher_is_better else 0.0, abs=1e-9)


def test_the_confusion_matrix_agrees_with_scikit_learn():
    labels, probabilities = predictions(1)
    predicted = probabilities.argmax(1)
    expected = reference.confusion_matrix(labels, predicted, labels=range(5))
    found = scoring.confusion_matrix(labels, predicted, 5)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


def test_softmax_takes_large_logits_and_sums_to_one():
    probabilities = scoring.softmax(np.array([[1e4, 0.0, -1e4], [1.0, 1.0, 1.0]], dtype=np.float32))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)


def test_the_catalog_reads_the_table_without_importing_it():
    entries = catalog.metrics()
    assert {name: entry.higher_is_better for name, entry in entries.items()} == {
        name: metric.higher_is_better for name, metric in METRICS.items()
    }
    assert all(entry.summary.endswith(".") for entry in entries.values())
