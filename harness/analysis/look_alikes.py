"""Images that are likely to belong together and are held out apart: copies that are not sure, films, patients.

What is surely one picture is `duplicate_leakage`'s to say. Here somebody has to look.
"""

from collections.abc import Iterator

import numpy as np

from harness.data import duplicate_warnings
from harness.data.images import Images
from harness.data.looks import resized
from harness.data.near_duplicates import Duplicates
from harness.data.neighbours import described
from harness.store.findings import Check

MOST_OF_CLASS = 2000  # one after the other, so that what was taken together stays together
FEWEST = 30  # of a class
BESIDE = 3  # places in the order
MORE = 0.15  # than chance, of the images whose likest one lies beside them
EXAMPLES = 3
MANY, OF_ONE_CLASS = 0.2, 0.9  # of the images, in likely pairs; of these


def checks(images: Images, found: Duplicates, groups: np.ndarray) -> Iterator[Check]:
    """found: duplicates among the images.   groups: int (N,), equal for images that are held out together."""
    alike = duplicate_warnings.to_look_at(found, images.labels, groups)
    one, two = alike.pairs.T
    is_copy = alike.exact | alike.sure
    differ = is_copy & (images.labels[one] != images.labels[two])
    are_apart = ~is_copy & (groups[one] != groups[two])
    yield _likely(images, alike.pairs[are_apart])
    yield _labels(images, alike.pairs[differ])
    beside = neighbours_in_order(images, groups)
    if beside is not None:
        yield beside


def _likely(images: Images, pairs: np.ndarray) -> Check:
    """Pairs that chance makes are of any classes, and fewer; those of one film or patient are of one class."""
    name = "look-alikes apart"
    share = 2 * len(pairs) / len(images)
    if not len(pairs):
        return Check(
            name, "passed", share, MANY, "No images that are held out apart are likely to show one picture."
        )
    within = float((images.labels[pairs[:, 0]] == images.labels[pairs[:, 1]]).mean())
    what = f"{len(pairs):,} pairs of images that are held out apart may show one picture ({_named(images, pairs)})"
    if share < MANY or within < OF_ONE_CLASS:
        return Check(name, "passed", share, MANY, f"{what}; images that are taken one by one have as many.")
    sentence = (
        f"{what}, and {within:.0%} of them are of one class: films, series or patients? Look at them (check --images "
        "draws them); data.groups holds them out together."
    )
    return Check(name, "noted", share, MANY, sentence)


def _labels(images: Images, pairs: np.ndarray) -> Check:
    name = "two labels"
    if not len(pairs):
        return Check(name, "passed", 0.0, 0.0, "No images of different classes show the same picture.")
    sentence = (
        f"{len(pairs):,} pair{'s' * (len(pairs) > 1)} of images of different classes show the same picture "
        f"({_named(images, pairs)}): leave each in its class alone."
    )
    return Check(name, "noted", float(len(pairs)), 0.0, sentence)


def _named(images: Images, pairs: np.ndarray) -> str:
    """The first few."""
    both = (
        " and ".join(images.names[i] if images.names else f"image {i}" for i in pair)
        for pair in pairs[:EXAMPLES].tolist()
    )
    return "; ".join(both)


def neighbours_in_order(images: Images, groups: np.ndarray) -> Check | None:
    """Whether the likest image of the same class and of no common group lies beside an image in the order of names.

    Of images that are taken one by one it lies anywhere; frames of a film or images of a patient have it beside them.
    None where classes are too small to say.
    """
    name = "look-alikes in a row"
    order = np.argsort(np.array(images.names), kind="stable") if images.names else np.arange(len(images))
    hits, chances, total, example = 0, 0.0, 0, ""
    for label in range(len(images.classes)):
        rows = order[images.labels[order] == label][:MOST_OF_CLASS]
        if len(rows) < FEWEST:
            continue
        looks = described(resized(images.pixels[np.sort(rows)]))[np.argsort(np.argsort(rows))]
        likeness = looks @ looks.T
        likeness[groups[rows][:, None] == groups[rows]] = -np.inf
        has_other, places = np.isfinite(likeness.max(1)), np.arange(len(rows))
        likest = likeness.argmax(1)
        is_beside = has_other & (np.abs(likest - places) <= BESIDE)
        near = np.abs(places[:, None] - places) <= BESIDE
        others = np.isfinite(likeness)
        chances += float(((near & others).sum(1) / np.maximum(others.sum(1), 1)).sum())
        hits, total = hits + int(is_beside.sum()), total + int(has_other.sum())
        if not example and is_beside.any():
            one = int(is_beside.argmax())
            pair = (rows[one], rows[likest[one]])
            example = " and ".join(images.names[i] if images.names else f"image {i}" for i in pair)
    if not total:
        return None
    share, chance = hits / total, chances / total
    what = f"{share:.0%} of the images have the likest one of their class within {BESIDE} places (chance {chance:.0%})"
    if share < chance + MORE:
        return Check(name, "passed", share, chance + MORE, f"{what}.")
    sentence = (
        f"{what}, {example}, say: frames of a film, series or patients? Then the score is of images whose "
        "relatives were trained on: set data.groups, and tune anew."
    )
    return Check(name, "noted", share, chance + MORE, sentence)
