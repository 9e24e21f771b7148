"""Durable files: whole or not at all, and damage is noticed."""

import errno
import os
from pathlib import Path

import pytest

from harness import files
from harness.errors import RecordError, StoreError, UsageError


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a" / "ü b.json"
    files.write_json(path, {"x": 0.1, "ä": [1, None, "é"]})
    assert files.read_json(path) == {"x": 0.1, "ä": [1, None, "é"]}
    assert [entry.name for entry in path.parent.iterdir()] == ["ü b.json"]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"score": 0.75, "folds": [1, 2]})
    content = path.read_bytes()
    unnoticed = []
    for i in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :])
            try:
                same = files.read_json(path) == {"score": 0.75, "folds": [1, 2]}
            except RecordError:
                continue
            if not same:
                unnoticed.append((i, bit))
    assert not unnoticed  # white space may change; the content may not


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"old": True})

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        StoreError, match=r"a\.json: No space left on device: .* bytes needed, .* free; make room"
    ):
        files.write_json(path, {"new": True})
    with pytest.raises(StoreError, match="No space left"):
        files.write_folder(tmp_path / "folder", {"x": b"123"})
    monkeypatch.undo()
    assert files.read_json(path) == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_written_once_and_whole(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    files.write_folder(folder, {"a": b"1", "b": b"2"})
    with pytest.raises(FileExistsError):
        files.write_folder(folder, {"a": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"1", "b": b"2"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["record"]


def test_others_may_look_into_a_folder_as_into_any_other(tmp_path: Path) -> None:
    files.write_folder(tmp_path / "record", {"a": b"1"})
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a").write_bytes(b"1")
    for name in ("", "a"):
        modes = {(tmp_path / folder / name).stat().st_mode for folder in ("record", "plain")}
        assert len(modes) == 1


@pytest.mark.parametrize("place", ["/dev/null", "/dev/new-name", "/dev/stdout"])
def test_a_device_is_never_replaced_by_a_file(place: str) -> None:
    with pytest.raises(UsageError, match="is a device or a pipe; name a file"):
        files.require_replaceable(Path(place))


def test_a_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is a device or a pipe; name a file"):
        files.write_file(tmp_path / "pipe", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
