"""The manifest: each image held out once; planted violations and damaged files are caught."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import LEFT_OUT, Manifest
from harness.errors import CheckFailed, DataError
from harness.folds import guards


def some_images() -> Images:
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (103, 1, 4, 4), dtype=np.uint8)
    return Images(pixels, np.arange(103) % 4, ("a", "b", "c", "d"), tuple(f"img{i}.png" for i in range(103)))


def some_manifest() -> Manifest:
    images = some_images()
    fold_of = make_folds(images.labels, num_folds=5, seed=3)
    return Manifest.make(images, fold_of, np.arange(103), num_folds=5, seed=2**63 - 1)


def test_every_image_is_held_out_exactly_once_and_never_trained_on_then() -> None:
    manifest = some_manifest()
    manifest.verify()
    held_out = np.concatenate([manifest.held_out(fold) for fold in range(5)])
    assert sorted(held_out) == list(range(103))
    for fold in range(5):
        train, test = manifest.train_indices(fold), manifest.held_out(fold)
        assert train.dtype == test.dtype == np.int64
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        assert not set(train) & set(test) and len(train) + len(test) == 103


def test_an_image_that_is_left_out_is_in_no_part_of_any_fold() -> None:
    manifest = some_manifest()
    fold_of = np.where(np.arange(103) % 3 == 0, LEFT_OUT, manifest.fold_of)
    smaller = replace(manifest, fold_of=fold_of)
    smaller.verify()
    for fold in range(5):
        train, held_out = smaller.train_indices(fold), smaller.held_out(fold)
        guards.division(smaller, fold, train, held_out)
        assert sorted([*train, *held_out]) == np.flatnonzero(np.arange(103) % 3).tolist()
        with pytest.raises(CheckFailed, match=f"fold {fold}"):
            guards.division(smaller, fold, np.append(train[1:], 0), held_out)


@pytest.mark.parametrize("fold", [-1, 5])
def test_there_is_no_other_fold(fold: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.4"):
        some_manifest().held_out(fold)


@pytest.mark.parametrize(
    ("image", "fold", "message"),
    [
        (17, 5, "image 17 is held out 0 times"),
        (17, -1, "image 17 is held out 0 times"),
        (None, 1, "fold 0 has"),
    ],
)
def test_verify_catches_a_planted_violation(image: int | None, fold: int, message: str) -> None:
    fold_of = some_manifest().fold_of.copy()
    fold_of[image if image is not None else fold_of == 0] = fold
    with pytest.raises(CheckFailed, match=message):
        replace(some_manifest(), fold_of=fold_of).verify()


def test_verify_catches_an_image_that_is_trained_on_and_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Manifest, "train_indices", lambda self, fold: np.flatnonzero(self.fold_of >= 0))
    with pytest.raises(CheckFailed, match="fold 0"):
        some_manifest().verify()


def test_verify_catches_a_group_that_crosses_folds() -> None:
    groups = np.random.default_rng(0).integers(0, 30, 103)
    fold_of = groups % 5
    manifest = replace(some_manifest(), fold_of=fold_of, groups=groups)
    manifest.verify()
    crossing = fold_of.copy()
    crossing[groups == 12] = np.arange((groups == 12).sum()) % 2 + 2
    with pytest.raises(CheckFailed, match="group 12"):
        replace(manifest, fold_of=crossing).verify()


def test_the_hash_depends_on_everything() -> None:
    manifest = some_manifest()
    other = manifest.fold_of.copy()
    other[0] = (other[0] + 1) % 5
    variants = [
        manifest,
        replace(manifest, data_hash="abd"),
        replace(manifest, num_folds=6),
        replace(manifest, seed=4),
        replace(manifest, fold_of=other),
        replace(manifest, groups=manifest.groups // 2),
        replace(manifest, labels=manifest.labels[::-1]),
        replace(manifest, image_hashes=manifest.image_hashes[::-1]),
    ]
    assert len({variant.hash for variant in variants}) == len(variants)
    assert replace(manifest, fold_of=manifest.fold_of.astype(np.int32)).hash == manifest.hash


def test_a_saved_manifest_comes_back_and_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "новая папка" / "split.npz"
    manifest = some_manifest()
    manifest.save(path)
    back = Manifest.load(path)
    assert back.hash == manifest.hash and back.fold_of.dtype == np.int64 and back.seed == manifest.seed
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            assert Manifest.load(path).hash == manifest.hash  # zip's time stamps and the like mean nothing
        except DataError as error:
            assert "split.npz: damaged split" in str(error)
    path.write_bytes(whole[:100])
    with pytest.raises(DataError, match="damaged split"):
        Manifest.load(path)
    path.unlink()
    with pytest.raises(DataError, match="no such split"):
        Manifest.load(path)


def test_a_manifest_whose_folds_were_exchanged_is_noticed(tmp_path: Path) -> None:
    some_manifest().save(tmp_path / "split.npz")
    with np.load(tmp_path / "split.npz") as content:
        arrays = {name: content[name] for name in content.files}
        np.savez(tmp_path / "split.npz", **{**arrays, "fold_of": (content["fold_of"] + 1) % 5})
    with pytest.raises(DataError, match="does not match its hash"):
        Manifest.load(tmp_path / "split.npz")


@pytest.mark.parametrize(
    ("image", "what", "said"),
    [
        (7, "pixels", r"image 7 \(img7.png\) has other pixels than .* \(1 changed in all\)"),
        (99, "label", r"image 99 \(img99.png\) has other label than"),
    ],
)
def test_a_changed_image_is_named(image: int, what: str, said: str) -> None:
    images = some_images()
    some_manifest().verify_images(images)
    if what == "pixels":
        images.pixels[image, 0, 2, 3] ^= 1
        images = replace(images)  # its hashes are computed anew
    else:
        labels = images.labels.copy()
        labels[image] = (labels[image] + 1) % 4
        images = replace(images, labels=labels)
    with pytest.raises(CheckFailed, match=said):
        some_manifest().verify_images(images)


def test_a_missing_image_is_noticed() -> None:
    with pytest.raises(CheckFailed, match="of 103 images, and now there are 102"):
        some_manifest().verify_images(some_images().take(np.arange(102)))
