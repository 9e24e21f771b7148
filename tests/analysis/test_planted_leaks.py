"""Leaks, planted one by one into otherwise honest work, and what catches each of them.

augmented validation               guard: evaluation is deterministic
statistics from all images         guard: statistics of the training images
exact duplicates across folds      split: duplicates are one group
near duplicates across folds       split: duplicates are one group
duplicates, split without them     audit: duplicates across folds
test images merged into training   audit: duplicates in the test images
groups split                       guard: division
best epoch on the scored fold      guard: epoch choice
a mark of the class in the pixels  audit: marks (see test_marks.py)
the text is made from the label    audit: text, permuted labels, noise
the label in the file name         audit: file names (see test_file_clues.py)
a label changed after the split    manifest
training after the test was seen   guard: the test is sealed
an image scored twice              guard: covered once
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis import duplicate_leakage, leak_probes
from harness.data import near_duplicates, test_set
from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import Manifest, together
from harness.errors import CheckFailed
from harness.folds import guards
from harness.folds.fold import train_fold
from harness.folds.tasks import fold_tasks
from harness.folds.train_folds import workplace_of
from harness.store import findings
from harness.store.loaded_study import started_study
from harness.store.store import Store
from harness.training import loop
from harness.training.pixels import measure


def smooth_images(count: int, *, seed: int = 0, size: int = 32) -> Images:
    """Pictures that differ: sums of a few waves, uint8 (count, 3, size, size), of four classes by turns."""
    random = np.random.default_rng(seed)
    grid = np.arange(size) / size
    pixels = np.zeros((count, 3, size, size))
    for _ in range(10):
        waves = random.integers(0, 4, (2, count, 3, 1, 1))
        phases = random.uniform(0, 2 * np.pi, (2, count, 3, 1, 1))
        down, right = grid[:, None], grid[None, :]
        pixels += np.sin(2 * np.pi * waves[0] * down + phases[0]) * np.sin(
            2 * np.pi * waves[1] * right + phases[1]
        )
    low, high = pixels.min((1, 2, 3), keepdims=True), pixels.max((1, 2, 3), keepdims=True)
    scaled = np.rint(30 + 190 * (pixels - low) / (high - low)).astype(np.uint8)
    return Images(scaled, np.arange(count) % 4, ("bird", "cat", "dog", "frog"))


def trained(store: Store, **changes: Any) -> Iterator[object]:
    """One fold of the tuned study, with the images or the split changed."""
    record = started_study(store, "small")
    images, split, _ = workplace_of(store, record).open()
    task = fold_tasks(record, store.read_trials("small")[0])[0]
    images, split = changes.get("images", images), changes.get("split", split)
    return train_fold(replace(task, split_hash=split.hash, data_hash=images.content_hash), images, split)


def test_augmented_validation(tuned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.training import features

    honest, random = features.evaluate, np.random.default_rng(0)

    def augmented(model: Any, images: Any, indices: np.ndarray, compute: Any) -> Any:
        return honest(model, images, indices, compute) + 0.1 * float(random.normal())

    monkeypatch.setattr(features, "evaluate", augmented)
    with pytest.raises(CheckFailed, match="evaluation must neither augment nor drop out"):
        list(trained(tuned))


def test_statistics_from_all_images(tuned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = lambda model, pixels, train: measure(pixels, np.arange(len(pixels)))  # noqa: E731
    monkeypatch.setattr(loop, "statistics_for", everything)
    with pytest.raises(CheckFailed, match="other statistics than those of its training images"):
        list(trained(tuned))


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    import io

    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(content, "JPEG", quality=85)
    return np.asarray(Image.open(content)).transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("kind", "copied"),
    [
        ("exact", lambda image: image),
        ("near", lambda image: image[:, :, ::-1]),
        ("near", lambda image: np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)),
        ("near", as_jpeg),
    ],
    ids=["equal", "mirrored", "brighter", "JPEG"],
)
def test_duplicates_across_folds(
    kind: str, copied: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    images = smooth_images(200)
    pixels = images.pixels.copy()
    for one in range(40):
        pixels[100 + one] = copied(pixels[one])
    planted = replace(images, pixels=pixels)
    plain = make_folds(planted.labels, num_folds=5, seed=0)
    assert (plain[:40] != plain[100:140]).sum() > 20
    groups = together(planted, kind, tmp_path)
    assert (groups[:40] == groups[100:140]).all() and len(np.unique(groups)) == 160
    fold_of = make_folds(planted.labels, num_folds=5, seed=0, groups=groups)
    assert (fold_of[:40] == fold_of[100:140]).all()
    with pytest.raises(CheckFailed, match="is in more than one fold"):
        Manifest.make(planted, plain, groups, num_folds=5, seed=0)


def test_duplicates_in_a_study_that_ignores_them() -> None:
    images = smooth_images(100)
    pixels = np.concatenate([images.pixels, images.pixels[:30, :, :, ::-1]])
    found = near_duplicates.find(pixels).joined(130, np.concatenate([images.labels, images.labels[:30]]))
    fold_of = np.arange(130)[:, None] // 26
    crossing = duplicate_leakage._crossing(found, fold_of)
    assert len(found.pairs) == len(crossing.pairs) == 30
    for count, verdict in ((len(crossing.pairs), "failed"), (0, "passed")):
        assert duplicate_leakage.check_folds(count, 130, what="30 groups").verdict == verdict


def test_test_images_merged_into_training() -> None:
    training, test = smooth_images(100), smooth_images(40, seed=1)
    merged = np.concatenate([training.pixels, test.pixels])
    labels = np.concatenate([training.labels, test.labels])
    assert len(near_duplicates.copies(training.pixels, training.labels, test.pixels).pairs) == 0
    found = near_duplicates.copies(merged, labels, test.pixels)
    border = findings.TestBorder(images=len(np.unique(found.pairs[:, 1])), of=40)
    (finding,) = duplicate_leakage._border(border)
    assert border.images == 40 and finding.verdict == "failed" and "mixed into" in finding.sentence


def test_groups_split(tuned: Store) -> None:
    _, split, _ = workplace_of(tuned, started_study(tuned, "small")).open()
    crossing = replace(split, groups=np.arange(len(split.groups)) // 2)
    with pytest.raises(CheckFailed, match="is trained on and scored on"):
        list(trained(tuned, split=crossing))


def test_the_best_epoch_on_the_scored_fold(tuned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = loop.Fitted
    monkeypatch.setattr(loop, "Fitted", lambda epoch, statistics: honest(epoch - 1, statistics))
    with pytest.raises(CheckFailed, match="epoch 0 of 1 was scored"):
        list(trained(tuned))


def test_a_label_changed_after_the_split(tuned: Store) -> None:
    images, split, _ = workplace_of(tuned, started_study(tuned, "small")).open()
    labels = images.labels.copy()
    labels[5] = (labels[5] + 1) % 10
    with pytest.raises(CheckFailed, match="image 5 has other label than when the split was made"):
        split.verify_images(replace(images, labels=labels, path=None))


def test_training_after_the_test_was_seen(tuned: Store) -> None:
    test_set.load_test(started_study(tuned, "small").data["settings"])
    with pytest.raises(CheckFailed, match="nothing may be trained"):
        list(trained(tuned))
    test_set.opened = False


def test_an_image_scored_twice() -> None:
    with pytest.raises(CheckFailed, match="image 3 was predicted 2 times"):
        guards.covered_once(0, [np.arange(4), np.arange(3, 8)], 8)


def test_predictions_that_know_something_are_above_chance() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 500)
    assert leak_probes.chance_of(labels, random.permutation(labels)).p > leak_probes.LUCK
    told = np.where(random.random(500) < 0.15, labels, random.permutation(labels))
    assert leak_probes.chance_of(labels, told).p < leak_probes.LUCK


def test_luck_is_as_rare_as_said() -> None:
    """Predictions dealt out at random fail once in a thousand at most; here with classes of unequal size."""
    random = np.random.default_rng(0)
    labels = random.choice(4, 300, p=[0.6, 0.2, 0.1, 0.1])
    calls = [random.choice(4, 300, p=[0.7, 0.1, 0.1, 0.1]) for _ in range(2000)]
    assert sum(leak_probes.chance_of(labels, called).p < leak_probes.LUCK for called in calls) <= 6
    found = leak_probes.chance_of(labels, calls[0])
    assert found.expected < found.bound < 0.65
