"""Duplicates in a study's images: how many there are, which borders they cross, and what that does to the score."""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.analysis.leak_probes import AuditedTrial
from harness.data import near_duplicates
from harness.data.folds import make_folds
from harness.data.grouping import components
from harness.data.near_duplicates import Duplicates
from harness.data.split import Manifest, duplicates_of
from harness.errors import DataError
from harness.folds.train_folds import Step
from harness.seeds import seed_for
from harness.store.findings import Check, DuplicatePairs, LeakySplit, TestBorder

MOST_PICTURES = 20
ENOUGH = (
    20  # held-out images with a duplicate among the training images: from so many on, a leaky split is tried
)
FEW = 0.01  # of the images across a border: below, they can hardly change a score


@dataclass(frozen=True)
class Report:
    """checks and pairs: what it comes to.   found: all that is alike among the training images."""

    checks: list[Check]
    pairs: DuplicatePairs
    found: Duplicates


def report(subject: AuditedTrial) -> Generator[Step, None, Report]:
    """Duplicates among the training images, and between them and the test images, whose labels stay unread.

    Pairs are counted that cross the folds of the study, and those that would cross plain stratified folds. The
    pictures of some are drawn into the study's folder, as duplicates.png.
    """
    images, split = subject.images, subject.split
    found = duplicates_of(images, subject.study.store.home)
    joined = found.joined(len(images), images.labels)
    plain = _plain_folds(split, subject.study.record.parts)
    crossing = {what: _crossing(joined, one.by_repeat) for what, one in (("study", split), ("plain", plain))}
    sizes = np.unique(components(joined.pairs, len(images)), return_counts=True)[1]
    border = _test_border(subject, found)
    sure = found.of(found.sure)
    pairs = DuplicatePairs(
        groups=int((sizes > 1).sum()),
        images=int(sizes[sizes > 1].sum()),
        exact_pairs=int(joined.exact.sum()),
        near_pairs=int((~joined.exact).sum()),
        labels_differ=int((images.labels[sure.pairs[:, 0]] != images.labels[sure.pairs[:, 1]]).sum()),
        pairs_crossing_folds=len(crossing["study"].pairs),
        pairs_crossing_plain_folds=len(crossing["plain"].pairs),
        test_border=border,
        picture=_draw(subject, joined),
        leaky_split=(yield from _leaky_split(subject, plain, crossing["plain"])),
    )
    in_folds = check_folds(
        pairs.pairs_crossing_folds, len(images), plain=pairs.pairs_crossing_plain_folds,
        what=f"{pairs.groups:,} groups of {pairs.images:,} images show the same picture",
    )  # fmt: skip
    return Report([in_folds, *_border(border)], pairs, found)


def _plain_folds(split: Manifest, parts: float) -> Manifest:
    """Stratified folds without any groups; not stratified where a class is too rare, as the user's own folds allow.

    parts: how many; of a hold-out, as many as its held-out part fits into the images.
    """
    num_folds = max(round(parts), 2)
    is_rare = np.bincount(split.labels).min() < num_folds
    labels = np.zeros_like(split.labels) if is_rare else split.labels
    seed = seed_for(split.seed, "split") % 2**32
    plain = make_folds(labels, num_folds=num_folds, seed=seed, groups=None)
    return replace(split, fold_of=plain, num_folds=num_folds)


def _crossing(found: Duplicates, fold_of: np.ndarray) -> Duplicates:
    cross = (fold_of[found.pairs[:, 0]] != fold_of[found.pairs[:, 1]]).any(1)
    return found.of(cross)


def _test_border(subject: AuditedTrial, within: Duplicates) -> TestBorder | None:
    """Test images with a duplicate among the training images, and all of them; None without test images."""
    from harness.data import test_set  # loaded by who opens them: `guards` looks whether a process has it

    try:
        test = test_set.test_pixels(subject.study.record.data["settings"], subject.study.sealed)
    except DataError:
        return None
    if test.shape[1:] != subject.images.pixels.shape[1:]:
        return None
    images = subject.images
    pairs = near_duplicates.copies(images.pixels, images.labels, test, within).pairs
    return TestBorder(images=len(np.unique(pairs[:, 1])), of=len(test))


