"""How a study is put together: what limits it, and what makes it another study."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import run
from harness.prepare import differences
from harness.records import TrialRecord
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import has_weights
from harness.store.store import Store
from harness.tuning import _deadline
from tests.cli.test_show import FAILING
from tests.tuned_study import STUDY


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [((0.0, 5.0), 100.0), ((None, 5.0), 400.0), ((2.0, None), 220.0), ((None, None), None)],
)
def test_the_command_lines_limit_goes_before_the_study_files(
    minutes: tuple[float | None, ...], expected: float | None
) -> None:
    assert _deadline(100.0, *minutes) == expected


def test_differences_name_every_dotted_path_and_keep_ranges_whole() -> None:
    old = {"model": {"depth": {"low": 1, "high": 2}, "width": 8}, "objective": "accuracy", "cv": {"folds": 5}}
    new = {
        "model": {"depth": {"low": 1, "high": 3}, "blocks": 1},
        "objective": "accuracy",
        "cv": {"folds": 5},
    }
    assert list(differences(old, new)) == [
        ("model.blocks", "-", 1),
        ("model.depth", {"low": 1, "high": 2}, {"low": 1, "high": 3}),
        ("model.width", 8, "-"),
    ]
    assert list(differences(old, old)) == []


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The file of the study that `tuned` has run."""
    path = tmp_path / "small.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def test_fewer_trials_than_there_are_is_refused_and_recorded_nowhere(
    tuned: Store, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in tuned.study_folder("small").rglob("*.json")}
    command = ["tune", "--study", str(small), "--trials", "1", "--home", str(tuned.home), "--workers", "1"]
    assert run(command) == 2
    told = capsys.readouterr().err
    assert "study small has 2 trials already, so it cannot become one of 1" in told and "--trials 2" in told
    assert {path: path.read_bytes() for path in tuned.study_folder("small").rglob("*.json")} == before


def test_a_study_of_which_a_fold_is_trained_stays_what_it_is(
    tuned: Store, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the trial has not ended, so that its record names no fold yet."""
    for trial in tuned.read_trials("small"):
        tuned.write_trial("small", TrialRecord(trial.number, "running", trial.params, trial.values))
    command = ["tune", "--study", str(small), "--set", "train.lr=0.2", "--home", str(tuned.home)]
    assert run([*command, "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert "small has changed since it began" in told and "train.lr   0.1 -> 0.2" in told


def test_a_study_that_has_trained_no_fold_is_corrected(
    own_model: Callable[[str, str], Path], tuning_of: Callable[..., Store], tmp_path: Path
) -> None:
    own_model("mine", FAILING)
    path = tmp_path / "bad.yaml"
    text = (
        "data: {name: digits, test_fraction: 0.8}\nmodel: {name: mine, width: [4, 5]}\ncv: {folds: 2}\n"
        "train: {epochs: 1, augment: none}\nsearch: {trials: 2, racing: none}\n"
    )
    path.write_text(text, encoding="utf-8")
    store = tuning_of(path, tmp_path / "home")
    first = store.read_study("bad")
    assert [trial.state for trial in store.read_trials("bad")] == ["failed"] * 2
    path.write_text(text.replace("name: mine", "name: resnet, depth: 1"), encoding="utf-8")
    tuning_of(path, tmp_path / "home")
    second = store.read_study("bad")
    assert first and second and second.definition["model"]["name"] == "resnet"
    assert second.created > first.created and second.num_trials == 2
    trials = store.read_trials("bad")
    assert [trial.state for trial in trials] == ["complete"] * 2
    assert all(trial.values["model.name"] == "resnet" for trial in trials)


def test_the_copy_in_optunas_store_follows_a_correction(tmp_path: Path, small: Path) -> None:
    import optuna

    from harness.config.study_file import load_study_file
    from harness.tracking.optuna_mirror import mirror

    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    failed = TrialRecord(0, "failed", {"model.dropout": 0.3}, {})
    done = TrialRecord(0, "complete", {"model.width": 4}, {}, mean=0.5, scores=(0.5, 0.5), started=1.0)
    mirror(url, "small", load_study_file(str(small)), [failed], study_id="a")
    corrected = load_study_file(str(small), ["model.dropout=0", "model.width=[4, 8]"])
    for _ in range(2):
        mirror(url, "small", corrected, [done], study_id="a")
        storage = optuna.storages.RDBStorage(url)
        (shown,) = optuna.load_study(study_name="small", storage=storage).trials
        storage.engine.dispose()
        assert shown.params == done.params and shown.value == 0.5


@pytest.mark.slow
def test_the_models_of_the_front_are_kept(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "front.yaml"
    path.write_text(
        "data: {name: digits, test_fraction: 0.8}\nmodel: {name: resnet, depth: 1, width: [2, 8]}\ncv: {folds: 2}\n"
        "train: {epochs: 5, batch_size: 64, lr: [0.1, 0.0001], schedule: one_cycle, augment: none}\n"
        "search: {sampler: grid, racing: none}\nobjective: [accuracy, parameters]\n",
        encoding="utf-8",
    )
    assert run(["tune", "--study", str(path), "--home", str(home), "--workers", "1"]) == 0
    study = LoadedStudy.open(Store(home), "front")
    kept = [trial.number for trial in study.trials if has_weights(study.folds(trial))]
    assert kept == sorted(trial.number for trial in study.front) and 1 < len(kept) < len(study.trials)
