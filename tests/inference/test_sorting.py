"""Files find one folder per class; none is lost, none is written over, and no class name leads elsewhere."""

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.inference.sorting import Sorter, folder_names

HOSTILE = [
    "../../up",
    "/etc",
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "con",
    "Cat",
    "cat",
    "cat_2",
    "x" * 300,
    "\0",
    "é ",
]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(max_examples=25)
@given(st.lists(st.text(max_size=120), unique=True, max_size=8))
def test_every_label_has_a_plain_folder_of_its_own(labels: list[str]) -> None:
    names = folder_names([*labels, *(name for name in HOSTILE if name not in labels)])
    assert len({name.casefold() for name in names.values()}) == len(names)
    for name in names.values():
        assert (
            name not in ("", ".", "..")
            and not set(name) & set('/\\\0\n:*?"<>|')
            and len(name.encode()) <= 110
        )


def test_usual_names_stay_as_they_are() -> None:
    usual = ["cat", "sea lion", "Büro", "class_10", "T-shirt"]
    assert folder_names(usual) == {name: name for name in usual}


@pytest.mark.parametrize("how", ["move", "link", "copy"])
def test_files_of_one_name_all_arrive(tmp_path: Path, how: str) -> None:
    content = {}
    for number in range(3):
        path = tmp_path / f"in{number}" / "a.b.png"
        path.parent.mkdir()
        path.write_text(str(number))
        content[str(path)] = str(number)
    (tmp_path / "out" / "cat").mkdir(parents=True)
    (tmp_path / "out" / "cat" / "a.b.png").write_text("was there")
    plan = Sorter(tmp_path / "out", how, ["cat"], dry_run=True)  # type: ignore[arg-type]
    planned = [plan.put(path, "cat") for path in content]
    assert [path.name for path in planned] == ["a.b_2.png", "a.b_3.png", "a.b_4.png"]
    assert names_in(tmp_path / "out" / "cat") == ["a.b.png"]
    sorter = Sorter(tmp_path / "out", how, ["cat"], dry_run=False)  # type: ignore[arg-type]
    assert [sorter.put(path, "cat") for path in content] == planned
    assert (tmp_path / "out" / "cat" / "a.b.png").read_text() == "was there"
    assert [path.read_text() for path in planned] == list(content.values())
    assert [Path(path).exists() for path in content] == [how != "move"] * 3
    assert all(path.is_symlink() == (how == "link") for path in planned)


@pytest.mark.parametrize("how", ["move", "link", "copy"])
def test_a_file_that_is_gone_leaves_nothing(tmp_path: Path, how: str) -> None:
    sorter = Sorter(tmp_path / "out", how, ["cat"], dry_run=False)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        sorter.put(str(tmp_path / "gone.png"), "cat")
    assert names_in(tmp_path / "out" / "cat") == []


def test_a_copy_that_fails_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_text("a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space left"):
        Sorter(tmp_path / "out", "copy", ["cat"], dry_run=False).put(str(tmp_path / "a.png"), "cat")
    assert names_in(tmp_path / "out" / "cat") == []


def test_a_move_to_another_file_system_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_text("a")

    def far(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", far)
    target = Sorter(tmp_path / "out", "move", ["cat"], dry_run=False).put(str(tmp_path / "a.png"), "cat")
    assert target.read_text() == "a" and not (tmp_path / "a.png").exists()


def test_a_moved_link_still_leads_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "real.png").write_text("real")
    (tmp_path / "in" / "a.png").symlink_to("real.png")
    sorter = Sorter(tmp_path / "out", "move", ["cat"], dry_run=False)
    target = sorter.put(str(tmp_path / "in" / "a.png"), "cat")
    assert target.is_symlink() and target.read_text() == "real"
    assert names_in(tmp_path / "in") == ["real.png"]


@pytest.mark.parametrize("far", [False, True])
def test_a_file_that_has_been_moved_outlives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: bool
) -> None:
    path = tmp_path / "a.png"
    path.write_text("the only one")
    last = "unlink" if far else "replace"
    done = getattr(os, last)

    def interrupted(*arguments: str) -> None:
        done(*arguments)
        raise KeyboardInterrupt

    def across(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    with monkeypatch.context() as patch:
        if far:
            patch.setattr(os, "replace", across)
        patch.setattr(os, last, interrupted)
        with pytest.raises(KeyboardInterrupt):
            Sorter(tmp_path / "to", "move", ["cat"], dry_run=False).put(str(path), "cat")
    assert (tmp_path / "to" / "cat" / "a.png").read_text() == "the only one" and not path.exists()
