"""What a model's name on the command line finds: a study's champion, a trial, a folder, a registered version."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.analysis.final import refit_task
from harness.data.image_files import Candidate
from harness.data.policy import Policy
from harness.errors import HarnessError, RecordError, UsageError
from harness.folds.fold import NO_FOLD
from harness.folds.train_folds import train_tasks, workplace_of
from harness.inference.export import save_model
from harness.inference.find_model import find_model, is_gone
from harness.inference.model import load_trial_model
from harness.inference.predict import predict_files
from harness.records import FoldRecord
from harness.scoring import METRICS, softmax
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import write_model
from harness.store.store import WEIGHTS, Store
from tests.made_up_findings import final_test
from tests.tracking.fake_study import FakeStudy

NOWHERE = "http://127.0.0.1:1"


def packaged(store: Store, trial: int, folder: Path) -> Path:
    record, trials = store.read_study("small"), store.read_trials("small")
    assert record is not None
    folds = [store.read_fold(key) for key in trials[trial].folds]
    write_model(folder, record, trials[trial], [fold for fold in folds if fold])
    return folder


def finished(store: Store) -> FoldRecord:
    """As `final` leaves a study, without its audit: trial 0 trained on all images."""
    study = LoadedStudy.open(store, "small")
    task = refit_task(study, study.trials[0])
    (refit,) = [
        report
        for _, report in train_tasks(workplace_of(store, study.record), {NO_FOLD: task})
        if isinstance(report, FoldRecord)
    ]
    store.write_finding("small", final_test(trial=0, refit=refit.key))
    return refit


@pytest.mark.parametrize("trial", [0, 1])
def test_a_trial_is_the_mean_of_its_folds(
    kept: Store, digits: np.ndarray, tmp_path: Path, trial: int
) -> None:
    found = find_model(kept, f"small:{trial}", NOWHERE)
    expected = load_trial_model(packaged(kept, trial, tmp_path / "model")).predict_logits(digits)
    np.testing.assert_array_equal(found.model.predict_logits(digits), expected)
    assert (found.study, found.trial) == ("small", trial)
    assert found.source == f"study small, trial {trial}: the mean of 2 networks"
    keys = set(kept.read_trials("small")[trial].folds)
    assert not is_gone(kept, found.origin, keys) and is_gone(kept, found.origin, keys - {min(keys)})


def test_a_study_is_its_best_trial(kept: Store, digits: np.ndarray) -> None:
    means = [trial.mean or 0.0 for trial in kept.read_trials("small")]
    best = int(np.argmax(means))
    assert means[best] > means[1 - best]
    for name in ("small", "small:best"):
        found = find_model(kept, name, NOWHERE)
        assert found.trial == best
        expected = find_model(kept, f"small:{best}", NOWHERE).model.predict_logits(digits)
        np.testing.assert_array_equal(found.model.predict_logits(digits), expected)


def test_after_final_a_study_is_the_network_of_all_images(kept: Store, digits: np.ndarray) -> None:
    refit = finished(kept)
    found = find_model(kept, "small", NOWHERE)
    assert len(found.model.folds) == 1 and found.trial == 0 and "trained on all images" in found.source
    folds = find_model(kept, "small", NOWHERE, ensemble=True)
    assert len(folds.model.folds) == 2 and folds.trial == 0
    assert found.model.temperature == folds.model.temperature
    assert not np.array_equal(found.model.predict_logits(digits), folds.model.predict_logits(digits))
    shutil.rmtree(refit.folder)
    with pytest.raises(RecordError, match=r"gone or damaged; harness final small --home \S+ trains it again"):
        find_model(kept, "small", NOWHERE)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x")])
def test_models_that_are_gone_or_damaged_are_trained_again_to_the_same_bits(
    kept: Store, digits: np.ndarray, damage: Callable[[Path], object]
) -> None:
    for name, folder in {
        "small:1": kept.fold_folder(kept.read_trials("small")[1].folds[0]),
        "small": finished(kept).folder,
    }.items():
        before = find_model(kept, name, NOWHERE).model.predict_logits(digits)
        damage(folder / WEIGHTS)
        np.testing.assert_array_equal(find_model(kept, name, NOWHERE).model.predict_logits(digits), before)


def test_the_temperature_is_that_of_the_held_out_images(kept: Store) -> None:
    study = LoadedStudy.open(kept, "small")
    held_out = study.out_of_fold(study.trials[1])
    temperature = find_model(kept, "small:1", NOWHERE).model.temperature
    assert temperature is not None and temperature != 1.0

    def loss(factor: float) -> float:
        logits = np.log(held_out.probabilities.astype(np.float64))
        return METRICS["log_loss"](held_out.labels, softmax(logits / (temperature * factor)))

    assert loss(1.0) < min(loss(0.95), loss(1.05))


def test_a_folder_is_what_was_saved(kept: Store, digits: np.ndarray, tmp_path: Path) -> None:
    model = find_model(kept, "small:1", NOWHERE).model
    save_model(tmp_path / "mein Modell", model, study="small", trial=1)
    found = find_model(kept, str(tmp_path / "mein Modell"), NOWHERE)
    np.testing.assert_array_equal(found.model.predict(digits), model.predict(digits))
    assert (found.study, found.trial, found.model.temperature) == ("small", 1, model.temperature)


def test_a_model_takes_with_it_how_its_study_reads_files(
    kept: Store, digits: np.ndarray, tmp_path: Path
) -> None:
    record = kept.read_study("small")
    assert record is not None
    settings = {"name": "folder", "root": "away", "depth": [100, 1630], "fit": "pad"}
    kept.write_study(replace(record, data={**record.data, "settings": settings}))
    found = find_model(kept, "small", "")
    assert found.model.policy == Policy(depth=(100, 1630), fit="pad")

    save_model(tmp_path / "model", found.model, study="small", trial=0)
    in_folder = find_model(kept, str(tmp_path / "model"), "").model
    assert in_folder.policy == found.model.policy
    file = tmp_path / "deep.png"
    Image.fromarray((digits[3, 0] * 6.0 + 100).round().astype(np.uint16)).save(file)
    (predicted,) = predict_files(in_folder, [Candidate(str(file))])
    assert predicted.probabilities is not None
    np.testing.assert_allclose(predicted.probabilities, in_folder.predict(digits[3:4])[0], atol=1e-6)


@pytest.mark.parametrize("decoding", [{"depth": "deep"}, {"depth": [5, 1]}, {"fit": 3}, 7])
def test_a_way_of_reading_that_is_none_is_damage(kept: Store, tmp_path: Path, decoding: object) -> None:
    save_model(tmp_path / "model", find_model(kept, "small", "").model, study="small", trial=0)
    document = json.loads((tmp_path / "model" / "model.json").read_text())
    assert "decoding" not in document
    (tmp_path / "model" / "model.json").write_text(json.dumps({**document, "decoding": decoding}))
    with pytest.raises(RecordError, match="damaged"):
        find_model(kept, str(tmp_path / "model"), "")


def test_a_studys_name_goes_before_a_folders(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "small", find_model(kept, "small:1", NOWHERE).model, study="other", trial=5)
    assert find_model(kept, "small", NOWHERE).study == "small"
    assert find_model(kept, "./small", NOWHERE).study == "other"


def test_a_model_without_a_temperature_is_taken_as_it_is(
    kept: Store, digits: np.ndarray, tmp_path: Path
) -> None:
    found = find_model(kept, str(packaged(kept, 1, tmp_path / "old")), NOWHERE).model
    assert found.temperature is None
    np.testing.assert_array_equal(found.predict(digits), softmax(found.predict_logits(digits)))


def test_a_calibrated_probability_is_the_softmax_of_divided_logits(kept: Store, digits: np.ndarray) -> None:
    model = replace(find_model(kept, "small:1", NOWHERE).model, temperature=2.0)
    np.testing.assert_array_equal(model.predict(digits), softmax(model.predict_logits(digits) / 2))
    np.testing.assert_array_equal(model.predict(digits, raw=True), softmax(model.predict_logits(digits)))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("smal", UsageError, "did you mean 'small'"),
        ("small:9", UsageError, r"study small has no complete trial 9 \(0, 1\)"),
        ("../small", UsageError, "no study '../small'"),
        ("x" * 5000, UsageError, "no study"),
        (".", RecordError, "cannot be read"),
        ("models:/", UsageError, "models:/NAME@champion"),
        ("models:/small", UsageError, "models:/NAME@champion"),
        ("models:/small@champion", HarnessError, "MLflow at http://127.0.0.1:1"),
    ],
)
def test_a_name_of_nothing_is_told(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: type, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=expected) as caught:
        find_model(kept, name, NOWHERE)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_kept_are_told_with_those_that_are(kept: Store) -> None:
    for trial in kept.read_trials("small"):
        kept.write_trial("small", replace(trial, values=trial.values | {"train.keep_models": "none"}))
    kept.drop_weights(kept.read_trials("small")[1].folds[:1])
    with pytest.raises(UsageError, match=r"small:1 are not kept .*there are those of small:0"):
        find_model(kept, "small:1", NOWHERE)
    kept.drop_weights(kept.read_trials("small")[0].folds)
    with pytest.raises(UsageError, match="no other trial's are"):
        find_model(kept, "small:1", NOWHERE)


def test_one_network_is_no_ensemble(kept: Store, tmp_path: Path) -> None:
    model = find_model(kept, "small:1", NOWHERE).model
    save_model(tmp_path / "one", replace(model, folds=model.folds[:1]), study="small", trial=1)
    with pytest.raises(UsageError, match="--ensemble needs the study"):
        find_model(kept, str(tmp_path / "one"), NOWHERE, ensemble=True)


@pytest.mark.parametrize(
    "temperature", [0, -1, "1", [], float("nan"), 10**400, True], ids=lambda value: str(value)[:9]
)
def test_a_temperature_that_is_none_is_damage(kept: Store, tmp_path: Path, temperature: object) -> None:
    folder = packaged(kept, 0, tmp_path / "model")
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    document["temperature"] = temperature
    (folder / "model.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordError, match=r"model\.json: damaged"):
        find_model(kept, str(folder), NOWHERE)


@pytest.mark.parametrize("study", ["../../up", "a\nb", 7, None, ""])
def test_a_folder_cannot_name_a_file_elsewhere(kept: Store, tmp_path: Path, study: object) -> None:
    folder = packaged(kept, 0, tmp_path / "folder")
    document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    document["study"] = study
    (folder / "model.json").write_text(json.dumps(document), encoding="utf-8")
    assert find_model(kept, str(folder), NOWHERE).study == "model"


@pytest.mark.slow
def test_a_registered_version_is_found_by_its_alias_and_number(tmp_path: Path, empty_database: Path) -> None:
    from harness.tracking import mlflow_registry
    from harness.tracking.mlflow_tracker import MlflowTracker

    home = tmp_path / "mein Büro"
    home.mkdir()
    shutil.copy(empty_database, home / "mlflow.db")
    uri = f"sqlite:///{home / 'mlflow.db'}"
    study = FakeStudy(home, num_folds=2)
    trial = study.add_trial()
    folds = list(study.folds.values())
    MlflowTracker(uri, home=home).deliver(study.loaded, final=True)
    write_model(tmp_path / "logged" / "data", study.record, trial, folds[:1], temperature=1.25)
    tested = {**study.record.data, "test": {"num_images": 9, "hash": "0" * 64}}
    mlflow_registry.register(
        uri,
        replace(study.record, data=tested),
        trial,
        folds[0],
        home=home,
        folder=tmp_path / "logged",
        problem="",
        card="a card",
        files=lambda folder: None,
        points={},
        tags={},
    )
    write_model(tmp_path / "model", study.record, trial, folds[:1])
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    expected = load_trial_model(tmp_path / "model").predict_logits(images)
    name = study.record.name
    for text in (f"models:/{name}@champion", f"models:/{name}/1"):
        found = find_model(Store(home), text, uri)
        np.testing.assert_array_equal(found.model.predict_logits(images), expected)
        assert found.model.temperature == 1.25 and found.source.startswith(text)
    for text in (f"models:/{name}@other", f"models:/{name}/7", "models:/nobody@champion"):
        with pytest.raises(UsageError, match=f"MLflow has no such model .registered: {name}"):
            find_model(Store(home), text, uri)
