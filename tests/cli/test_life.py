"""delete and rename from the command line: what they say, ask and refuse."""

import html
import json
import shlex

import pytest

from harness.analysis.test_set_ledger import Ledger, Look
from harness.cli import run
from harness.store.store import Store
from harness.tracking import deliver
from tests.made_up_findings import final_test


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    out = capsys.readouterr()
    return out.out, out.err


def followed(err: str, *, after: str = "harness ") -> list[str]:
    """The command that a message names last."""
    return shlex.split(err.rpartition(after)[2].partition(" deletes it")[0])


def add_look(store: Store) -> None:
    record = store.read_study("small")
    assert record is not None
    Ledger(store.home).append(
        Look(
            time="now", study="small", created=record.created, trial=0, refit="a" * 40, definition=None, commit=None,
            dirty=None, data_hash="", test_hash="e" * 64, reason="",
        )
    )  # fmt: skip


def test_a_study_is_deleted_by_who_says_so(tuned: Store, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tuned.home)]
    add_look(tuned)
    assert run(["delete", "small", *home]) == 2
    out, err = said(capsys)
    assert "study small: 1, " in out and "fold that no study's trials need: 4, " in out
    assert "its look at test images stays in the ledger" in out and "study small: not in MLflow" in out
    assert (
        f"nothing was deleted: harness delete small --yes --home {tuned.home} deletes it" in err
        and tuned.has_study("small")
    )
    assert run(["delete", "small", "--json", *home]) == 0
    plan = json.loads(said(capsys)[0])
    assert plan["schema"] == 1 and not plan["deleted"] and plan["studies"][0]["looks"] == 1
    assert run(followed(err)) == 0
    assert "deleted; small is free again" in said(capsys)[0]
    assert tuned.studies() == [] and len(Ledger(tuned.home).lines()) == 1
    assert run(["delete", "small", "--yes", *home]) == 2
    assert "no study 'small'" in said(capsys)[1]


def test_a_terminal_is_asked(tuned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    answers = iter([False, True])
    monkeypatch.setattr("typer.confirm", lambda *_, **__: next(answers))
    for is_there in (True, False):
        assert run(["delete", "small", "--home", str(tuned.home)]) == 0
        assert tuned.has_study("small") == is_there


def test_a_final_model_goes_only_with_yes(
    tuned: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned.write_finding("small", final_test())
    home = ["--home", str(tuned.home)]
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run(["delete", "small", *home]) == 2
    err = said(capsys)[1]
    assert "may be in use as MLflow's champion: nothing was deleted" in err
    assert run(["gc", "small", "--yes", *home]) == 2 and "harness delete" in said(capsys)[1]
    assert run(followed(err)) == 0 and tuned.studies() == []


@pytest.mark.parametrize("finishing", ["sync", "delete small --yes"])
def test_without_mlflow_another_command_finishes_it(
    tuned: Store, finishing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    home = ["--home", str(tuned.home)]
    assert run(["delete", "small", "--yes", *home]) == 4
    assert f"harness sync --home {tuned.home} finishes it" in said(capsys)[1] and tuned.studies() == []
    assert run(["sync", *home]) == 4
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    capsys.readouterr()
    assert run([*finishing.split(), *home]) == 0
    assert not (tuned.home / "deleted").exists()
    assert (
        "small: was deleted; MLflow and Optuna's store show it no more" in said(capsys)[0]
        or finishing != "sync"
    )


@pytest.mark.parametrize("command", [["delete", "small", "--yes"], ["rename", "small", "other"]])
def test_a_driven_study_is_refused(
    tuned: Store, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with tuned.driving("small"):
        assert run([*command, "--home", str(tuned.home)]) == 4
    assert "already being driven by process" in said(capsys)[1] and tuned.studies() == ["small"]


@pytest.mark.slow
def test_a_renamed_study_is_known_by_its_new_name_and_its_old_one_is_explained(
    tuned: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(deliver, "RETRY_SECONDS", 0.5)
    home = ["--home", str(tuned.home)]
    assert run(["report", "small", *home]) == 0
    (tuned.study_folder("small") / "gallery.html").write_text("small")
    said(capsys)
    assert run(["rename", "small", "new one", "--json", *home]) == 4
    out, err = said(capsys)
    assert json.loads(out)["study"] == "new one" and json.loads(out)["before"] == "small"
    assert f"harness sync 'new one' --home {tuned.home} finishes it" in err
    assert f"harness gallery 'new one' --home {tuned.home} makes it again" in err
    page = (tuned.study_folder("new one") / "report.html").read_text(encoding="utf-8")
    assert "harness reproduce 'new one'" in html.unescape(page) and "harness reproduce small" not in page
    assert run(["rename", "small", "new one", *home]) == 4, "the same command goes on"
    assert "study new one, which was small: 2 trials" in said(capsys)[0]
    assert run(["status", "new one", *home]) == 0
    said(capsys)
    assert run(["status", "small", *home]) == 2
    assert "it is called 'new one' now" in said(capsys)[1]
    assert run(["rename", "new one", "../x", *home]) == 2 and run(["rename", "none", "y", *home]) == 2
