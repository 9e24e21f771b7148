"""Hostile data folders: links, pipes, devices, odd names, damaged and huge files, read as a study reads its own."""

import contextlib
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.data import load_part
from harness.errors import HarnessError
from tests.campaigns.hostile_inputs import IMAGE_SIZE, silent, small_images, trouble


def folders(n: int, seed: int) -> list[str]:
    """Folders of two classes with one to four kinds of harm; what did not hold, as in `hostile_inputs`."""
    failures = []
    with tempfile.TemporaryDirectory(prefix="harness-hostile-") as scratch, silent():
        for number in range(n):
            chance = random.Random(f"folder {seed} {number}")
            root = Path(scratch) / f"{number}" / "data"
            harm = make_folder(root, chance)
            for part in ("train", "test"):
                failures.append(trouble(lambda: _load(root, part, chance), HarnessError, (number, harm)))  # noqa: B023
    return [said for said in failures if said]


def make_folder(root: Path, chance: random.Random) -> list[str]:
    """Two classes of good images, and then one to four kinds of harm: their names."""
    good = small_images()
    for number, name in enumerate(["cat", "cat", "cat", "dog", "dog", "dog"]):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / f"{number}.png").write_bytes(good[number % 5])
    chosen = chance.sample(sorted(HARMS), chance.choice([1, 1, 2, 4]))
    for name in chosen:
        with contextlib.suppress(FileExistsError):
            HARMS[name](root / chance.choice(["cat", "dog", "."]))
    return chosen


def _load(root: Path, part: str, chance: random.Random) -> None:
    settings: dict[str, Any] = {"name": "folder", "root": str(root), "image_size": IMAGE_SIZE}
    settings["unreadable"] = chance.choice(["refuse", "skip"])
    groups = [
        None,
        None,
        {"from": "parent"},
        {"regex": chance.choice(["(.)", "((((", "a{99999999999}", "(" * 3000])},
    ]
    settings["groups"] = chance.choice([*groups, {"csv": "/dev/zero"}, {"csv": str(root / "groups.csv")}])
    load_part(root.parent / "home", settings, "train" if part == "train" else "test")


def _web(folder: Path) -> None:
    """Folders with links to each other: few of them, but many ways."""
    for number in range(9):
        (folder / f"web{number}").mkdir()
        for other in range(9):
            (folder / f"web{number}" / f"to{other}").symlink_to(folder / f"web{other}")


def _sparse(folder: Path) -> None:
    with (folder / "huge.png").open("wb") as file:
        file.truncate(2**35)


ODD_NAMES = [b"a\nb.png", b"..png", b"...png", b"\xff\xfe.png", b"\x01\x1b[0m.jpg", b"x" * 251 + b".png",
             b"%s{0}.png", b"-rf.png", b" .gif", "\u202eé\u0301💥.png".encode(), b"con\x85.png"]  # fmt: skip
HARMS: dict[str, Callable[[Path], Any]] = {
    "loop": lambda folder: (folder / "loop.png").symlink_to(folder / "loop.png"),
    "link above": lambda folder: (folder / "up").symlink_to(folder.parent),
    "broken link": lambda folder: (folder / "gone.png").symlink_to(folder / "nowhere"),
    "device": lambda folder: (folder / "zero.png").symlink_to("/dev/zero"),
    "pipe": lambda folder: os.mkfifo(folder / "pipe.png"),
    "folder like an image": lambda folder: (folder / "folder.png").mkdir(),
    "zero bytes": lambda folder: (folder / "empty.jpg").touch(),
    "unreadable": lambda folder: [(folder / "locked.png").touch(), (folder / "locked.png").chmod(0)],
    "locked folder": lambda folder: (folder / "locked").mkdir(mode=0),
    "text": lambda folder: (folder / "text.png").write_text("no image"),
    "empty class": lambda folder: (folder / "nothing").mkdir(),
    "odd names": lambda folder: [
        Path(os.fsdecode(os.fsencode(folder) + b"/" + n)).touch() for n in ODD_NAMES
    ],
    "odd class": lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n\xc3")).mkdir(),
    "deep": lambda folder: (folder / "/".join(["d"] * 60)).mkdir(parents=True),
    "web": _web,
    "sparse": _sparse,
    "parts": lambda folder: [
        (folder / name / "cat").mkdir(parents=True) for name in ("train", "test", "val")
    ],
    "table": lambda folder: (folder / "groups.csv").write_bytes(b"name,group\n\0,\xff\n"),
    "long table": lambda folder: (folder / "groups.csv").write_text(f"name,group\n{'x' * 200_000},1\n"),
    "unicode twins": lambda folder: [(folder / name).mkdir() for name in ("\u00e9", "e\u0301")],
}
