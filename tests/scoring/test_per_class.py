"""Scores per class against scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics as reference

from harness.scoring.per_class import per_class


@pytest.mark.parametrize("seed", range(5))
def test_scores_per_class_agree_with_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, 300)
    probabilities = generator.dirichlet(np.ones(5), 300).round(1)  # many ties; the last class has no images
    found = per_class(labels, probabilities)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, probabilities.argmax(1), labels=range(5), zero_division=0
    )
    for name, expected in {"precision": precision, "recall": recall, "f1": f1, "support": support}.items():
        assert [getattr(scores, name) for scores in found] == pytest.approx(list(expected))
    areas = [reference.roc_auc_score(labels == index, probabilities[:, index]) for index in range(4)]
    assert [scores.roc_auc for scores in found[:4]] == pytest.approx(areas)
    assert found[4].roc_auc is None


def test_a_class_that_has_all_images_has_no_area_and_one_never_called_no_precision():
    present, absent = per_class(np.zeros(3, dtype=np.int64), np.array([[0.1, 0.9]] * 3))
    assert (present.precision, present.recall, present.f1, present.support) == (0, 0, 0, 3)
    assert (absent.precision, absent.support) == (0, 0)
    assert present.roc_auc is None and absent.roc_auc is None
