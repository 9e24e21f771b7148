"""Reading never writes, and needs no right to: every reading command, in a store that may be written to and not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.cli import run
from harness.store.store import Store
from tests import read_only, tuned_study

SMALL = """\
# Does it work?
data: {name: digits, test_fraction: 0.8}
model: {name: resnet, depth: 1, width: 4}
train: {epochs: 1, batch_size: 128, lr: [0.1, 0.2], augment: none}
cv: {folds: 2}
search: {trials: 2, sampler: grid, racing: none}
"""
RUNNER = """\
import json, sys, traceback
from pathlib import Path
from harness.cli import run
from tests.read_only import tree
codes, watched = {}, [Path(name) for name in sys.argv[3:]]
known = [tree(folder) for folder in watched]
for arguments in json.loads(sys.argv[1]):
    print("$", *arguments, file=sys.stderr, flush=True)
    try:
        codes[" ".join(arguments)] = run(arguments)
    except BaseException as error:
        traceback.print_exc()
        codes[" ".join(arguments)] = repr(error)
    if known != (known := [tree(folder) for folder in watched]):
        codes[" ".join(arguments)] = "has written"
with open(sys.argv[2], "w") as file:
    json.dump(codes, file)
"""
READING = """\
status
status done
status done cut failed
status done --json
compare done:*
report done -o OUT/done.html
report done cut -o OUT/both.html
report done --format md
gallery done -o OUT/gallery.html
predict done PHOTOS
predict done:0 PHOTOS -o OUT/predicted.csv
export done --format safetensors -o OUT/model
similar done PHOTOS/0.png
similar done --index PHOTOS
bundle done -o OUT/done.zip
bundle done --images -o OUT/images.zip
reproduce done --workers 1
gc
doctor
list studies
"""
WRITING = """\
report done
gallery done
confirm done --workers 1
audit done --workers 1
final done --workers 1
gc --yes
bundle --import BUNDLE --as other
tune --study STUDY --workers 1
tune --study STUDY --as new --workers 1
"""


@dataclass(frozen=True)
class Place:
    """A store with a finished, an interrupted and a failed study; photographs and their index; room for output."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def commands(self, text: str) -> list[list[str]]:
        words = {"OUT": self.out, "PHOTOS": self.folder / "photos", "BUNDLE": self.folder / "done.zip"}
        words["STUDY"] = self.folder / "done.yaml"
        for word, path in words.items():
            text = text.replace(word, str(path))
        light = ("list", "check")
        return [
            [*line.split(), *(() if line.split()[0] in light else ("--home", str(self.home)))]
            for line in text.splitlines()
        ]

    def run(
        self, commands: list[list[str]], within: Callable[[list[str]], list[str]], *watched: Path
    ) -> tuple[dict[str, int | str], str]:
        """Exit codes by command, or "has written" in the place of one, and what was said on stderr.

        watched: folders that a command may not change, which is looked at after each.
        """
        shutil.rmtree(self.out, ignore_errors=True)
        for folder in (self.out, self.folder / "tmp", self.folder / "data"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        codes = self.out / "codes.json"
        done = subprocess.run(
            within([sys.executable, "-c", RUNNER, json.dumps(commands), str(codes), *map(str, watched)]),
            env=self.environment(), cwd=self.out, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert codes.exists(), done.stderr
        return json.loads(codes.read_text()), done.stderr

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        root = str(Path(__file__).parent.parent)
        return kept | {
            "PYTHONPATH": root, "HOME": "/nonexistent", "OMP_NUM_THREADS": "1",
            "TMPDIR": str(self.folder / "tmp"), "HARNESS_DATA": str(self.folder / "data"),
        }  # fmt: skip


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """In a folder that everybody may look into, as pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="harness-reading-") as name:
        made = Place(Path(name))
        made.folder.chmod(0o755)
        (made.folder / "photos").mkdir()
        random = np.random.default_rng(0)
        for number in range(3):
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(made.folder / "photos" / f"{number}.png")
        for study, text in {
            "done": SMALL,
            "cut": SMALL,
            "failed": SMALL.replace("0.1, 0.2", "1e29, 1e30"),
        }.items():
            (made.folder / f"{study}.yaml").write_text(text)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("OMP_NUM_THREADS", "1")
                tuned_study.tune(made.folder / f"{study}.yaml", made.home)
        store = Store(made.home)
        store.write_trial("cut", replace(store.read_trials("cut")[1], state="running", folds=(), scores=()))
        home = ["--home", str(made.home)]
        assert run(["sync", *home]) == 0
        assert run(["similar", "done", "--index", str(made.folder / "photos"), *home]) == 0
        (
            store.study_folder("done") / "honest.json"
        ).unlink()  # or else there is nothing to compute while reading
        assert run(["bundle", "done", "-o", str(made.folder / "done.zip"), *home]) == 0
        yield made


def expected_zero(codes: dict[str, int | str], said: str) -> None:
    assert codes and {command: code for command, code in codes.items() if code != 0} == {}, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "command",
    ["status", "status small", "report small -o OUT", "gallery small -o OUT", "bundle small -o OUT", "gc"],
)
def test_looking_at_a_store_changes_nothing_in_it(command: str, tuned: Store, tmp_path: Path) -> None:
    before = read_only.tree(tuned.home)
    arguments = command.replace("OUT", str(tmp_path / "out")).split()
    assert run([*arguments, "--home", str(tuned.home)]) == 0
    assert read_only.tree(tuned.home) == before


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", ["writable", "read-only", "nobody", "full"])
def test_every_reading_command_works_and_leaves_the_store_as_it_was(place: Place, where: str) -> None:
    def within(command: list[str]) -> list[str]:
        if where == "nobody":
            return read_only.as_nobody(command)
        if where == "full":
            return read_only.full(place.home, command)
        return command if where == "writable" else read_only.read_only(place.home, command)

    before = read_only.tree(place.home)
    looks = "sync\n" if where in ("read-only", "nobody") else ""
    watched = [place.home] if where == "writable" else []  # so as to name the command that writes
    codes, said = place.run(place.commands(READING + looks), within, *watched)
    expected_zero(codes, said)
    assert read_only.tree(place.home) == before


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", ["read-only", "nobody", "full"])
def test_every_writing_command_is_refused_in_one_line(place: Place, where: str) -> None:
    def within(command: list[str]) -> list[str]:
        if where == "nobody":
            return read_only.as_nobody(command)
        mounted = read_only.full if where == "full" else read_only.read_only
        return mounted(place.home, command)

    before = read_only.tree(place.home)
    commands = [line for line in place.commands(WRITING) if where != "full" or line[:2] != ["gc", "--yes"]]
    codes, said = place.run(commands, within)
    assert {command: code for command, code in codes.items() if code != 4} == {}, said
    assert "Traceback" not in said
    last = [part.strip().splitlines()[-1] for part in said.split("$ ")[1:]]
    helps = {"read-only": "choose another place", "nobody": "choose another place", "full": "make room"}[
        where
    ]
    assert len(last) == len(commands)
    assert all(line.startswith("harness: ") and (helps in line or "-o FILE" in line) for line in last), last
    assert where == "full" or "same command again" not in said
    if where == "full":  # which is how room is made
        assert list(place.run(place.commands("gc --yes"), within)[0].values()) == [0]
    assert read_only.tree(place.home) == before


@pytest.mark.slow
@pytest.mark.parametrize("where", ["writable", "read-only", "nobody"])
@pytest.mark.parametrize(
    "page", [["serve", "done", "--port", "0"], ["ui", "--no-browser", "--port", "0", "--json"]], ids=str
)
def test_pages_are_shown_wherever_a_store_is(place: Place, where: str, page: list[str]) -> None:
    command = [sys.executable, "-m", "harness", *page, "--home", str(place.home)]
    if where != "writable":
        command = (
            read_only.as_nobody(command) if where == "nobody" else read_only.read_only(place.home, command)
        )
    before = read_only.tree(place.home)
    place.run([], lambda words: words)  # makes the folders
    with subprocess.Popen(
        command,
        env=place.environment(),
        cwd=place.out,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "Ctrl-C ends it" in line:
                break
        process.send_signal(signal.SIGTERM)
        said += process.stderr.read()
        printed = process.stdout.read()
    assert process.returncode == 143, said
    assert "Traceback" not in said
    url = json.loads(printed)["url"] if "--json" in page else said
    assert re.search(r"http://127\.0\.0\.1:\d+", url), said
    assert read_only.tree(place.home) == before
