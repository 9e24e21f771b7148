import logging
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load

from harness.config import catalog
from harness.config.signatures import Younger
from harness.errors import StoreError
from harness.files import CHECKSUM_BYTES
from harness.records import Epoch
from harness.training import Compute, FoldData, Statistics, fit, loop, options_from, statistics_for
from harness.training.options import identity
from tests.training.conftest import CPU, equal, make_model, train, weights

VALUES = {"epochs": 4, "batch_size": 16, "lr": 0.02}
OPTIMIZERS, RESTS = (catalog.train_options()[name].choices for name in ("optimizer", "rest"))


def timeless(epochs: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0.0, images_per_second=0.0) for epoch in epochs]


def interrupted(data: FoldData, path: Path, values: dict[str, Any], *, after: int, compute: Compute) -> None:
    """Train and stop after so many epochs."""
    model = make_model(data, dropout=0.2)
    fitting = fit(model, data, options=options_from(values), compute=compute, seed=5, checkpoint=path)
    assert len(list(islice(fitting, after))) <= after
    fitting.close()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"optimizer": "adam"},
        {"optimizer": "adamw", "schedule": "one_cycle", "clip_norm": 1.0, "flip": "alternating"},
        {"momentum": 0.0, "schedule": "step", "step_size": 1},
        {"patience": 2, "epochs": 6},
        {"optimizer": "muon", "rest": "adamw", "rest_lr": 0.01, "schedule": "triangular"},
        {"ema": 0.9, "sampling": "balanced"},
        {"ema": 0.9, "patience": 2, "class_weights": "balanced"},
        *({"optimizer": name} for name in OPTIMIZERS if name not in ("sgd", "adam")),
        *({"optimizer": "muon", "rest": name} for name in RESTS if name != "sgd"),
    ],
    ids=str,
)
def test_a_resumed_training_equals_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, compute: Compute, data: FoldData, values: dict[str, Any]
) -> None:
    values, precise = VALUES | values, replace(CPU, precision="bf16")
    whole = make_model(data, dropout=0.2)
    expected, chosen = train(whole, data, values, seed=5, compute=precise, checkpoint=tmp_path / "whole")
    state = load((tmp_path / "whole").read_bytes()[:-CHECKSUM_BYTES])
    assert any(name.startswith("optimizer.") for name in state) or values.get("momentum") == 0.0
    for after in (1, 2, 3, 4):
        cut, resumed = tmp_path / f"cut after {after}", make_model(data, dropout=0.2, seed=77)
        interrupted(data, cut, values, after=after, compute=precise)
        epochs, chosen_again = train(resumed, data, values, seed=5, compute=precise, checkpoint=cut)
        assert timeless(epochs) == timeless(expected), after
        assert chosen_again == chosen, after
        assert equal(weights(resumed), weights(whole)), after
        assert equal(load(cut.read_bytes()[:-CHECKSUM_BYTES]), state), after


def test_checkpoints_know_nothing_of_a_younger_option_that_has_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = catalog.train_options()
    marked = known | {"cutout": replace(known["cutout"], younger=Younger())}
    monkeypatch.setattr(catalog, "train_options", lambda: marked)
    without, with_it = (identity(options_from(values))["augment"] for values in ({}, {"cutout": 0.5}))
    assert "cutout" not in without and with_it["cutout"] == 0.5
    assert {*without} | {"cutout"} == {*with_it}


def test_a_finished_training_is_told_again_without_training(
    tmp_path: Path, compute: Compute, data: FoldData
) -> None:
    first, fitted = train(make_model(data), data, VALUES, checkpoint=tmp_path / "state")

    def never() -> None:
        raise AssertionError("trained again")

    model = make_model(data, seed=77)
    again, fitted_again = train(model, data, VALUES, checkpoint=tmp_path / "state", before_step=never)
    assert again == first  # the seconds too: they are the recorded ones
    assert fitted_again == fitted


