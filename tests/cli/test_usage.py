"""What a user sees who makes a mistake: one clear line (a list for a study file), the exit code, no traceback."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from harness.cli import run
from harness.cli.inspecting import Kind

MISTAKES: list[tuple[list[str], str]] = [
    ([], "Usage: harness"),
    (["tnue"], "Did you mean 'tune'"),
    (["tune"], "Missing argument 'STUDY'"),
    (["tune", "--stduy", "smoke"], "No such option: --stduy"),
    (["tune", "--study", "smok"], "did you mean 'smoke'?"),
    (["tune", "--study", "no/such.yaml"], "there is no such file"),
    (["tune", "--study", "smoke", "--set", "model.droput=0.1"], "did you mean 'dropout'?"),
    (["tune", "--study", "smoke", "--set", "model.dropout"], "must look like model.dropout=0.2"),
    (["tune", "--study", "smoke", "--set", "train.lr=[0.1, -1]"], "must be a number > 0 (got -1)"),
    (["tune", "--study", "smoke", "--set", "data.name=folder"], "data.root   is required"),
    (["check", "smoke", "--set", "data={name: folder, root: x, groups: {form: 1}}"], "did you mean 'from'?"),
    (["tune", "--study", "smoke", "--trials", "0"], "Invalid value for '--trials'"),
    (["tune", "--study", "smoke", "--workers", "many"], "--workers must be auto or a number"),
    (["confirm", "smoke", "--workers", "²"], "--workers must be auto or a number"),
    (["tune", "--study", "smoke", "--slurm", "partition=gpu"], "--slurm is for --executor slurm: add that"),
    (["audit", "smoke", "--address", "head:6379"], "--address is for --executor ray: add that"),
    (["reproduce", "smoke", "--gpus", "2"], "--gpus must be from 0 to 1"),
    (["final", "smoke", "--executor", "slurm", "--gpus", "0.5"], "--gpus is not for --executor slurm"),
    (["tune", "--study", "smoke", "--gpus", "0.5", "--set", "compute.device=cpu"], "leave --gpus out"),
    (
        ["tune", "--study", "smoke", "--executor", "ray", "--profile"],
        "--profile times this machine's workers",
    ),
    (["confirm", "smoke", "--executor", "rya"], "'rya' is not one of"),
    (["tune", "--study", "smoke", "--as", "../up"], "cannot be called '../up'"),
    (["status", "nothing"], "no study 'nothing' in"),
    (["reproduce", "nothing"], "no study 'nothing' in"),
    (["check", "smoke", "--set", "cv.folds=0"], "must be greater than or equal to 1 (got 0)"),
    (["check", "smoke", "--set", "objective=acc"], "did you mean 'accuracy'?"),
    (["list", "modles"], "'modles' is not one of"),
    (["list", "racing", "pared"], "did you mean 'paired'?"),
    (["list", "metrics", "accuracy"], "takes no name; models, datasets, losses, optimizers, "),
    (["audit", "smoke", "--set", "permuted_label.epochs=9"], "did you mean 'permuted_labels'?"),
    (["audit", "smoke", "--set", "blank_images.epoch=9"], "did you mean 'epochs'?"),
    (["audit", "smoke", "--set", "blank_images.epochs=0"], "must be an integer >= 1 and <= 100000 (got 0)"),
    (
        ["audit", "smoke", "--set", "blank_images.epochs=[1, 2]"],
        "must be one value: an audit has one of each",
    ),
    (["audit", "smoke", "--set", "blank_images"], "--set must look like permuted_labels.epochs=20"),
    (["list", "models", "resnt"], "did you mean 'resnet'?"),
    (["ui", "--port", "70000"], "Invalid value for '--port'"),
    (["ui"], "nothing has been tracked in"),
    (["tune", "smoke", "--epohcs", "3"], "No such option: --epohcs. Did you mean --set train.epochs=…?"),
    (["tune", "smoke", "--lr", "3"], "No such option: --lr. Did you mean --set train.lr=…?"),
    (["tune", "smoke", "--worker", "3"], "No such option: --worker (Possible options: --workers)"),
    (
        ["check", "smoke", "--set", "train.epoch=3"],
        "did you mean 'epochs'? (augment, batch_size, brightness, …)",
    ),
    (["check", "smoke", "--set", "train.epoch=3"], "harness: --set: 1 problem"),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "store"))
    code = run(arguments)
    said = capsys.readouterr()
    if not arguments:
        assert code == 0 and expected in said.out
        return
    assert code == 2
    assert expected in said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert len(said.err.strip().splitlines()) <= 3
    assert not (tmp_path / "store" / "studies").exists() or not list(
        (tmp_path / "store" / "studies").glob("*/study.json")
    )


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from harness import __version__

    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_of_thing_can_be_listed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", kind, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["schema", kind] and document["schema"] == 1
    rows = document[kind]
    assert rows and all(row for row in rows)
    assert run(["list", kind]) == 0
    assert all(next(iter(row.values())) in capsys.readouterr().out for row in rows[:1])


def test_the_models_of_a_study_are_counted(capsys: pytest.CaptureFixture[str], check_here: None) -> None:
    arguments = ["check", "smoke", "--json", "--set", "model.width=[4, 8]", "--set", "model.dropout=0.0"]
    assert run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    (small, small_options), (large, large_options) = document["sizes"]
    assert small < large
    assert (small_options["width"], large_options["width"]) == (4, 8)
    assert document["num_folds"] == document["num_trials"] * 2


def test_the_options_of_a_data_set_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "datasets", "folder", "--json"]) == 0
    takes = {row["option"]: row["takes"] for row in json.loads(capsys.readouterr().out)["datasets"]}
    assert takes["groups"] == "one of {from: parent}, {regex: text}, {csv: text} or null"


def test_an_empty_store_says_how_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--home", str(tmp_path)]) == 0
    assert f"harness tune quickstart --home {tmp_path}" in capsys.readouterr().out


def test_a_damaged_study_record_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "studies" / "x" / "study.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"name": "x"}', encoding="utf-8")
    assert run(["status", "x", "--home", str(tmp_path)]) == 1
    assert f"{record}: damaged" in capsys.readouterr().err


def test_a_thread_that_still_waits_for_mlflow_is_not_torn_down_at_the_end() -> None:
    program = """
import atexit, threading, time
from harness import cli
from harness.messages import RECORDER
atexit.register(print, "torn down")
def interrupted(_):
    threading.Thread(target=time.sleep, args=(60,), name=RECORDER, daemon=True).start()
    print("said")
    return 130
cli.run = interrupted
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "said\n", "")
