"""`harness show`: one trial, whole, and why a failed one has failed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import run
from harness.store.store import Store
from tests.own_models import HEAD, SIGNATURE

FAILING = (
    HEAD
    + """class Net(nn.Linear):
    def forward(self, images):
        if len(images) > 8:  # more than it is tried with before the study begins
            raise ValueError("the key is hf_abcdefghijklmnopqrstuvwxyz012345")
        return super().forward(images.flatten(1))


"""
    + SIGNATURE
    + "    return Net(in_channels * image_size**2, num_classes)\n"
)


def shown(store: Store, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["show", *arguments, "--home", str(store.home)]) == 0
    return capsys.readouterr().out


def test_a_trial_is_shown_with_its_folds_values_and_machine(
    tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = tuned.read_trials("small")[1]
    text = shown(tuned, capsys, "small", "1")
    lines = text.splitlines()
    assert lines[0] == "small, trial 1: complete" and max(map(len, lines)) <= 80
    assert f"accuracy {trial.mean:.4f} ± {trial.half_width:.4f}" in text
    assert "  model.dropout *" in text and "computed on" in text and "Traceback" not in text
    for fold, (key, score) in enumerate(zip(trial.folds, trial.scores, strict=True)):
        assert any(line.split()[:2] == [str(fold), f"{score:.4f}"] and key[:12] in line for line in lines)


def test_the_document_has_every_value_and_the_whole_keys(
    tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = tuned.read_trials("small")[0]
    record = tuned.read_fold(trial.folds[0])
    assert record is not None
    document = json.loads(shown(tuned, capsys, "small", "0", "--json"))
    assert document["schema"] >= 1 and document["values"] == trial.values and document["trial"] == 0
    assert [fold["key"] for fold in document["folds"]] == list(trial.folds)
    assert document["folds"][0]["seconds"] == record.seconds
    assert document["fingerprints"] == [record.fingerprint] and document["traceback"] == ""
    best = json.loads(shown(tuned, capsys, "small", "--json"))
    assert best["mean"] == max(trial.mean or 0 for trial in tuned.read_trials("small"))


def test_what_is_not_there_is_told_in_one_line(tuned: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for wanted in ("7", "x"):
        assert run(["show", "small", wanted, "--home", str(tuned.home)]) == 2
        assert f"no trial '{wanted}'; it has trials 0 to 1" in capsys.readouterr().err


def test_a_failing_trial_keeps_its_traceback_without_secrets(
    own_model: Callable[[str, str], Path],
    tuning_of: Callable[..., Store],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = own_model("mine", FAILING)
    path = tmp_path / "bad.yaml"
    path.write_text(
        "data: {name: digits, test_fraction: 0.8}\nmodel: {name: mine, width: [4, 5]}\ncv: {folds: 2}\n"
        "train: {epochs: 1, augment: none}\nsearch: {trials: 2, racing: none}\n",
        encoding="utf-8",
    )
    store = tuning_of(path, tmp_path / "home")
    trial = store.read_trials("bad")[0]
    assert trial.state == "failed" and trial.failure == "exception"
    assert f'{model}", line 9, in forward' in trial.traceback and "hf_" not in trial.traceback
    text = shown(store, capsys, "bad", "0")
    assert "exception: fold 0: ValueError: the key is ***" in text
    assert text.rstrip().endswith("ValueError: the key is ***")
    assert run(["status", "bad", "--home", str(store.home)]) == 0
    store.reopen_failed("bad")
    assert store.read_trials("bad")[0].traceback == ""
