"""What is in a file that a model's option names is an input of its folds, and of a study that has begun."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.config.study_file import Study, load_study_file
from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import CheckFailed, UsageError
from harness.folds import code
from harness.folds.fold import FoldTask, TrainedFold, train_fold
from harness.folds.tasks import fold_tasks, make_tasks
from harness.prepare import prepare
from harness.records import TrialRecord
from harness.store.store import Store
from harness.training import environment

OwnModel = Callable[[str, str], Path]
Tuning = Callable[..., Store]
SCALED = '''\
"""A linear network, whose first weights are scaled by what a file says."""
from typing import Annotated

from torch import nn

from harness.config.signatures import NamesFile


def build(in_channels, image_size, num_classes, *, scale: Annotated[str, NamesFile()] | None = None):
    layer = nn.Linear(in_channels * image_size**2, num_classes)
    if scale:
        with open(scale) as file:
            layer.weight.data *= float(file.read())
    return nn.Sequential(nn.Flatten(), layer)
'''
STUDY = """\
data: {name: digits, test_fraction: 0.8}
model: {name: scaled, scale: SCALE}
train: {epochs: 1, batch_size: 64, lr: 0.1, augment: none, keep_models: none}
cv: {folds: 2}
search: {trials: 1}
"""
TINY = Path(__file__).parents[1] / "models" / "tiny_clip.json"
COMPUTE = {"device": "cpu", "precision": "fp32", "channels_last": True, "threads": 1, "micro_batches": 1}
TASK = FoldTask({"model.name": "clip_fusion"}, "d", "s", 2, 0, 0, {"device": "cpu"})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, own_model: OwnModel, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where paths are meant from, with the model `scaled` and a file for it."""
    own_model("scaled", SCALED)
    place = tmp_path / "here"
    place.mkdir()
    (place / "scale.txt").write_text("1.0")
    monkeypatch.chdir(place)
    return place


def loaded(folder: Path, scale: str = "scale.txt") -> Study:
    path = folder / "small.yaml"
    path.write_text(STUDY.replace("SCALE", scale), encoding="utf-8")
    return load_study_file(str(path))


def task_of(study: Study, scale: str | None) -> FoldTask:
    make = make_tasks(study, data_hash="d", split_hash="s", compute=COMPUTE)
    values = {"model.name": "scaled", "model.scale": scale, "train.keep_models": "none"}
    return make(TrialRecord(0, "running", {}, values), 0)


def test_a_task_without_files_is_what_it_was_before_there_were_any() -> None:
    assert not {"files", "places"} & TASK.document().keys()
    assert replace(TASK, places={"model.weights": "/a/x.pt"}).key() == TASK.key()
    with_file = replace(TASK, files={"model.weights": "0" * 64})
    assert with_file.key() != TASK.key() and FoldTask(**with_file.document()) == with_file


def test_another_file_of_the_same_name_is_another_key(folder: Path) -> None:
    study = loaded(folder)
    assert study.definition()["model"]["scale"] == "scale.txt"  # as it is written
    before = task_of(study, "scale.txt")
    assert before.files == {"model.scale": sha256(folder / "scale.txt")}
    (folder / "scale.txt").write_text("0.5 ")
    after = task_of(study, "scale.txt")
    assert after.values == before.values and after.key() != before.key()


def test_each_value_of_a_list_has_its_own_file_and_a_name_of_no_file_has_none(folder: Path) -> None:
    (folder / "other.txt").write_text("0.5")
    study = loaded(folder, "[scale.txt, other.txt, gone.txt, null]")
    assert task_of(study, "other.txt").files == {"model.scale": sha256(folder / "other.txt")}
    assert task_of(study, "scale.txt").files == {"model.scale": sha256(folder / "scale.txt")}
    assert task_of(study, "gone.txt").files == task_of(study, None).files == {}


