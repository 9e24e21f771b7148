"""Stores of earlier releases, one archive each: they open, their studies go on, and what was found is found again."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.analysis import bundle
from harness.analysis.final import final
from harness.analysis.leaderboard import status
from harness.analysis.readiness import Request
from harness.analysis.reproduce import Reproduction, reproduce
from harness.analysis.test_set_ledger import Ledger, Look, Result
from harness.cli import run
from harness.config.study_file import Study, load_study_file
from harness.data.split import Manifest
from harness.documents import to_json
from harness.errors import NewerRecord
from harness.files import read_json, write_json
from harness.records import SCHEMA, FoldRecord
from harness.search.driver import FoldEnded
from harness.store.findings import Audit, Confirmation, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking.deliver import findings_of
from tests.stores.make import driver_of

ARCHIVES = sorted(Path(__file__).parent.glob("store_v*.tar.xz"))
KINDS = (Audit, Confirmation, FinalTest)
WORDS = {"BITWISE", "WITHIN-NOISE", "DRIFT"}


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.partition(".")[0])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path / "home", filter="data")
    return Store(tmp_path / "home")


def unfinished(store: Store, folder: Path) -> Study:
    """The interrupted study, by the command that began it."""
    record = store.read_study("interrupted")
    assert record is not None
    path = folder / "interrupted.yaml"
    path.write_text(record.text, encoding="utf-8")
    return load_study_file(str(path), record.provenance["overrides"])


def last(steps: Any) -> Reproduction:
    *_, found = steps
    assert isinstance(found, Reproduction)
    return found


def test_there_is_a_store_of_every_schema_so_far() -> None:
    assert [path.name for path in ARCHIVES] == [f"store_v{number + 1}.tar.xz" for number in range(SCHEMA)]


def test_both_studies_are_shown(old: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert old.studies() == ["finished", "interrupted"]
    finished, interrupted = (status(LoadedStudy.open(old, name)) for name in old.studies())
    assert [finished.state, interrupted.state] == ["finished", "interrupted"]
    assert [trial.state for trial in interrupted.trials] == ["complete", "interrupted"]
    assert finished.best.mean > 0.2 and finished.audit.verdict == "passed"
    for name in old.studies():
        assert run(["status", name, "--home", str(old.home)]) == 0
    assert "finished: 2 complete" in capsys.readouterr().out


def test_the_interrupted_study_goes_on_from_its_checkpoint_to_its_end(
    old: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = old.read_trials("interrupted")[0]
    checkpoints = list(old.home.glob("folds/*.checkpoint"))
    assert len(checkpoints) == 1
    driver = driver_of(unfinished(old, tmp_path), old)
    with closing(driver.executor):
        events = list(driver.run())
    trained = [event for event in events if isinstance(event, FoldEnded)]
    assert [(event.number, event.fold) for event in trained] == [(1, 0), (1, 1)]
    assert all(len(event.record.epochs) == 4 for event in trained)
    assert not list(old.home.glob("folds/*.checkpoint"))
    assert caplog.messages == [  # nothing is damaged, and the training does not start over
        "study interrupted goes on with the defaults that it began with: search.stopped_as=so_far"
    ]
    assert [trial.state for trial in driver.trials] == ["complete"] * 2 and driver.trials[0] == before
    assert status(LoadedStudy.open(old, "interrupted")).state == "finished"


def test_the_finished_study_is_trained_again_and_what_differs_is_named(old: Store) -> None:
    best = LoadedStudy.open(old, "finished").best.number
    recorded = [old.read_fold(key) for key in old.read_trials("finished")[best].folds]
    found = last(reproduce(LoadedStudy.open(old, "finished")))
    assert found.verdict in WORDS and len(found.folds) == 2
    if found.verdict == "DRIFT":
        assert found.differences, "this code trains otherwise than the release that made the store"
    assert all(isinstance(fold, FoldRecord) and fold.fingerprint for fold in recorded)
    if not found.differences:
        assert found.verdict == "BITWISE"


def test_the_look_at_the_test_images_is_still_known(old: Store) -> None:
    *_, found = final(LoadedStudy.open(old, "finished"), Request())
    assert found.looks == 1 and found.scores["accuracy"] > 0.2
    assert [line.kind for line in Ledger(old.home).lines()] == ["opened", "result"]


def test_the_lines_of_the_ledger_are_written_as_they_were(old: Store, tmp_path: Path) -> None:
    again = Ledger(tmp_path / "again")
    for line in Ledger(old.home).lines():
        assert isinstance(line, Look | Result)
        again.append(line)
    assert again.path.read_bytes() == Ledger(old.home).path.read_bytes()


def test_it_travels_as_a_bundle(old: Store, tmp_path: Path) -> None:
    bundle.write(LoadedStudy.open(old, "finished"), tmp_path / "old.zip", with_images=True)
    elsewhere = Store(tmp_path / "elsewhere")
    bundle.read(elsewhere, tmp_path / "old.zip")
    assert elsewhere.read_study("finished") == old.read_study("finished")
    assert elsewhere.read_trials("finished") == old.read_trials("finished")
    for trial in elsewhere.read_trials("finished"):
        assert [elsewhere.read_fold(key) for key in trial.folds] == [
            old.read_fold(key) for key in trial.folds
        ]


def records(store: Store) -> dict[str, tuple[Path, Callable[[], object]]]:
    """One record of every type: where it lies, and who reads it."""
    key = store.read_trials("finished")[0].folds[0]
    folder = store.study_folder("finished")
    return {
        "study": (folder / "study.json", lambda: store.read_study("finished")),
        "trial": (folder / "trials" / "00001.json", lambda: store.read_trials("finished")),
        "fold": (store.fold_folder(key) / "result.json", lambda: store.read_fold(key)),
        **{
            kind.kind: (folder / f"{kind.kind}.json", lambda kind=kind: store.read_finding("finished", kind))
            for kind in KINDS
        },
    }


@pytest.mark.parametrize("kind", ["study", "trial", "fold", "audit", "confirm", "final"])
def test_every_record_has_its_schema_and_a_newer_one_is_refused_in_one_line(old: Store, kind: str) -> None:
    path, read = records(old)[kind]
    document = read_json(path)
    assert 1 <= document["schema"] <= SCHEMA and read() is not None
    write_json(path, {**document, "schema": SCHEMA + 1, "a new field": 1})
    with pytest.raises(
        NewerRecord, match=f"written by a newer harness .schema {SCHEMA + 1}.; please upgrade"
    ) as told:
        read()
    assert "\n" not in str(told.value) and str(path.parent) in str(told.value)


def test_a_newer_fold_is_not_taken_for_a_damaged_one_and_made_again(
    old: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = records(old)["fold"]
    write_json(path, {**read_json(path), "schema": SCHEMA + 1})
    newer = path.read_bytes()
    assert run(["reproduce", "finished", "--trial", "0", "--home", str(old.home)]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].endswith("please upgrade")
    assert path.read_bytes() == newer


def test_images_and_split_have_their_schema_too(old: Store) -> None:
    record = old.read_study("finished")
    assert record is not None
    meta = json.loads((old.home / "data" / record.data["hash"] / "meta.json").read_text(encoding="utf-8"))
    assert meta["schema"] >= 1 and old.read_images(record.data["hash"]) is not None
    assert Manifest.load(old.study_folder("finished") / "split.npz").hash == record.split_hash


def test_findings_are_said_and_shown_in_mlflow_as_they_were_written(old: Store) -> None:
    """A study that MLflow has been shown by an earlier release needs no second delivery."""
    study = LoadedStudy.open(old, "finished")
    written = {kind.kind: read_json(old.study_folder("finished") / f"{kind.kind}.json") for kind in KINDS}
    assert {kind.kind: to_json(study.finding(kind)) for kind in KINDS} == written
    found = findings_of(study)
    assert found.files == () and found.corrected is None
    everything = json.dumps({**written, "honest": None, "files": []}, sort_keys=True)
    assert found.version == hashlib.sha256(everything.encode()).hexdigest()[:12]
