"""What a study has lost is made again to the same bits when the study goes on."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.data.images import Images
from harness.errors import DataError, UsageError
from harness.files import write_file
from harness.folds.train_folds import images_of, train_again, workplace_of
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import has_weights
from harness.store.store import WEIGHTS, Store
from tests.data.drawn_digits import drawn_digits
from tests.tuned_study import STUDY


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    write_file(path, bytes(content))  # another file: what is linked to the old one stays


def replace_by_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


DAMAGES: list[Callable[[Path], object]] = [
    Path.unlink, flip, replace_by_folder, lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:100]),
]  # fmt: skip
HARM = pytest.mark.parametrize("harm", DAMAGES, ids=["gone", "flipped", "a folder", "empty", "cut"])


def records(store: Store, name: str = "small") -> dict[str, Any]:
    trials = store.read_trials(name)
    folds = [store.read_fold(key) for trial in trials for key in trial.folds]
    return {"trials": trials, "folds": folds}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


@HARM
@pytest.mark.parametrize("file", ["study.json", "split.npz", "snapshot.json.gz", "trials/00001.json"])
def test_a_file_of_the_study_is_made_again(
    tuned: Store, small: Path, tuning_of: Callable[..., Store], harm: Callable[[Path], object], file: str
) -> None:
    path, before = tuned.study_folder("small") / file, records(tuned)
    study, content = tuned.read_study("small"), path.read_bytes()
    harm(path)
    tuning_of(small, tuned.home)
    assert tuned.read_study("small") == study and records(tuned)["folds"] == before["folds"]
    if file == "trials/00001.json":  # its seconds are those of reading the folds
        assert [one.scores for one in tuned.read_trials("small")] == [one.scores for one in before["trials"]]
    else:
        assert path.read_bytes() == content and records(tuned) == before


@HARM
def test_a_record_that_is_lost_with_its_copy_is_made_again_from_study_file_and_folds(
    tuned: Store, small: Path, tuning_of: Callable[..., Store], harm: Callable[[Path], object]
) -> None:
    study, before = tuned.read_study("small"), records(tuned)
    write_file(tuned.study_folder("small") / "audit.json", b"found out")
    for name in ("study.json", "study.json.copy"):
        harm(tuned.study_folder("small") / name)
    tuning_of(small, tuned.home)
    again = tuned.read_study("small")
    assert study and again and records(tuned) == before
    for part in ("definition", "data", "split_hash", "compute", "seed", "num_trials"):
        assert getattr(again, part) == getattr(study, part)
    assert (tuned.study_folder("small") / "audit.json").read_bytes() == b"found out"
    assert again.provenance["code"] == study.provenance["code"]


def test_a_lost_record_is_not_made_of_another_study(
    tuned: Store, small: Path, tuning_of: Callable[..., Store]
) -> None:
    for name in ("study.json", "study.json.copy"):
        (tuned.study_folder("small") / name).unlink()
    small.write_text(STUDY.replace("lr: 0.1", "lr: 0.2"), encoding="utf-8")
    with pytest.raises(UsageError, match="run it as it was when it began"):
        tuning_of(small, tuned.home)
    small.write_text(STUDY, encoding="utf-8")
    tuning_of(small, tuned.home)
    assert tuned.has_study("small")


def test_reading_a_study_whose_record_is_damaged_writes_nothing(tuned: Store) -> None:
    before = tuned.read_study("small")
    flip(tuned.study_folder("small") / "study.json")
    damaged = (tuned.study_folder("small") / "study.json").read_bytes()
    assert LoadedStudy.open(tuned, "small").record == before
    assert (tuned.study_folder("small") / "study.json").read_bytes() == damaged


@HARM
@pytest.mark.parametrize("file", ["pixels.npy", "labels.npy", "meta.json"])
def test_kept_images_are_made_again(
    tuned: Store, small: Path, tuning_of: Callable[..., Store], harm: Callable[[Path], object], file: str
) -> None:
    record = tuned.read_study("small")
    assert record is not None
    folder = tuned.home / "data" / record.data["hash"]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    harm(folder / file)
    tuning_of(small, tuned.home)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_images_of_a_folder_are_copied_anew(
    tmp_path: Path, tuning_of: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    root = tmp_path / "images"
    for number, (pixels, label) in enumerate(zip(*drawn_digits(100), strict=True)):
        file = root / str(label) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).save(file)
    path = tmp_path / "small.yaml"
    text = STUDY.replace(
        "{name: digits, test_fraction: 0.8}", f"{{name: folder, root: {root}, image_size: 16}}"
    )
    path.write_text(text, encoding="utf-8")
    store = tuning_of(path, tmp_path / "home")
    record = store.read_study("small")
    assert record is not None
    kept = [
        store.home / "data" / record.data["hash"],
        store.test_folder(record.data["hash"], record.data["test"]["hash"]),
    ]
    for folder in kept:
        content = bytearray((folder / "pixels.npy").read_bytes())
        content[-1] ^= 1
        (folder / "pixels.npy").write_bytes(content)  # the same file as in HARNESS_DATA
        tuning_of(path, store.home)
        for each in kept:
            Images.open(each).verified()
    shutil.rmtree(kept[1])
    shutil.rmtree(tmp_path / "data")
    tuning_of(path, store.home)
    assert store.has_both(record.data["hash"], record.data["test"]["hash"])


def test_models_that_are_kept_are_trained_again(
    small: Path, tuning_of: Callable[..., Store], tmp_path: Path
) -> None:
    small.write_text(STUDY.replace("keep_models: none", "keep_models: best"), encoding="utf-8")
    store = tuning_of(small, tmp_path / "home")
    study = LoadedStudy.open(store, "small")
    assert study.best is not None
    losers = [trial for trial in study.trials if trial != study.best]
    store.drop_weights([key for trial in losers for key in trial.folds])
    before = [(fold.folder / WEIGHTS).read_bytes() for fold in study.folds(study.best)]
    store.drop_weights(study.best.folds)
    assert train_again(store, study.record, workplace_of(store, study.record)) == 2
    assert [(fold.folder / WEIGHTS).read_bytes() for fold in study.folds(study.best)] == before
    assert not any(has_weights(study.folds(trial)) for trial in losers)


def test_what_reads_a_damaged_split_says_what_makes_it_anew(tuned: Store) -> None:
    record = tuned.read_study("small")
    assert record is not None
    flip(tuned.study_folder("small") / "split.npz")
    with pytest.raises(
        DataError, match=r"split\.npz: damaged split: .*; run tune again, which makes it anew"
    ):
        images_of(tuned, record)


def test_a_study_that_can_be_read_by_its_copy_alone_is_told(
    tuned: Store, caplog: pytest.LogCaptureFixture
) -> None:
    (tuned.study_folder("small") / "study.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert tuned.studies() == ["small"] and tuned.read_study("small") is not None
    assert "is gone; run tune again, which makes it anew; until then its copy is read" in caplog.text


@pytest.mark.slow
def test_a_study_of_images_given_in_python_goes_on_where_its_store_has_moved(home: Path) -> None:
    import harness

    data = drawn_digits(100)
    study = {
        "model": {"name": "resnet", "depth": 1, "width": 4}, "cv": {"folds": 2}, "search": {"trials": 2},
        "train": {"epochs": 1, "augment": "none"}, "data": {"duplicates": "ignore"},
    }  # fmt: skip
    before = harness.tune(study, data=data, name="given", home=home, workers=1)
    moved = home.rename(home.with_name("moved"))
    after = harness.tune(study, data=data, name="given", home=moved, workers=1)
    assert after.trial_records == before.trial_records and not home.exists()
    sealed = after.study.sealed
    assert sealed is not None and Images.open(sealed.folder).content_hash == sealed.hash
