"""The store: one driver at a time, damaged records noticed, names that are safe as folders."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.errors import RecordError, StoreError
from harness.records import SCHEMA, FoldRecord, StudyRecord, TrialRecord
from harness.scoring import score
from harness.store.store import Store, valid_name

RECORD = StudyRecord(
    name="s", question="why?", text="a: 1", definition={"x": [1, 2]}, objective="accuracy", direction="maximize",
    num_folds=3, num_trials=1, seed=0, data={"hash": "d"}, split_hash="h", compute={"threads": 1}, provenance={},
    created=1.5,
)  # fmt: skip


def trial(number: int) -> TrialRecord:
    return TrialRecord(
        number, "complete", {"a.b": 0.1}, {"a.b": 0.1}, ("k",), (0.5,), 0.5, None, "", 1.0, 2.0
    )


def test_studies_and_trials_come_back_as_they_were_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "ein Örtchen")
    store.write_study(RECORD)
    for number in (1, 0):
        store.write_trial("s", trial(number))
    assert store.studies() == ["s"]
    assert store.read_study("s") == RECORD
    assert store.read_study("other") is None
    assert store.read_trials("s") == [trial(0), trial(1)]


def test_trials_after_a_damaged_or_missing_one_are_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(4):
        store.write_trial("s", trial(number))
    path = store.study_folder("s") / "trials" / "00002.json"
    path.write_text(path.read_text("utf-8").replace("0.5", "0.6"), encoding="utf-8")
    assert store.read_trials("s") == [trial(0), trial(1)]
    path.unlink()
    assert store.read_trials("s") == [trial(0), trial(1)]


def test_a_record_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_study(replace(RECORD, schema=SCHEMA + 1))
    with pytest.raises(RecordError, match="written by a newer harness"):
        store.read_study("s")


def test_there_is_one_driver_at_a_time_and_the_other_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert not store.is_driven("s")
    with store.driving("s"):
        assert store.is_driven("s")
        message = r"already being driven by process \d+ on .+ since"
        with pytest.raises(StoreError, match=message), Store(tmp_path).driving("s"):
            pass
        with store.driving("other"):
            pass
    assert not store.is_driven("s")
    with store.driving("s"):
        pass


@pytest.mark.parametrize("name", ["resnet_lr", "Ümläut 2", "a.b-c+d"])
def test_names_that_are_folders(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "a\\b", ".hidden", "x.", "x" * 200, "a\nb", "con:"]
)
def test_names_that_are_not(name: str) -> None:
    assert not valid_name(name)


def some_fold() -> tuple[FoldRecord, dict[str, np.ndarray], dict[str, np.ndarray]]:
    record = FoldRecord("a" * 40, 0, {"fold": 0}, (), 1, {}, ((1,),), 4, 1.0, 0.0, {}, {})
    predictions = {
        "indices": np.arange(3),
        "labels": np.zeros(3, np.int64),
        "probabilities": np.full((3, 2), 0.5, np.float32),
    }
    return (
        replace(record, metrics=score(predictions["labels"], predictions["probabilities"])),
        predictions,
        {"w": np.ones(4, np.float32)},
    )


def test_the_quicker_of_two_processes_with_one_fold_wins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.write_fold(*some_fold())
    store.checkpoint(first.key).write_bytes(b"of the slower")
    assert store.write_fold(*some_fold()) == first
    assert not store.checkpoint(first.key).exists()


def test_weights_that_were_dropped_come_back_with_the_fold(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.write_fold(*some_fold())
    store.drop_weights([first.key])
    assert store.write_fold(*some_fold()) == first and (first.folder / "weights.safetensors").exists()
    assert store.read_fold(first.key) == first


def test_a_damaged_fold_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.write_fold(*some_fold())
    (first.folder / "oof.npz").write_bytes(b"rot")
    assert store.write_fold(*some_fold()) == first == store.read_fold(first.key)
