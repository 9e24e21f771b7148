"""A metric that a fold's record lacks, since there was no such metric when it was trained, judges its predictions."""

from pathlib import Path

from harness.files import read_json, write_json
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.store.trial_scores import means
from tests.tuned_study import STUDY, tune


def forget_metric(store: Store, key: str, name: str) -> float:
    """Have a fold's record as if there had been no such metric; its score."""
    path = store.fold_folder(key) / "result.json"
    document = read_json(path)
    score: float = document["metrics"].pop(name)
    write_json(path, document)
    return score


def test_a_study_is_judged_by_a_metric_that_is_younger_than_its_folds(tuned: Store, tmp_path: Path) -> None:
    keys = [key for trial in tuned.read_trials("small") for key in trial.folds]
    scores = {key: forget_metric(tuned, key, "macro_f1") for key in keys}
    written = {path: path.read_bytes() for path in (tuned.home / "folds").rglob("*.*")}
    (tmp_path / "again.yaml").write_text(STUDY, encoding="utf-8")
    trials = tune(tmp_path / "again.yaml", tuned.home, "objective=macro_f1").read_trials("again")
    assert {
        key: score for trial in trials for key, score in zip(trial.folds, trial.scores, strict=True)
    } == scores
    assert {path: path.read_bytes() for path in (tuned.home / "folds").rglob("*.*")} == written


def test_a_trial_whose_folds_were_judged_by_different_metrics_has_the_means_of_all(tuned: Store) -> None:
    study = LoadedStudy.open(tuned, "small")
    before = means(study, study.trials[0])
    forget_metric(tuned, study.trials[0].folds[0], "log_loss")
    opened = LoadedStudy.open(tuned, "small")
    assert means(opened, opened.trials[0]) == before


def test_a_fold_without_the_metric_whose_predictions_are_damaged_counts_as_damaged(tuned: Store) -> None:
    key = tuned.read_trials("small")[0].folds[0]
    forget_metric(tuned, key, "log_loss")
    (tuned.fold_folder(key) / "oof.npz").write_bytes(b"rot")
    assert tuned.read_fold(key) is None and tuned.read_fold_record(key) is None
