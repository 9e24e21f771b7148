"""The comparison that shows that a refactoring has kept the bits: it must not pass what differs."""

import json
from pathlib import Path

import pytest

from tests.stores.compare_bits import main


def store(folder: Path, **hashes: str) -> Path:
    """A store with one study of one trial: fold key -> hash of its weights."""
    trials = folder / "studies" / "small" / "trials"
    trials.mkdir(parents=True)
    (trials / "00000.json").write_text(json.dumps({"number": 0, "folds": [*hashes]}))
    for key, value in hashes.items():
        (folder / "folds" / key).mkdir(parents=True)
        record = {"hashes": {"oof.npz": "same", "weights.safetensors": value}}
        (folder / "folds" / key / "result.json").write_text(json.dumps(record))
    return folder


def test_equal_bits_under_other_keys_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = store(tmp_path / "a", one="1", two="2"), store(tmp_path / "b", three="1", four="2")
    assert main(before, after) == 0
    assert capsys.readouterr().out == "2 folds compared, 0 not as they were\n"


def test_other_weights_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = store(tmp_path / "a", one="1", two="2"), store(tmp_path / "b", one="1", two="3")
    assert main(before, after) == 1
    assert capsys.readouterr().out.startswith("small, trial 0, fold 1: weights.safetensors differ\n")


def test_a_missing_fold_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = store(tmp_path / "a", one="1", two="2"), store(tmp_path / "b", one="1")
    assert main(before, after) == 1
    assert "small, trial 0, fold 1: only in" in capsys.readouterr().out


def test_nothing_to_compare_is_no_success(tmp_path: Path) -> None:
    assert main(tmp_path / "a", tmp_path / "b") == 1
