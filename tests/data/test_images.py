"""Images: what they refuse, and that what was saved comes back whole or not at all."""

import errno
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data import images as images_module
from harness.data.images import Chunk, Images, read_notes, write
from harness.errors import DataError, StoreError


def some_images(count: int = 20, *, seed: int = 0) -> Images:
    random = np.random.default_rng(seed)
    return Images(
        random.integers(0, 256, (count, 3, 6, 6), dtype=np.uint8),
        np.arange(count) % 3,
        ("кот", "dog house", "fish"),
        tuple(f"кот/{index}.png" for index in range(count)),
        np.arange(count) // 2,
    )


def test_saved_images_come_back_the_same_and_memory_mapped(tmp_path: Path) -> None:
    images = some_images()
    images.save(tmp_path / "a folder" / "имя")
    back = Images.open(tmp_path / "a folder" / "имя")
    assert isinstance(back.pixels, np.memmap) and not back.pixels.flags.writeable
    assert back.path == tmp_path / "a folder" / "имя"
    assert (back.pixels == images.pixels).all() and (back.labels == images.labels).all()
    assert (back.groups == images.groups).all()
    assert (back.classes, back.names) == (images.classes, images.names)
    assert back.verified().content_hash == images.content_hash


def test_the_content_hash_depends_on_every_part_of_the_content_and_not_on_the_place(tmp_path: Path) -> None:
    images = some_images()
    pixels = images.pixels.copy()
    pixels[7, 1, 2, 3] ^= 1
    labels = images.labels.copy()
    labels[0] = 2
    variants = [
        images,
        replace(images, pixels=pixels),
        replace(images, labels=labels),
        replace(images, classes=("кот", "dog", "fish")),
        replace(images, pixels=images.pixels.reshape(20, 3, 4, 9)),
        images.take(np.arange(19)),
    ]
    assert len({variant.content_hash for variant in variants}) == len(variants)
    assert replace(images, names=()).content_hash == images.content_hash
    assert images.take(np.arange(20)).content_hash == images.content_hash


def test_the_content_hash_depends_on_who_is_grouped_with_whom_and_not_on_numbers() -> None:
    images = some_images()
    other = np.arange(20) // 2
    other[5] = 3
    variants = [images, replace(images, groups=None), replace(images, groups=other)]
    assert len({variant.content_hash for variant in variants}) == 3
    renumbered = 1000 - 7 * (np.arange(20) // 2)
    assert replace(images, groups=renumbered).content_hash == images.content_hash
    assert (
        images.take(np.arange(10, 20)).content_hash
        != replace(images, groups=None).take(np.arange(10, 20)).content_hash
    )


def test_the_content_hash_without_groups_is_the_same_in_every_release() -> None:
    expected = "bda777ade5a698ee179f5169dc19579da7f2ed8ade67c87e9fb2dface0e82010"
    assert replace(some_images(), groups=None).content_hash == expected


def test_each_image_has_a_hash_of_its_pixels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    images = some_images()
    monkeypatch.setattr(images_module, "CHUNK_BYTES", 7 * 3 * 36)
    hashes = images.image_hashes
    assert hashes.shape == (20, 16) and hashes.dtype == np.uint8
    for pixels, found in zip(images.pixels, hashes, strict=True):
        assert bytes(found) == hashlib.sha256(pixels.tobytes()).digest()[:16]
    order = np.random.default_rng(0).permutation(20)
    other = replace(images.take(order), labels=np.zeros(20, np.int64), classes=("a",), groups=None)
    assert (other.image_hashes == hashes[order]).all()
    strided = replace(images, pixels=images.pixels.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2))
    assert (strided.image_hashes == hashes).all()
    assert images.take(np.arange(0)).image_hashes.shape == (0, 16)


def test_the_hash_does_not_depend_on_how_the_pixels_lie_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    images = some_images()
    strided = replace(images, pixels=images.pixels.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2))
    assert not strided.pixels.flags.c_contiguous
    monkeypatch.setattr(images_module, "CHUNK_BYTES", 300)
    assert strided.content_hash == some_images().content_hash
    monkeypatch.undo()
    assert some_images().content_hash == images.content_hash


def test_images_can_be_written_in_pieces_and_be_fewer_than_announced(tmp_path: Path) -> None:
    images = some_images(1200)
    parts = [slice(0, 1), slice(1, 1000), slice(1000, 1009)]
    chunks = (
        Chunk(images.pixels[part], images.labels[part], images.names[part], np.arange(1200)[part] // 2)
        for part in parts
    )
    notes = ["one"]
    write(tmp_path / "kept", chunks, images.classes, images.pixels.shape, notes=notes)
    expected = images.take(np.arange(1009))
    back = Images.open(tmp_path / "kept").verified()
    assert back.content_hash == expected.content_hash and back.names == expected.names
    assert read_notes(tmp_path / "kept") == ("one",)


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": np.zeros((20, 3, 6), np.uint8)},
        {"pixels": np.zeros((20, 3, 6, 6), np.float32)},
        {"labels": np.zeros(19, np.int64)},
        {"labels": np.zeros(20, np.int32)},
        {"labels": np.full(20, 3)},
        {"labels": np.full(20, -1)},
        {"names": ("a",)},
        {"groups": np.zeros(3, np.int64)},
    ],
    ids=lambda change: "-".join(change),
)
def test_parts_that_do_not_fit_together_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError):
        replace(some_images(), **change)  # type: ignore[arg-type]


def test_a_flipped_bit_anywhere_in_saved_images_is_noticed(tmp_path: Path) -> None:
    some_images().save(tmp_path / "saved")
    random = np.random.default_rng(1)
    for name in ("pixels.npy", "labels.npy", "meta.json"):
        path = tmp_path / "saved" / name
        whole = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            position = int(random.integers(len(whole)))
            damaged[position] ^= 1 << int(random.integers(8))
            path.write_bytes(damaged)
            try:
                same = Images.open(path.parent).verified()
            except DataError:
                continue
            # numpy's header may be written in several ways that mean the same
            assert (
                name.endswith(".npy") and position < 128 and same.content_hash == some_images().content_hash
            )
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["pixels.npy", "labels.npy", "meta.json"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\x93NUMPY", b"{}"], ids=["gone", "empty", "header", "braces"]
)
def test_missing_and_cut_files_are_one_clear_error(tmp_path: Path, name: str, content: bytes | None) -> None:
    some_images().save(tmp_path / "saved")
    path = tmp_path / "saved" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match="saved"):
        Images.open(tmp_path / "saved")


def test_saving_replaces_damaged_images_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    some_images(seed=1).save(folder)
    some_images(seed=2).save(folder)
    assert Images.open(folder).content_hash == some_images(seed=2).content_hash
    (folder / "pixels.npy").write_bytes(b"damaged")
    some_images(seed=2).save(folder)
    Images.open(folder).verified()
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_many_may_save_and_open_the_same_images_at_once(tmp_path: Path) -> None:
    def save_and_open(_: int) -> str:
        some_images().save(tmp_path / "saved")
        return Images.open(tmp_path / "saved").verified().content_hash

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(save_and_open, range(40))) == {some_images().content_hash}
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*2,160 bytes needed"):
        some_images().save(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 100))  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="2,160 bytes needed, 100 free"):
        some_images().save(tmp_path / "saved")
