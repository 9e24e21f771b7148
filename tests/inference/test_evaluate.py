"""evaluate: a model's scores on labelled folders, and what it says of images that it has seen, or must not see."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from harness.cli import run
from harness.data.digits import load
from harness.data.images import Images
from harness.data.snapshot import Snapshot
from harness.inference.find_model import find_model
from harness.scoring.intervals import grouped_share_interval, share_interval
from harness.store.store import Store


def labelled(root: Path, pixels: np.ndarray, labels: np.ndarray, form: str = "{}.png") -> Path:
    """A folder of a folder for each class."""
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = root / str(label) / form.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    return root


@pytest.fixture(scope="session")
def new() -> Images:
    """60 digits that nobody has seen: noisy ones of the test part."""
    test = load(Path(), "test").take(np.arange(60))
    noise = np.random.default_rng(0).integers(-6, 7, test.pixels.shape)
    return Images((test.pixels + noise).clip(0, 255).astype(np.uint8), test.labels, test.classes)


@pytest.fixture
def evaluated(kept: Store, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict, str]]:
    """The document of a folder, and what was said on stderr."""

    def evaluate(folder: Path, *options: str) -> tuple[dict, str]:
        command = ["evaluate", "small", str(folder), *options, "--json", "--home", str(kept.home)]
        assert run(command) == 0
        out, err = capsys.readouterr()
        return json.loads(out), err

    return evaluate


def files_of(home: Path) -> Iterator[tuple[str, bytes]]:
    return ((str(path), path.read_bytes()) for path in sorted(home.rglob("*")) if path.is_file())


def test_the_scores_are_scikit_learns(
    kept: Store, new: Images, tmp_path: Path, evaluated: Callable[..., tuple[dict, str]]
) -> None:
    before = dict(files_of(kept.home))
    found, err = evaluated(labelled(tmp_path / "new", new.pixels, new.labels))
    assert dict(files_of(kept.home)) == before  # no ledger, nothing else
    probabilities = find_model(kept, "small", "").model.predict(new.pixels)
    predicted = probabilities.argmax(1)
    assert found["schema"] == 1 and found["num_images"] == 60 and found["calibrated"]
    right = int((predicted == new.labels).sum())
    assert found["scores"]["accuracy"] == pytest.approx(right / 60)
    assert tuple(found["intervals"]["accuracy"]) == pytest.approx(share_interval(right, 60))
    assert np.array_equal(found["confusion"], confusion_matrix(new.labels, predicted, labels=range(10)))
    reference = precision_recall_fscore_support(new.labels, predicted, labels=range(10), zero_division=0)
    for name, expected in zip(("precision", "recall", "f1", "support"), reference, strict=True):
        assert [row[name] for row in found["classes"]] == pytest.approx(expected.tolist()), name
    distance = np.square(probabilities.astype(float) - np.eye(10)[new.labels]).sum(1).mean()
    assert found["scores"]["brier_score"] == pytest.approx(distance, abs=1e-5)
    assert sum(bin_["num_images"] for bin_ in found["calibration"]) == 60
    assert found["known"] == {
        "unchecked": "", "equal": 0, "alike": 0, "sealed": 0, "num_without": 0, "accuracy_without": None,
        "interval_without": None,
    }  # fmt: skip
    assert "training images" not in err


def test_what_people_read_fits_eighty_columns(
    kept: Store, new: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, picture = labelled(tmp_path / "new", new.pixels, new.labels), tmp_path / "seen.png"
    command = ["evaluate", "small", str(root), "--home", str(kept.home), "--images", str(picture)]
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert lines[0] == "60 images" and lines[1].startswith("accuracy ") and " 95 % " in lines[1]
    scores = lines[1 : next(number for number, line in enumerate(lines) if line.startswith("class "))]
    assert len({line.index(re.findall(r"-?\d+\.\d{4}", line)[0]) for line in scores}) == 1  # in one column
    assert any(line.split()[:3] == ["true", "\\", "predicted"] for line in lines)
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 300


def test_training_images_are_told_with_the_score_without_them(
    new: Images, tmp_path: Path, evaluated: Callable[..., tuple[dict, str]]
) -> None:
    training = load(Path(), "train", test_fraction=0.8).take(np.arange(40))
    root = labelled(tmp_path / "mixed", new.pixels, new.labels)
    clean, _ = evaluated(root)
    labelled(root, training.pixels, training.labels, "seen{}.png")
    labelled(root, training.pixels[:5, ..., ::-1], training.labels[:5], "mirrored{}.png")
    found, err = evaluated(root)
    known = found["known"]
    assert (known["equal"], known["alike"], known["num_without"]) == (40, 5, 60)
    assert known["accuracy_without"] == clean["scores"]["accuracy"]
    assert known["interval_without"] == clean["intervals"]["accuracy"]
    said = "of 105 images 40 are the model's own training images and 5 resemble training images: a score on"
    assert said in err and f"accuracy of the other 60 is {known['accuracy_without']:.4f}" in err
    found, err = evaluated(labelled(tmp_path / "seen", training.pixels, training.labels))
    assert found["known"]["equal"] == 40 and found["known"]["accuracy_without"] is None
    assert "no image is left without them" in err


def test_groups_are_the_units_of_the_interval(
    kept: Store, new: Images, tmp_path: Path, evaluated: Callable[..., tuple[dict, str]]
) -> None:
    root = tmp_path / "new"
    for number, (image, label) in enumerate(zip(new.pixels, new.labels, strict=True)):
        labelled(root, image[None], label[None], f"p{number % 8}/{number}.png")
    predicted = find_model(kept, "small", "").model.predict(new.pixels).argmax(1)
    expected = grouped_share_interval(predicted == new.labels, np.arange(60) % 8)
    rows = [f"{path.relative_to(root)},{path.parent.name}" for path in root.rglob("*.png")]
    (tmp_path / "t.csv").write_text("\n".join(["name,patient", *rows]))
    for how in ("parent", "regex:^(p[0-9])", f"csv:{tmp_path / 't.csv'}"):
        found, _ = evaluated(root, "--groups-from", how)
        assert found["num_groups"] == 8
        assert tuple(found["intervals"]["accuracy"]) == pytest.approx(expected)
    for how in ("none", "study"):  # the study has none
        found, _ = evaluated(root, "--groups-from", how)
        assert found["groups"] is None and found["num_groups"] == 0


def test_missing_classes_and_unreadable_files_are_told(
    new: Images, tmp_path: Path, evaluated: Callable[..., tuple[dict, str]]
) -> None:
    few = np.flatnonzero(new.labels < 8)
    root = labelled(tmp_path / "new", new.pixels[few], new.labels[few])
    (root / "0" / "broken.png").write_bytes(b"no image")
    (root / "__MACOSX").mkdir()
    found, err = evaluated(root)
    assert found["missing"] == ["8", "9"] and found["num_images"] == len(few)
    assert found["unreadable"] == {str(root / "0" / "broken.png"): "not an image of a known format"}
    assert "no image of 2 classes: 8, 9" in err and "1 file cannot be read: " in err


def test_folders_that_are_no_class_of_the_model_are_left_out_when_asked_for(
    new: Images, tmp_path: Path, evaluated: Callable[..., tuple[dict, str]]
) -> None:
    root = labelled(tmp_path / "new", new.pixels, new.labels)
    clean, err = evaluated(root)
    assert "left out" not in err and "left_out" not in clean
    labelled(root, new.pixels[:7], np.full(7, 77))
    labelled(root, new.pixels[7:9], np.full(2, 10))
    found, err = evaluated(root, "--skip-unknown")
    assert found.pop("left_out") == {"10": 2, "77": 7} and found == clean
    assert (
        "9 images of classes that the model does not know are left out" in err and ": 10 (2), 77 (7)" in err
    )


def test_a_model_without_its_study_says_that_nobody_looked(
    kept: Store, new: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, home = tmp_path / "model", ["--home", str(tmp_path / "elsewhere")]
    assert (
        run(["export", "small", "--format", "safetensors", "-o", str(model), "--home", str(kept.home)]) == 0
    )
    root = labelled(tmp_path / "new", new.pixels, new.labels)
    capsys.readouterr()
    assert run(["evaluate", str(model), str(root), "--raw", "--json", *home]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["known"]["unchecked"] == "small: the study that has them is not in this store"
    assert not json.loads(out)["calibrated"] and "nobody looked whether training images are among them" in err
    assert run(["evaluate", str(model), str(root), "--json", "--home", str(kept.home)]) == 0
    assert json.loads(capsys.readouterr().out)["known"]["unchecked"] == ""


@pytest.mark.parametrize(
    ("folders", "options", "code", "expected"),
    [
        ([], [], 2, "there is no such folder"),
        (["."], [], 1, "there must be a folder for each class in it (0, 1, 2"),
        (["0"], [], 1, "no file in its class folders is named like an image"),
        (["0", "O"], [], 1, "1 of 2 folders are no classes of the model: O; known: 0, 1, 2"),
        (["0", "O"], [], 1, "--skip-unknown leaves them out"),
        (["0", *"abcdefg"], [], 1, "7 of 8 folders are no classes of the model: a, b, c, d, e and 2 more; known: 0"),
        (["O", "I"], ["--skip-unknown"], 1, "no folder in it is a class of the model: I, O; known: 0, 1, 2"),
        (["0", "O"], ["--skip-unknown"], 1, "no file in its class folders is named like an image"),
        (["train/0", "test/0"], [], 1, "has parts; say which is to be scored, "),
        (["0"], ["--groups-from", "patients"], 2, "--groups-from must be study, parent, regex:PATTERN"),
        (["0"], ["--images", "no/such.png"], 2, "--images no/such.png: there is no folder"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(
    kept: Store,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    folders: list[str],
    options: list[str],
    code: int,
    expected: str,
) -> None:
    for folder in folders:
        (tmp_path / "new" / folder).mkdir(parents=True, exist_ok=True)
    assert run(["evaluate", "small", str(tmp_path / "new"), *options, "--home", str(kept.home)]) == code
    out, err = capsys.readouterr()
    assert expected in err and not out and "Traceback" not in err


STUDY = """\
data: {name: folder, root: ROOT, image_size: 16, channels: 1, test_fraction: 0.3, groups: {regex: 'p[0-9]+'}}
model: {name: resnet, depth: 1, width: 4}
train: {epochs: 1, batch_size: 32, lr: 0.1, augment: none}
cv: {folds: 2}
search: {trials: 1, sampler: grid, racing: none}
"""


def test_sealed_images_are_left_out_and_the_studys_groups_count(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tuning_of: Callable[..., Store],
) -> None:
    from harness.data import load_training, test_set

    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    random, root = np.random.default_rng(0), tmp_path / "photos"
    pixels, labels = random.integers(0, 256, (80, 1, 16, 16), np.uint8), np.arange(80) // 40
    for number in range(80):
        labelled(root, pixels[number][None], labels[number][None], f"p{number // 5}_{number}.png")
    (tmp_path / "mine.yaml").write_text(STUDY.replace("ROOT", json.dumps(str(root))))
    store = tuning_of(tmp_path / "mine.yaml", tmp_path / "home")
    training = load_training(store.read_study("mine").data["settings"])  # type: ignore[union-attr]
    sealed = {path.relative_to(root).as_posix() for path in root.rglob("*.png")} - set(training.names)
    assert len(sealed) == 20

    def opened(*_: object) -> None:
        raise AssertionError("the test images are opened")

    monkeypatch.setattr(test_set, "load_test", opened)
    monkeypatch.setattr(test_set, "test_pixels", opened)
    command = ["evaluate", "mine", str(root), "--json", "--home", str(store.home)]
    assert run(command) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["known"]["sealed"] == 20 and found["known"]["equal"] == found["num_images"] == 60
    assert found["groups"] == {"regex": "p[0-9]+"} and found["num_groups"] == 12
    assert "20 images are of the sealed test part of study mine, which only harness final opens" in err
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    snapshot = Snapshot(
        classes=("0", "1"),
        names=tuple(names),
        parts=tuple("test" if name in sealed else "train" for name in names),
        labels=tuple(int(name[0]) for name in names),
        hashes=tuple(hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names),
    )
    snapshot.save(store.study_folder("mine") / "snapshot.json.gz")
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out) == found
    for number, name in enumerate(sorted(sealed)):  # elsewhere, under other names
        copy = tmp_path / "elsewhere" / name.partition("/")[0] / f"{number}.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, copy)
    command[2] = str(tmp_path / "elsewhere")
    assert run(command) == 1
    assert "all its images are of the sealed test part of study mine" in capsys.readouterr().err
    assert not (store.home / "ledger.jsonl").exists()
