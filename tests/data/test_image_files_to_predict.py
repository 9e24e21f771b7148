"""Which files are found below folders, in which order, and what is no file at all."""

import os
from pathlib import Path

import pytest

from harness.data.image_files import Candidate, image_files, read
from harness.standalone.image_pixels import UnreadableError


def made(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def names(root: Path, *paths: str, without: Path | None = None) -> list[str]:
    found = image_files([str(root / path) for path in paths], without=without)
    return [os.path.relpath(file.path, root) for file in found if not file.problem]


def test_files_named_like_images_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    made(tmp_path, "b.PNG", "a/z.jpg", "a/notes.txt", "c.jpeg", ".hidden.png", ".git/d.png", "a/b/c.tiff")
    assert names(tmp_path, ".") == ["a/b/c.tiff", "a/z.jpg", "b.PNG", "c.jpeg"]


def test_what_is_named_itself_is_taken_whatever_its_name(tmp_path: Path) -> None:
    made(tmp_path, "notes.txt", "a/1.png")
    assert names(tmp_path, "notes.txt", "a", "missing.png") == ["notes.txt", "a/1.png", "missing.png"]


def test_a_folder_can_be_left_out(tmp_path: Path) -> None:
    made(tmp_path, "1.png", "sorted/cat/2.png", "sorted2/3.png")
    (tmp_path / "link").symlink_to(tmp_path / "sorted")
    assert names(tmp_path, ".", without=tmp_path / "x" / ".." / "sorted") == ["1.png", "sorted2/3.png"]


def test_links_in_circles_end(tmp_path: Path) -> None:
    made(tmp_path, "a/1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    assert names(tmp_path, ".") == ["a/1.png"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a/1.png", "b/2.png")
    real = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("a"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = list(image_files([str(tmp_path)]))
    assert found == [
        Candidate(str(tmp_path / "a"), "Permission denied"),
        Candidate(str(tmp_path / "b/2.png")),
    ]


def test_only_whole_regular_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "1.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert read(str(tmp_path / "1.png")) == b"x"
    monkeypatch.setattr("harness.data.image_files.MAX_FILE_BYTES", 0)
    for path, why in (
        (tmp_path / "pipe.png", "not a regular file"),
        (tmp_path, "not a regular file|Is a directory"),
        (tmp_path / "none.png", "No such file"),
        ("a\0b", "null"),
        (tmp_path / "1.png", "larger than 0 bytes"),
    ):
        with pytest.raises(UnreadableError, match=why):
            read(str(path))
