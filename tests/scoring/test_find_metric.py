"""Metrics of the user's own: what they are given, which way is better, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import catalog, plugins
from harness.config.study_file import parse_study_file
from harness.data.images import Images
from harness.errors import HarnessError, StudyError, UsageError
from harness.scoring.bbc_cv import corrected_best
from harness.scoring.find_metric import find_metric
from harness.scoring.intervals import score_interval
from harness.scoring.metrics import METRICS
from harness.search.contract import require_metric
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

LABELS = np.array([0, 1, 2, 2])
PROBABILITIES = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]


@pytest.mark.parametrize(
    ("text", "expected", "better"),
    [
        ("def score(labels, predictions): return (labels == predictions).mean()", 0.75, True),
        (
            "def score(y_true, y_pred): return (y_true != y_pred).mean()\nscore.higher_is_better = False",
            0.25,
            False,
        ),
        ("higher_is_better = False\ndef score(y_true, y_score): return y_score.max()", 1.0, False),
        ("class score:\n def __new__(cls, probabilities): return len(probabilities)", 4.0, True),
    ],
)
def test_a_metric_is_given_what_it_names(project: Path, text: str, expected: float, better: bool) -> None:
    write(project, "metrics/mine.py", text)
    assert find_metric("mine")(LABELS, PROBABILITIES) == expected
    assert find_metric("metrics.mine:score").higher_is_better == better
    entry = catalog.metric("mine")
    assert entry is not None and entry.higher_is_better == better


def test_a_metric_with_a_short_form_is_resampled_by_it(project: Path) -> None:
    text = """
import numpy as np
from harness.scoring import Metric
def _right(labels, probabilities): return probabilities.argmax(1) == labels
score = Metric(lambda labels, probabilities: float(np.mean(_right(labels, probabilities))), True, per_image=_right)
"""
    write(project, "metrics/mine.py", text)
    assert find_metric("mine").per_image is not None
    own, shipped = (
        corrected_best(name, LABELS, [PROBABILITIES, PROBABILITIES[::-1]], eligible=[True, True], repeats=50)
        for name in ("mine", "accuracy")
    )
    assert own == shipped


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def score(labels): return float('nan')", "gives nan for 4 images; a score must be a finite number"),
        ("def score(labels):\n    return labels[7]", r"metrics/mine\.py:2: IndexError"),
        ("def score(labels): return 'good'", "ValueError"),
        ("def score(labels): return [1, 2]", "TypeError"),
    ],
)
def test_a_metric_that_has_no_score_is_refused_before_the_first_trial(
    project: Path, text: str, why: str
) -> None:
    write(project, "metrics/mine.py", text)
    with pytest.raises(HarnessError, match=why):
        find_metric("mine")(LABELS, PROBABILITIES)
    images = Images(np.zeros((4, 1, 2, 2), np.uint8), LABELS, ("a", "b", "c"))
    raw = b"data: {name: digits}\nmodel: {name: resnet}\nobjective: mine"
    with pytest.raises(StudyError, match=f"objective .*{why}"):
        require_metric(parse_study_file(raw, [], name="s", source="s.yaml"), images)


def test_a_metric_that_rolls_dice_is_refused(project: Path) -> None:
    write(project, "metrics/mine.py", "import random\ndef score(labels): return random.random()")
    images = Images(np.zeros((4, 1, 2, 2), np.uint8), LABELS, ("a", "b", "c"))
    study = parse_study_file(
        b"data: {name: digits}\nmodel: {name: resnet}\nobjective: mine", [], name="s", source="s.yaml"
    )
    with pytest.raises(StudyError, match="gives another score the second time"):
        require_metric(study, images)


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        ("nothing", r"unknown metric 'nothing'; known: accuracy.*mine"),
        ("metrics.mine:nothing", "defines no nothing"),
        ("metrics.mine:other", "has the argument beta, which nobody sets"),
    ],
)
def test_a_study_with_a_metric_that_cannot_be_used(project: Path, objective: str, why: str) -> None:
    text = "def score(labels): return 0.0\ndef other(labels, beta: float = 1.0): return 0.0"
    write(project, "metrics/mine.py", text)
    raw = f"data: {{name: digits}}\nmodel: {{name: resnet}}\nobjective: {objective}".encode()
    with pytest.raises(StudyError, match=why):
        parse_study_file(raw, [], name="s", source="s.yaml")


def test_the_interval_leaves_out_resamples_without_a_value(project: Path) -> None:
    text = "def score(labels):\n    assert (labels == 0).any()\n    return (labels == 0).mean()"
    write(project, "metrics/mine.py", text)
    low, high = score_interval("mine", LABELS, PROBABILITIES)
    assert 0.25 <= low < high <= 1
    with pytest.raises(HarnessError, match="AssertionError"):
        score_interval("mine", LABELS[1:], PROBABILITIES[1:])


def test_a_metric_that_is_gone(project: Path) -> None:
    with pytest.raises(UsageError, match="there is no metric 'gone' any more"):
        find_metric("gone")
    assert plugins.find("objective", "accuracy") is None and find_metric("accuracy") is METRICS["accuracy"]
    found: Any = find_metric("sklearn.metrics:matthews_corrcoef")
    assert found(LABELS, PROBABILITIES) == pytest.approx(0.7071, abs=0.01)


def test_a_metric_of_the_name_of_one_of_harness_is_refused_by_that_name(project: Path) -> None:
    """Or a study with a metric of its own, from before harness had one of that name, would go on with another."""
    write(project, "metrics/brier_score.py", "def score(labels): return 0.25")
    why = r"metrics/brier_score\.py has the name of harness's own metric; give it another name, or write \./metrics"
    with pytest.raises(UsageError, match=why):
        find_metric("brier_score")
    raw = b"data: {name: digits}\nmodel: {name: resnet}\nobjective: brier_score"
    with pytest.raises(StudyError, match=why):
        parse_study_file(raw, [], name="s", source="s.yaml")
    assert find_metric("./metrics/brier_score.py")(LABELS, PROBABILITIES) == 0.25
    assert find_metric("accuracy") is METRICS["accuracy"]
