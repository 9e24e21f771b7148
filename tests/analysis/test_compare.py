"""Trials side by side: names, refusals, and figures against what was put in."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis import compare as comparing
from harness.cli import run
from harness.documents import to_json
from harness.errors import UsageError
from harness.scoring.paired import corrected_t_test, mcnemar
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store


def compare(store: Store, names: list[str]) -> dict[str, Any]:
    """As it is printed."""
    document: dict[str, Any] = to_json(found(store, names))
    return document


def found(store: Store, names: list[str]) -> comparing.Comparison:
    return comparing.compare(comparing.named(lambda name: LoadedStudy.open(store, name), names))


def test_a_study_is_its_best_trial_and_a_star_all_complete_ones(tuned: Store) -> None:
    named = [row["trial"] for row in compare(tuned, ["small:0", "small:1"])["trials"]]
    assert sorted(named) == ["small:0", "small:1"]
    assert [row["trial"] for row in compare(tuned, ["small:*"])["trials"]] == named
    assert [row["trial"] for row in compare(tuned, ["small", "small:*"])["trials"]] == named


def test_the_figures_are_those_of_the_statistics(tuned: Store) -> None:
    best, other = compare(tuned, ["small:*"])["trials"]
    gaps = np.subtract(other["folds"], best["folds"])
    assert other["difference"] == pytest.approx(gaps.mean()) and best["mean"] >= other["mean"]
    assert other["t_test"]["p"] == pytest.approx(corrected_t_test(gaps, test_fraction=1.0)[1])
    assert other["low"] <= other["difference"] <= other["high"]
    study = LoadedStudy.open(tuned, "small")
    expected = mcnemar(
        *(study.out_of_fold(study.trials[int(row["trial"][-1])]).right for row in (best, other))
    )
    assert (other["mcnemar"]["only_best_right"], other["mcnemar"]["only_this_right"]) == expected[:2]
    assert sum(other["bayes"].values()) == pytest.approx(1.0)


def test_a_lower_loss_is_better(tuned: Store) -> None:
    record = tuned.read_study("small")
    assert record is not None
    tuned.write_study(replace(record, objective="log_loss", direction="minimize"))
    best, other = compare(tuned, ["small:*"])["trials"]
    assert best["mean"] <= other["mean"] and other["difference"] <= 0


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["small"], "compare needs two trials"),
        (["small:0", "small:0"], "compare needs two trials"),
        (["small:9", "small"], r"study small has no complete trial 9 \(0, 1\)"),
        (["smal", "small"], "did you mean 'small'"),
    ],
)
def test_what_is_no_trial_is_said(tuned: Store, names: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        compare(tuned, names)


@pytest.mark.parametrize(
    ("change", "said"), [({"split_hash": "x"}, "splits"), ({"objective": "macro_f1"}, "objectives")]
)
def test_trials_of_different_splits_are_refused(tuned: Store, change: dict[str, str], said: str) -> None:
    record = tuned.read_study("small")
    assert record is not None
    tuned.write_study(replace(record, name="other", **change))  # type: ignore[arg-type]
    tuned.write_trial("other", tuned.read_trials("small")[0])
    with pytest.raises(
        UsageError, match=f"small:. and other:0 cannot be compared: they are of different {said}"
    ):
        compare(tuned, ["small", "other"])


def test_the_command_prints_a_table_and_draws_a_picture(
    tuned: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "compared.png"
    assert run(["compare", "small:*", "--picture", str(picture), "--home", str(tuned.home)]) == 0
    out = capsys.readouterr().out
    assert "cheapest within one error" in out and "would be found four times out of five" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert run(["compare", "small:*", "--json", "--home", str(tuned.home)]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 2
    assert run(["compare", "small:*", "--picture", "/nowhere/x.png", "--home", str(tuned.home)]) == 2
