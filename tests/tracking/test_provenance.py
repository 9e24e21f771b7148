"""Where a study comes from, in a real git repository, outside of one, and without its secrets."""

import json
import subprocess
from pathlib import Path

import pytest

from harness import provenance


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "mein Büro"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "model.py").write_text("depth = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_repository_is_its_commit(repository):
    state = provenance.git_state(repository)
    commit = git(repository, "rev-parse", "HEAD")
    assert state == {"commit": commit, "dirty": False, "diff": "", "untracked": []}


def test_a_changed_file_makes_it_dirty_and_is_in_the_diff(repository):
    (repository / "model.py").write_text("depth = 2\n")
    (repository / "sub").mkdir()
    state = provenance.git_state(repository / "sub")
    assert state["dirty"] and "+depth = 2" in state["diff"]


def test_a_file_that_git_does_not_know_makes_it_dirty(repository):
    (repository / "neues Modell.py").write_text("")
    state = provenance.git_state(repository)
    assert state["dirty"] and state["untracked"] == ["neues Modell.py"]


def test_a_repository_without_a_commit_has_none(tmp_path):
    git(tmp_path, "init", "-q")
    assert provenance.git_state(tmp_path)["commit"] == ""


def test_a_huge_diff_is_cut(repository, monkeypatch):
    monkeypatch.setattr(provenance, "MOST_CHARACTERS", 100)
    (repository / "model.py").write_text("x\n" * 1000)
    assert provenance.git_state(repository)["diff"].endswith("characters in all]\n")


def test_without_git_there_is_no_commit(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(repository) == {"commit": "", "dirty": False, "diff": "", "untracked": []}


def test_what_is_collected_is_json_and_holds_no_secret_of_the_environment(repository, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "canary-1234")
    monkeypatch.setattr("sys.argv", ["harness", "tune", "--storage", "postgresql://ada:canary-1234@db"])
    found = json.dumps(provenance.collect(repository))
    assert "canary-1234" not in found
    assert {"python", "packages", "hardware", "user"} <= json.loads(found).keys()
    assert json.loads(found)["packages"]["numpy"]
