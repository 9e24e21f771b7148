"""The environment and the folder of whoever calls harness: neither is changed, and nothing is imported from there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environment import MLFLOW, environment, unless_set
from tests.tuned_study import STUDY

PLANTED = (
    "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\nraise SystemExit('planted')\n"
)


def test_variables_are_put_back_also_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_A", "1")
    before = dict(os.environ)
    with pytest.raises(KeyError), environment({"HARNESS_A": "2", "HARNESS_B": "3"}):
        assert (os.environ["HARNESS_A"], os.environ["HARNESS_B"]) == ("2", "3")
        assert unless_set({"HARNESS_A": "4", "HARNESS_C": "5"}) == {"HARNESS_C": "5"}
        raise KeyError
    assert dict(os.environ) == before


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("breaks", [False, True])
def test_tune_leaves_the_environment_of_its_caller_as_it_was(tmp_path: Path, breaks: bool) -> None:
    """In a process of its own, where nothing has been set before; MLflow and worker processes take part."""
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    code = f"""
import os, harness, harness.tracking.mlflow_tracker, mlflow, optuna
def progress(event):
    if {breaks} and type(event).__name__ == "TrialEnded":
        raise KeyError("broken")
before = dict(os.environ)
try:
    harness.tune("small.yaml", home="home", workers=2, progress=progress)
except KeyError:
    assert {breaks}
after = dict(os.environ)
assert after == before, set(after.items()) ^ set(before.items())
"""
    clean = {name: value for name, value in os.environ.items() if name not in MLFLOW}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with a study and with files that are named like modules; they leave a trace if they are imported."""
    for name in ("random", "torch", "uvicorn", "tempfile", "selectors"):
        (tmp_path / f"{name}.py").write_text(PLANTED, encoding="utf-8")
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def harness(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command as it is installed: its own folder comes first in sys.path, not the current one."""
    command = [str(Path(sys.executable).with_name("harness")), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_check_imports_nothing_from_the_current_folder(planted: Path) -> None:
    done = harness(planted, "check", "small.yaml")
    assert "smallest model:" in done.stdout, done.stdout + done.stderr
    assert not list(planted.glob("*.ran"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_import_nothing_from_the_current_folder(planted: Path) -> None:
    done = harness(planted, "tune", "--study", "small.yaml", "--workers", "2", "--home", "home")
    assert done.returncode == 0, done.stderr
    assert not list(planted.glob("*.ran"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_pages_are_served_without_importing_from_the_current_folder(
    planted: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.tracking import ui

    monkeypatch.chdir(planted)
    with ui.serve(home, port=0) as server:
        assert server.process.poll() is None
    assert not list(planted.glob("*.ran"))
