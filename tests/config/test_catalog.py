"""A file of models/ that cannot be read breaks itself alone, and says where."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import run
from harness.config import catalog
from harness.config.study_file import load_study_file
from harness.errors import StudyError
from tests.own_models import HEAD

OwnModel = Callable[[str, str], Path]
DEF = HEAD + "def build(in_channels, image_size, num_classes, *,"
BROKEN = [
    ("def build(\n", 1, "was never closed"),
    (HEAD + "WIDTH = 4\ndef build(in_channels, image_size, num_classes, *, width: int = WIDTH):\n    ...\n", 7,
     "the default of option width must be written out"),
    (DEF + " width=4):\n    ...\n", 6, "option width needs an annotation"),
    (DEF + " width: list[int] = 4):\n    ...\n", 6,
     "option width: list[int] is none of int, float, bool, str"),
    (DEF + "\n    width: Annotated[int, LIMITS] = 4):\n    ...\n", 7,
     "Annotated takes Between(…), Younger(…), NamesFile(…), OrOwn(…), OrPair(…), Only(…), Unless(…), not LIMITS"),
    (DEF + " width: Annotated[int, Between(LOW)] = 4):\n    ...\n", 6,
     "a limit of option width must be written out"),
    (DEF + " width: Annotated[int, Between(lo=1)] = 4):\n    ...\n", 6,
     "unexpected keyword argument 'lo'"),
    (DEF + " kind: Literal[A, 'b'] = 'b'):\n    ...\n", 6,
     "a choice of option kind must be written out"),
    (DEF + " kind: maps.Kind = None):\n    ...\n", 6,
     "maps.Kind is no map of data/"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said"), BROKEN)
def test_a_broken_model_breaks_only_itself_and_names_file_and_line(
    own_model: OwnModel, study_file: Path, text: str, line: int, said: str
) -> None:
    path = own_model("mine", text)
    assert load_study_file(str(study_file)).model["name"] == "resnet"
    assert f"{path}:{line}: " in catalog.models()["mine"].problem and said in catalog.models()["mine"].problem
    with pytest.raises(StudyError) as told:
        load_study_file(str(study_file), ["model.name=mine"])
    assert f"model.name   {path}:{line}: " in str(told.value) and said in str(told.value)


def test_bytes_that_are_no_text_break_only_their_own_file(own_model: OwnModel) -> None:
    own_model("mine", "").write_bytes(b"\xff\x00")
    assert "cannot be read" in catalog.models()["mine"].problem and not catalog.models()["resnet"].problem


def test_the_list_of_models_shows_a_broken_one(
    own_model: OwnModel, capsys: pytest.CaptureFixture[str], check_here: None
) -> None:
    path = own_model("mine", "def build(\n")
    assert run(["list", "models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["mine"]["what it is"].startswith(f"broken: {path}:1: ") and rows["resnet"]["options"]
    assert run(["list", "models", "mine"]) == 2
    assert f"{path}:1: " in capsys.readouterr().err
    assert run(["check", "smoke"]) == 0
