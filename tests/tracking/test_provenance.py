"""Where a study comes from, in a real git repository, outside of one, and without its secrets."""

import json
import os
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from harness import provenance
from harness.documents import plain_json
from harness.report.collect import collect
from harness.report.html import page
from harness.report.markdown import markdown
from harness.store.loaded_study import LoadedStudy
from harness.tracking import artifacts, views
from harness.tracking.study_findings import StudyFindings


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
    assert state == {**NOTHING, "commit": commit}


def test_a_changed_file_makes_it_dirty_and_is_known_by_its_hash(repository):
    (repository / "model.py").write_text("depth = 2\n")
    (repository / "sub").mkdir()
    state = provenance.git_state(repository / "sub")
    assert state["dirty"] and state["changed"] == {"model.py": sha256(b"depth = 2\n").hexdigest()}
    assert len(state["diff_hash"]) == 64 and "diff" not in state
    (repository / "model.py").unlink()
    gone = provenance.git_state(repository)
    assert gone["changed"] == {"model.py": ""} and gone["diff_hash"] != state["diff_hash"]


def test_the_text_of_a_diff_is_kept_where_it_is_asked_for(repository):
    (repository / "model.py").write_text("depth = 2\n")
    assert "+depth = 2" in provenance.git_state(repository, with_diff=True)["diff"]


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
    assert provenance.git_state(repository, with_diff=True)["diff"].endswith("characters in all]\n")


NOTHING = {"commit": "", "dirty": False, "changed": {}, "untracked": [], "diff_hash": ""}


def test_outside_of_a_repository_there_is_no_commit_and_no_error(tmp_path):
    assert provenance.git_state(tmp_path) == NOTHING


def test_where_git_cannot_tell_nothing_is_called_clean(repository, monkeypatch):
    def state(**changes):
        return NOTHING | {"dirty": None} | changes

    (repository / ".git" / "index").write_bytes(b"damaged")
    commit = git(repository, "rev-parse", "HEAD")
    found = provenance.git_state(repository)
    assert found == state(commit=commit, git_error=found["git_error"]) and "index" in found["git_error"]
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0)
    assert provenance.git_state(repository) == state(git_error="git did not answer within 0 s")
    monkeypatch.setattr(provenance, "GIT_SECONDS", 10)
    monkeypatch.setenv("PATH", "")
    found = provenance.git_state(repository)
    assert found == state(git_error="git cannot be run: No such file or directory")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away"
)
def test_a_repository_of_another_user_is_not_called_clean(repository):
    for path in (repository, repository / ".git"):
        os.chown(path, 65534, 65534)
    state = provenance.git_state(repository)
    assert state["dirty"] is None and "dubious ownership" in state["git_error"]


def test_a_hook_of_another_repository_does_not_lend_its_commit(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repository))
    (tmp_path / "elsewhere").mkdir()
    assert provenance.git_state(tmp_path / "elsewhere") == NOTHING


def test_what_is_collected_is_json_and_holds_no_secret_of_the_environment(repository, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "canary-1234")
    monkeypatch.setattr("sys.argv", ["harness", "tune", "--storage", "postgresql://ada:canary-1234@db"])
    found = json.dumps(provenance.collect(repository))
    assert "canary-1234" not in found
    assert {"python", "packages", "hardware", "user"} <= json.loads(found).keys()
    assert json.loads(found)["packages"]["numpy"]


def test_what_git_could_not_tell_is_unknown_in_every_view(tuned):
    record = tuned.read_study("small")
    told = "git diff: index file corrupt <b>"
    provenance_then = {**record.provenance, "commit": "a" * 40, "dirty": None, "git_error": told}
    tuned.write_study(replace(record, provenance=provenance_then))
    study = LoadedStudy.open(tuned, "small")
    report = collect([study], images=0)
    origin = plain_json(report.studies[0].origin)
    assert origin["dirty"] is None and origin["git_error"] == told
    said = "and whether it had changes is unknown (git diff: index file corrupt"
    assert f"{said} &lt;b&gt;)" in page(report)
    assert said in markdown(report)
    assert said in artifacts.note(study, StudyFindings())
    view = views.study_view(study, StudyFindings(), final=True, note="", files=None)
    assert view.tags["harness.git_dirty"] == "unknown"
