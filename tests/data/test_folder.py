"""Folders of images: decoded once, found again quickly, made anew when anything has changed."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from harness.data import decoded_files, load_training
from harness.data import folder as folder_module
from harness.data.image_files import list_images
from harness.data.images import Images
from harness.data.near_duplicates import find
from harness.data.test_set import load_test
from harness.errors import DataError
from tests.data.photographs import brighter, flipped, jpeg, pieces


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """3 classes of 10 images of 8×8 in a folder with a difficult name."""
    root = tmp_path / "Мои images"
    random = np.random.default_rng(0)
    for name in ("a", "b", "c d"):
        (root / name).mkdir(parents=True)
        for index in range(10):
            save(root / name / f"{index}.png", random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return root


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def settings(root: Path, **options: Any) -> dict[str, Any]:
    return {"name": "folder", "root": str(root), "image_size": 8, **options}


def load(root: Path, **options: Any) -> Images:
    return load_training(settings(root, **options))


@pytest.fixture
def num_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the files that are decoded."""
    counter = [0]
    decode = decoded_files.decode_with_facts

    def counting(content: bytes, **options: Any) -> Any:
        counter[0] += 1
        return decode(content, **options)

    monkeypatch.setattr(decoded_files, "decode_with_facts", counting)
    return counter


def test_training_and_test_images_are_the_files_bit_for_bit(root: Path) -> None:
    train, test = load(root), load_test(settings(root))
    assert len(train) == 24 and len(test) == 6 and train.classes == test.classes == ("a", "b", "c d")
    assert not set(train.names) & set(test.names)
    for images in (train, test):
        for pixels, label, name in zip(images.pixels, images.labels, images.names, strict=True):
            assert (np.asarray(Image.open(root / name)) == pixels.transpose(1, 2, 0)).all()
            assert images.classes[label] == name.split("/")[0]


def test_the_second_start_decodes_nothing_and_maps_the_same_images(
    root: Path, num_decoded: list[int]
) -> None:
    first = load(root)
    assert num_decoded == [30]  # those of both parts, once
    second = load(root)
    assert num_decoded == [30] and second.content_hash == first.content_hash
    assert isinstance(second.pixels, np.memmap) and second.path == first.path
    load_test(settings(root))
    assert num_decoded == [30]


def test_the_second_start_does_not_even_read_the_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(root)
    monkeypatch.setattr(decoded_files, "read_file", None)
    assert load(root).content_hash == first.content_hash


def test_touched_and_moved_files_are_recognised_by_their_content(root: Path, num_decoded: list[int]) -> None:
    first = load(root)
    for path in root.rglob("*.png"):
        os.utime(path)
    root.rename(root.parent / "moved")
    assert load(root.parent / "moved").path == first.path
    assert num_decoded == [30]


