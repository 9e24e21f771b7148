"""The page in a study's folder says what has been found out since it was made, and is otherwise as it was asked for."""

from pathlib import Path

import pytest

from harness.cli import run
from harness.cli.finishing import remake_page
from harness.data import test_set
from harness.report.collect import collect
from harness.report.html import own_page, page, renew_own_page
from harness.store.findings import Check, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from tests.made_up_findings import audit

LEAK = Check("folds", "failed", None, None, "A leak.")


def written(store: Store, images: int) -> Path:
    path = own_page(store, "small")
    path.write_text(page(collect([LoadedStudy.open(store, "small")], images=images)), encoding="utf-8")
    return path


def test_without_a_page_none_is_made(tuned: Store) -> None:
    assert not renew_own_page(LoadedStudy.open(tuned, "small")) and not own_page(tuned, "small").exists()


@pytest.mark.parametrize("images", [0, 3])
def test_it_is_made_again_with_as_many_images(tuned: Store, images: int) -> None:
    path = written(tuned, images)
    before = path.read_text(encoding="utf-8")
    assert ("data:image" in before) == bool(images)
    assert renew_own_page(LoadedStudy.open(tuned, "small")) and path.read_text(encoding="utf-8") == before
    tuned.write_finding("small", audit(verdict="failed", sentence="A leak.", findings=(LEAK,)))
    assert renew_own_page(LoadedStudy.open(tuned, "small")) and "A leak." in path.read_text(encoding="utf-8")


def test_a_page_of_another_kind_stays(tuned: Store) -> None:
    own_page(tuned, "small").write_text("<p>by hand", encoding="utf-8")
    assert (
        not renew_own_page(LoadedStudy.open(tuned, "small"))
        and own_page(tuned, "small").read_text() == "<p>by hand"
    )


def test_a_fault_is_told_and_no_failure(
    tuned: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written(tuned, 0)
    monkeypatch.setattr("harness.report.html.collect", lambda *_, **__: 1 / 0)
    remake_page(LoadedStudy.open(tuned, "small"))
    again = f"harness report small --home {tuned.home} makes it again"
    assert "ZeroDivisionError" in caplog.text and again in caplog.text


@pytest.mark.slow
def test_after_final_it_has_the_test_score_here_and_in_mlflow(
    tuned: Store, empty_database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tuned.home / "mlflow.db").write_bytes(empty_database.read_bytes())
    best = max(tuned.read_trials("small"), key=lambda trial: trial.mean or 0.0).number
    tuned.write_finding("small", audit(trial=best))
    home = ["--home", str(tuned.home)]
    assert run(["report", "small", *home]) == 0
    before = own_page(tuned, "small").read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(["final", "small", *home]) == 0
    test_set.opened = False
    assert f"{own_page(tuned, 'small')}: made again, with this in it" in capsys.readouterr().err
    found = tuned.read_finding("small", FinalTest)
    assert found is not None
    said = f"{found.scores['accuracy']:.4f}"
    after = own_page(tuned, "small").read_text(encoding="utf-8")
    assert said in after and said not in before and "data:image" in after
    (shown,) = (tuned.home / "artifacts").rglob("report.html")
    assert shown.read_text(encoding="utf-8") == after
