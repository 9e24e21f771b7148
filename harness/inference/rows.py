"""What is said of an image that was predicted: a row of `harness predict`, or of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.inference.predict import Predicted
from harness.inference.sorting import UNSURE

Row = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """What is said of an image.

    top: how many classes.   threshold: the probability below which the label is unsure; the column `likeliest` then
    keeps the class.   errors: whether unreadable files have rows.
    """

    classes: Sequence[str]
    top: int = 1
    threshold: float = 0.0
    errors: bool = False

    def names(self) -> list[str]:
        more = [
            f"top{place}_{what}" for place in range(2, self._most + 1) for what in ("label", "probability")
        ]
        likeliest = ["likeliest"] if self.threshold else []
        return [
            "path",
            "label",
            "probability",
            *likeliest,
            *more,
            "entropy",
            *(["error"] if self.errors else []),
        ]

    @property
    def _most(self) -> int:
        return min(self.top, len(self.classes))

    def row(self, found: Predicted) -> Row:
        """Probabilities and the entropy, in nats, to six places; of an unreadable file, path and error."""
        if found.probabilities is None:
            return {"path": found.path, "error": found.problem}
        chances = found.probabilities.astype(np.float64)
        order = np.argsort(-chances, kind="stable")[: self._most].tolist()
        best = self.classes[order[0]]
        row: Row = {"path": found.path, "label": UNSURE if chances[order[0]] < self.threshold else best}
        row["probability"] = round(float(chances[order[0]]), 6)
        if self.threshold:
            row["likeliest"] = best
        for place, index in enumerate(order[1:], start=2):
            row[f"top{place}_label"] = self.classes[index]
            row[f"top{place}_probability"] = round(float(chances[index]), 6)
        row["entropy"] = round(float(-(chances * np.log(np.maximum(chances, 1e-300))).sum()), 6) + 0.0
        return row
