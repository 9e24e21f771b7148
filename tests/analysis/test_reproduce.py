"""The verdict of a reproduction, from records made for it."""

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from harness.analysis.reproduce import (
    Difference,
    Reproduction,
    contradictions,
    of_code,
    require_reproduced,
    verdict,
)
from harness.cli import run
from harness.documents import to_json
from harness.errors import CheckFailed
from harness.folds.fold import FoldTask
from harness.records import FoldRecord, StudyRecord, TrialRecord
from harness.store.store import Store
from tests.campaigns import reproduction

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


def judge(recorded: list[FoldRecord], again: list[FoldRecord]) -> Reproduction:
    return verdict(STUDY, TRIAL, dict(enumerate(recorded)), dict(enumerate(again)))


def test_equal_bits_are_bitwise() -> None:
    recorded = [fold(i, 0.9) for i in range(3)]
    document = judge(recorded, [replace(one, seconds=2.0) for one in recorded])
    assert document.verdict == "BITWISE"
    assert document.differences == ()
    assert to_json(document)["folds"][2] == {"fold": 2, "recorded": 0.9, "reproduced": 0.9, "bitwise": True}


def test_equal_scores_with_other_weights_are_not_bitwise() -> None:
    recorded = [fold(i, 0.9) for i in range(3)]
    document = judge(recorded, [recorded[0], recorded[1], fold(2, 0.9, weights="b")])
    assert document.verdict == "WITHIN-NOISE"
    assert [one.bitwise for one in document.folds] == [True, True, False]


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.015, "WITHIN-NOISE"), (0.025, "DRIFT"), (-0.025, "DRIFT")]
)
def test_two_standard_errors_separate_noise_from_drift(shift: float, expected: str) -> None:
    recorded = [fold(i, 0.9) for i in range(3)]
    document = judge(recorded, [fold(i, 0.9 + shift, weights="b") for i in range(3)])
    assert document.verdict == expected
    if expected == "DRIFT":
        with pytest.raises(CheckFailed, match="does not come out as recorded"):
            require_reproduced(document)
    else:
        require_reproduced(document)


def test_what_differs_is_named_with_the_likeliest_cause_first() -> None:
    recorded = [fold(i, 0.9, zlib="1") for i in range(3)]
    again = [fold(i, 0.9, weights="b", torch="2.16", threads="2", zlib="2") for i in range(3)]
    differences = judge(recorded, again).differences
    assert [difference.what for difference in differences] == ["threads", "torch", "zlib"]
    assert differences[0] == Difference("threads", recorded="1", now="2")


def consistent() -> tuple[StudyRecord, TrialRecord, FoldRecord]:
    """A study, a trial and a fold that agree."""
    study = replace(STUDY, data={"hash": "d" * 64}, split_hash="s" * 64, compute={"threads": 1})
    trial = replace(TRIAL, values={"model.width": 4, "train.keep_models": "best"})
    task = FoldTask({"model.width": 4}, "d" * 64, "s" * 64, 3, 0, 0, {"threads": 1, "micro_batches": 1})
    return study, trial, replace(fold(0, 0.9), key=task.key(), task=asdict(task))


def test_records_that_agree_do_not_contradict_each_other() -> None:
    study, trial, record = consistent()
    assert contradictions(study, trial, {0: record}) == []
    halved = {
        **record.task,
        "compute": {"threads": 1, "micro_batches": 2},
    }  # its memory ran out, its key stayed
    assert contradictions(study, trial, {0: replace(record, task=halved)}) == []
    newer = replace(record, task=halved, fingerprint={**record.fingerprint, "python": "3.13.0"})
    assert [one.what for one in contradictions(study, trial, {0: newer})] == ["the record of fold 0"]
    assert contradictions(study, trial, {0: replace(newer, key=FoldTask(**halved).key())}) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"seed": 7}, ("seed", "7", "0")),
        ({"values": {"model.width": 8}}, ("model.width", "8", "4")),
        ({"values": {"model.width": 4, "train.lr": 1.0}}, ("train.lr", "1.0", "-")),
        ({"data_hash": "e" * 64}, ("images", "e" * 12, "d" * 12)),
        ({"split_hash": "e" * 64}, ("split", "e" * 12, "s" * 12)),
        ({"num_folds": 5}, ("number of folds", "5", "3")),
    ],
)
def test_a_fold_that_was_changed_is_named_with_what_was_changed(
    changed: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    study, trial, record = consistent()
    first, second = contradictions(study, trial, {0: replace(record, task={**record.task, **changed})})
    assert (first.what, first.recorded, first.now) == expected
    assert second.what == "the record of fold 0" and second.recorded == record.key[:12]


def test_another_program_is_named() -> None:
    now = {"harness": "0.0.1", "commit": "", "packages": {"numpy": "1.0", "black": "1.0"}}
    named = {one.what: one.recorded for one in of_code(replace(STUDY, provenance=now))}
    assert named["harness"] == "0.0.1" and named["numpy"] == "1.0" and "black" not in named


@pytest.mark.slow
def test_every_planted_difference_is_named() -> None:
    assert reproduction.reproductions(len(reproduction.PLANTS), seed=0) == []


@pytest.mark.slow
def test_a_difference_that_nobody_names_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = reproduction.Planted({"moon": ("full", "new")})
    monkeypatch.setattr(reproduction, "PLANTS", {"moon": lambda _: quiet})
    (failure,) = reproduction.reproductions(1, seed=0)
    assert "attempt 0, moon: named are {}" in failure


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--gpus", "0.5"], 2, "the study computes on cpu, not on a GPU; leave --gpus out"),
        (["--set", "compute.device=mps", "--gpus", "0.5"], 2, "computes on mps, not on a GPU"),
        (["--set", "compute.device=mps"], 1, "device mps is not available on this machine"),
        (["--set", "compute.device=cuda", "--workers", "2", "--gpus", "0.5"], 2, "this machine has no GPU"),
    ],
)
@pytest.mark.skipif(
    torch.backends.mps.is_available() or torch.cuda.is_available(), reason="names what is not there"
)
def test_a_device_that_does_not_go_with_the_options_is_told_in_one_line(
    tuned: Store, arguments: list[str], code: int, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["reproduce", "small", "--home", str(tuned.home), *arguments]) == code
    said = capsys.readouterr().err
    assert expected in said and len(said.splitlines()) == 1
