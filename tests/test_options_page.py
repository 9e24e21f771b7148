"""The page of all options is what the code gives, and every option says what it means."""

import json

import pytest

from harness.cli import run
from harness.config.sections import Cv, Search, options_of
from harness.config.signatures import Option, meanings
from tests.options_page import PAGE, page, undocumented


def test_the_page_of_options_is_what_the_code_gives() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.options_page"


def test_every_option_of_harness_says_what_it_means() -> None:
    """In the docstring of the function or class that has it: "NAME: …" at a line's start or after three spaces."""
    assert undocumented() == []


def test_a_meaning_is_the_first_sentence_after_the_names_and_why_the_default_is_that() -> None:
    text = """What it is.

    depth: stages, each half
    as large. More than you think. Default: as few as
    will do.   width, height: in pixels. More than anybody needs.
    of: depth: is no entry.

    After an empty line nothing belongs to height any more.
    """
    assert meanings(text, ["depth", "width", "height", "dropout"]) == {
        "depth": "stages, each half as large. Default: as few as will do.",
        "width": "in pixels.",
        "height": "in pixels.",
    }
    assert meanings(text, []) == {}


def test_limits_and_defaults_of_the_fixed_sections_are_those_of_their_fields() -> None:
    found: dict[str, Option] = {option.name: option for option in (*options_of(Cv), *options_of(Search))}
    assert found["rung"].allowed() == "a number > 0 and < 1 or null" and found["rung"].default is None
    assert found["duplicates"].choices == ("near", "exact", "ignore")
    assert (found["folds"].allowed(), found["folds"].default) == ("an integer >= 1 and <= 100", 5)
    assert found["seed"].limits.allow(2**63 - 1025) and not found["seed"].limits.allow(2**63)
    assert "options" not in found


def test_the_list_of_options_says_their_meanings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "models", "resnet", "--json"]) == 0
    rows = {row["option"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert rows["depth"]["meaning"] == "stages. Default: the paper's for 32×32 images."
