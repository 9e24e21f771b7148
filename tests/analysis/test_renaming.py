"""Studies that get another name: what follows it, what refuses it, and what is finished after a kill."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.analysis import bundle, renaming
from harness.analysis.deletion import Views
from harness.analysis.final import _opened
from harness.analysis.renaming import Renamed, rename
from harness.analysis.test_set_ledger import Ledger
from harness.charts import png
from harness.config.study_file import load_study_file
from harness.errors import StoreError, UsageError
from harness.prepare import prepare
from harness.records import StudyRecord
from harness.store.findings import Audit, FinalTest
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking import mlflow_renaming
from harness.tracking.experiment_view import study_id
from harness.tracking.mlflow_tracker import MlflowTracker
from tests.killed import Killed, killed_after
from tests.made_up_findings import audit, final_test
from tests.tracking.fake_study import FakeStudy
from tests.tracking.registered import registered
from tests.tracking.shown import shown
from tests.tracking.test_mlflow_tracker import Killed as KilledInMlflow
from tests.tracking.test_mlflow_tracker import KilledAfterNewWrite
from tests.tuned_study import STUDY

NEW = "better name"


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What MLflow and Optuna's store would be told; they are not asked."""
    told: list[str] = []
    monkeypatch.setattr(renaming, "_shown", lambda study, _: told.append(study.name) or "")
    return told


def renamed(store: Store, old: str = "small", new: str = NEW) -> Renamed:
    return rename(store, old, new, Views(f"sqlite:///{store.home}/no.db", f"sqlite:///{store.home}/no.db"))


def record_of(store: Store, name: str) -> StudyRecord:
    record = store.read_study(name)
    assert record is not None
    return record


def test_all_that_is_recorded_has_the_new_name(tuned: Store, only_here: list[str], tmp_path: Path) -> None:
    before, trials = record_of(tuned, "small"), tuned.read_trials("small")
    tuned.write_finding("small", audit())
    tuned.write_finding("small", final_test())
    tuned.write_study(replace(before, name="child", created=1.0, data={**before.data, "extends": "small"}))
    done = renamed(tuned)
    assert done == Renamed(NEW, "small", 2, ("child",)) and only_here == [NEW]
    after = record_of(tuned, NEW)
    assert replace(after, name="small", names=()) == before and after.names == ("small",)
    assert study_id(after) == study_id(before) and tuned.read_trials(NEW) == trials
    assert tuned.studies() == [NEW, "child"] and record_of(tuned, "child").data["extends"] == NEW
    for kind in (Audit, FinalTest):
        found = tuned.read_finding(NEW, kind)
        assert found is not None and found.study == NEW
    study = LoadedStudy.open(tuned, NEW)
    assert study.split.hash == before.split_hash and not study.is_driven and len(study.folds(trials[0])) == 2
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    again, _ = prepare(load_study_file(str(tmp_path / "small.yaml"), []), tuned, NEW)
    assert again.names == ("small",) and again.created == before.created
    renamed(tuned, NEW, "small")
    assert study_id(record_of(tuned, "small")) == study_id(before)


def test_what_cannot_be_is_refused_and_nothing_changes(tuned: Store, only_here: list[str]) -> None:
    tuned.write_study(replace(record_of(tuned, "small"), name="other"))
    for old, new, why in (
        ("small", "a/b", "cannot be called"),
        ("small", "other", "there is a study other in"),
        ("small", "small", "there is a study small in"),
        ("smal", NEW, "did you mean 'small'"),
    ):
        with pytest.raises(UsageError, match=why):
            renamed(tuned, old, new)
    with tuned.driving("small"), pytest.raises(StoreError, match="already being driven by process"):
        renamed(tuned)
    with tuned.driving(NEW), pytest.raises(UsageError, match="a study better name begins"):
        renamed(tuned)
    assert tuned.studies() == ["other", "small"] and not only_here
    renamed(tuned)
    with pytest.raises(UsageError, match=r"no study 'small'.*it is called 'better name' now"):
        LoadedStudy.open(tuned, "small")


def test_a_study_that_extends_it_must_not_be_driven(tuned: Store, only_here: list[str]) -> None:
    record = record_of(tuned, "small")
    tuned.write_study(replace(record, name="child", data={**record.data, "extends": "small"}))
    with Store(tuned.home).driving("child"), pytest.raises(StoreError, match="study child is already"):
        renamed(tuned)
    assert tuned.has_study("small")


def test_killed_after_any_change_the_same_command_goes_on(
    tuned: Store, only_here: list[str], tmp_path: Path
) -> None:
    record = record_of(tuned, "small")
    tuned.write_study(replace(record, name="child", created=1.0, data={**record.data, "extends": "small"}))
    tuned.write_finding("small", audit())
    for changes in range(1, 100):
        store = Store(Path(shutil.copytree(tuned.home, tmp_path / str(changes))))
        try:
            with killed_after(changes):
                renamed(store)
            break
        except Killed:
            assert [name for name in store.studies() if name != "child"] in ([NEW], ["small"])
            for one in store.records():
                assert one.name == "child" or study_id(one) == study_id(record)
        renamed(store)
        assert store.studies() == [NEW, "child"] and record_of(store, "child").data["extends"] == NEW
        found = store.read_finding(NEW, Audit)
        assert found is not None and found.study == NEW and record_of(store, NEW).names == ("small",)
    assert changes > 6


def test_a_look_at_test_images_is_the_same_studys(tuned: Store, only_here: list[str]) -> None:
    def opened(name: str) -> int:
        study: Any = LoadedStudy.open(tuned, name)
        refit = type("Refit", (), {"key": "a" * 40})
        test = type("Test", (), {"content_hash": "e" * 64})
        return _opened(Ledger(tuned.home), study.record, study.trials[0], refit, test, "").number  # type: ignore[arg-type]

    assert opened("small") == 1
    renamed(tuned)
    assert opened(NEW) == 1


