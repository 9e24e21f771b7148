"""One photo of a study that has begun comes, goes, or becomes another: the study goes on, and the change is named."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import tuning
from harness.analysis.study_data import data_diff, study_data
from harness.cli import run
from harness.config.study_file import load_study_file
from harness.data import load_training
from harness.folds.train_folds import images_of
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tuning import FoldEnded, StudyEnded
from tests.search.test_own_images import NoRecorder

STUDY = """\
data: {name: folder, root: pets, image_size: 8}
model: {name: resnet, depth: 1, blocks: 1, width: 4, dropout: {low: 0.0, high: 0.4}}
train: {epochs: 1}
cv: {folds: 2}
search: {trials: 1}
"""
PETS = Path("pets")
ONE = PETS / "cat" / "00.png"
NOTHING = "0 added, 0 removed, 0 changed"


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def tune(trials: int = 1) -> int:
    """How many folds were trained."""
    settings = tuning.Settings(Path("mlruns"), workers=1, offline=True, name="pets", num_trials=trials)
    events = list(tuning.tune(load_study_file("pets.yaml", ()), settings))
    assert isinstance(events[-1], StudyEnded) and events[-1].state == "finished"
    return sum(isinstance(event, FoldEnded) for event in events)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pets, and the store of a study of them that has trained one trial: in here/, and once more in kept/."""
    place = tmp_path_factory.mktemp("begun")
    (place / "here").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place / "here")
        patch.setenv("HARNESS_DATA", str(place / "here" / "cache"))
        patch.setattr(tuning, "Recorder", NoRecorder)
        for number in range(24):
            picture(PETS / ("cat", "dog")[number % 2] / f"{number:02}.png", number)
        Path("pets.yaml").write_text(STUDY, encoding="utf-8")
        assert tune() == 2
    shutil.copytree(place / "here", place / "kept")
    return place


