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

WORDS: Mapping[str, str] = {
    "study": "one question about one data set: which values are searched, how trials are scored, how many there are",
    "trial": "one choice of values for what a study searches, scored on every fold; trial 0 has the defaults",
    "fold": "one of the k parts that the images are divided into: a network is trained on the others and scored on it, "
    "so every image is predicted once by a network that has not seen it",
    "stopped": "of a trial: ended before its last fold, because it was too far behind the best one to be worth the "
    "rest; its mean is over fewer folds and is not ranked among the complete ones",
    "complete": "of a trial: all its folds are trained, so its mean can be ranked among the others",
    "interrupted": "of a study or a trial: it has begun and not ended, and nobody trains it now. Finished folds are "
    "kept: the command that began the study goes on with the next one, to the same result",
    "failed": "of a trial: its training could not go on, for lack of memory say, or for numbers that were no numbers "
    "any more. Other trials go on, and --retry-failed tries it again",
    "luck": "what a score owes to chance: to the images that happen to be there, to the random start of a training, "
    "and to having been chosen as the best of many. The more trials, the luckier their best one",
    "gain": "by how much one score is better than another: of a study over the one before it, of tuning over the "
    "defaults, or of more training images",
    "champion": "the network that `final` has trained on all training images; `predict` uses it, and MLflow's registry "
    "has it under this name",
    "time": "of a trial: what its folds took to train, added up; with two workers two of them were trained at once",
    "state": "of a trial: complete, stopped, running, interrupted or failed; explain has each of them",
    "temperature": "what a network's outputs are divided by before they become probabilities, so that confidence is as "
    "high as the share of right answers; it is fitted on held-out predictions and changes no answer",
    "leak": "something that tells the answer and will not be there in use: a copy of a test image among the training "
    "images, a label in a file's name, a mark in the corner of one class. Scores are then too good",
    "bitwise": "of a trial that was trained again: every number is the same as in the record, to the last bit. "
    "WITHIN-NOISE: they differ by less than luck explains; DRIFT: by more, so something has changed",
    "95 % interval": "what a score may well be if everything were done again with other images and other luck: in 95 "
    "of 100 such cases the interval holds the true value. ± is half of it",
    "chance": "the score of whoever guesses: with equal classes one in as many as there are",
    "t-test": "whether two trials differ by more than their folds and images make uncertain; p is how often a "
    "difference as large comes about by chance where there is none, and below 0.05 they are told apart. Folds overlap, "
    "which is taken into account (Nadeau and Bengio 2003)",
    "McNemar": "a test of these very networks: of the images that only one of two trials has right, whether one has "
    "more than a fair coin would give it. Trained again, the networks would be others, so the t-test decides",
    "Holm": "with many comparisons some look large by chance, so each p is raised by how many there are (Holm 1979)",
    "worse/equal/better": "how probable it is that a trial is worse than the best one, as good in practice, or better",
    "cheapest within one error": "of the trials within one standard error of the best, the one that trains fastest",
    "audit": "a search for ways in which the labels may be told by something else than what the images show",
    "seal": "test images are kept apart from the first step on; `final` opens them once, so that their score is of "
    "images that nothing was chosen by",
}