def test_a_study_that_has_begun_refuses_another_file_and_goes_on_with_the_old_one(
    folder: Path, tmp_path: Path, tuning_of: Tuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(folder)
    store = tuning_of(folder / "small.yaml", tmp_path / "home")
    record, (trial,) = store.read_study("small"), store.read_trials("small")
    assert record is not None and trial.state == "complete"
    first = fold_tasks(record, trial)[0]
    assert trial.folds[0] == first.key() and first.files == {"model.scale": sha256(folder / "scale.txt")}
    old = sha256(folder / "scale.txt")
    (folder / "scale.txt").write_text("0.25")
    new = sha256(folder / "scale.txt")
    with pytest.raises(UsageError) as told:
        prepare(loaded(folder), store, "small")
    assert f"  model.scale   file changed (sha256 {old[:12]} -> {new[:12]})" in str(told.value)
    assert "--as NAME" in str(told.value)
    (folder / "scale.txt").unlink()
    with pytest.raises(UsageError, match=r"model\.scale   there is no file"):
        prepare(loaded(folder), store, "small")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "scale.txt").write_text("1.0")
    monkeypatch.chdir(elsewhere)
    again, _ = prepare(loaded(elsewhere), store, "small")
    assert fold_tasks(again, trial)[0].key() == first.key()
    assert fold_tasks(again, trial)[0].places == {"model.scale": str(elsewhere / "scale.txt")}


def test_a_study_of_a_release_that_wrote_no_files_down_goes_on_under_its_keys(
    folder: Path, tmp_path: Path, tuning_of: Tuning
) -> None:
    loaded(folder)
    store = tuning_of(folder / "small.yaml", tmp_path / "home")
    record, (trial,) = store.read_study("small"), store.read_trials("small")
    assert record is not None
    known = {name: value for name, value in record.provenance.items() if name != "files"}
    store.write_study(replace(record, provenance=known))
    again, _ = prepare(loaded(folder), store, "small")
    assert "files" not in again.provenance and fold_tasks(again, trial)[0].files == {}


@pytest.fixture
def images() -> Images:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 3, 12, 12), dtype=np.uint8)
    return Images(pixels, np.arange(24) % 3, ("a", "b", "c"))


@pytest.fixture
def split(images: Images) -> Manifest:
    folds = make_folds(images.labels, num_folds=2, seed=0)
    return Manifest.make(images, folds, np.arange(24), num_folds=2, seed=0)


def trained(task: FoldTask, images: Images, split: Manifest, features: Path | None = None) -> TrainedFold:
    steps = train_fold(task, images, split, features=features)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            found: TrainedFold = stop.value
            return found


def clip_task(images: Images, split: Manifest, architecture: str) -> FoldTask:
    values = {
        "model.name": "clip_fusion", "model.architecture": architecture, "model.head": "fusion",
        "train.epochs": 1, "train.batch_size": 8, "train.augment": "none",
    }  # fmt: skip
    here = code.identity("clip_fusion")
    return FoldTask(values, images.content_hash, split.hash, 2, 0, 0, COMPUTE, code=here)


def test_a_fold_is_trained_with_its_file_wherever_the_process_is_and_with_no_other(
    tmp_path: Path, images: Images, split: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("open_clip")
    place = tmp_path / "here" / "tiny_clip.json"
    place.parent.mkdir()
    shutil.copy(TINY, place)
    monkeypatch.chdir(tmp_path)  # where the value leads nowhere
    option = {"model.architecture": str(place)}
    task = replace(
        clip_task(images, split, "tiny_clip.json"),
        files=dict.fromkeys(option, sha256(place)), places=option,
    )  # fmt: skip
    record = trained(task, images, split).record
    assert record.key == task.key() and record.task == task.document()
    assert record.task["values"]["model.architecture"] == "tiny_clip.json"
    place.write_bytes(TINY.read_bytes() + b" ")
    with pytest.raises(CheckFailed, match=rf"model\.architecture: {place} is another file"):
        trained(task, images, split)
    place.unlink()
    with pytest.raises(CheckFailed, match=f"is not here: {place}"):
        trained(task, images, split)


def test_what_an_encoder_made_with_other_versions_or_instructions_is_made_again(
    tmp_path: Path, images: Images, split: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("open_clip")
    task = clip_task(images, split, str(TINY))
    trained(task, images, split, tmp_path)
    kept = set(tmp_path.glob("*.npy"))
    assert len(kept) == 2  # images and texts
    trained(task, images, split, tmp_path)
    assert set(tmp_path.glob("*.npy")) == kept
    known = environment.fingerprint
    monkeypatch.setattr(environment, "fingerprint", lambda *given: {**known(*given), "instructions": "OTHER"})
    trained(task, images, split, tmp_path)
    assert len(set(tmp_path.glob("*.npy")) - kept) == 2
