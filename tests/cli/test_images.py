"""`harness check --images`: a picture of what training sees."""

import json
from pathlib import Path

import pytest
from PIL import Image

from harness.cli import run


def test_a_picture_is_drawn_beside_the_sizes(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], check_here: None
) -> None:
    path = tmp_path / "seen.png"
    assert run(["check", str(study_file), "--images", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"]
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert 1000 < picture.width < 1600 and 1000 < picture.height < 1600


@pytest.mark.parametrize(
    ("path", "expected"), [("no/such/seen.png", "there is no folder no/such"), (".", "is a directory")]
)
def test_a_path_that_cannot_be_written_is_told_before_anything_is_drawn(
    path: str, expected: str, study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(study_file), "--images", path]) == 2
    said = capsys.readouterr()
    assert expected in said.err
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1


def test_no_picture_is_drawn_without_images(
    study_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], check_here: None
) -> None:
    path = tmp_path / "seen.png"
    missing = ["--set", "data.name=folder", "--set", f"data.root={tmp_path / 'nothing'}"]
    assert run(["check", str(study_file), *missing, "--images", str(path)]) == 2
    assert "nothing" in capsys.readouterr().err
    assert not path.exists()
