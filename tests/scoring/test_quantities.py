"""The words for a study's scores are the same in the document that explains them."""

import re
from pathlib import Path

import harness
from harness.scoring.quantities import QUANTITIES


def test_the_page_has_the_same_words() -> None:
    page = (Path(harness.__file__).parent / "docs" / "scores.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", page, re.MULTILINE))
    del rows["word"]
    assert rows == QUANTITIES
