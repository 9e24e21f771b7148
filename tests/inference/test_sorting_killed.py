"""A process that moves, copies or links files is killed at every step: nothing is empty, doubled or lost."""

import errno
import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from harness.inference.sorting import How, Sorter

STEPS = ("link", "rename", "symlink", "unlink", "mkdir", "fsync")  # of os, by which files change
FAR = Path("/dev/shm")  # on Linux another file system than most
LABELS = {
    "one/a.png": "cat",
    "two/a.png": "cat",
    "three/a.png": "cat",
    "one/b.png": "dog",
    "two/link.png": "cat",
}
CONTENTS = Counter({"A" * 3000: 2, "B" * 3000: 1, "C" * 3000: 1, "real": 1})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process that is killed loses what has not been synced."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


class Killed(BaseException):
    pass


class World:
    """The calls by which files change, which can be counted, and after one of which none has an effect any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, far: Path | None):
        self.left, self.far = -1, far
        for name in STEPS:
            monkeypatch.setattr(os, name, self._step(name, getattr(os, name)))
        monkeypatch.setattr(io, "open", self._opening(io.open))
        copy = shutil.copyfileobj

        def half(source: Any, file: Any, length: int = 0) -> None:
            self.count()
            file.write(source.read(1000))
            file.flush()
            self.count()
            copy(source, file, length)

        monkeypatch.setattr(shutil, "copyfileobj", half)

    def count(self) -> None:
        if not self.left:
            raise Killed
        self.left -= 1

    def _step(self, name: str, done: Callable[..., Any]) -> Callable[..., Any]:
        def step(*paths: Any, **given: Any) -> Any:
            self.count()
            if self.far is not None and name in ("link", "rename"):
                one, two = (Path(path).is_relative_to(self.far) for path in paths)
                if one != two:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            return done(*paths, **given)

        return step

    def _opening(self, done: Callable[..., Any]) -> Callable[..., Any]:
        def opening(file: Any, mode: str = "r", *rest: Any, **given: Any) -> Any:
            if set(mode) & set("wxa+"):
                self.count()
            return done(file, mode, *rest, **given)

        return opening


def photos(root: Path) -> Path:
    """Five files: two of one name, two of one name and content, and a link."""
    for name, content in (("one/a.png", "A"), ("two/a.png", "B"), ("three/a.png", "A"), ("one/b.png", "C")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content * 3000)
    (root / "kept").mkdir()
    (root / "kept" / "real.png").write_text("real")
    (root / "two" / "link.png").symlink_to("../kept/real.png")
    return root


def sort(source: Path, root: Path, how: How) -> None:
    with Sorter(root, how, ["cat", "dog"], dry_run=False) as sorter:
        for name, label in LABELS.items():
            if (source / name).exists():
                sorter.put(str(source / name), label)


def contents(root: Path) -> Counter[str]:
    """Of all files that people see."""
    return Counter(path.read_text() for path in visible(root))


def visible(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))


def assert_nothing_is_empty_or_lost(source: Path, root: Path, how: How) -> None:
    sorted_ones = contents(root)
    assert set(sorted_ones) <= set(CONTENTS)  # none is empty or half
    left = Counter({"A" * 3000: 0, **contents(source)})
    left["real"] -= 1  # the file that the link leads to
    if how == "move":
        assert set(sorted_ones + left) == set(CONTENTS)
        assert all(sorted_ones[content] + left[content] >= CONTENTS[content] for content in CONTENTS)
    else:
        assert left == CONTENTS


def assert_every_file_is_there_once(source: Path, root: Path, how: How) -> None:
    assert contents(root) == CONTENTS
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "cat", "cat/a.png", "cat/a_2.png", "cat/a_3.png", "cat/link.png", "dog", "dog/b.png",
    ]  # fmt: skip
    left = [str(path.relative_to(source)) for path in visible(source)]
    assert sorted(left) == sorted(["kept/real.png", *([] if how == "move" else LABELS)])


@pytest.mark.parametrize("is_far", [False, True])
@pytest.mark.parametrize("how", ["move", "copy", "link"])
def test_killed_at_every_step_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How, is_far: bool
) -> None:
    steps = 0
    while True:
        case = tmp_path / str(steps)
        source, root = photos(case / "in"), case / "out"
        with monkeypatch.context() as patch:
            world = World(patch, root if is_far else None)
            world.left = steps
            with suppress(Killed):
                sort(source, root, how)
            was_killed = not world.left
        assert_nothing_is_empty_or_lost(source, root, how)
        sort(source, root, how)
        assert_every_file_is_there_once(source, root, how)
        sort(source, root, how)
        assert_every_file_is_there_once(source, root, how)
        if not was_killed:
            break
        shutil.rmtree(case)
        steps += 1
    assert steps >= {"link": 8, "copy": 30, "move": 20}[how]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["move", "copy"])
def test_killed_at_every_step_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How) -> None:
    """Also while the next run puts right what the one before has left."""
    for first in range(12, 30):
        for second in range(4):
            case = tmp_path / f"{first}-{second}"
            source, root = photos(case / "in"), case / "out"
            for steps in (first, second):
                with monkeypatch.context() as patch:
                    World(patch, root).left = steps
                    with suppress(Killed):
                        sort(source, root, how)
                assert_nothing_is_empty_or_lost(source, root, how)
            sort(source, root, how)
            assert_every_file_is_there_once(source, root, how)
            shutil.rmtree(case)


def test_another_model_after_a_kill_does_not_double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, was_killed = 0, True
    while was_killed:
        case = tmp_path / str(steps)
        path, root = case / "a.png", case / "out"
        case.mkdir()
        path.write_text("a")
        with monkeypatch.context() as patch:
            world = World(patch, root)
            world.left = steps
            with suppress(Killed), Sorter(root, "move", ["cat", "dog"], dry_run=False) as sorter:
                sorter.put(str(path), "cat")
            was_killed = not world.left
        with Sorter(root, "move", ["cow", "dog"], dry_run=False) as sorter:
            if path.exists():
                sorter.put(str(path), "dog")
        assert contents(case) == {"a": 1}
        steps += 1
    assert steps > 10


@pytest.mark.parametrize(
    "journal", [b"", b"{", b"[]", b"{}", b'{"path": 1, "folder": 2, "name": 3}', b"\xff"]
)
def test_a_journal_that_says_nothing_is_put_away(tmp_path: Path, journal: bytes) -> None:
    source, root = photos(tmp_path / "in"), tmp_path / "out"
    root.mkdir()
    (root / ".harness-move.json").write_bytes(journal)
    sort(source, root, "move")
    assert_every_file_is_there_once(source, root, "move")


def test_a_journal_removes_nothing_that_has_not_arrived(tmp_path: Path) -> None:
    source, root = photos(tmp_path / "in"), tmp_path / "out"
    (root / "cat").mkdir(parents=True)
    (root / "cat" / "a.png").write_text("another")
    (root / ".harness-move.json").write_text(
        f'{{"path": "{source}/one/a.png", "folder": "cat", "name": "a.png"}}'
    )
    with Sorter(root, "move", ["cat", "dog"], dry_run=False):
        pass
    assert (source / "one" / "a.png").exists() and (root / "cat" / "a.png").read_text() == "another"


CODE = """
import os, sys, threading, time
from pathlib import Path
from tests.inference.test_sorting_killed import sort
left = int(sys.argv[4])
def hook(event, arguments):
    global left
    if event in ("os.link", "os.rename", "os.remove", "os.mkdir", "os.symlink", "open", "shutil.copystat"):
        left -= 1
        if not left:
            os.kill(os.getpid(), 9)
sys.addaudithook(hook)
sort(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["move", "copy", "link"])
@pytest.mark.parametrize("is_far", [False, True])
def test_processes_that_are_really_killed(tmp_path: Path, how: How, is_far: bool) -> None:
    if is_far and (not FAR.is_dir() or FAR.stat().st_dev == tmp_path.stat().st_dev):
        pytest.skip("there is one file system only")
    steps = 1
    while True:
        source = photos(tmp_path / f"in-{steps}")
        root = (FAR if is_far else tmp_path) / f"harness-test-{os.getpid()}-{steps}"
        try:
            command = [sys.executable, "-c", CODE, str(source), str(root), how, str(steps)]
            code = subprocess.run(command, check=False).returncode
            assert code in (0, -9)
            assert_nothing_is_empty_or_lost(source, root, how)
            sort(source, root, how)
            assert_every_file_is_there_once(source, root, how)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        if not code:
            break
        steps += 1
    assert steps > 10
