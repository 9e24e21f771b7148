"""`harness init`: the study that it writes passes the check as it stands and fits the images; so does the model."""

import io
import json
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import harness
from harness.cli import run
from harness.config import catalog, plugins
from harness.config.study_file import Study, load_study_file
from harness.data import load_training

Checked = Callable[[str], Study]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugins.forget()
    yield
    plugins.forget()


def folder(name: str, counts: Mapping[str, int], size: tuple[int, int] = (20, 24), mode: str = "RGB") -> Path:
    """A folder of noise: so many images of each class."""
    random = np.random.default_rng(0)
    root = Path(name)
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / label / f"{number}.png")
    return root


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str], check_here: None) -> Checked:
    """The study of that name, once `harness check` has found nothing wrong with it."""

    def check(name: str) -> Study:
        capsys.readouterr()
        assert run(["check", name]) == 0
        told = capsys.readouterr()
        assert "smallest model: " in told.out and "unknown" not in told.out, told.out
        return load_study_file(name)

    return check


def test_a_script_reads_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    folder("photos", {"cat": 20, "dog": 24})
    assert run(["init", "photos", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "schema": 1, "study": "photos", "written": ["studies/photos.yaml"], "next": "harness check photos",
    }  # fmt: skip
    assert run(["init", "--model", "mine", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["study"] is None and document["written"] == ["models/mine.py", "tests/test_mine.py"]
    assert all(Path(file).is_file() for file in document["written"])


def test_a_study_of_colour_images_fits_them(checked: Checked, capsys: pytest.CaptureFixture[str]) -> None:
    root = folder("photos", {"cat": 20, "dog": 24}, size=(30, 50))
    assert run(["init", "photos"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "studies/photos.yaml: 44 colour images in 2 classes, from 20 of cat to 24 of dog; 50×30 pixels",
        "next:  harness check photos",
        "       harness tune photos",
    ]
    study = checked("photos")
    assert study.data == {
        "name": "folder", "root": str(root.absolute()), "image_size": 30, "channels": 3, "depth": "full",
        "fit": "crop", "unreadable": "refuse", "test_fraction": 0.2, "groups": None, "duplicates": "near",
        "soft_labels": None,
    }  # fmt: skip
    assert study.objective == "accuracy" and study.cv.folds == 5 and study.train["sampling"] == "shuffle"
    assert (
        study.question.startswith("How good does a small ResNet get on photos") and "\n" not in study.question
    )


def test_every_line_of_a_study_says_what_it_is() -> None:
    folder("photos", {"cat": 8, "dog": 40})
    assert run(["init", "photos"]) == 0
    lines = Path("studies/photos.yaml").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert len(settings) > 25
    assert [line for line in settings if not line.partition("# ")[2].strip()] == []
    assert max(map(len, lines)) < 200


def test_grey_images_have_one_channel(checked: Checked) -> None:
    folder("scans", {"a": 10, "b": 10}, mode="L")
    assert run(["init", "scans"]) == 0
    assert checked("scans").data["channels"] == 1
    for path in Path("scans").rglob("*.png"):
        Image.open(path).convert("RGB").save(path)  # grey, whatever the file says
    assert run(["init", "scans", "--as", "again"]) == 0
    assert checked("again").data["channels"] == 1


def test_uneven_classes_are_judged_by_their_mean(checked: Checked) -> None:
    folder("cells", {"healthy": 60, "ill": 6})
    assert run(["init", "cells"]) == 0
    study = checked("cells")
    assert study.objective == "balanced_accuracy" and study.cv.folds == 4  # of 6, four may be trained on
    assert study.settings()["train.sampling"].values == ("shuffle", "balanced")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("Meine Bilder, #1: 'ü' \"x\"", "Meine_Bilder_1_ü_x"),
        ("写真", "写真"),
        ("-rf", "rf"),
        ("{a: 1}", "a_1"),
        ("two\nlines\u2028more\U0001f642", "two_lines_more"),
        ("...", "images"),
    ],
)
def test_any_name_of_a_folder_may_stand_in_a_study(checked: Checked, name: str, study: str) -> None:
    root = folder(name, {"sea lion: é": 10, "#2\nb": 10})
    assert run(["init", "--", str(root)]) == 0
    assert [path.stem for path in Path("studies").iterdir()] == [study]
    assert checked(study).data["root"] == str(root.absolute())


def test_large_images_are_made_smaller_and_tiny_ones_stay(checked: Checked) -> None:
    folder("large", {"a": 6, "b": 6}, size=(300, 200))
    folder("tiny", {"a": 6, "b": 6}, size=(5, 9))
    assert run(["init", "large"]) == run(["init", "tiny"]) == 0
    assert checked("large").data["image_size"] == 64
    assert checked("tiny").data["image_size"] == 8


def test_images_that_come_split_are_not_split_again(checked: Checked) -> None:
    for part in ("train", "test"):
        folder(f"parted/{part}", {"a": 5, "b": 5})
    assert run(["init", "parted"]) == 0
    assert "test_fraction" not in Path("studies/parted.yaml").read_text(encoding="utf-8")
    assert checked("parted").cv.folds == 5


def test_unreadable_images_are_told_and_left_out(
    checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder("photos", {"a": 12, "b": 12})
    (root / "a" / "0.png").write_bytes(b"no image")
    assert run(["init", "photos"]) == 0
    assert "cannot be read: a/0.png (not an image of a known format)" in capsys.readouterr().err
    assert checked("photos").data["unreadable"] == "skip"


def patients(root: Path) -> Path:
    """Gives the images of a folder names like patient3_17.png: seven patients, each in both classes."""
    for path in root.rglob("*.png"):
        path.rename(path.with_name(f"patient{int(path.stem) % 7}_{path.stem}.png"))
    return root


def test_groups_that_names_suggest_are_a_comment(
    checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    patients(folder("photos", {"ill": 14, "well": 14}))
    assert run(["init", "photos"]) == 0
    said = (
        "names suggest 7 groups of 4 images, 7 of them in several classes (ill/patient0_0.png, "
        "ill/patient0_7.png, well/patient0_0.png would be one); if images of one object must not be split, set "
        "data.groups: {regex: 'patient[0-9]+'}"
    )
    assert said in capsys.readouterr().err.splitlines()
    assert checked("photos").data["groups"] is None
    path = Path("studies/photos.yaml")
    text = path.read_text(encoding="utf-8")
    assert text.count("  # groups: {regex: 'patient[0-9]+'}") == 1
    path.write_text(text.replace("  # groups:", "  groups:"), encoding="utf-8")
    study = checked("photos")
    assert study.data["groups"] == {"regex": "patient[0-9]+"}
    images = load_training(study.data)
    assert (
        images.groups is not None and len(set(images.groups.tolist())) < 7
    )  # the others are in the test part


@pytest.mark.parametrize(("answer", "groups"), [("y\n", {"regex": "patient[0-9]+"}), ("\n", None)])
def test_on_a_terminal_it_is_asked_whether_groups_belong_together(
    checked: Checked, monkeypatch: pytest.MonkeyPatch, answer: str, groups: object
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    patients(folder("photos", {"ill": 14, "well": 14}))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", Terminal(answer))
        patch.setattr(sys, "stderr", Terminal())
        assert run(["init", "photos"]) == 0
        assert "Never split these groups? [y/N]" in sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert checked("photos").data["groups"] == groups


def test_a_class_of_too_few_images_is_told(checked: Checked, capsys: pytest.CaptureFixture[str]) -> None:
    folder("photos", {"a": 12, "b": 2})
    assert run(["init", "photos"]) == 0
    assert "class b has 2 images, too few" in capsys.readouterr().err
    with pytest.raises(AssertionError):
        checked("photos")
    assert "class b has 1 training image, fewer than the 2 folds" in capsys.readouterr().err


def test_no_next_step_is_told_that_would_be_refused(
    capsys: pytest.CaptureFixture[str], check_here: None
) -> None:
    folder("tiny", {"a": 1, "b": 1})
    assert run(["init", "tiny"]) == 0
    assert "next:" not in capsys.readouterr().out
    assert run(["check", "tiny"]) == 2
    told = capsys.readouterr().err
    assert (
        "classes a (1 image), b (1 image) cannot be in both the training and the test part: a class needs one"
        in told
    )
    assert "duplicates" not in told


def test_the_number_of_images_that_are_missing_is_told(
    capsys: pytest.CaptureFixture[str], check_here: None
) -> None:
    folder("few", {"a": 3, "b": 12})
    assert run(["init", "few"]) == 0
    assert run(["check", "few", "--set", "cv.folds=5"]) == 2
    assert "the 5 folds; lower cv.folds to 2, add 3 training images to it, or" in capsys.readouterr().err


def test_a_path_is_written_without_its_detours(capsys: pytest.CaptureFixture[str]) -> None:
    root = folder("../photos", {"a": 4, "b": 4})
    assert run(["init", "../photos"]) == 0
    assert f'root: "{root.resolve()}" ' in Path("studies/photos.yaml").read_text(encoding="utf-8")
    Path("far/away").mkdir(parents=True)
    Path("link").symlink_to("far/away", target_is_directory=True)
    folder("far/others", {"a": 4, "b": 4})
    assert run(["init", "link/../others"]) == 0  # what is meant is far/others, and not others
    assert "link/../others" in Path("studies/others.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("root", ["photos", "photos/train"])
def test_check_accepts_what_is_written_unless_it_is_told_how_many_images_are_needed(
    root: str, count: int, capsys: pytest.CaptureFixture[str], check_here: None
) -> None:
    folder(root, {"a": 12, "b": count}, size=(12, 12))
    if root != "photos":
        folder("photos/test", {"a": 2, "b": 2}, size=(12, 12))
    assert run(["init", "photos"]) == 0
    told = capsys.readouterr().err
    least = 3 if root == "photos" else 2
    assert run(["check", "photos"]) == (0 if count >= least else 2)
    if count < least:
        assert f"class b has {count} image" in told and f"until there are {least} of each class" in told
    else:
        assert not told


def test_a_data_set_is_looked_at_where_it_is_here(
    checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--data", "digits"]) == 0
    assert "1,438 grey images in 10 classes, from 139 of 8 to 146 of 1; 8×8 pixels" in capsys.readouterr().out
    study = checked("digits")
    assert study.source == "studies/digits.yaml" and len(load_training(study.data)) == 1438
    assert run(["init", "--data", "cifar10", "--as", "mine"]) == 0
    assert "cifar10 is not on this machine yet: harness check fetches it" in capsys.readouterr().out
    assert load_study_file("mine").data == {"name": "cifar10", "root": None}


@pytest.mark.slow
def test_a_study_that_was_written_is_tuned(tmp_path: Path) -> None:
    folder("photos", {"a": 12, "b": 12}, size=(8, 8))
    assert run(["init", "photos"]) == 0
    command = ["tune", "--study", "photos", "--home", str(tmp_path / "home"), "--workers", "1"]
    less = [
        "--set",
        "train.epochs=1",
        "--set",
        "search.trials=1",
        "--set",
        "cv.folds=2",
        "--set",
        "search.racing=none",
    ]
    assert run([*command, *less]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "init needs one of a folder of images, --data NAME and --model NAME"),
        (["photos", "--model", "mine"], "(got FOLDER and --model)"),
        (["nowhere"], "nowhere: there is no such folder"),
        (["empty"], "there must be at least 2 (none)"),
        (["--data", "digit"], "did you mean 'digits'"),
        (["--data", "folder"], "its root is needed; use harness init FOLDER"),
        (["photos", "--as", "a/b"], "a study cannot be called 'a/b'"),
        (["--model", "resnet"], "harness has a model of this name"),
        (["--model", "my-net"], "letters, digits and _ only"),
        (["--model", "class"], "letters, digits and _ only"),
        (["--model", "../x"], "letters, digits and _ only"),
        (["--model", "mine", "--as", "x"], "--as is a study's name"),
        (["broken"], "none of its images can be read: a/x.png"),
    ],
    ids=str,
)
def test_mistakes_are_told_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    folder("photos", {"a": 2, "b": 2})
    Path("empty").mkdir()
    for label in ("a", "b"):
        (Path("broken") / label).mkdir(parents=True)
        (Path("broken") / label / "x.png").write_bytes(b"")
    assert run(["init", *words]) in (1, 2)
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told and len(told.strip().splitlines()) == 1
    assert not Path("studies").exists() and not Path("models").exists()


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    folder("photos", {"a": 3, "b": 3})
    for path in ("studies/photos.yaml", "tests/test_mine.py"):
        Path(path).parent.mkdir()
        Path(path).write_text("mine", encoding="utf-8")
    assert run(["init", "photos"]) == run(["init", "--model", "mine"]) == 2
    told = capsys.readouterr().err
    assert (
        "studies/photos.yaml is there already, and is not overwritten; harness init … --as NAME calls" in told
    )
    assert "tests/test_mine.py is there already, and is not overwritten; choose another name" in told
    assert not Path("models").exists()
    assert Path("studies/photos.yaml").read_text(encoding="utf-8") == "mine"
    assert run(["init", "photos", "--as", "photos 2"]) == 0
    assert "harness check 'photos 2'" in capsys.readouterr().out


def test_a_model_that_was_written_keeps_the_contract_and_its_test_passes(
    checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", "--model", "mine"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "next:  python -m pytest tests/test_mine.py"
    code = Path("models/mine.py").read_text(encoding="utf-8")
    assert max(map(len, code.splitlines())) <= 120
    build = runpy.run_path("models/mine.py")["build"]
    for options in ({}, {"depth": 1}, {"depth": 5, "width": 1}):
        for channels, size in ((1, 4), (3, 7), (3, 33)):
            harness.check_network(build, channels, size, num_classes=3, **options)
    assert run(["init", "--data", "digits"]) == 0
    path = Path("studies/digits.yaml")
    text = path.read_text(encoding="utf-8").replace("name: resnet", "name: mine  ")
    path.write_text(text.replace("  dropout:", "  # dropout:"), encoding="utf-8")
    assert checked("digits").settings()["model.width"].values == (16, 32)  # type: ignore[union-attr]
    entry = catalog.entry("model", "mine")
    assert entry is not None and entry.options[0].meaning == "convolutions."


@pytest.mark.slow
def test_the_test_of_a_written_model_runs_and_fails_where_the_model_is_wrong() -> None:
    assert run(["init", "--model", "mine"]) == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_mine.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "7 passed" in done.stdout, done.stdout
    path = Path("models/mine.py")
    path.write_text(
        path.read_text(encoding="utf-8").replace("channels, num_classes", "channels, num_classes + 1")
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (
        done.returncode == 1
        and "mine.py:" in done.stdout
        and "its output has the shape (2, 6)" in done.stdout
    )


def test_what_a_check_says_is_above_the_line_that_a_terminal_has_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    folder("photos", {"a": 12, "b": 12})
    assert run(["init", "photos"]) == 0
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert run(["check", "photos"]) == 0
    assert "harness: reading 24 image files" in screen.getvalue()
    assert "20 images in 2 classes: 10 of each; 4 more are sealed for the test" in capsys.readouterr().out
