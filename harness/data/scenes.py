"""Which images that are alike are copies, and which are frames of one scene: of a fixed camera, a lamp, a belt.

Frames of a scene differ in a small part, and that part is what their labels are of: they are not to be joined. A copy
in the training images gives the label of its held-out twin away; a frame does not, where frames that are just as near
have other labels. So images that are connected by likeness are a scene where their labels are mixed, and where they
are so large a part of a class that no copies of a picture would be.
"""

import numpy as np

from harness.data.grouping import components
from harness.data.image_similarity import LIKELY, SURE

FOLD = 0.2  # of the different images of a class, or of all where labels are not known: more fit into no fold
MANY = 5  # different images from which on such a share is one of a scene
HALF = 0.5  # of a class: then a few are enough
FEW = 3
OUTLIERS = 1  # images of another class that may be wrongly labelled copies, if they are
MINORITY = 0.2  # of all


def joined(
    pairs: np.ndarray, exact: np.ndarray, level: np.ndarray, num_images: int, labels: np.ndarray | None = None
) -> np.ndarray:
    """Which pairs are to be held out together: bool (P,). Equal images always are.

    pairs: int64 (P, 2).   exact: bool (P,).   level: uint8 (P,), see image_similarity.py.
    labels: int (N,), or None.
    """
    near = (level == SURE) & ~frames(pairs, exact, level, num_images, labels)[pairs[:, 0]]
    if labels is not None:
        near &= labels[pairs[:, 0]] == labels[pairs[:, 1]]
    together: np.ndarray = exact | near
    return together


def frames(
    pairs: np.ndarray, exact: np.ndarray, level: np.ndarray, num_images: int, labels: np.ndarray | None = None
) -> np.ndarray:
    """Which images are frames of a scene: bool (N,). Arguments as of `joined`."""
    labels = np.zeros(num_images, np.int64) if labels is None else labels
    _, first = np.unique(components(pairs[exact], num_images), return_index=True)  # one of each picture
    alike, partly = components(pairs[level >= LIKELY], num_images), components(pairs, num_images)
    counts = _counted(alike[first], labels[first])
    of_class = np.bincount(labels[first])
    share = counts / np.maximum(of_class, 1)
    large = ((counts >= MANY) & (share > FOLD)) | ((counts >= FEW) & (share > HALF))
    wide = _counted(partly[first], labels[first])
    links = np.bincount(partly[pairs[:, 0]], minlength=len(wide))
    sizes = wide.sum(1)
    wide_scene = _mixed(wide) & (sizes >= MANY) & (sizes > FOLD * len(first)) & (links > sizes)
    found: np.ndarray = (_mixed(counts) | large.any(1))[alike] | wide_scene[partly]
    return found


def _mixed(counts: np.ndarray) -> np.ndarray:
    """Whether labels of more than one class are in each row of (components, classes), beyond single errors."""
    others = counts.sum(1) - counts.max(1)
    mixed: np.ndarray = (others > OUTLIERS) & (others >= MINORITY * counts.sum(1))
    return mixed


def _counted(component: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many images of each class are in each component: int64 (components, classes)."""
    counts = np.zeros((int(component.max(initial=0)) + 1, int(labels.max(initial=0)) + 1), np.int64)
    np.add.at(counts, (component, labels), 1)
    return counts
