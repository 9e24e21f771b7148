"""A folder that lives on while it is studied: files come, go and change; studies go on with what they began with."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import tuning
from harness.analysis.study_data import data_diff, study_data
from harness.cli import run
from harness.config.study_file import load_study_file
from harness.data import test_set
from harness.data.data_set import load_data
from harness.data.images import Images
from harness.data.test_set import load_test
from harness.errors import DataError, StudyError, UsageError
from harness.folds.train_folds import images_of
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tuning import FoldEnded, StudyEnded
from tests.search.test_own_images import NoRecorder

NUM_OLD = 12  # images of a class


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "Recorder", NoRecorder)
    monkeypatch.chdir(tmp_path)
    for number in range(2 * NUM_OLD):
        picture(tmp_path / "pets" / ("cat", "dog")[number % 2] / f"{number:02}.png", number)
    (tmp_path / "pets.yaml").write_text(
        """\
data: {name: folder, root: pets, image_size: 8}
model: {name: resnet, depth: 1, blocks: 1, width: 4, dropout: {low: 0.0, high: 0.4}}
train: {epochs: 1}
cv: {folds: 2}
search: {trials: 1}
""",
        encoding="utf-8",
    )
    return tmp_path


def tune(name: str = "pets", *overrides: str, extends: str | None = None, trials: int = 1) -> int:
    """Run a study; how many folds were trained."""
    settings = tuning.Settings(
        Path("mlruns"), workers=1, offline=True, name=name, extends=extends, num_trials=trials
    )
    events = list(tuning.tune(load_study_file("pets.yaml", overrides), settings))
    assert isinstance(events[-1], StudyEnded) and events[-1].state == "finished"
    return sum(isinstance(event, FoldEnded) for event in events)


def opened(name: str) -> LoadedStudy:
    return LoadedStudy.open(Store(Path("mlruns")), name)


def grow(place: Path) -> None:
    """8 added, 2 removed, 1 repaired with other pixels."""
    for number in range(100, 108):
        picture(place / "pets" / ("cat", "dog")[number % 2] / f"{number}.png", number)
    (place / "pets" / "cat" / "00.png").unlink()
    (place / "pets" / "dog" / "03.png").unlink()
    picture(place / "pets" / "dog" / "01.png", 500)


def test_a_study_goes_on_with_what_it_began_with_and_says_what_is_new(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert tune() == 2 and tune() == 0
    before = opened("pets")
    grow(place)
    caplog.clear()
    assert tune(trials=2) == 2  # only those of the new trial
    said = "8 added (cat/100.png, cat/102.png, cat/104.png, …), 2 removed (cat/00.png, dog/03.png), 1 changed"
    assert said in caplog.text and "tune --study FILE --extend pets --as NAME" in caplog.text
    after = opened("pets")
    assert after.record.data == before.record.data and after.split.hash == before.split.hash
    assert len(after.trials) == 2 and after.trials[0] == before.trials[0]


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["folder", "cache", "folder and cache"])
def test_folder_and_decoded_copies_may_go(place: Path, gone: str, caplog: pytest.LogCaptureFixture) -> None:
    tune()
    study = opened("pets")
    test = test_set.test_pixels(study.record.data["settings"], study.sealed).tobytes()
    if "folder" in gone:
        shutil.rmtree(place / "pets")
    if "cache" in gone:
        shutil.rmtree(place / "cache")
    assert tune(trials=2) == 2
    images = images_of(study.store, study.record)
    assert images.content_hash == study.record.data["hash"]
    assert test_set.test_pixels(study.record.data["settings"], study.sealed).tobytes() == test
    if "folder" in gone:
        assert "the study goes on with its own copy of the images" in caplog.text
        assert "there is no such folder" in study_data(study).now


@pytest.mark.slow
def test_a_damaged_copy_in_the_store_is_replaced_from_the_folder_without_what_is_new(place: Path) -> None:
    tune()
    study = opened("pets")
    picture(place / "pets" / "cat" / "new.png", 900)
    shutil.rmtree(place / "cache")  # whose files are those of the store
    data = study.store.home / "data"
    for folder in data.iterdir():
        content = bytearray((folder / "pixels.npy").read_bytes())
        content[200] ^= 1
        (folder / "pixels.npy").write_bytes(content)
    assert images_of(study.store, study.record).content_hash == study.record.data["hash"]
    assert study.sealed is not None
    test = load_test(study.record.data["settings"], study.sealed)
    assert test.content_hash == study.sealed.hash and "cat/new.png" not in test.names
    picture(place / "pets" / test.names[0], 901)
    with pytest.raises(DataError, match="not those that were sealed when the study began"):
        load_test(study.record.data["settings"], study.sealed)


def test_an_extended_study_keeps_every_image_where_it_was(place: Path) -> None:
    tune()
    grow(place)
    assert tune("more", extends="pets") == 2
    parent, child = opened("pets"), opened("more")
    found = data_diff(parent, child)
    assert (found.moved_parts, found.moved_folds) == (0, 0)
    assert str(found.changes).startswith("8 added") and child.record.data["extends"] == "pets"
    data = study_data(child)
    assert [(row.train + row.test, row.test) for row in data.classes] == [(15, 3), (15, 3)]
    assert all(max(row.folds) - min(row.folds) <= 1 for row in data.classes)
    assert data.since is not None and not data.since
    assert tune("more", extends="pets") == 0 and tune("more") == 0 and tune() == 0
    child.split.verify()
    assert child.split.hash == opened("more").split.hash


@pytest.mark.slow
def test_a_new_copy_of_old_images_goes_where_they_are(place: Path) -> None:
    tune()
    parent = opened("pets")
    assert parent.snapshot is not None
    names = dict(zip(parent.snapshot.names, parent.snapshot.parts, strict=True))
    for number, name in enumerate(names):
        shutil.copy(place / "pets" / name, place / "pets" / f"{name[:3]}" / f"copy{number:02}.png")
    tune("more", extends="pets")
    child = opened("more")
    assert child.snapshot is not None
    parts = dict(zip(child.snapshot.names, child.snapshot.parts, strict=True))
    assert all(
        parts[f"{name[:3]}/copy{number:02}.png"] == part for number, (name, part) in enumerate(names.items())
    )


@pytest.mark.slow
def test_an_extended_study_of_an_extended_study(place: Path) -> None:
    tune()
    grow(place)
    tune("second", extends="pets")
    for number in range(200, 204):
        picture(place / "pets" / "cat" / f"{number}.png", number)
    tune("third", extends="second")
    for older in ("pets", "second"):
        found = data_diff(opened(older), opened("third"))
        assert (found.moved_parts, found.moved_folds) == (0, 0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cv.folds=3"], "cv.folds.*must be 2, as in study pets"),
        (["cv.split=sklearn.model_selection:KFold"], "cv.split.*must be stratified"),
        (["data.name=digits", "cv.folds=3"], "(?s)2 problems.*cv.folds.*data.name"),
    ],
)
def test_what_cannot_be_extended_is_refused_with_all_reasons(
    place: Path, overrides: list[str], message: str
) -> None:
    if "data.name=digits" in overrides:
        text = (place / "pets.yaml").read_text(encoding="utf-8")
        (place / "digits.yaml").write_text(
            text.replace("{name: folder, root: pets, image_size: 8}", "{name: digits}")
        )
        tune()
        settings = tuning.Settings(Path("mlruns"), workers=1, offline=True, name="x", extends="pets")
        with pytest.raises(StudyError, match=message):
            list(tuning.tune(load_study_file("digits.yaml", ["cv.folds=3"]), settings))
        return
    tune()
    with pytest.raises(StudyError, match=message):
        tune("more", *overrides, extends="pets")
    assert not (place / "mlruns" / "studies" / "more" / "study.json").exists()


@pytest.mark.slow
def test_a_name_that_is_taken_or_a_study_that_never_began_cannot_be_extended(place: Path) -> None:
    tune()
    with pytest.raises(UsageError, match="study pets has begun, and does not extend other"):
        tune(extends="other")
    with pytest.raises(UsageError, match=r"no study 'pests'.*pets"):
        tune("more", extends="pests")
    assert run(["tune", "--study", "pets.yaml", "--extend", "pets"]) == 2


@pytest.mark.slow
def test_images_of_the_sealed_part_that_have_moved_into_training_are_refused(place: Path) -> None:
    (place / "all").mkdir()
    (place / "pets").rename(place / "all" / "train")
    for number in range(4):
        picture(place / "all" / "test" / ("cat", "dog")[number % 2] / f"t{number}.png", 700 + number)
    (place / "all").rename(place / "pets")
    tune()
    shutil.move(place / "pets" / "test" / "cat" / "t0.png", place / "pets" / "train" / "cat" / "t0.png")
    with pytest.raises(
        StudyError, match=r"1 images of study pets have moved.*train/cat/t0.png from test to train"
    ):
        tune("more", extends="pets")


def test_the_command_shows_and_compares(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tune()
    grow(place)
    capsys.readouterr()
    assert run(["data", "pets"]) == 0
    shown = capsys.readouterr().out
    assert "24 images: 20 to train on, 4 sealed" in shown and "now: 8 added" in shown
    assert max(map(len, shown.split("now:")[0].splitlines()[1:])) <= 80  # the first line has a path
    assert run(["data", "diff", "pets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("8 added")
    assert (
        lines[1:5] == ["- cat/00.png", "- dog/03.png", "~ dog/01.png", "+ cat/100.png"] and len(lines) == 12
    )
    tune("more", extends="pets")
    capsys.readouterr()
    assert run(["data", "diff", "pets", "more"]) == 0
    assert "0 are in another part and 0 in another fold" in capsys.readouterr().out
    assert run(["data", "pets", "more"]) == 2


@pytest.mark.slow
def test_data_of_ones_own_code_go_on_and_can_be_extended(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (place / "datasets").mkdir()
    (place / "datasets" / "made.py").write_text(
        """\
