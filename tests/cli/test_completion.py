"""A shell is offered the names that there are, and quickly: no torch is loaded for it."""

import subprocess
import sys
from pathlib import Path

import pytest


def offered(line: str, **environment: str) -> list[str]:
    """What bash would show after a TAB at the end of the line."""
    words = line.split(" ")
    code = "import sys; from harness.cli import app; app(prog_name='harness')"
    settings = {"_HARNESS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**settings, **environment}, capture_output=True, text=True
    )
    return done.stdout.split("\n")[:-1] if done.stdout.endswith("\n") else done.stdout.split("\n")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("depth", "dropout", "width of it"):
        (tmp_path / "studies" / name).mkdir(parents=True)
        (tmp_path / "studies" / name / "study.json").write_text("{}")
    return tmp_path


@pytest.mark.slow
def test_studies_of_the_store(home: Path) -> None:
    assert offered("harness status d", HARNESS_HOME=str(home)) == ["depth", "dropout"]
    assert offered(f"harness reproduce --home {home} dr") == ["dropout"]
    assert offered("harness delete dep", HARNESS_HOME=str(home)) == ["depth"]
    assert offered("harness rename dep", HARNESS_HOME=str(home)) == ["depth"]


def test_study_files_and_what_they_may_name() -> None:
    assert offered("harness tune --study quick") == ["quickstart"]
    assert offered("harness tune quick") == offered("harness check -s quick") == ["quickstart"]
    assert offered("harness list models sim") == ["simple_cnn"]
