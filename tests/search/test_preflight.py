"""What tune refuses, check refuses, and so does `harness.tune`: in the same words, all of it at once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import harness
from harness import tuning
from harness.cli import run
from harness.config import plugins
from harness.config.study_file import load_study_file
from harness.errors import StudyError
from harness.folds import code
from harness.prepare import prepare
from harness.search.driver import FoldBegan, FoldEnded
from harness.search.preflight import preflight
from harness.store.store import Store
from tests.config.test_plugins import project
from tests.search.broken_setups import ALL, FOLDER, Broken, grouped, images, room
from tests.search.test_own_images import NoRecorder

__all__ = ["project"]  # the fixture

QUICK = (
    "no folder", "two classes smaller than the folds", "an empty file", "too few trials to race", "no GPU",
    "a file of weights that is not there", "a loss without a gradient",
    "no images, no GPU, no such architecture",
)  # fmt: skip
CASES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL]


@pytest.fixture(autouse=True)
def _alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_here: None
) -> Iterator[None]:
    """A project of its own, in which check asks this process."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    code.use_current_folder()
    yield
    plugins.forget()
    code.forget()


def problems(text: str) -> list[str]:
    """The lines of a StudyError in what was told on stderr."""
    first, *lines = text[text.index("harness: broken.yaml: ") :].splitlines()
    assert first == f"harness: broken.yaml: {len(lines)} problem{'s' * (len(lines) > 1)}"
    return lines


def require_said(broken: Broken, lines: list[str]) -> None:
    unaligned = [" ".join(line.split()) for line in lines]
    for part, line in zip(broken.said, unaligned, strict=True):
        assert " ".join(part.split()) in line


