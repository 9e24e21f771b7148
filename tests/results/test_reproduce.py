"""The verdict of a reproduction, from records made for it."""

from dataclasses import replace
from typing import Any

import pytest

from harness.errors import CheckFailed
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.results.reproduce import require_reproduced, verdict

STUDY = StudyRecord(
    name="s", question="", text="", definition={}, objective="accuracy", direction="maximize", num_folds=3,
    num_trials=1, seed=0, data={}, split_hash="", compute={}, provenance={}, created=0.0,
)  # fmt: skip
TRIAL = TrialRecord(0, "complete", {}, {}, mean=0.9, standard_error=0.01)


def fold(number: int, score: float, *, weights: str = "a", **fingerprint: str) -> FoldRecord:
    return FoldRecord(
        key=str(number), fold=number, task={"compute": {"threads": fingerprint.get("threads", "1")}}, epochs=(),
        chosen_epoch=1, metrics={"accuracy": score}, confusion=((900, 100),), num_parameters=1, seconds=1.0,
        started=0.0, fingerprint={"torch": "2.15", "threads": "1", **fingerprint}, hashes={"weights": weights},
    )  # fmt: skip


def judge(recorded: list[FoldRecord], again: list[FoldRecord]) -> dict[str, Any]:
    return verdict(STUDY, TRIAL, dict(enumerate(recorded)), dict(enumerate(again)))


def test_equal_bits_are_bitwise() -> None:
    recorded = [fold(i, 0.9) for i in range(3)]
    document = judge(recorded, [replace(one, seconds=2.0) for one in recorded])
    assert document["verdict"] == "BITWISE"
    assert document["differences"] == []
    assert document["folds"][2] == {"fold": 2, "recorded": 0.9, "reproduced": 0.9, "bitwise": True}


def test_equal_scores_with_other_weights_are_not_bitwise() -> None:
    recorded = [fold(i, 0.9) for i in range(3)]
    document = judge(recorded, [recorded[0], recorded[1], fold(2, 0.9, weights="b")])
    assert document["verdict"] == "WITHIN-NOISE"
    assert [one["bitwise"] for one in document["folds"]] == [True, True, False]


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.015, "WITHIN-NOISE"), (0.025, "DRIFT"), (-0.025, "DRIFT")]
)
def test_two_standard_errors_separate_noise_from_drift(shift: float, expected: str) -> None:
    recorded = [fold(i, 0.9) for i in range(3)]
    document = judge(recorded, [fold(i, 0.9 + shift, weights="b") for i in range(3)])
    assert document["verdict"] == expected
    if expected == "DRIFT":
        with pytest.raises(CheckFailed, match="does not come out as recorded"):
            require_reproduced(document)
    else:
        require_reproduced(document)


def test_what_differs_is_named_with_the_likeliest_cause_first() -> None:
    recorded = [fold(i, 0.9, zlib="1") for i in range(3)]
    again = [fold(i, 0.9, weights="b", torch="2.16", threads="2", zlib="2") for i in range(3)]
    differences = judge(recorded, again)["differences"]
    assert [difference["what"] for difference in differences] == ["threads", "torch", "zlib"]
    assert differences[0] == {"what": "threads", "recorded": "1", "now": "2"}
