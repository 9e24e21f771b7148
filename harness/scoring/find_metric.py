"""What the name of a metric means: one of METRICS, or code of the user's own."""

import math
from functools import partial
from typing import Any

import numpy as np

from harness.config import plugins
from harness.config.plugins import Plugin
from harness.errors import HarnessError, UsageError
from harness.scoring.metrics import METRICS, Metric


def find_metric(name: str) -> Metric:
    """The metric of that name. Of the user's own: a function, or a Metric with its short forms, which is quicker.

    A function takes what it likes of `labels` int64 (n,), `probabilities` (n, classes) and `predictions` int64 (n,), by
    these names or as scikit-learn calls them: y_true, y_score or y_prob, y_pred. Its attribute `higher_is_better`, or
    that of its module, is True where there is none.
    Raises UsageError for what is no metric, cannot be imported, or has the name of one of METRICS.
    """
    if name in METRICS:
        plugins.require_unclaimed("objective", name)
        return METRICS[name]
    plugin = plugins.find("objective", name)
    if plugin is None:
        raise UsageError(f"there is no metric {name!r} any more")
    found = plugins.load(plugin)
    if isinstance(found, Metric):
        return found
    return Metric(partial(_scored, plugin, found), higher_is_better=plugins.higher_is_better(plugin, found))


def _scored(plugin: Plugin, function: Any, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Raises HarnessError where the function does, or gives no finite number."""
    predictions = probabilities.argmax(1)
    given = {
        "labels": labels, "y_true": labels, "predictions": predictions, "y_pred": predictions,
        "probabilities": probabilities, "y_score": probabilities, "y_prob": probabilities,
    }  # fmt: skip
    try:
        value = float(plugins.call(function, given, {}))
    except (Exception, SystemExit) as error:  # whatever it may raise
        raise HarnessError(f"metric {plugin.name}: {plugins.where(error, plugin.root)}") from error
    if not math.isfinite(value):
        raise HarnessError(
            f"metric {plugin.name}: {plugin.place} gives {value} for {len(labels)} images; a score must be a finite "
            "number"
        )
    return value
