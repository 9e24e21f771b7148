"""Hostile input and artifacts, a little of each; `python -m tests.campaigns` has any number of them."""

import io
import re
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from PIL import Image

from harness.cli import run
from harness.config.settings import Range
from harness.config.study_file import load_study_file, parse_study_file
from harness.data.decoding import decode
from harness.data.image_files import list_images
from harness.errors import DataError, HarnessError, Problem, RecordError, StudyError
from harness.standalone.image_pixels import UnreadableError
from harness.store.store import Store
from tests.campaigns import hostile_folders, hostile_inputs
from tests.campaigns.hostile_artifacts import artifacts
from tests.campaigns.hostile_inputs import trouble
from tests.conftest import STUDY


def test_mutated_study_files_are_read_or_refused() -> None:
    assert hostile_inputs.study_files(300, seed=0) == []


def test_mutated_images_are_decoded_or_unreadable() -> None:
    assert hostile_inputs.images(5_000, seed=0) == []


def test_any_command_line_ends_with_a_documented_exit_code() -> None:
    assert hostile_inputs.arguments(50, seed=0) == []


def test_odd_folders_are_read_or_refused() -> None:
    assert hostile_folders.folders(15, seed=0) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_artifacts_run_nothing_and_write_nothing_outside(tmp_path: Path) -> None:
    assert artifacts(tmp_path) == []


def test_each_way_to_fail_is_noticed() -> None:
    def stray() -> None:
        raise KeyError("x")

    def silent() -> None:
        raise HarnessError

    def slow() -> None:
        end = process_time() + 0.05
        while process_time() < end:
            pass

    assert trouble(lambda: None, HarnessError, "x") == ""
    assert "KeyError" in trouble(stray, HarnessError, "x")
    assert "without a word" in trouble(silent, HarnessError, "x")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hostile_inputs, "SECONDS", 0.01)
        assert "took" in trouble(slow, HarnessError, "x")


# What was found so, one by one.


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lr=1" + "0" * 400, "more than 64 bits"),
        ("cv.folds=0x" + "f" * 6000, "more than 64 bits"),
        ('data={name: folder, root: "\\0"}', "NUL"),
        ('data={name: folder, root: "\\ud800"}', "surrogate"),
        ("model.width=[" + "1," * 9000 + "]", "more than 5,000"),
        ("model.dropout={low: 0, high: 0.9, step: 1e-300}", "too wide"),
        ("train.lr={low: -1e308, high: 1e308}", "train.lr"),
    ],
    ids=lambda value: value[:20],
)
def test_values_that_nothing_can_use_are_told(override: str, expected: str) -> None:
    with pytest.raises(StudyError, match=re.escape(expected)):
        parse_study_file(STUDY.encode(), [override], name="x", source="x")


def test_a_place_below_the_folder_of_nobody_is_a_place_like_any_other() -> None:
    study = parse_study_file(
        STUDY.encode(), ["data={name: folder, root: ~nobody_here/x}"], name="x", source="x"
    )
    assert study.data["root"] == str(Path("~nobody_here/x").absolute())


def test_a_wide_range_is_counted_without_being_written_out() -> None:
    wide = Range("int", 1, 10**9)
    assert wide.count == 10**9
    assert Range("float", 0, 1e9, step=1.0).nearest(5.2) == 5


def test_a_grid_of_many_trials_is_refused_when_it_is_read() -> None:
    overrides = [
        "search.sampler=grid",
        "model.dropout=0",
        "train.lr=0.1",
        "train.epochs={low: 1, high: 100000}",
    ]
    with pytest.raises(StudyError, match="a grid of 200,000 trials is too large"):
        parse_study_file(STUDY.encode(), overrides, name="x", source="x")


def test_one_long_name_does_not_widen_every_line() -> None:
    error = StudyError("x", [Problem("k" * 50_000, "a"), *[Problem("p", "b")] * 1_000])
    assert len(str(error)) < 200_000


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(2**35)
    with pytest.raises(StudyError, match="is too large"):
        load_study_file(str(tmp_path / "huge.yaml"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "a" * 300 + "/b.yaml"],
        ["check", "~nobody_here/b.yaml"],
        ["bundle", "a" * 300 + "/b"],
        ["compare", "x", "--picture", "a" * 300 + "/b.png"],
        ["status", "x", "--home", "a" * 300],
        ["status", "x", "--home", "~nobody_here"],
        ["status", "../../x"],
        ["status", "名" * 99],
    ],
    ids=lambda value: " ".join(value)[:20],
)
def test_odd_names_are_told_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_store_whose_name_is_no_text_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import sys

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    assert run(["status", "--home", str(tmp_path / "\udcff")]) == 0
    out.flush()
    assert b"\\udcff" in out.buffer.getvalue()  # type: ignore[attr-defined]


def test_a_web_of_links_is_refused_and_not_walked(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    hostile_folders.HARMS["web"](tmp_path / "a")
    with pytest.raises(DataError, match="more than 100 ways"):
        list_images(tmp_path, "train")


def test_a_large_transparent_image_needs_little_more_memory_than_its_pixels() -> None:
    """And the strips that it is laid on white in meet without a seam."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 4), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    white = Image.new("RGBA", (200, 200), "white")
    expected = np.asarray(Image.alpha_composite(white, Image.fromarray(pixels)).convert("RGB"))
    assert (decode(file.getvalue(), image_size=200, channels=3).transpose(1, 2, 0) == expected).all()
    with pytest.raises(UnreadableError):
        decode(file.getvalue()[:100], image_size=200, channels=3)


def test_what_is_no_key_of_a_fold_reaches_no_file(tmp_path: Path) -> None:
    precious = tmp_path / "elsewhere" / "weights.safetensors"
    precious.parent.mkdir()
    precious.touch()
    store = Store(tmp_path / "home")
    (store.home / "folds").mkdir(parents=True)
    with pytest.raises(RecordError, match="is no fold's key"):
        store.drop_weights(["../../elsewhere"])
    assert precious.exists() and store.read_fold("../../elsewhere") is None
