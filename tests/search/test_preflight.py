"""What tune refuses, check refuses, and so does `harness.tune`: in the same words, all of it at once."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run
from harness.config import plugins
from harness.folds import code
from harness.search import checking
from harness.store.store import Store
from tests.config.test_plugins import project
from tests.search.broken_setups import ALL, Broken

__all__ = ["project"]  # the fixture

QUICK = (
    "no folder", "one class", "two classes smaller than the folds", "a class that is one picture", "an empty file",
    "early stopping with one image", "too few trials to race", "a split that raises", "no GPU", "a full disk",
    "an architecture that torchvision has not", "timm is missing", "weights that cannot be fetched",
    "a file of weights that is not there", "a model that raises", "a loss without a gradient",
    "no images, no GPU, no such architecture", "all code of one's own",
)  # fmt: skip
CASES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL]


@pytest.fixture(autouse=True)
def _alone(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A project of its own, in which check asks this process."""

    def answer(*_: object, **given: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], 0, stdout=checking.answered(given["input"]) + "\n")

    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("harness.cli.check.subprocess.run", answer)
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


def test_there_are_sixty_of_them() -> None:
    assert len(ALL) >= 60
