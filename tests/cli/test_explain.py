"""harness explain: every name of a study file, from the same text as the page of options."""

import json
from pathlib import Path

import pytest

from harness.cli import explaining, run
from harness.config import plugins, topics
from harness.scoring.quantities import QUANTITIES


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["explain", *words]) == 0
    return capsys.readouterr().out


def test_an_option_has_what_it_takes_its_default_and_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = explained(capsys, "search.racing")
    assert text.startswith("search.racing\n  The rule that stops trials early.\n")
    assert "takes    one of none, forgiving, paired, median" in text and "default  paired" in text
    assert "why      it trains" in text and "    median     Stop when" in text
    assert max(map(len, text.splitlines())) <= 60
    assert explained(capsys, "racing.paired.confidence") == explained(capsys, "search.confidence")


def test_the_end_of_a_name_is_all_that_it_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "rung").startswith("search.rung\n")
    several = explained(capsys, "model.depth")
    assert "model.resnet.depth" in several and "data.folder.depth" not in several
    assert "data.folder.depth" in explained(capsys, "depth")
    assert explained(capsys, "corrected").startswith("corrected\n  The best trial's fold score without")


def test_every_name_is_explained_and_every_word_of_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (*topics.topics(), *QUANTITIES):
        (topic,) = explaining.meanings_of(name)
        assert topic.name == name and topic.meaning
    (lr,) = json.loads(explained(capsys, "train.lr", "--json"))["explained"]
    assert lr["takes"] == "a number > 0" and lr["default"] == "0.1" and lr["why"]
    parts = json.loads(explained(capsys, "--json"))["explained"]
    assert {"train", "search", "objective"} <= {part["name"] for part in parts}


def test_code_of_one_s_own_is_explained_like_harness_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    build = "def build(in_channels, image_size, num_classes, *, width: int = 8):\n"
    Path("models/mine.py").write_text(
        f'"""Mine."""\n\n\n{build}    """It.\n\n    width: of it. Default: small.\n    """\n'
    )
    topics.topics.cache_clear()
    try:
        assert explained(capsys, "mine").startswith("model.mine\n  Mine.\n")
        assert "why      small." in explained(capsys, "mine.width")
    finally:
        plugins.forget()
        topics.topics.cache_clear()


def test_an_unknown_name_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "racign"]) == 2
    assert capsys.readouterr().err == "harness: nothing is called 'racign'; did you mean 'racing'?\n"


def test_every_default_that_does_something_says_why() -> None:
    """Off (0, none, null, false) needs no reason, nor a model's own shape."""
    off = ("0", "0.0", "none", "null", "false", "required", "list")
    lacking = [
        name
        for name, topic in topics.topics().items()
        if name.partition(".")[0] in ("train", "compute", "cv", "search") and name.count(".") == 1
        if topic.default not in off and not topic.why
    ]
    assert lacking == []


@pytest.mark.parametrize(
    ("word", "means"),
    [
        ("mcnemar", "these very networks"),
        ("± 95 %", "in 95 of 100 such cases"),
        ("trial", "trial 0 has the defaults"),
        ("interrupted", "Finished folds are kept"),
        ("BITWISE", "to the last bit"),
        ("leak", "will not be there in use"),
    ],
)
def test_words_of_the_terminal_are_explained_however_they_are_written(word: str, means: str) -> None:
    (found,) = explaining.meanings_of(word)
    assert means in found.meaning