import numpy as np
from pathlib import Path

def load():
    size = int(Path("size.txt").read_text())
    random = np.random.default_rng(0)
    return random.integers(0, 256, (size, 8, 8, 3), np.uint8), np.arange(size) % 2, ["cat", "dog"]
"""
    )
    size = place / "size.txt"
    text = (place / "pets.yaml").read_text(encoding="utf-8")
    (place / "pets.yaml").write_text(
        text.replace("{name: folder, root: pets, image_size: 8}", "{name: made}")
    )
    size.write_text("24")
    tune()
    size.write_text("34")
    assert tune(trials=2) == 2 and "10 added" in caplog.text
    tune("more", extends="pets")
    found = data_diff(opened("pets"), opened("more"))
    assert (found.moved_parts, found.moved_folds, len(found.changes.added)) == (0, 0, 10)
    size.unlink()
    assert tune(trials=3) == 2 and "size.txt" in caplog.text


def test_a_test_part_that_cannot_be_loaded_is_found_before_anything_is_trained(place: Path) -> None:
    (place / "datasets").mkdir()
    (place / "datasets" / "half.py").write_text(
        "import numpy as np\n"
        "def load(part):\n"
        "    if part == 'test': raise OSError('lost')\n"
        "    return np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1]), ['a', 'b']\n"
    )
    with pytest.raises(DataError, match=r"half, test part: .*lost.*leave out the argument `part`"):
        load_data({"name": "half"})
    assert isinstance(load_data({"name": "digits"}).train, Images)
