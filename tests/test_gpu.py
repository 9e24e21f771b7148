"""What a GPU must do as the processor does: a study, its bits again, a training that was stopped, a model in use.

`python -m pytest -m gpu`; with HARNESS_TEST_DEVICE=cpu they are rehearsed.
"""

import json
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.analysis.reproduce import Reproduction, reproduce
from harness.cli import run
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.training import Compute, fit, options_from, session
from tests.training.conftest import equal, make_data, make_model, train, weights

DEVICE = os.environ.get("HARNESS_TEST_DEVICE", "cuda")
STUDY = """\
# Does it work on a GPU?
data: {name: digits, test_fraction: 0.5}
model: {name: resnet, depth: 1, width: 8}
train: {epochs: 10, batch_size: 16, lr: [0.02, 0.05], augment: standard, flip: none, keep_models: all}
cv: {folds: 2}
search: {trials: 2, sampler: grid, racing: none}
compute: {device: DEVICE, precision: PRECISION}
tracker: none
"""
pytestmark = [pytest.mark.gpu, pytest.mark.timeout(120)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_study_trains_reproduces_and_predicts(
    tmp_path: Path, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, home = tmp_path / "small.yaml", tmp_path / "home"
    path.write_text(STUDY.replace("DEVICE", DEVICE).replace("PRECISION", precision), encoding="utf-8")
    assert run(["tune", "--study", str(path), "--home", str(home), "--workers", "1"]) == 0
    study = LoadedStudy.open(Store(home), "small")
    assert study.record.compute["device"] == DEVICE and study.best is not None
    assert (study.best.mean or 0) > 0.3  # of ten classes
    *_, again = reproduce(study, trial="best")
    assert isinstance(again, Reproduction) and again.verdict == "BITWISE", again
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "one.png")
    capsys.readouterr()
    assert run(["predict", "small", str(tmp_path / "one.png"), "--home", str(home), "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["label"] in study.record.data["classes"]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    tmp_path: Path, optimizer: str, graph: bool
) -> None:
    data = make_data(num_images=480, size=16, num_train=360)
    compute = Compute(DEVICE, "bf16", channels_last=True, threads=1, cuda_graph=graph)  # type: ignore[arg-type]
    values = {"epochs": 4, "batch_size": 64, "optimizer": optimizer}
    with session(compute):
        whole = make_model(data, dropout=0.2)
        train(whole, data, values, compute=compute)
    with session(compute):
        fitting = fit(
            make_model(data, dropout=0.2), data, options=options_from({"lr": 0.05, **values}), compute=compute,
            seed=0, checkpoint=tmp_path / "cut",
        )  # fmt: skip
        list(islice(fitting, 2))
        fitting.close()
    with session(compute):
        resumed = make_model(data, dropout=0.2, seed=7)
        train(resumed, data, values, compute=compute, checkpoint=tmp_path / "cut")
    assert equal(weights(resumed), weights(whole))
