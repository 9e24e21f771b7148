"""bundle, gc and sync from the command line: what they print, and how a mistake is told."""

import json
from pathlib import Path

import pytest

from harness.cli import run
from harness.store.store import Store
from harness.tracking import deliver

OTHER = "f" * 40


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    out = capsys.readouterr()
    return out.out, out.err


def test_a_study_goes_elsewhere_in_one_file(
    tuned: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, there, file = str(tuned.home), str(tmp_path / "there"), str(tmp_path / "x.zip")
    assert run(["bundle", "small", "-o", file, "--home", home]) == 0
    assert "x.zip: " in said(capsys)[0]
    assert run(["bundle", "small", "-o", file, "--json", "--home", home]) == 0
    written = json.loads(said(capsys)[0])
    assert list(written) == ["schema", "path", "files", "bytes"] and written["path"] == file
    assert run(["bundle", "--import", file, "--as", "taken over", "--home", there]) == 0
    assert "study taken over is in" in said(capsys)[0]
    assert run(["bundle", "--import", file, "--as", "taken over", "--json", "--home", there]) == 0
    assert json.loads(said(capsys)[0]) == {"schema": 1, "study": "taken over", "home": there}
    assert run(["status", "taken over", "--json", "--home", there]) == 0
    ours = json.loads(said(capsys)[0])
    assert run(["status", "small", "--json", "--home", home]) == 0
    theirs = json.loads(said(capsys)[0])
    assert [trial["folds"] for trial in ours["trials"]] == [trial["folds"] for trial in theirs["trials"]]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["bundle"], 2, "name a study to bundle, or a file with --import"),
        (["bundle", "small", "--import", "x.zip"], 2, "name a study to bundle, or a file with --import"),
        (["bundle", "smal"], 2, "did you mean 'small'"),
        (["bundle", "small", "-o", "no/such/x.zip"], 2, "there is no folder"),
        (["bundle", "--import", "missing.zip"], 2, "there is no such file"),
        (["gc", "smal"], 2, "did you mean 'small'"),
        (["sync", "smal"], 2, "did you mean 'small'"),
    ],
)
def test_mistakes_are_told_in_a_line(
    tuned: Store, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, expected: str
) -> None:
    assert run([*arguments, "--home", str(tuned.home)]) == code
    out, err = said(capsys)
    assert expected in err and len(err.strip().splitlines()) == 1 and not out


def test_nothing_is_deleted_without_yes(tuned: Store, capsys: pytest.CaptureFixture[str]) -> None:
    tuned.fold_folder(OTHER).mkdir(parents=True)
    (tuned.fold_folder(OTHER) / "result.json").write_bytes(b"x" * 2**20)
    assert run(["gc", "--home", str(tuned.home)]) == 0
    assert (
        "fold that no study's trials need: 1, 1.0 MB" in said(capsys)[0] and tuned.fold_folder(OTHER).exists()
    )
    assert run(["gc", "--yes", "--json", "--home", str(tuned.home)]) == 0
    document = json.loads(said(capsys)[0])
    assert (
        document["schema"] == 1
        and document["deleted"]
        and document["bytes"] == 2**20
        and not tuned.fold_folder(OTHER).exists()
    )


def test_what_mlflow_lacks_is_said_delivered_and_deleted_with_the_study(
    tuned: Store, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.tracking.mlflow_tracker import MlflowTracker

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tuned.home / "mlflow.db").write_bytes(empty_database.read_bytes())
    home = ["--home", str(tuned.home)]
    assert run(["status", "small", *home]) == 0
    assert "MLflow does not show all of it yet: harness sync small" in said(capsys)[0]
    assert run(["sync", *home]) == 0
    assert said(capsys)[0] == "small: MLflow shows all of it\n"
    assert run(["status", "small", *home]) == 0
    assert "harness sync" not in said(capsys)[0]
    tracker = MlflowTracker(f"sqlite:///{tuned.home / 'mlflow.db'}", home=tuned.home)
    assert tracker.count_runs("small") == {"study": 1, "trial": 2, "fold": 4}
    assert run(["gc", "small", "--yes", *home]) == 0
    assert tracker.count_runs("small") == {"study": 0, "trial": 0, "fold": 0}
    assert tuned.studies() == [] and not list((tuned.home / "folds").glob("*/result.json"))


def test_a_server_that_is_away_is_told(
    tuned: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(deliver, "RETRY_SECONDS", 1.0)
    assert run(["sync", "small", "--home", str(tuned.home)]) == 4
    assert f"nothing is lost: run harness sync --home {tuned.home} again" in said(capsys)[1]
