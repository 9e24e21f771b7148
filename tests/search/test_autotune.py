"""`compute: auto`: what is chosen from which measurements, and that it is measured once."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from harness.config.study_file import Study, load_study_file
from harness.data import load_training
from harness.errors import StudyError
from harness.folds.executor import num_processors
from harness.prepare import prepare
from harness.search import autotune
from harness.search.autotune import agrees, candidates, choose, decide, first_gradient
from harness.store.store import Store
from harness.training import Compute, ComputeOptions, recorded, resolve
from harness.tuning import Settings, tune

DEFAULT = Compute("cpu", "bf16", True, 1)
CHANGES = [
    "compute=auto", "search.trials=1", "train.epochs=1", "cv.folds=2", "model.depth=1", "model.blocks=1",
    "model.width=4", "search.racing=none",
]  # fmt: skip


def test_candidates_are_the_default_and_whatever_differs_in_one_way_or_more() -> None:
    found = candidates(DEFAULT, 4)
    assert found[0] == DEFAULT and len(found) == len(set(found)) == 2 * 3 * 2
    assert {compute.threads for compute in found} == {1, 2, 4}
    assert {compute.precision for compute in found} == {"bf16", "fp32"}
    exact = candidates(replace(DEFAULT, precision="fp32"), 1)
    assert {(compute.precision, compute.threads) for compute in exact} == {("fp32", 1)}
    on_gpu = candidates(replace(DEFAULT, device="cuda"), 64)
    assert {compute.threads for compute in on_gpu} == {1} and not on_gpu[0].cuda_graph
    assert (
        {compute.cuda_graph for compute in on_gpu}
        == {False, True}
        != {compute.cuda_graph for compute in found}
    )


def test_the_default_stays_unless_another_is_faster_in_every_round() -> None:
    other = replace(DEFAULT, threads=2)
    assert decide({DEFAULT: [100, 100], other: [104, 200]}, DEFAULT) == DEFAULT
    assert decide({DEFAULT: [100, 100], other: [200, 90]}, DEFAULT) == DEFAULT
    assert decide({DEFAULT: [100, 100], other: [106, 106]}, DEFAULT) == other


def test_the_fastest_of_those_that_are_faster_is_taken() -> None:
    fast, faster = replace(DEFAULT, threads=2), replace(DEFAULT, channels_last=False)
    assert decide({DEFAULT: [100], fast: [120], faster: [130]}, DEFAULT) == faster


def test_what_there_was_no_time_for_is_not_chosen() -> None:
    other = replace(DEFAULT, threads=2)
    assert decide({DEFAULT: [100.0, 100.0], other: [300.0]}, DEFAULT) == DEFAULT
    assert decide({DEFAULT: [100.0]}, DEFAULT) == DEFAULT


def test_a_lower_precision_whose_gradients_are_others_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(study: object, kept: Path, computes: list[Compute], num_processors: int) -> object:
        return {compute: [100.0, 100.0] for compute in computes}

    monkeypatch.setattr(autotune, "_measure", measure)
    study = load_study_file("quickstart", CHANGES).model_copy(
        update={"compute": {"device": "cpu", "precision": "bf16", "channels_last": True, "threads": 1}}
    )
    images = load_training(study.data)
    kept = Store(tmp_path).keep_images(images)
    assert choose(study, images, kept, tmp_path / "good").compute.precision == "bf16"
    gradients = {"fp32": torch.ones(9), "bf16": torch.linspace(-1, 1, 9)}
    monkeypatch.setattr(autotune, "first_gradient", lambda study, images, one: gradients[one.precision])
    assert choose(study, images, kept, tmp_path / "bad").compute.precision == "fp32"


def test_gradients_of_both_precisions_are_computed_in_them() -> None:
    study = load_study_file("quickstart", CHANGES)
    images = load_training(study.data)
    exact, lower = (
        first_gradient(study, images, one) for one in (replace(DEFAULT, precision="fp32"), DEFAULT)
    )
    assert exact.shape == lower.shape and not exact.equal(lower)
    assert agrees(study, images, DEFAULT)


def test_it_is_measured_once_recorded_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = []

    def measure(study: object, kept: Path, computes: list[Compute], num_processors: int) -> object:
        times.append(1)
        return {compute: [100.0 + 50 * (not compute.channels_last)] * 2 for compute in computes}

    monkeypatch.setattr(autotune, "_measure", measure)
    study = load_study_file("quickstart", CHANGES)

    def begin(name: str) -> None:
        record, _ = prepare(study, Store(tmp_path), name)
        Store(tmp_path).write_study(record)

    begin("first")
    begin("second")
    shutil.rmtree(tmp_path / "probes")
    begin("second")  # goes on with what is recorded
    records = [Store(tmp_path).read_study(name) for name in ("first", "second")]
    expected = replace(resolve(ComputeOptions()), channels_last=False)
    assert len(times) == 1
    for record in records:
        assert record is not None
        compute = {**record.compute, "threads": expected.threads}
        assert compute == recorded(expected)
        assert max(record.provenance["compute_measured"].values()) == 150


def test_a_candidate_that_fails_is_not_chosen_but_the_default_must_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its process dies, as it may where a driver has a fault."""
    other, failing = replace(DEFAULT, threads=2), replace(DEFAULT, channels_last=False)
    study = load_study_file("quickstart", CHANGES)

    def rate(study: object, kept: Path, compute: dict[str, object]) -> float:
        if compute == asdict(failing):
            raise BrokenProcessPool("a child process terminated abruptly")
        return 50.0

    monkeypatch.setattr(autotune, "ProcessPoolExecutor", lambda most, mp_context: ThreadPoolExecutor(most))
    monkeypatch.setattr(autotune, "_rate", rate)
    assert autotune._measure(study, tmp_path, [DEFAULT, other, failing], 1) == {
        DEFAULT: [50.0],
        other: [50.0],
    }
    assert "bf16, channels_first, 1 thread × 1 process failed and is not chosen" in caplog.text
    with pytest.raises(BrokenProcessPool):
        autotune._measure(study, tmp_path, [failing, DEFAULT], 1)


def test_a_damaged_choice_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "choice.json"
    assert autotune._read(path) is None
    path.write_text("{}")
    assert autotune._read(path) is None


def run(study: Study, home: Path, name: str) -> None:
    for _ in tune(study, Settings(home, workers=1, offline=True, name=name)):
        pass


@pytest.mark.slow
def test_a_real_measurement_ends_with_a_choice_among_the_candidates(tmp_path: Path) -> None:
    study = load_study_file("quickstart", CHANGES)
    run(study, tmp_path, "measured")
    record = Store(tmp_path).read_study("measured")
    assert record is not None
    measured = record.provenance["compute_measured"]
    assert len(measured) >= 2 and min(measured.values()) > 0
    assert Compute(**record.compute) in candidates(resolve(ComputeOptions()), num_processors())


def test_compute_is_a_map_or_auto() -> None:
    with pytest.raises(StudyError, match="must be a map of names and values or auto"):
        load_study_file("quickstart", ["compute=fast"])
    assert load_study_file("quickstart", ["compute=auto"]).definition()["compute"] == "auto"
    assert load_study_file("quickstart").definition()["compute"]["threads"] == 1
