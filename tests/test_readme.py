"""The list of all commands, docs/commands.md: each is one that there is, each is run, and none is left out."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from harness.cli import app, run
from harness.store.findings import FinalTest
from harness.store.store import Store
from tests.inference.conftest import LEARNS
from tests.tuned_study import STUDY
from tests.tuned_study import tune as tuned_without_mlflow

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "harness" / "docs" / "commands.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
LISTED = [
    match.strip()
    for match in dict.fromkeys(
        re.findall(r"^harness ([a-z]+\b.*?) {2,}\S.*$", PAGE + README, flags=re.MULTILINE)
    )
    if not match.startswith("smoke")
]
SHORTENED = {"audit": ["--json"], "confirm": ["--top", "1"], "delete": ["--json"]}  # which deletes nothing


def names_of_commands() -> set[str]:
    return {str(command.name or command.callback.__name__) for command in app.registered_commands}  # type: ignore[union-attr]


def test_every_command_is_on_the_page() -> None:
    named = set(re.findall(r"\bharness ([a-z]+)\b", PAGE))
    assert names_of_commands() <= named
    assert {line.split()[0] for line in LISTED} <= names_of_commands()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_command_of_the_list_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "mlruns"))
    study = tmp_path / "small.yaml"
    study.write_text(STUDY, encoding="utf-8")
    store: Store = tuned_without_mlflow(study, tmp_path / "mlruns", "train.keep_models=all", *LEARNS)
    (tmp_path / "photos").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "photos" / "one.png")
    for folder in ("own/a", "own/b", "labelled/0", "labelled/1"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / folder / "one.png")
    ran = 0
    for line in sorted(
        LISTED, key=lambda line: line.startswith("rename ")
    ):  # after which there is no such study
        words = shlex.split(line)
        if words[0] in ("ui", "serve"):  # they stay until they are ended; they have tests of their own
            continue
        more = {"resnet_lr": str(study), "FILE": "small.zip"}
        words = [more.get(word, word.replace("quickstart", "small")) for word in words]
        if words[0] == "init":
            words = [word.replace("photos", "own") for word in words]
        words = ["small" if re.fullmatch("[ABC]", word) else word for word in words]
        words = list(dict.fromkeys(words)) if words[0] in ("status", "report") else words
        if words[0] == "tune":
            words = [str(study) if word == "small" else word for word in words] + ["--as", "again"]
        assert run([*words, *SHORTENED.get(words[0], [])]) in (0, 3), f"{line}\n{capfd.readouterr().err}"
        ran += 1
    assert ran > 15 and store.read_finding("first", FinalTest) is not None
