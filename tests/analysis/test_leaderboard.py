"""Several studies side by side, from records made for it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import harness
from harness.analysis import leaderboard
from harness.analysis.leaderboard import ComparedStudies
from harness.cli import run, tables
from harness.config import catalog
from harness.documents import to_json
from harness.errors import UsageError
from harness.files import read_json, write_json
from harness.records import Epoch, FoldRecord, StudyRecord, TrialRecord, mixed_words
from harness.report.collect import provenance_of
from harness.scoring import corrected_standard_error
from harness.store.loaded_study import LoadedStudy
from harness.store.predictions import read_predictions
from harness.store.store import Store
from harness.tracking import artifacts
from harness.tracking.study_findings import StudyFindings
from harness.tuning import _Alike
from tests import tuned_study

STUDY = StudyRecord(
    name="plain", question="", text="", definition={}, objective="accuracy", direction="maximize", num_folds=3,
    num_trials=2, seed=0, data={"hash": "a", "num_images": 40_000, "classes": ["a", "b"]}, split_hash="b", compute={},
    provenance={}, created=0.0,
)  # fmt: skip
PLAIN, BETTER = (0.70, 0.72, 0.74), (0.80, 0.80, 0.86)


def compare(store: Store, *names: str) -> ComparedStudies:
    return leaderboard.compare([LoadedStudy.open(store, name) for name in names])


def trial(*scores: float, number: int = 0, folds: tuple[str, ...] = ()) -> TrialRecord:
    mean, values = float(np.mean(scores)), {"train.epochs": 10}
    return TrialRecord(
        number, "complete", {}, values, folds=folds, scores=scores, mean=mean, standard_error=0.01, seconds=90.0
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two studies of the same data and splits, `plain` with two trials and `better` with one."""
    store = Store(tmp_path)
    for name, trials in {
        "plain": [trial(*PLAIN), trial(0.1, 0.2, 0.3, number=1)],
        "better": [trial(*BETTER)],
    }.items():
        store.write_study(replace(STUDY, name=name))
        for record in trials:
            store.write_trial(name, record)
    return store


def test_the_gain_is_that_of_the_best_trials_with_the_error_of_their_differences(store: Store) -> None:
    plain, better = compare(store, "plain", "better").compared
    assert (plain.trial, plain.mean, plain.gain) == (0, pytest.approx(0.72), None)
    assert better.gain == pytest.approx(0.10)
    error = corrected_standard_error(np.subtract(BETTER, PLAIN).tolist(), test_fraction=0.5)
    assert better.gain_standard_error == pytest.approx(error)
    assert (plain.trials_done, better.trials_done, better.num_trials) == (2, 1, 2)


