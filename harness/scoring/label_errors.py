"""Images whose label is likely wrong: confident learning.

Source: Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, J. of
Artificial Intelligence Research 70, arXiv 1911.00068; the method `prune by noise rate`.
"""

import numpy as np


def label_issues(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Indices of the images that are likely mislabelled, likeliest first: int64, perhaps none.

    labels: int64 (n,).   probabilities: (n, classes), out of fold. The likeliest are those whose label has the
    lowest probability. As many are taken from label i as seem to belong to j as `confident_joint` counts, by the
    largest margin of j over i; an image that is called its label stays.
    """
    joint = confident_joint(labels, probabilities)
    images = np.bincount(labels, minlength=len(joint))
    share = joint / np.maximum(joint.sum(1, keepdims=True), 1)
    wanted = _rounded(share * images[:, None])
    suspect = np.zeros(len(labels), dtype=bool)
    for given, actual in zip(*np.nonzero(wanted), strict=True):
        if given != actual:
            members = np.flatnonzero(labels == given)
            margin = probabilities[members, actual] - probabilities[members, given]
            suspect[members[np.argsort(-margin, kind="stable")[: wanted[given, actual]]]] = True
    suspect &= probabilities.argmax(1) != labels
    found = np.flatnonzero(suspect)
    return found[np.argsort(probabilities[found, labels[found]], kind="stable")]


def _rounded(counts: np.ndarray) -> np.ndarray:
    """Each row as integers of the same sum: those nearest to the next one are rounded up."""
    whole = np.floor(counts + 1e-9)
    missing = np.rint(counts.sum(1, keepdims=True) - whole.sum(1, keepdims=True))
    order = np.argsort(whole - counts, axis=1, kind="stable")
    place = np.argsort(order, axis=1, kind="stable")
    rounded: np.ndarray = (whole + (place < missing)).astype(np.int64)
    return rounded


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """int64 (classes, classes): images by their label and by the class that they confidently belong to.

    That is the likeliest class among those whose probability is at least its mean over the images labelled so;
    images without one are not counted.
    """
    num_classes = probabilities.shape[1]
    images = np.bincount(labels, minlength=num_classes)
    own = np.bincount(labels, weights=probabilities[np.arange(len(labels)), labels], minlength=num_classes)
    thresholds = np.where(images > 0, own / np.maximum(images, 1), np.inf)
    confident = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)  # rounding of the mean
    counted = confident.max(1) >= 0
    cells = labels[counted] * num_classes + confident[counted].argmax(1)
    joint: np.ndarray = np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
    return joint