@pytest.mark.parametrize("position", [0, 8, 100, 3000, -CHECKSUM_BYTES - 1, -1])
def test_one_flipped_bit_is_detected_and_the_training_starts_over(
    tmp_path: Path, compute: Compute, data: FoldData, caplog: pytest.LogCaptureFixture, position: int
) -> None:
    path = tmp_path / "state"
    whole = make_model(data)
    train(whole, data, VALUES, seed=5)
    interrupted(data, path, VALUES, after=2, compute=CPU)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    model = make_model(data)
    with caplog.at_level(logging.WARNING):
        epochs, _ = train(model, data, VALUES, seed=5, checkpoint=path)
    assert "is damaged; this training starts over" in caplog.text
    assert len(epochs) == 4
    assert equal(weights(model), weights(whole))


@pytest.mark.parametrize("length", [0, 10, 31, 32, 40, 2000])
def test_a_file_cut_short_is_detected(
    tmp_path: Path, compute: Compute, data: FoldData, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    path = tmp_path / "state"
    interrupted(data, path, VALUES, after=1, compute=CPU)
    path.write_bytes(path.read_bytes()[:length])
    with caplog.at_level(logging.WARNING):
        epochs, _ = train(make_model(data), data, VALUES, seed=5, checkpoint=path)
    assert "this training starts over" in caplog.text
    assert len(epochs) == 4


@pytest.mark.parametrize("change", [{"lr": 0.03}, {"epochs": 5}, {"augment": "none"}])
def test_the_checkpoint_of_another_training_is_not_continued(
    tmp_path: Path, compute: Compute, data: FoldData, caplog: pytest.LogCaptureFixture, change: dict[str, Any]
) -> None:
    interrupted(data, tmp_path / "state", VALUES, after=2, compute=CPU)
    with caplog.at_level(logging.WARNING):
        train(make_model(data), data, VALUES | change, seed=5, checkpoint=tmp_path / "state")
    assert "belongs to another training" in caplog.text


def test_what_is_kept_of_a_training_does_not_make_it_another_one(
    tmp_path: Path, compute: Compute, data: FoldData, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted(data, tmp_path / "state", VALUES, after=2, compute=CPU)
    with caplog.at_level(logging.WARNING):
        train(
            make_model(data, dropout=0.2),
            data,
            {**VALUES, "keep_models": "all"},
            seed=5,
            checkpoint=tmp_path / "state",
        )
    assert caplog.text == ""


@pytest.mark.parametrize(("change", "said"), [(1e-16, ""), (1e-7, "belongs to another training")])
def test_a_training_goes_on_where_another_processor_rounds_the_statistics_otherwise(
    tmp_path: Path,
    compute: Compute,
    data: FoldData,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    change: float,
    said: str,
) -> None:
    path = tmp_path / "state"
    interrupted(data, path, VALUES, after=2, compute=CPU)
    here = statistics_for(make_model(data), data.pixels, data.train)
    there = Statistics(tuple(mean * (1 + change) + change for mean in here.mean), here.std)
    assert there != here
    monkeypatch.setattr(loop, "statistics_for", lambda *_: there)
    epochs, fitted = train(make_model(data, dropout=0.2), data, VALUES, seed=5, checkpoint=path)
    assert len(epochs) == 4 and fitted.statistics == there
    assert said in caplog.text and bool(said) == bool(caplog.text)


def test_a_full_disk_leaves_the_old_checkpoint_and_names_the_file(
    tmp_path: Path, compute: Compute, data: FoldData, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder with spaces ü" / "state"
    path.parent.mkdir()
    fitting = fit(make_model(data), data, options=options_from(VALUES), compute=CPU, seed=5, checkpoint=path)
    next(fitting)
    before = path.read_bytes()

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.files.os.fsync", no_space)
    with pytest.raises(StoreError, match=r"spaces ü/state: No space left on device"):
        next(fitting)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["state"]
