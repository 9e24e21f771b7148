"""What a study's scores are of: the same words wherever one stands."""

from collections.abc import Mapping

QUANTITIES: Mapping[str, str] = {
    "fold score": "the mean over the folds of networks that are trained without them, with k folds on all but a k-th "
    "of the images; the best trial's is too good, for it was chosen by it",
    "corrected": "the best trial's fold score without the luck of the choice among all trials",
    "confirmed": "a trial's fold score once more, with fresh seeds and new folds",
    "expected": "what the confirmed winner's network, trained on all training images, will score on the test images, "
    "before they are opened: the confirmed score, and what more training images add",
    "test": "what that network has scored on the sealed test images",
}
