"""The whole way with the real program in processes of its own: tune, kill, resume, status, reproduce, MLflow."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

HARNESS = [sys.executable, "-m", "harness"]

# Real processes: `harness smoke` goes the same way in a third of the time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def harness(*arguments: str, home: Path, expect: int = 0) -> str:
    """Run a command to its end; its stdout."""
    done = subprocess.run(
        [*HARNESS, *arguments, "--home", str(home)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def status(name: str, home: Path) -> dict[str, Any]:
    """The status document without what differs from run to run: times and run ids."""
    document: dict[str, Any] = json.loads(harness("status", name, "--json", home=home))
    for trial in document["trials"]:
        assert trial.pop("mlflow_run_id")
        del trial["seconds"], trial["started"]
    return document


def weights(home: Path) -> dict[str, str]:
    """The hash of every fold's weights."""
    found = {}
    for path in (home / "folds").glob("*/result.json"):
        found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))["hashes"][
            "weights.safetensors"
        ]
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "ümläut study.yaml"
    path.write_text(
        """\
# Does the whole way hold?
data: {name: digits}
model: {name: resnet, depth: [1, 2], width: 8, dropout: {low: 0.0, high: 0.5}}
train: {epochs: 6, batch_size: 32, lr: {low: 0.01, high: 0.5, log: true}, augment: none}
cv: {folds: 3}
search: {trials: 4, batch: 2}
objective: accuracy
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def finished(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the study ran undisturbed, in this process's own worker."""
    home = tmp_path_factory.mktemp("a folder") / "störe"
    harness("tune", "--study", str(study), "--workers", "1", home=home)
    return home


def test_status_and_reproduce_after_tune(study: Path, finished: Path) -> None:
    document = status(study.stem, finished)
    assert document["state"] == "finished"
    assert len(document["trials"]) == 4
    assert document["best"]["mean"] > 0.8
    assert all(len(trial["folds"]) == 3 for trial in document["trials"] if trial["state"] == "complete")
    again = json.loads(harness("reproduce", study.stem, "--workers", "1", "--json", home=finished))
    assert again["verdict"] == "BITWISE"
    assert again["differences"] == []
    assert [fold["recorded"] for fold in again["folds"]] == [fold["reproduced"] for fold in again["folds"]]


def test_only_the_best_trial_keeps_its_weights(study: Path, finished: Path) -> None:
    best = status(study.stem, finished)["best"]["number"]
    trial = json.loads((finished / "studies" / study.stem / "trials" / f"{best:05d}.json").read_text("utf-8"))
    kept = {path.parent.name for path in (finished / "folds").glob("*/weights.safetensors")}
    assert kept == set(trial["folds"])
    assert len(kept) == 3 < len(weights(finished))


def test_two_workers_give_the_same_bits_as_one(study: Path, finished: Path, tmp_path: Path) -> None:
    harness("tune", "--study", str(study), "--workers", "2", home=tmp_path)
    assert status(study.stem, tmp_path) == status(study.stem, finished)
    ours, theirs = weights(tmp_path), weights(finished)
    assert all(ours[key] == theirs[key] for key in ours.keys() & theirs.keys())
    assert theirs.keys() <= ours.keys()  # two workers may have trained ahead


@pytest.mark.parametrize(("line", "delay", "workers"), [(2, 0.3, "1"), (4, 0.0, "2"), (9, 0.2, "2")])
def test_a_killed_study_goes_on_to_the_same_bits(
    study: Path, finished: Path, tmp_path: Path, line: int, delay: float, workers: str
) -> None:
    command = [*HARNESS, "tune", "--study", str(study), "--workers", workers, "--home", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for _ in range(line):
            process.stderr.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    has_begun = (tmp_path / "studies" / study.stem / "study.json").exists()  # with its first fold
    assert has_begun or line < 9
    said = harness("status", study.stem, "--json", home=tmp_path, expect=0 if has_begun else 2)
    assert not has_begun or json.loads(said)["state"] == "interrupted"
    harness("tune", "--study", str(study), "--workers", workers, home=tmp_path)
    assert status(study.stem, tmp_path) == status(study.stem, finished)
    ours, theirs = weights(tmp_path), weights(finished)
    assert theirs.keys() <= ours.keys() and all(ours[key] == theirs[key] for key in theirs)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_study_ends_soon_and_cleanly(
    study: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    command = [*HARNESS, "tune", "--study", str(study), "--workers", "2", "--home", str(tmp_path)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stderr is not None
    for _ in range(4):
        process.stderr.readline()
    os.kill(process.pid, number)
    clock = time.monotonic()
    _, said = process.communicate(timeout=30)
    assert time.monotonic() - clock < 10
    assert process.returncode == code, said
    assert "the same command goes on where it stopped" in said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):  # nobody of its process group is left
        for _ in range(50):
            os.killpg(process.pid, 0)
            time.sleep(0.1)


def test_a_changed_study_is_refused_with_the_change_named(study: Path, finished: Path) -> None:
    done = subprocess.run(
        [*HARNESS, "tune", "--study", str(study), "--set", "model.dropout=0.1", "--home", str(finished)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "has changed since it began" in done.stderr
    assert 'model.dropout   {"low": 0.0, "high": 0.5} -> 0.1' in done.stderr
    assert "--as NAME" in done.stderr


def test_the_gate_fails_below_its_value(study: Path, finished: Path) -> None:
    harness("tune", "--study", str(study), "--fail-below", "0.5", home=finished)
    harness("tune", "--study", str(study), "--fail-below", "1.01", home=finished, expect=3)


def test_the_smoke_run_holds(tmp_path: Path) -> None:
    done = subprocess.run([*HARNESS, "smoke"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok  ") == 7
    assert not list(tmp_path.iterdir())