def test_who_begins_a_study_of_the_old_name_is_told(
    tuned: Store, only_here: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renamed(tuned)
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    record, _ = prepare(load_study_file(str(tmp_path / "small.yaml"), []), tuned, "small")
    assert "study small is called better name now, and --as 'better name' goes on with it" in caplog.text
    assert record.names == () and study_id(record) != study_id(record_of(tuned, NEW))


def test_a_folder_moved_by_hand_is_renamed_and_a_copied_one_another_study(tuned: Store) -> None:
    before, folder = record_of(tuned, "small"), tuned.study_folder("small")
    shutil.copytree(folder, tuned.study_folder("copy"))
    copy = record_of(tuned, "copy")
    assert (copy.name, copy.names) == ("copy", ()) and study_id(copy) != study_id(before)
    tuned.study_folder("link").symlink_to(folder)
    assert record_of(tuned, "link") == before
    tuned.study_folder("link").unlink()
    folder.rename(tuned.study_folder("moved"))
    assert (record_of(tuned, "moved").names, study_id(record_of(tuned, "moved"))) == (
        ("small",),
        study_id(before),
    )


def test_its_bundle_is_the_same_study_and_by_another_name_another_one(
    tuned: Store, only_here: list[str], tmp_path: Path
) -> None:
    bundle.write(LoadedStudy.open(tuned, "small"), tmp_path / "before.zip", with_images=False)
    renamed(tuned)
    with pytest.raises(UsageError, match="is called better name; import this one with --as NAME"):
        bundle.read(tuned, tmp_path / "before.zip")
    bundle.write(LoadedStudy.open(tuned, NEW), tmp_path / "after.zip", with_images=False)
    own = record_of(tuned, NEW)
    assert (
        bundle.read(tuned, tmp_path / "after.zip")
        == own
        == bundle.read(Store(tmp_path / "x"), tmp_path / "after.zip")
    )
    assert study_id(bundle.read(tuned, tmp_path / "after.zip", name="third")) != study_id(own)


def small_study(home: Path) -> FakeStudy:
    study = FakeStudy(home, num_folds=2, num_epochs=1)
    study.add_trial()
    return study


def under(study: FakeStudy, name: str) -> LoadedStudy:
    record = replace(study.record, name=name, names=() if name == study.record.name else (study.record.name,))
    return replace(study.loaded, record=record)


def shown_anywhere(home: Path) -> dict[str, Any]:
    """Artifacts stay in the folder of the old name, and a model's files keep it."""
    found = shown(home)
    files = [(path.partition("/")[2], content) for path, content in found["files"]]
    found["files"] = sorted((path, b"" if path.startswith("models/") else content) for path, content in files)
    return found


@pytest.mark.slow
def test_mlflow_shows_it_as_if_it_had_always_had_the_name(
    new_home: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(png, "save", lambda spec, path, **_: path.write_bytes(b"a picture"))
    homes = [new_home("always"), new_home("renamed")]
    trackers = [MlflowTracker(f"sqlite:///{home / 'mlflow.db'}", home=home) for home in homes]
    studies = [small_study(home) for home in homes]
    old = studies[0].record.name
    trackers[0].deliver(under(studies[0], NEW), final=True)
    trackers[1].deliver(under(studies[1], old), final=True)
    done: set[str] = set()
    for _ in range(100):
        tracker = MlflowTracker(f"sqlite:///{homes[1] / 'mlflow.db'}", home=homes[1])
        tracker._client = KilledAfterNewWrite(tracker._client, done)
        try:
            tracker.deliver(under(studies[1], NEW), final=True)
            break
        except KilledInMlflow:
            continue
    assert len(done) > 8
    always, after = map(shown_anywhere, homes)
    for part, rows in always.items():
        assert after[part] == rows, part


@pytest.mark.slow
def test_the_registered_model_and_its_alias_have_the_new_name(home: Path) -> None:
    study, client = registered(home)
    uri, old = f"sqlite:///{home / 'mlflow.db'}", study.record.name
    client.create_experiment("taken")
    client.create_registered_model("taken too")
    for taken in ("taken", "taken too"):
        with pytest.raises(UsageError, match="choose another name"):
            mlflow_renaming.require_free(uri, study.record, taken)
    mlflow_renaming.require_free(uri, study.record, NEW)
    for _ in range(2):
        MlflowTracker(uri, home=home).deliver(under(study, NEW), final=True)
    (model,) = client.search_registered_models("name != 'taken too'")
    assert (model.name, model.tags["harness.study"]) == (NEW, NEW)
    assert str(client.get_model_version_by_alias(NEW, "champion").version) == "1"
    assert client.get_experiment_by_name(old) is None


def test_another_studys_runs_in_the_same_experiment_keep_theirs(home: Path) -> None:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    theirs, ours = FakeStudy(home / "theirs"), FakeStudy(home / "ours")
    ours.record = replace(ours.record, created=1.0)
    tracker, old = MlflowTracker(uri, home=home), ours.record.name
    for study in (theirs.loaded, ours.loaded, under(ours, NEW), under(ours, NEW)):
        MlflowTracker(uri, home=home).deliver(study, final=True)
    assert tracker.count_runs(old)["study"] == 2 and tracker.count_runs(NEW)["study"] == 0
    MlflowTracker(uri, home=home).deliver(under(theirs, "third"), final=True)
    (runs,) = [tracker._client.search_runs([tracker._client.get_experiment_by_name(old).experiment_id])]
    assert sorted(run.data.tags["harness.study"] for run in runs) == sorted([NEW, "third"])
