"""AVIF always, HEIC with its extra; without it such files are named, with what installs it. Notes of what was read."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import formats, load_training
from harness.data.decoding import decode, decode_with_facts
from harness.data.file_facts import Facts
from harness.data.file_notes import notes
from harness.data.image_files import Candidate, image_files, list_images
from harness.data.policy import DEFAULT, Policy
from harness.errors import DataError
from harness.standalone.image_pixels import UnreadableError
from tests.data.test_decoding import encoded, pixels_of

HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.fixture
def without_heic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(formats, "reads_heic", lambda: False)
    formats.formats.cache_clear()
    yield
    formats.formats.cache_clear()


def smooth() -> np.ndarray:
    y, x = np.mgrid[0:64, 0:64]
    return np.stack([x * 4, y * 4, (x + y) * 2], -1).astype(np.uint8)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_photographs_of_telephones_are_decoded(kind: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(smooth(), kind, quality=95, exif=exif)
    (found,), facts = decode_with_facts(content, sizes=[(64, 3)])
    turns = {"AVIF": -1, "HEIF": 0}[kind]  # of HEIC its own boxes say how it is turned, and EXIF nothing
    assert abs(found.transpose(1, 2, 0).astype(int) - np.rot90(smooth(), turns)).mean() < 4
    assert (facts.format, facts.width, facts.frames) == (kind, 64, 1)


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_damaged_files_of_telephones_are_unreadable(kind: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    content = encoded(smooth(), kind)
    random = np.random.default_rng(0)
    for end in random.integers(1, len(content) - 1, 20):
        with pytest.raises(UnreadableError):
            decode(content[:end], image_size=8, channels=3)


@pytest.mark.usefixtures("without_heic")
def test_heic_without_the_extra_says_what_installs_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnreadableError, match=r"pip install 'harness-cv\[heif\]'"):
        decode(HEIC_HEAD, image_size=8, channels=3)
    for name in ("a/1.png", "b/1.png", "b/2.HEIC", "b/3.heif", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name for file in list_images(tmp_path, "train").files] == ["a/1.png", "b/1.png"]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "2 photographs are passed over: b/2.HEIC, b/3.heif (HEIC needs the extra: pip install 'harness-cv[heif]')",
        "1 files are not named like images and ignored: b/notes.txt",
    ]
    assert list(image_files([str(tmp_path / "b")])) == [
        Candidate(str(tmp_path / "b" / "1.png")),
        Candidate(str(tmp_path / "b" / "2.HEIC"), formats.NEEDS_EXTRA),
        Candidate(str(tmp_path / "b" / "3.heif"), formats.NEEDS_EXTRA),
    ]
    (tmp_path / "b" / "1.png").unlink()
    with pytest.raises(DataError, match=r"no image in this class folder .*pip install 'harness-cv\[heif\]'"):
        list_images(tmp_path, "train")


def test_heic_with_the_extra_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "reads_heic", lambda: True)
    for name in ("a/1.heic", "b/1.avif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name for file in list_images(tmp_path, "train").files] == ["a/1.heic", "b/1.avif"]


def facts(**changes: object) -> Facts:
    return Facts("TIFF", 8, 8, "I;16", False, 1, None, None, None)._replace(**changes)


def test_values_that_leave_few_levels_are_told_with_the_option_that_uses_all() -> None:
    narrow = [facts(low=0, high=4000), facts(low=5, high=4095)]
    (note,) = notes(narrow, DEFAULT)
    assert "values of 2 files of 16 bits are 0..4095" in note and "data.depth: [0, 4095]" in note
    assert not list(notes(narrow, Policy(depth=(0, 4095))))
    assert not list(notes([*narrow, facts(low=0, high=30_000)], DEFAULT))


def test_frames_and_halved_colours_are_counted() -> None:
    told = list(notes([facts(frames=2), facts(frames=2), facts(mode="RGB;16"), facts()], DEFAULT))
    assert told[0].startswith("2 files have several frames") and told[1].startswith(
        "1 files have colours of 16"
    )
    assert not list(notes([facts(), Facts("", 0, 0, "", False, 0, None, None, None)], DEFAULT))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Signed values, and in each folder one file of two pages."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "home"))
    for number in range(8):
        place = tmp_path / "images" / ("train", "test")[number > 5] / "ab"[number % 2] / f"{number}.tif"
        place.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(-1024, 3072, (8, 8)).astype(np.int32)
        more = {"save_all": True, "append_images": [Image.fromarray(values)]} if number < 2 else {}
        place.write_bytes(encoded(Image.fromarray(values), "TIFF", **more))
    return tmp_path / "images"


def test_a_folder_of_signed_values_is_refused_with_the_option_and_read_with_it(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"name": "folder", "root": str(root), "image_size": 8, "channels": 1}
    with pytest.raises(DataError, match=r"8 of 8 images .* which values are black and white in all of them$"):
        load_training(settings)
    with caplog.at_level(logging.WARNING):
        images = load_training({**settings, "depth": [-1024, 3071]})
    assert images.pixels.std() > 50
    assert f"{root}: 2 files have several frames or pages; the first of each is used" in caplog.messages


def test_the_unreadable_among_the_signed_are_told_as_such(root: Path) -> None:
    (root / "train" / "a" / "bad.png").write_bytes(encoded(pixels_of())[:50])
    with pytest.raises(
        DataError, match=r"9 of 9 images .*; repair or remove them, or set data.unreadable: skip$"
    ):
        load_training({"name": "folder", "root": str(root), "image_size": 8})
