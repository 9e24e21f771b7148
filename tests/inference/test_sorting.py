"""Files find one folder per class; none is lost, none is written over, and no class name leads elsewhere."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
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

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        Sorter(tmp_path / "out", "copy", ["cat"], dry_run=False).put(str(tmp_path / "a.png"), "cat")
    assert names_in(tmp_path / "out" / "cat") == []


def on_another_file_system(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """No hard link and no rename leads into this folder or out of it."""

    def within(done: Callable[..., None]) -> Callable[..., None]:
        def step(one: object, two: object, **given: object) -> None:
            if Path(str(one)).is_relative_to(root) != Path(str(two)).is_relative_to(root):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            done(one, two, **given)

        return step

    for name in ("link", "rename"):
        monkeypatch.setattr(os, name, within(getattr(os, name)))


def refusing(monkeypatch: pytest.MonkeyPatch, number: int, *names: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    for name in names:
        monkeypatch.setattr(os, name, refuse)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP])
@pytest.mark.parametrize("how", ["move", "copy"])
def test_file_systems_without_hard_links_do_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, number: int
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_text(folder)
    os.utime(tmp_path / "one" / "a.png", (1e9, 1e9))
    refusing(monkeypatch, number, "link")
    for _ in range(2):
        with Sorter(tmp_path / "out", how, ["cat"], dry_run=False) as sorter:  # type: ignore[arg-type]
            for folder in ("one", "two"):
                if (tmp_path / folder / "a.png").exists():
                    sorter.put(str(tmp_path / folder / "a.png"), "cat")
    assert [(tmp_path / "out" / "cat" / name).read_text() for name in ("a.png", "a_2.png")] == ["one", "two"]
    assert names_in(tmp_path / "out" / "cat") == ["a.png", "a_2.png"] and names_in(tmp_path / "out") == [
        "cat"
    ]
    assert (tmp_path / "out" / "cat" / "a.png").stat().st_mtime == 1e9
    assert len(list(tmp_path.glob("*/a.png"))) == (2 if how == "copy" else 0)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
@pytest.mark.parametrize("far", [True, False])
def test_a_file_that_may_not_leave_its_folder_stays_there_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, far: bool
) -> None:
    path = tmp_path / "a.png"
    path.write_text("a")
    unlink = os.unlink

    def refuse(place: object, **given: object) -> None:
        if str(place) == str(path):
            raise OSError(number, os.strerror(number))
        unlink(place, **given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        if far:
            on_another_file_system(patch, tmp_path / "out")
        with (
            Sorter(tmp_path / "out", "move", ["cat"], dry_run=False) as sorter,
            pytest.raises(OSError, match=os.strerror(number)),
        ):
            sorter.put(str(path), "cat")
    assert path.read_text() == "a" and names_in(tmp_path / "out") == ["cat"]
    assert names_in(tmp_path / "out" / "cat") == []


def test_where_case_does_not_count_a_name_is_taken_in_any_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, lexists = os.link, os.path.lexists

    def in_any_case(path: object) -> bool:
        place = Path(str(path))
        there = {name.casefold() for name in names_in(place.parent)} if place.parent.is_dir() else set()
        return place.name.casefold() in there or lexists(place)

    def linked(source: object, target: object, **_: object) -> None:
        if in_any_case(target):
            raise FileExistsError(errno.EEXIST, "File exists")
        link(source, target)  # type: ignore[arg-type]

    for number, name in enumerate(("a.png", "A.PNG")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / name).write_text(name)
    monkeypatch.setattr(os, "link", linked)
    with Sorter(tmp_path / "out", "copy", ["cat"], dry_run=False) as sorter:
        sorter.put(str(tmp_path / "0" / "a.png"), "cat")
        sorter.put(str(tmp_path / "1" / "A.PNG"), "cat")
    found = {path.name: path.read_text() for path in (tmp_path / "out" / "cat").iterdir()}
    assert found == {"a.png": "a.png", "A_2.PNG": "A.PNG"}


@pytest.mark.parametrize("how", ["move", "copy", "link"])
def test_a_second_run_changes_nothing(tmp_path: Path, how: str) -> None:
    paths = [tmp_path / folder / "a.png" for folder in ("one", "two", "three")]
    for path, content in zip(paths, "aba", strict=True):  # two of one content, and yet two files
        path.parent.mkdir()
        path.write_text(content)
    states = []
    for dry_run in (True, False, False, True):
        with Sorter(tmp_path / "out", how, ["cat"], dry_run=dry_run) as sorter:  # type: ignore[arg-type]
            targets = [sorter.put(str(path), "cat") for path in paths if path.exists()]
        states.append((targets, sorted((path, path.lstat().st_ino) for path in tmp_path.rglob("*.png"))))
    assert [path.name for path in states[0][0]] == ["a.png", "a_2.png", "a_3.png"]
    assert states[1][0] == states[0][0]
    assert states[1][1] == states[2][1] == states[3][1]
    assert states[2][0] == states[3][0] == ([] if how == "move" else states[0][0])
    assert [path.read_text() for path in states[0][0]] == ["a", "b", "a"]


def test_two_runs_do_not_work_on_one_folder(tmp_path: Path) -> None:
    with (
        Sorter(tmp_path / "out", "copy", ["cat"], dry_run=False),
        pytest.raises(UsageError, match="another harness predict is putting files there"),
        Sorter(tmp_path / "out", "copy", ["cat"], dry_run=False),
    ):
        pass
    with Sorter(tmp_path / "out", "copy", ["cat"], dry_run=False):
        pass


def test_one_file_seen_in_two_ways_is_not_taken_for_two(tmp_path: Path) -> None:
    (tmp_path / "out" / "cat").mkdir(parents=True)
    (tmp_path / "out" / "cat" / "a.png").write_text("a")
    os.link(tmp_path / "out" / "cat" / "a.png", tmp_path / "kept.png")
    (tmp_path / "way").symlink_to(tmp_path / "out")
    with Sorter(tmp_path / "out", "move", ["cat"], dry_run=False) as sorter:
        target = sorter.put(str(tmp_path / "way" / "cat" / "a.png"), "cat")
    assert target.read_text() == "a" and len(names_in(tmp_path / "out" / "cat")) == 1
    assert (tmp_path / "kept.png").read_text() == "a"


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
    done = os.unlink

    def interrupted(place: object, **given: object) -> None:
        done(place, **given)  # type: ignore[arg-type]
        if str(place) == str(path):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if far:
            on_another_file_system(patch, tmp_path / "to")
        patch.setattr(os, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Sorter(tmp_path / "to", "move", ["cat"], dry_run=False).put(str(path), "cat")
    assert (tmp_path / "to" / "cat" / "a.png").read_text() == "the only one" and not path.exists()