def check_folds(crossing: int, num_images: int, *, what: str, plain: int | None = None) -> Check:
    """Whether copies are in several folds.   what: how many there are, in words.

    crossing, plain: pairs of them that are in two folds, of the study and of plain ones.
    """
    share = 2 * crossing / num_images
    if not crossing:
        more = "" if plain is None else f" ({plain:,} would be in plain ones)"
        return Check("duplicates across folds", "passed", 0.0, FEW, f"{what}; no pair is in two folds{more}.")
    advice = "leave data.duplicates and cv.duplicates at near, and run the study anew"
    sentence = f"{what}, and {crossing:,} pairs are in two folds: {advice}."
    return Check("duplicates across folds", "failed" if share > FEW else "noted", share, FEW, sentence)


def _border(border: TestBorder | None) -> list[Check]:
    if border is None:
        return []
    share = border.images / border.of
    what = f"{border.images:,} of {border.of:,} test images show a picture that is also in training"
    if share <= FEW:
        return [Check("duplicates in the test images", "passed", share, FEW, f"{what}.")]
    if share <= 0.1:
        sentence = f"{what}; final tells the score without them, too."
        return [Check("duplicates in the test images", "noted", share, FEW, sentence)]
    sentence = (
        f"{what}: the test images have been mixed into the training images, or data.duplicates has left copies of them "
        "there."
    )
    return [Check("duplicates in the test images", "failed", share, FEW, sentence)]


def _leaky_split(
    subject: AuditedTrial, leaky: Any, crossing: Duplicates
) -> Generator[Step, None, LeakySplit | None]:
    """What plain folds would have scored on images with a duplicate in training; None where there are too few.

    One fold is trained anew, in full; the same images were scored by the study without their duplicates.
    """
    ends = np.concatenate([crossing.pairs, crossing.pairs[:, ::-1]])
    honest = subject.study.out_of_fold(subject.trial).first
    concerned = np.unique(ends[leaky.fold_of[ends[:, 0]] == 0, 0])
    concerned = concerned[honest.fold_of[concerned] >= 0]  # a hold-out has not scored all of them
    if len(concerned) < ENOUGH:
        return None
    groups = np.arange(len(subject.images))  # every image by itself: that is the leak
    yield f"training a fold that leaks {len(concerned)} duplicates, to see what that does"
    fold = yield from subject.train(subject.images, replace(leaky, groups=groups))
    indices, labels, predicted = subject.predicted(fold)
    right = {
        "leaky": dict(zip(indices.tolist(), (labels == predicted).tolist(), strict=True)),
        "honest": dict(enumerate(honest.right.tolist())),
    }
    scores = {
        what: float(np.mean([table[image] for image in concerned.tolist()])) for what, table in right.items()
    }
    share = len(concerned) / len(indices)
    return LeakySplit(
        images=len(concerned),
        of=len(indices),
        leaky=scores["leaky"],
        honest=scores["honest"],
        inflation=share * (scores["leaky"] - scores["honest"]),
    )


def _draw(subject: AuditedTrial, found: Duplicates) -> str | None:
    """Up to twenty pairs, one above the other, the least similar first."""
    if not len(found.pairs):
        return None
    from harness.charts.image_rows import save_rows

    order = np.argsort(found.similarity, kind="stable")[:MOST_PICTURES]
    pictures = [_shown(subject.images.pixels[found.pairs[order, side]]) for side in (0, 1)]
    path = subject.study.store.study_folder(subject.study.name) / "duplicates.png"
    rows = {"one": pictures[0], "other": pictures[1]}
    title = f"{len(order)} of {len(found.pairs):,} pairs of duplicates"
    save_rows(title, [("the least similar first", rows)], path)
    return str(path)


def _shown(pixels: np.ndarray) -> np.ndarray:
    """uint8 (n, C, H, W) to float (n, H, W, 3) in 0..1."""
    colour = np.repeat(pixels, 3, axis=1) if pixels.shape[1] == 1 else pixels
    return colour[:, :3].transpose(0, 2, 3, 1) / 255