@pytest.fixture(autouse=True)
def place(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is as it was when the study began, where it was."""
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(begun / "here")
    shutil.copytree(begun / "kept", begun / "here")
    monkeypatch.chdir(begun / "here")
    monkeypatch.setenv("HARNESS_DATA", str(begun / "here" / "cache"))
    monkeypatch.setattr(tuning, "Recorder", NoRecorder)


def changed(path: Path, change: Callable[[Image.Image], Image.Image]) -> None:
    with Image.open(path) as image:
        change(image.copy()).save(path)


def swap(one: Path, two: Path) -> None:
    one.rename("aside.png")
    two.rename(one)
    Path("aside.png").rename(two)


def link(path: Path, to: Path) -> None:
    path.unlink()
    path.symlink_to(to.absolute())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def to_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def class_of_its_own() -> None:
    for number in range(3):
        picture(PETS / "owl" / f"{number}.png", 70 + number)


ADDED = "1 added ({}), 0 removed, 0 changed"
GONE = "0 added, 1 removed (cat/00.png), 0 changed"
OTHER = "0 added, 0 removed, 1 changed (cat/00.png)"
MOVED = "0 added, 0 removed, 0 changed, 1 moved (cat/00.png to {})"
CHANGES: dict[str, tuple[Callable[[], object], str]] = {
    "added": (lambda: picture(PETS / "cat" / "new.png", 99), ADDED.format("cat/new.png")),
    "added below": (lambda: picture(PETS / "dog" / "2027" / "new.png", 99), ADDED.format("dog/2027/new.png")),
    "copied": (lambda: shutil.copy(ONE, PETS / "cat" / "copy.png"), ADDED.format("cat/copy.png")),
    "copied to another class": (lambda: shutil.copy(ONE, PETS / "dog" / "c.png"), ADDED.format("dog/c.png")),
    "of a class of its own": (class_of_its_own, "3 added (owl/0.png, owl/1.png, owl/2.png), 0 removed, 0 changed"),
    "removed": (ONE.unlink, GONE),
    "hidden": (lambda: ONE.rename(ONE.with_name(".00.png")), GONE),
    "of another ending": (lambda: ONE.rename(ONE.with_suffix(".bak")), GONE),
    "turned into a folder": (lambda: to_a_folder(ONE), GONE),
    "moved out": (lambda: ONE.rename("00.png"), GONE),
    "renamed": (lambda: ONE.rename(ONE.with_name("first.png")), MOVED.format("cat/first.png")),
    "of an ending in capitals": (lambda: ONE.rename(ONE.with_suffix(".PNG")), MOVED.format("cat/00.PNG")),
    "moved to another class": (lambda: ONE.rename(PETS / "dog" / "00.png"), MOVED.format("dog/00.png")),
    "moved below": (
        lambda: ((PETS / "cat" / "old").mkdir(), ONE.rename(PETS / "cat" / "old" / "00.png")),
        MOVED.format("cat/old/00.png"),
    ),
    "touched": (lambda: os.utime(ONE, (1, 1)), NOTHING),
    "written again as it was": (lambda: ONE.write_bytes(ONE.read_bytes()), NOTHING),
    "of other rights": (lambda: ONE.chmod(0o444), NOTHING),
    "replaced by a link to its content": (lambda: (shutil.copy(ONE, "kept.png"), link(ONE, Path("kept.png"))), NOTHING),
    "saved again": (lambda: changed(ONE, lambda image: image.convert("P")), OTHER),
    "mirrored": (lambda: changed(ONE, lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)), OTHER),
    "larger": (lambda: changed(ONE, lambda image: image.resize((64, 64))), OTHER),
    "cut short": (lambda: cut(ONE), OTHER),
    "empty": (lambda: ONE.write_bytes(b""), OTHER),
    "a text": (lambda: ONE.write_text("no image"), OTHER),
    "replaced by a link to another": (lambda: link(ONE, PETS / "dog" / "01.png"), OTHER),
    "replaced by a link to nothing": (lambda: link(ONE, Path("nowhere.png")), OTHER),
    "exchanged with another": (
        lambda: swap(ONE, PETS / "dog" / "01.png"), "0 added, 0 removed, 2 changed (cat/00.png, dog/01.png)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_study_goes_on_with_its_snapshot_and_the_change_is_named(
    change: str, caplog: pytest.LogCaptureFixture
) -> None:
    act, expected = CHANGES[change]
    before = LoadedStudy.open(Store(Path("mlruns")), "pets")
    act()
    caplog.clear()
    assert tune(trials=2) == 2  # only those of the new trial
    after = LoadedStudy.open(Store(Path("mlruns")), "pets")
    assert after.record.data == before.record.data and after.split.hash == before.split.hash
    assert images_of(after.store, after.record).content_hash == before.record.data["hash"]
    assert str(data_diff(after).changes) == expected and str(study_data(after).since) == expected
    assert (f"pets: {expected} since the study began" in caplog.text) == (expected != NOTHING)
    assert bool(caplog.messages) == (expected != NOTHING)


def test_what_lies_beside_the_classes_is_told_once(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(PETS / "seen.png", 99)
    (PETS / "notes").mkdir()
    (PETS / "notes" / "1.txt").touch()
    caplog.clear()
    assert run(["data", "pets"]) == 0 and tune(trials=2) == 2
    assert not caplog.messages and not capsys.readouterr().err
    load_training({"name": "folder", "root": "pets", "image_size": 8})
    assert len(caplog.messages) == 3


@pytest.mark.parametrize("gone", ["a class", "all images of a class", "the folder"])
def test_a_folder_that_is_no_data_set_any_more_is_told_in_a_line_and_stops_nothing(
    gone: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    if gone == "all images of a class":
        for path in (PETS / "cat").iterdir():
            path.unlink()
    else:
        shutil.rmtree(PETS / "cat" if gone == "a class" else PETS)
    caplog.clear()
    assert tune(trials=2) == 2 and "the study goes on with its own copy of the images" in caplog.text
    assert run(["data", "pets"]) == 0
    assert "the study goes on with its own copy of the images" in capsys.readouterr().out
    assert run(["data", "diff", "pets"]) == (2 if gone == "the folder" else 1)
    told = capsys.readouterr()
    assert not told.out and len(told.err.splitlines()) == 1 and "Traceback" not in told.err
