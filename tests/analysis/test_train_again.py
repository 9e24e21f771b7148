"""A damaged fold of a trial that has ended is trained again, to the same bits, and the trial stays as it is."""

import logging

import pytest

from harness.folds.train_folds import train_again, workplace_of
from harness.search.selection_bias import corrected_score, known_score
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tracking.deliver import written_score


def test_a_damaged_and_a_missing_fold_come_back_as_they_were(
    tuned: Store, caplog: pytest.LogCaptureFixture
) -> None:
    record, trials = tuned.read_study("small"), tuned.read_trials("small")
    assert record is not None
    before = {key: tuned.read_fold(key) for trial in trials for key in trial.folds}
    damaged, missing = trials[0].folds[1], trials[1].folds[0]
    content = bytearray((tuned.fold_folder(damaged) / "oof.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tuned.fold_folder(damaged) / "oof.npz").write_bytes(content)
    (tuned.fold_folder(missing) / "result.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert train_again(tuned, record, workplace_of(tuned, record)) == 2
    assert "trial 0: fold 1 was trained again" in caplog.text
    for key, old in before.items():
        new = tuned.read_fold(key)
        assert old is not None and new is not None
        assert (new.hashes, new.metrics, new.confusion) == (old.hashes, old.metrics, old.confusion)
    assert tuned.read_trials("small") == trials
    assert train_again(tuned, record, workplace_of(tuned, record)) == 0


def test_a_damaged_corrected_score_is_made_again(tuned: Store) -> None:
    def opened() -> LoadedStudy:
        return LoadedStudy.open(tuned, "small")

    found = written_score(opened())
    assert found is not None and known_score(opened()) == found
    path = tuned.study_folder("small") / "honest.json"
    path.write_bytes(path.read_bytes().replace(b"naive", b"naiv3"))
    assert known_score(opened()) is None and corrected_score(opened()) == found
    assert known_score(opened()) is None, "reading has written"
    assert written_score(opened()) == found and known_score(opened()) == found