@pytest.mark.parametrize("name", CASES)
def test_check_and_tune_refuse_the_same_in_the_same_words(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = ALL[name]
    broken.prepare(monkeypatch)
    assert run(["check", "broken.yaml"]) == 2
    checked = problems(capsys.readouterr().err)
    require_said(broken, checked)
    assert run(["tune", "--study", "broken.yaml", "--workers", "1"]) == 2
    assert problems(capsys.readouterr().err) == checked
    assert Store(Path("mlruns")).studies() == [] and not Path("mlruns/mlflow.db").exists()


def test_a_full_disk_is_told_by_both_and_is_no_mistake_of_the_study(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Broken((), patch=room(100, 2**40)).prepare(monkeypatch)
    said = f"harness: {Path('mlruns').absolute()}: the first trial alone needs 2,560 bytes on the disk of the store, "
    for command in (["check", "broken.yaml"], ["tune", "--study", "broken.yaml", "--workers", "1"]):
        assert run(command) == 4
        assert capsys.readouterr().err.splitlines()[-1] == (
            said + "which has 100 bytes free: make room, or choose another --home"
        )
    assert Store(Path("mlruns")).studies() == []


def test_there_are_sixty_of_them() -> None:
    assert len(ALL) >= 60


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a class smaller than the folds", "cv.folds=2"),
        ("an empty file", "data.unreadable=skip"),
        ("early stopping with one image", "train.patience=null"),
        ("too few trials to race", "search.racing=none"),
        ("what nothing reads", "train.brightness=0.1"),
        ("no GPU", "compute.device=auto"),
        pytest.param("an input size that cannot be", "model.input_size=null", marks=pytest.mark.slow),
        ("weights of a head that cannot be fetched", "model.weights=null"),
    ],
)
def test_advice_that_is_followed_helps(name: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ALL[name].prepare(monkeypatch)
    words = ["check", "broken.yaml", "--set", advice]
    assert run(words[:2]) == 2 and run(words) == 0


@pytest.mark.parametrize(
    "name", ["no images, no GPU, no such architecture", "a loss without a gradient", "one class"]
)
def test_python_refuses_the_same_in_the_same_words(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ALL[name].prepare(monkeypatch)
    assert run(["check", "broken.yaml"]) == 2
    checked = problems(capsys.readouterr().err)
    with pytest.raises(StudyError) as refused:
        harness.tune("broken.yaml", progress=False)
    assert str(refused.value).splitlines()[1:] == checked and len(refused.value.problems) == len(checked)


def test_a_document_says_all_of_it_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ALL["a small class, a wrong loss and a wrong metric"].prepare(monkeypatch)
    assert run(["check", "broken.yaml", "--json"]) == 2
    told = capsys.readouterr()
    document, said = json.loads(told.out), f"harness: {json.loads(told.err)['error']}"
    assert [one["path"] for one in document["problems"]] == ["cv.folds", "train.loss", "objective"]
    assert [one["message"] for one in document["problems"]] == [
        line.split("   ", 1)[1].strip() for line in (one.lstrip() for one in problems(said))
    ]
    assert document["warnings"] == [] and document["num_images"] == 9 and document["schema"]
    assert run(["check", "broken.yaml", "--json", "--set", "train.lrr=1"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in document["problems"]] == ["train.lrr"] and document["schema"]


WARNED = Broken(
    (),
    make=lambda: (images({"Cat": 100, "cat": 4}), images({"owl": 40}, size=30)),
    model="{name: mine, width: [4, 9]}",
    files={
        "models/mine.py": "from torch import nn\ndef build(in_channels, image_size, num_classes, width: int = 4):\n"
        "    if width == 9:\n        raise ValueError('too wide')\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))"
    },
    search="trials: 2, racing: none",
)
SAID = (
    "1 files are not named like images and ignored: owl/notes.txt",
    "which accuracy hardly sees: a network that always says Cat scores 0.",
    "classes Cat, cat are told apart by how their names are written alone",
    "100% of class owl and 0% of all others have a width above 8",
    "100% of class owl and 0% of all others have a height above 8",
    "model.width = 9 may fail its trials, for mine cannot be made with it and the other values of trial 0: too wide",
)


def test_warnings_are_told_by_check_and_tune_and_stand_in_the_document(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    WARNED.prepare(monkeypatch)
    Path("images/owl/notes.txt").touch()
    assert run(["check", "broken.yaml", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == []
    for said, line in zip(SAID, document["warnings"], strict=True):
        assert said in line
    assert warned(caplog) == document["warnings"]
    caplog.clear()
    study = load_study_file("broken.yaml")
    prepare(study, Store(tmp_path / "home"), "warned")
    assert warned(caplog) == document["warnings"]


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


def test_groups_that_names_suggest_are_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    names = [f"patient{number}_{image}" for number in range(20) for image in range(3)]
    grouped({"cat": names[:30], "dog": names[30:]})()
    study = f"data: {{{FOLDER}}}\nmodel: {{name: resnet, depth: 1, width: 2}}\nsearch: {{trials: 1}}\n"
    Path("broken.yaml").write_text(study)
    found = preflight(load_study_file("broken.yaml"), tmp_path / "home")
    (line,) = found.warnings
    assert line.startswith("names suggest 20 groups of 1 to 3 images") and "set data.groups: " in line
    setting = line.partition("set data.")[2]
    Path("broken.yaml").write_text(study.replace(FOLDER, f"{FOLDER}, {setting}"))
    found = preflight(load_study_file("broken.yaml"), tmp_path / "home")
    assert found.warnings == found.problems == ()


WHOLE = Broken((), model="{name: resnet, depth: 1, blocks: 1, width: 2}")


def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    WHOLE.prepare(monkeypatch)
    settings = tuning.Settings(Path("mlruns").absolute(), workers=1, offline=True)
    return tuning.tune(load_study_file("broken.yaml"), settings)


def test_a_study_begins_to_exist_with_its_first_fold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(Path("mlruns"))
    with closing(started(monkeypatch)) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, FoldBegan):
                break
        assert run(["status", "broken"]) == 2
        assert "study broken trains its first fold" in capsys.readouterr().err
        assert run(["gc", "--yes"]) == 4, "its images are in use"
        capsys.readouterr()
    assert store.studies() == [] and not (store.home / "mlflow.db").exists()
    assert run(["status"]) == 0 and run(["status", "broken"]) == 2
    assert "no study 'broken'" in capsys.readouterr().err
    monkeypatch.setattr(tuning, "Recorder", NoRecorder)
    with closing(started(monkeypatch)) as events:  # type: ignore[type-var]
        for event in events:
            if isinstance(event, FoldEnded):
                break
    assert store.studies() == ["broken"]


def test_the_folder_of_a_study_that_never_began_is_cleared_away(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(Path("mlruns"))
    with closing(started(monkeypatch)) as events:  # type: ignore[type-var]
        next(iter(events))
    assert store.study_folders() == ["broken"]
    assert run(["gc", "--yes"]) == 0
    assert store.study_folders() == []


def test_a_study_that_has_trained_goes_on_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "Recorder", NoRecorder)
    assert [type(event) for event in started(monkeypatch)].count(FoldEnded) == 2

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("looked at once more")

    monkeypatch.setattr("harness.prepare.preflight", refuse)
    assert isinstance(list(started(monkeypatch))[-1], tuning.StudyEnded)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["an empty file", "no images, no GPU, no such architecture", "a model that raises"]
)
def test_processes_refuse_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As people meet it, warnings on stderr and all."""
    ALL[name].prepare(monkeypatch)
    if Path("images/cat").is_dir():
        Path("images/cat/notes.txt").touch()
    told = []
    for words in (["check", "broken.yaml"], ["tune", "--study", "broken.yaml", "--workers", "1"]):
        command = [sys.executable, "-m", "harness", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert ("cat/notes.txt" in done.stderr) == Path("images/cat/notes.txt").exists()
        told.append(problems(done.stderr))
    assert told[0] == told[1]
    require_said(ALL[name], told[0])
