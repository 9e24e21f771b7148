"""A whole study of somebody's own photographs, several of each object: from the folder to the folds on disk."""

import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import tuning
from harness.cli import check
from harness.config.study_file import load_study_file
from harness.data import load_training
from harness.data.split import Manifest
from harness.data.test_set import load_test
from harness.documents import plain_json
from harness.errors import UsageError
from harness.prepare import prepare
from harness.search import checking
from harness.search.sizes import SizesRequest
from harness.store.store import Store
from harness.tuning import StudyEnded


class NoRecorder:
    """Stands in for MLflow and Optuna's dashboard, which these tests do not look at."""

    problem = ""

    def __init__(self, *_: object, **__: object):
        pass

    def update(self, _: object) -> None:
        pass

    def watch(self, _: object, *, begun: bool) -> None:
        pass

    def close(self, *, timeout_seconds: float) -> None:
        pass


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(tuning, "Recorder", NoRecorder)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """40 patients with 3 images each; 30 of class `well`, 10 of class `ill`."""
    random = np.random.default_rng(0)
    for patient in range(40):
        folder = tmp_path / "photographs" / ("ill" if patient % 4 == 0 else "well")
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(3):
            pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"patient{patient}_{index}.png")
    return tmp_path / "photographs"


@pytest.fixture
def study_file(tmp_path: Path, photographs: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(
        f"""\
# Who is ill?
data: {{name: folder, root: "{photographs}", image_size: 8, groups: {{regex: "(patient[0-9]+)_"}}}}
model: {{name: resnet, depth: 1, blocks: 1, width: 4}}
train: {{epochs: 1, patience: 1, inner_fraction: 0.2}}
cv: {{folds: 3}}
search: {{trials: 1}}
""",
        encoding="utf-8",
    )
    return path


def tune(path: Path, home: Path, *overrides: str) -> StudyEnded:
    study = load_study_file(str(path), overrides)
    *_, ended = tuning.tune(study, tuning.Settings(home, workers=1, offline=True))
    assert isinstance(ended, StudyEnded)
    return ended


def patients(names: tuple[str, ...]) -> list[str]:
    return [name.split("/")[1].split("_")[0] for name in names]


def test_no_patient_is_in_two_folds_or_in_the_test_part(study_file: Path, tmp_path: Path) -> None:
    ended = tune(study_file, tmp_path / "store")
    assert [trial.state for trial in ended.trials] == ["complete"] and len(ended.trials[0].folds) == 3
    split = Manifest.load(Store(tmp_path / "store").study_folder("own") / "split.npz")
    settings = ended.record.data["settings"]
    train, test = load_training(settings), load_test(settings)
    assert split.data_hash == train.content_hash and split.hash == ended.record.split_hash
    folds = [set(np.array(patients(train.names))[split.held_out(fold)]) for fold in range(3)]
    everybody = [*folds, set(patients(test.names))]
    assert sum(map(len, everybody)) == len(set.union(*everybody)) == 40
    for fold in range(3):  # stratified: 8 of the 32 patients are ill, and no fold is without
        ill = (train.labels[split.held_out(fold)] == 0).sum() / 3
        assert 2 <= ill <= 3


def test_a_study_that_is_grouped_otherwise_is_another_one(study_file: Path, tmp_path: Path) -> None:
    tune(study_file, tmp_path / "store")
    with pytest.raises(UsageError, match=r"(?s)data.groups.regex"):
        tune(study_file, tmp_path / "store", "data.groups={regex: '(.)[0-9]_'}")


def test_a_changed_image_is_named_when_a_study_goes_on_and_its_own_copy_is_gone(
    study_file: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    for part, name, index in product(("train", "test"), ("ill", "well"), range(6)):
        path = tmp_path / "parted" / part / name / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    options = (f"data.root={tmp_path / 'parted'}", "data.groups=null", "train.patience=null")
    tune(study_file, tmp_path / "store", *options)
    changed = tmp_path / "parted" / "train" / "well" / "2.png"
    pixels = np.array(Image.open(changed))
    pixels[3, 4, 1] ^= 1
    Image.fromarray(pixels).save(changed)
    for copies in ("store/data", "home/cache"):
        shutil.rmtree(tmp_path / copies)
    named = r"images   0 added, 0 removed, 1 changed \(train/well/2.png\)"
    with pytest.raises(UsageError, match=named):
        tune(study_file, tmp_path / "store", *options)


def test_a_check_counts_the_images_of_classes_and_groups(study_file: Path) -> None:
    study = load_study_file(str(study_file))
    sizes = checking.answer(SizesRequest(str(study_file))).sizes
    assert sizes is not None
    assert plain_json(sizes.balance) == {
        "num_classes": 2, "smallest": ["ill", 24], "largest": ["well", 72], "ratio": 3.0,
        "num_groups": 32, "largest_group": 3,
    }  # fmt: skip
    first, *_ = check.size_lines(study, check.plan(study), sizes)
    counts = "96 images in 2 classes: from 24 of ill to 72 of well, ratio 3.0"
    sealed = f"; {sizes.num_sealed} more are sealed for the test"
    assert sizes.num_sealed == 24 and first == f"{counts}; 32 groups, the largest of 3 images{sealed}"
    sizes = checking.answer(SizesRequest(str(study_file), ("data.groups=null",))).sizes
    assert sizes is not None
    assert check.size_lines(study, check.plan(study), sizes)[0] == counts + sealed


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.hue=0.1", "train.saturation=[0.0, 0.4]"], "train.saturation, train.hue"),
        (["train.hue=0.1", "train.augment=none"], ""),
        (["train.brightness=0.1"], ""),
    ],
    ids=str,
)
def test_options_of_colour_are_told_to_do_nothing_with_grey_images(
    study_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, overrides: list[str], expected: str
) -> None:
    overrides = [
        "data={name: digits}",
        "train.augment=standard",
        "search.sampler=grid",
        "search.trials=2",
        *overrides,
    ]
    said = f"without effect, for it takes images of three channels: {expected}" if expected else ""
    study = load_study_file(str(study_file), overrides)
    checked = checking.answer(SizesRequest(str(study_file), tuple(overrides)))
    caplog.clear()
    prepare(study, Store(tmp_path / "store"), study.name)
    told = [message for message in caplog.messages if "effect" in message]
    lines = [line for line in checked.warnings if "effect" in line]
    assert lines == told == ([said] if said else [])


@pytest.mark.parametrize(
    ("num_rare", "objective", "warned"),
    [(3, "accuracy", True), (3, "log_loss", False), (10, "accuracy", False)],
)
def test_a_rare_class_is_told_of_once_where_accuracy_is_the_objective(
    photographs: Path, study_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    num_rare: int, objective: str, warned: bool,
) -> None:  # fmt: skip
    for path in sorted((photographs / "ill").iterdir())[num_rare:]:
        path.unlink()
    overrides = (
        "data.groups=null",
        "data.test_fraction=0.01",
        f"objective={objective}",
        "train.patience=null",
    )
    tune(study_file, tmp_path / "store", *overrides, "cv.folds=2")
    told = [message for message in caplog.messages if "balanced_accuracy" in message]
    expected = (
        "well has 89 images and ill has 2, which accuracy hardly sees: a network that always says well scores 0.9780; "
        "consider objective: balanced_accuracy, and train.sampling: balanced"
    )
    assert told == ([expected] if warned else [])
