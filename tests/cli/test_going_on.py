"""A study that was interrupted, not begun, or begun elsewhere: what commands say of it, and how it goes on."""

import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import invocation
from harness.cli import run
from harness.records import TrialRecord
from harness.store.begun_with import STUDY_FILE
from harness.store.store import Store
from tests.tuned_study import STUDY

HARNESS = [sys.executable, "-m", "harness"]


@pytest.fixture
def begun(tuned: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A study in a project's folder, begun under another name and with a change."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "small.yaml").write_text(STUDY, encoding="utf-8")
    shutil.move(tuned.study_folder("small"), tuned.study_folder("long"))
    record = tuned.read_study("long")
    assert record is not None
    provenance = record.provenance | {"overrides": ["train.epochs=1"], STUDY_FILE: "studies/small.yaml"}
    tuned.write_study(replace(record, name="long", names=(), provenance=provenance))
    return tuned


def interrupted(store: Store, name: str, *numbers: int) -> None:
    """As if the trials had not ended: their folds are there, their records do not name them."""
    for number in numbers:
        trial = store.read_trials(name)[number]
        store.write_trial(name, TrialRecord(number, "running", trial.params, trial.values))


def test_the_folds_of_an_interrupted_trial_are_shown(
    tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tuned.read_trials("small")[1]
    interrupted(tuned, "small", 1)
    assert run(["status", "small", "--home", str(tuned.home)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "small  interrupted: 1 complete, 1 interrupted of 2"
    row = next(line.split() for line in lines if line.startswith("1 "))
    assert row[1] == f"{before.mean:.4f}" and f"{before.half_width:.4f}" in row
    assert "2" in row and "interrupted" in row and "running" not in " ".join(lines)
    assert run(["show", "small", "1", "--home", str(tuned.home)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("small, trial 1: interrupted\n")
    assert all(
        f"{score:.4f}" in said and key[:12] in said
        for key, score in zip(before.folds, before.scores, strict=True)
    )


def test_only_the_folds_before_a_missing_one_count(tuned: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = tuned.read_trials("small")[1]
    interrupted(tuned, "small", 1)
    shutil.rmtree(tuned.fold_folder(before.folds[1]))
    assert run(["status", "small", "--format", "csv", "--home", str(tuned.home)]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert f'"[{before.scores[0]}]"' in row or f"[{before.scores[0]}]" in row


def test_a_running_study_has_running_trials(tuned: Store, capsys: pytest.CaptureFixture[str]) -> None:
    interrupted(tuned, "small", 1)
    with tuned.driving("small"):
        assert run(["status", "small", "--home", str(tuned.home)]) == 0
    assert "small  running: 1 complete, 1 running of 2" in capsys.readouterr().out


def test_a_study_is_gone_on_with_by_the_command_that_began_it(
    begun: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(begun.home)]
    command = shlex.join(["harness", "tune", "small", "--as", "long", "--set", "train.epochs=1", *home])
    assert run(["tune", "long", *home]) == 2
    said = f"study long has begun, and no study file is called so: {command} goes on with it"
    assert capsys.readouterr().err == f"harness: {said}\n"
    assert run(["tune", "small", "--as", "long", "--set", "train.epochs=2", *home]) == 2
    assert f"as it began it goes on with: {command}" in capsys.readouterr().err
    interrupted(begun, "long", 1)
    assert run(["status", "long", *home]) == 0
    assert f"goes on with: {command}\n" in capsys.readouterr().out
    assert run([*shlex.split(command)[1:], "--workers", "1"]) == 0
    assert "long  finished" in capsys.readouterr().out


def test_a_study_of_an_earlier_release_is_found_by_its_text(
    begun: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    record = begun.read_study("long")
    assert record is not None
    provenance = {key: value for key, value in record.provenance.items() if key != STUDY_FILE}
    begun.write_study(replace(record, provenance=provenance, num_trials=1))
    assert run(["tune", "long", "--home", str(begun.home)]) == 2
    assert "tune small --as long --set train.epochs=1 --trials 1" in capsys.readouterr().err
    Path("studies/small.yaml").unlink()
    assert run(["tune", "long", "--home", str(begun.home)]) == 2
    said = capsys.readouterr().err
    assert "tune FILE --as long" in said and "where FILE is the one that it began with" in said


def test_a_study_that_has_trained_no_fold_is_not_lost(
    tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(tuned, "small", 0, 1)
    for file in ("study.json", "study.json.copy"):
        (tuned.study_folder("small") / file).unlink()
    assert run(["status", "small", "--home", str(tuned.home)]) == 2
    assert (
        "interrupted before its first fold had ended; the same tune command goes on"
        in capsys.readouterr().err
    )
    assert run(["status", "--home", str(tuned.home)]) == 0
    assert capsys.readouterr().out.startswith("small: interrupted before its first fold had ended; ")


def test_an_interruption_before_the_first_fold_says_when_there_is_something_to_see(tmp_path: Path) -> None:
    study = tmp_path / "slow.yaml"
    study.write_text(STUDY.replace("epochs: 1", "epochs: 5000"), encoding="utf-8")
    command = [*HARNESS, "tune", str(study), "--workers", "1", "--home", str(tmp_path / "home")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("trial 0"))
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "interrupted before the first fold had ended; the same command goes on where it stopped" in said


@pytest.mark.parametrize("command", ["status", "predict", "confirm", "final", "report", "audit", "show"])
def test_a_study_file_that_has_not_been_run_is_told_with_the_command(
    command: str,
    tuned: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "photos.yaml").write_text(STUDY, encoding="utf-8")
    for home in (tuned.home, tmp_path / "mlruns"):
        more = ["--home", str(home)] if home == tuned.home else []
        arguments = [command, "photos", *(["photo.png"] if command == "predict" else []), *more]
        assert run(arguments) == 2
        run_it = shlex.join(["harness", "tune", "photos", *more])
        expected = f"no study 'photos' in {home}: it has not been run yet, which {run_it} does"
        assert expected in capsys.readouterr().err


def test_a_folder_of_images_is_no_study_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "here").mkdir()
    for place, name in ((tmp_path / "here", "../photos"), (tmp_path, "photos")):
        monkeypatch.chdir(place)
        for command in ("tune", "check"):
            assert run([command, name]) == 2
            assert (
                f"is a folder; of a folder of images, harness init {name} writes a study"
                in capsys.readouterr().err
            )


def test_tune_says_where_a_file_from_elsewhere_is(
    begun: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.config import catalog

    project, other = tmp_path / "project", tmp_path / "other"
    shutil.move(tmp_path / "studies", project / "studies")
    shutil.move(begun.home, project / "mlruns")
    other.mkdir()
    monkeypatch.chdir(other)
    folders = [Path("studies"), project / "studies"]  # as where harness is installed from a checkout
    monkeypatch.setattr(catalog, "study_folders", lambda: folders)
    arguments = ["tune", "small", "--as", "long", "--set", "tracker=none", "--workers", "1"]
    assert run(arguments) == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(f"study file {project / 'studies' / 'small.yaml'}, store {other / 'mlruns'}")
    assert first.endswith(f"where long begins anew; --home {project / 'mlruns'} goes on with the study there")
    monkeypatch.chdir(project)
    assert run([*arguments, "--set", "train.epochs=1"]) == 0
    assert "study file" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("called", "variables", "expected"),
    [
        ("/venv/bin/harness", {}, "/venv/bin/harness tune x"),
        ("/on/path/harness", {}, "harness tune x"),
        ("/venv/lib/harness/__main__.py", {}, "/venv/bin/python3 -m harness tune x"),
        ("/venv/bin/harness", {"UV_RUN_RECURSION_DEPTH": "1"}, "python3 -m uv run harness tune x"),
        ("/venv/bin/pytest", {}, "harness tune x"),
    ],
)
def test_a_command_is_advised_as_it_can_be_given(
    called: str, variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr(sys, "executable", "/venv/bin/python3")
    found = {"harness": "/on/path/harness", "python3": "/usr/bin/python3"}
    monkeypatch.setattr(shutil, "which", lambda name: found.get(name))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert invocation.command("tune", "x") == expected
