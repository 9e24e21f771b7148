"""What a mean over all images does not say: a class that is never found, a score that naming one class has, too."""

from collections.abc import Sequence

import numpy as np

from harness.scoring.intervals import share_interval
from harness.scoring.metrics import confusion_matrix

MOST_NAMED = 5  # classes in a line


def hidden(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> list[str]:
    """Sentences on held-out predictions, none where there is nothing to say.

    labels: int64 (n,).   probabilities: (n, classes).
    A score is no better than the largest class's share where the 95 % interval of the accuracy reaches down to that.
    """
    matrix = confusion_matrix(labels, probabilities.argmax(1), len(classes))
    there, right, total = matrix.sum(1), int(matrix.trace()), len(labels)
    largest = int(there.argmax())
    said = []
    if share_interval(right, total)[0] <= there[largest] / total:
        said.append(
            f"naming {classes[largest]} every time would be right for {there[largest] / total:.1%} of the images; the "
            f"best trial is right for {right / total:.1%}"
        )
    lost = np.flatnonzero((matrix.diagonal() == 0) & (there > 0))
    if len(lost):
        names = ", ".join(classes[index] for index in lost[:MOST_NAMED])
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        what = f"{len(lost)} of {int((there > 0).sum())} classes are" if len(lost) > 1 else "one class is"
        said.append(
            f"{what} never found by the best trial: {names}{more} ({int(there[lost].sum()):,} images)"
        )
    return said
