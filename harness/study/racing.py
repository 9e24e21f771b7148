"""Racing: after each fold, whether a trial may still win. One rule, one class.

A rule compares with the incumbent, the best trial so far that has all its folds. Scores come to it such that
higher is better.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence


class Rule(ABC):
    """A racing rule."""

    @abstractmethod
    def stops(self, scores: Sequence[float], incumbent: Sequence[float]) -> str:
        """Why the trial should go no further, or "".

        scores: of the folds it has, in fold order, fewer than all.   incumbent: of all folds of the best trial.
        """


class Never(Rule):
    """Every trial gets all its folds."""

    def stops(self, scores: Sequence[float], incumbent: Sequence[float]) -> str:
        return ""


class Forgiving(Rule):
    """Stop when the mean so far is below the incumbent's worst fold.

    Source: Bergman, Purucker and Hutter 2024, arXiv 2405.03389.
    """

    def stops(self, scores: Sequence[float], incumbent: Sequence[float]) -> str:
        mean, worst = sum(scores) / len(scores), min(incumbent)
        if mean >= worst:
            return ""
        far = f"mean {abs(mean):.4f} after {len(scores)} of {len(incumbent)} folds"
        return f"{far} is worse than the best trial's worst fold, {abs(worst):.4f}"


RULES: dict[str, type[Rule]] = {"none": Never, "forgiving": Forgiving}