def test_a_changed_file_is_noticed_even_with_its_old_size_and_time(root: Path) -> None:
    first = load(root)
    path = root / first.names[5]
    status = path.stat()
    pixels = np.array(Image.open(path))
    pixels[0, 0] ^= 1
    save(path, pixels)
    path.write_bytes(path.read_bytes().ljust(status.st_size, b"\0")[: status.st_size])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    images = [load(root), load_test(settings(root))]
    found = {name: image for part in images for name, image in zip(part.names, part.pixels, strict=True)}
    assert (found[first.names[5]] == pixels.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("options", [{"image_size": 4}, {"channels": 1}, {"test_fraction": 0.5}])
def test_other_options_give_other_images(root: Path, options: dict[str, Any]) -> None:
    assert load(root).path != load(root, **options).path
    assert load(root).pixels.shape == (24, 3, 8, 8)


def test_a_damaged_copy_is_made_anew_with_a_warning(
    root: Path, num_decoded: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    first = load(root)
    assert first.path is not None
    expected, path = first.content_hash, first.path / "pixels.npy"
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)
    again = load(root)
    assert again.content_hash == expected and num_decoded == [60]
    assert "damaged" in caplog.text and "made anew" in caplog.text


def test_a_damaged_note_of_what_was_seen_does_no_harm(root: Path, home: Path, num_decoded: list[int]) -> None:
    expected = load(root).content_hash
    (seen,) = (home / "cache" / "seen").iterdir()
    for content in (b"", b"\xff\x00", b"folder-0", b"../.."):
        seen.write_bytes(content)
        assert load(root).content_hash == expected
    assert num_decoded == [30]


def test_train_and_test_folders_are_taken_as_they_are(
    tmp_path: Path, root: Path, num_decoded: list[int]
) -> None:
    root.rename(tmp_path / "train")
    (tmp_path / "all").mkdir()
    (tmp_path / "train").rename(tmp_path / "all" / "train")
    save(tmp_path / "all" / "test" / "b" / "x.png", np.zeros((8, 8, 3), np.uint8))
    assert len(load(tmp_path / "all")) == 30 and num_decoded == [31]
    test = load_test(settings(tmp_path / "all"))
    assert test.names == ("b/x.png",) and test.labels.tolist() == [1] and test.classes == ("a", "b", "c d")


def damage(root: Path) -> None:
    (root / "a" / "empty.jpg").touch()
    (root / "b" / "text.jpg").write_text("not an image")
    (root / "b" / "cut.png").write_bytes((root / "b" / "1.png").read_bytes()[:60])
    (root / "c d" / "gone.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "c d" / "pipe.png")
    (root / "c d" / "x.png").mkdir()
    for index in range(5):
        (root / "a" / f"text{index}.jpg").write_text(f"also text {index}")


def test_unreadable_files_are_counted_and_named_and_refused(root: Path, home: Path) -> None:
    damage(root)
    with pytest.raises(DataError) as caught:
        load(root, test_fraction=0.01)
    message = str(caught.value)
    assert "images are unreadable" in message and "a/empty.jpg (empty)" in message and "more" in message
    assert "data.unreadable: skip" in message and "\n" not in message
    assert not list(home.glob("cache/folder-*[0-9a-f]")) and not list(home.glob("cache/.*"))


def test_unreadable_files_are_left_out_where_the_study_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(root)
    parts = [load(root, unreadable="skip"), load_test(settings(root, unreadable="skip"))]
    assert sorted(name for part in parts for name in part.names) == sorted(
        f"{name}/{index}.png" for name in ("a", "b", "c d") for index in range(10)
    )
    for part in parts:
        for pixels, name in zip(part.pixels, part.names, strict=True):
            assert (np.asarray(Image.open(root / name)) == pixels.transpose(1, 2, 0)).all()
    caplog.clear()
    load(root, unreadable="skip")
    assert "are unreadable and left out: a/empty.jpg (empty)" in caplog.text


def test_an_unreadable_file_of_either_part_is_found_before_anything_is_trained(root: Path) -> None:
    sealed = load_test(settings(root)).names[0]
    content = (root / sealed).read_bytes()
    (root / sealed).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"1 of 30 images are unreadable: {sealed}"):
        load(root)
    (root / sealed).write_bytes(content)
    assert len(load(root)) == 24


def test_a_class_of_unreadable_files_only_is_an_error_even_where_they_are_left_out(root: Path) -> None:
    for path in (root / "b").iterdir():
        path.write_text(f"no image {path}")
    with pytest.raises(DataError, match="no training image of class b"):
        load(root, unreadable="skip")


def test_equal_files_are_never_in_both_parts(root: Path) -> None:
    for index in range(10):
        (root / "a" / f"copy{index}.png").write_bytes((root / "a" / f"{index}.png").read_bytes())
    train, test = load(root, test_fraction=0.3), load_test(settings(root, test_fraction=0.3))
    assert not {image.tobytes() for image in train.pixels} & {image.tobytes() for image in test.pixels}
    assert np.bincount(test.labels).tolist() == [6, 3, 3]


def test_duplicates_are_never_in_both_parts(tmp_path: Path) -> None:
    changes = (flipped, lambda image: brighter(image, 1.1), lambda image: jpeg(image, 75))
    for place, image in enumerate(pieces(40)):
        folder = tmp_path / "root" / "ab"[place % 2]
        save(folder / f"{place:03}.png", image.transpose(1, 2, 0))
        if place < 20:
            save(folder / f"{place:03} copy.png", changes[place % 3](image).transpose(1, 2, 0))
    for options in ({"image_size": 32}, {"image_size": 48, "channels": 1}):
        chosen = {**settings(tmp_path / "root"), **options}
        train, test = load_training(chosen), load_test(chosen)
        in_train, in_test = ({Path(name).name[:3] for name in part.names} for part in (train, test))
        assert not in_train & in_test and len(in_train | in_test) == 40
        across = find(train.pixels, test.pixels)
        assert 10 <= len(test) <= 12 and not across.sure.any()


def test_an_unreadable_file_is_the_duplicate_of_none(root: Path) -> None:
    for name in ("a", "b"):
        (root / name / "text.jpg").write_text(f"no image {name}")
        save(root / name / "black.png", np.zeros((8, 8, 3), np.uint8))
    files = list_images(root, "train").files
    digests = [decoded_files.hash_file(file) for file in files]
    with decoded_files.decoded(files, digests, root.parent / "x", image_size=8, channels=3) as decoded:
        found = find(decoded.thumbnails)
        assert len(decoded.problems) == 2
    assert [{files[index].name for index in pair} for pair in found.only_exact().pairs] == [
        {"a/black.png", "b/black.png"}
    ]


def test_a_file_that_changes_while_it_is_read_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "hash_file", lambda file: file.name.encode())
    with pytest.raises(DataError, match="changed while it was being read"):
        load(root)


def test_progress_is_logged_and_nothing_else(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    load(root)
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert caplog.messages == ["reading 30 image files"]


def test_processes_that_start_at_once_decode_once(root: Path, home: Path) -> None:
    program = f"""
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
from harness.data import load_training
print(load_training({settings(root)!r}).content_hash)
"""
    environment = {**os.environ, "HARNESS_DATA": str(home)}
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    outputs = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0] and len(outputs) == 1
    assert len(list(home.glob("cache/folder-*[0-9a-f]"))) == 1 and not list(home.glob("cache/.*"))
    assert outputs == {load(root).content_hash + "\n"}