def test_a_lower_loss_is_a_positive_gain(store: Store) -> None:
    for name in ("plain", "better"):
        store.write_study(replace(STUDY, name=name, objective="log_loss", direction="minimize"))
    gain = compare(store, "better", "plain").compared[1].gain
    assert gain == pytest.approx(
        np.mean(BETTER) - 0.2
    )  # the best of `plain` is now the trial of the low scores


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"data": {"hash": "z", "num_images": 9}, "split_hash": "z"}, "data, splits"),
        ({"split_hash": "z"}, "splits"),
        ({"objective": "balanced_accuracy"}, "objectives"),
    ],
)
def test_studies_of_different_kinds_are_not_compared_silently(
    store: Store, change: dict[str, object], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write_study(replace(STUDY, name="better", **change))  # type: ignore[arg-type]
    row = compare(store, "plain", "better").compared[1]
    assert (row.gain, row.gain_standard_error, row.no_gain) == (None, None, expected)
    assert run(["status", "plain", "better", "--home", str(store.home)]) == 0
    assert f"no gain: plain and better are of different {expected}\n" in capsys.readouterr().out


def test_a_study_without_a_complete_trial_has_no_gain(store: Store) -> None:
    store.write_study(replace(STUDY, name="begun"))
    row = compare(store, "plain", "begun").compared[1]
    assert (row.mean, row.gain, row.no_gain) == (None, None, "")


def test_the_speed_is_the_mean_over_the_epochs_of_the_folds(store: Store) -> None:
    speeds = (100.0, 300.0)
    epochs = tuple(Epoch(1, 0.1, 0.9, 0.1, 0.9, 0.1, speed, 1.0) for speed in speeds)
    fold = FoldRecord("k", 0, {}, epochs, 2, {}, ((1,),), 1, 1.0, 0.0, {}, {})
    store.write_fold(fold, {}, {})
    store.write_trial("better", trial(*BETTER, folds=("k", "gone")))
    plain, better = compare(store, "plain", "better").compared
    assert (plain.images_per_second, better.images_per_second) == (None, 200.0)


def test_several_names_print_one_table_and_one_document(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["status", "plain", "better", "--home", str(store.home)]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["study", "best"]
    assert first.split()[0] == "plain" and "0.7200 ± 0.0430" in first and first.rstrip().endswith(" -")
    assert second.split()[0] == "better" and "+0.1000 ± " in second and "40,000" in second
    assert run(["status", "plain", "better", "--home", str(store.home), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == to_json(compare(store, "plain", "better"))
    assert document["schema"] == 1


def test_one_name_still_prints_its_leaderboard(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "plain", "--home", str(store.home), "--json"]) == 0
    assert [row["number"] for row in json.loads(capsys.readouterr().out)["trials"]] == [0, 1]


def test_a_study_that_was_never_started_is_named(store: Store) -> None:
    with pytest.raises(UsageError, match="did you mean 'better'"):
        compare(store, "plain", "beter")


def test_a_study_whose_folds_were_computed_differently_says_so(
    tuned: Store, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert leaderboard.status(LoadedStudy.open(tuned, "small")).mixed_fingerprints == {}
    path = tuned.fold_folder(tuned.read_trials("small")[1].folds[0]) / "result.json"
    document = read_json(path)
    now = document["fingerprint"]["instructions"]
    document["fingerprint"] |= {"instructions": "AVX of old", "moon": "full"}
    write_json(path, document)
    mixed = leaderboard.status(LoadedStudy.open(tuned, "small")).mixed_fingerprints
    assert mixed == {
        "instructions": tuple(sorted(["AVX of old", now]))
    }  # what only one says is no difference
    assert run(["status", "small", "--home", str(tuned.home)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "not all folds were computed alike (instructions" in shown and "AVX of old" in shown
    study = LoadedStudy.open(tuned, "small")
    _Alike(study)
    assert "not all folds were computed alike" in caplog.text
    assert "AVX of old" in provenance_of(study).mixed
    said = artifacts.note(study, StudyFindings())
    assert "**Computed differently.** Not all folds were computed alike" in said


@pytest.mark.slow
@pytest.mark.parametrize("is_found", [False, True], ids=["begun", "found"])
def test_going_on_says_of_mixed_folds_what_status_says(
    tuned: Store, tmp_path: Path, empty_database: Path, caplog: pytest.LogCaptureFixture, is_found: bool
) -> None:
    """A later fold of a trial was computed elsewhere; the trial has ended already, or finds its folds."""
    shutil.copy(empty_database, tuned.home / "mlflow.db")
    path = tuned.fold_folder(tuned.read_trials("small")[1].folds[1]) / "result.json"
    document = read_json(path)
    document["fingerprint"] |= {"instructions": "AVX of old"}
    write_json(path, document)
    if is_found:
        (tuned.study_folder("small") / "trials" / "00001.json").unlink()
    (tmp_path / "small.yaml").write_text(tuned_study.STUDY, encoding="utf-8")
    harness.tune(tmp_path / "small.yaml", home=tuned.home, progress=False)
    mixed = leaderboard.status(LoadedStudy.open(tuned, "small")).mixed_fingerprints
    assert [line for line in caplog.messages if "computed alike" in line] == [
        f"study goes on: {mixed_words(mixed)}"
    ]


def test_a_study_that_cannot_be_shown_hides_no_other(
    tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records of a network with eleven outputs for ten classes, and a study record that is damaged."""
    record, trials = tuned.read_study("small"), tuned.read_trials("small")
    assert record is not None
    wide = []
    for trial in trials:
        folds = [tuned.read_fold(key) for key in trial.folds]
        keys = []
        for fold in filter(None, folds):
            arrays = read_predictions(fold)
            arrays["probabilities"] = np.pad(arrays["probabilities"], ((0, 0), (0, 1)))
            arrays["probabilities"][0] = np.nan
            key = f"{fold.key[:-1]}w"
            tuned.write_fold(replace(fold, key=key, hashes={}), arrays, {"w": np.ones(1, np.float32)})
            keys.append(key)
        wide.append(replace(trial, folds=tuple(keys)))
    tuned.write_study(replace(record, name="wide"))
    shutil.copy(tuned.study_folder("small") / "split.npz", tuned.study_folder("wide"))
    for trial in wide:
        tuned.write_trial("wide", trial)
    tuned.write_study(replace(record, name="damaged"))
    for name in ("study.json", "study.json.copy"):
        (tuned.study_folder("damaged") / name).write_text("{}")
    assert run(["status", "--home", str(tuned.home)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 4 and any("damaged" in line and "unreadable" in line for line in lines)
    assert any(line.split()[:2] == ["small", "finished"] for line in lines)
    assert run(["status", "--json", "--home", str(tuned.home)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [document["schema"], *(study["schema"] for study in document["studies"])] == [1] * (
        1 + len(document["studies"])
    )
    found = {study["study"]: study["state"] for study in document["studies"]}
    assert found == {"damaged": "unreadable", "small": "finished", "wide": "finished"}


@pytest.mark.parametrize(("width", "has_bars"), [(80, False), (109, False), (110, True), (300, True)])
def test_values_are_whole_words_however_narrow_the_terminal(
    width: int,
    has_bars: bool,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = leaderboard.status(LoadedStudy.open(store, "plain"))
    options = {f"model.a_long_name_{number}": 0.12345 for number in range(8)}
    trials = tuple(replace(one, params=options) for one in found.trials)
    monkeypatch.setattr(tables, "console", lambda **_: Console(width=width))
    tables.leaderboard(replace(found, trials=trials), store.home)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width and not any("…" in line for line in lines)
    assert any("─" in line for line in lines) == has_bars
    words = " ".join(lines).split()
    assert all(words.count(f"a_long_name_{number}") == (1 if width == 300 else 2) for number in range(8))


def test_folds_of_a_study_that_was_cut_short_are_shown(
    tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a trial that has not ended the record has none of them; the store has."""
    whole = tuned.read_trials("small")[1]
    tuned.write_trial("small", TrialRecord(1, "running", whole.params, whole.values))
    found = leaderboard.status(LoadedStudy.open(tuned, "small"))
    cut = next(trial for trial in found.trials if trial.number == 1)
    assert cut.state == "interrupted" and cut.folds == whole.scores and cut.mean == pytest.approx(whole.mean)
    assert found.state == "interrupted"
    tables.leaderboard(found, tuned.home)
    said = capsys.readouterr().out
    assert "1 complete, 1 interrupted of 2" in said and "running" not in said


def test_a_study_that_was_never_run_is_told_apart_from_none(
    tuned: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.yaml").write_text(tuned_study.STUDY, encoding="utf-8")
    catalog.forget()
    assert run(["status", "mine", "--home", str(tuned.home)]) == 2
    said = f"it has not been run yet, which harness tune mine --home {tuned.home} does"
    assert said in capsys.readouterr().err
    assert run(["tune", "small", "--home", str(tuned.home)]) == 2
    said = capsys.readouterr().err
    assert "study small has begun, and no study file is called so: harness tune /" in said
    assert said.endswith(f"/small.yaml --home {tuned.home} goes on with it\n")
    assert run(["tune", str(tmp_path)]) == 2
    assert (
        f"is a folder; of a folder of images, harness init {tmp_path} writes a study"
        in capsys.readouterr().err
    )
