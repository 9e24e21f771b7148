"""A trial's model from its files: equal to the mean of its folds' models, refused when damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness import models
from harness.errors import DataError, RecordError
from harness.files import digest_of
from harness.inference.model import load_fold_model, load_trial_model
from harness.store.model_files import write_model
from harness.training import Compute
from tests.tracking.fake_study import CLASSES, MODEL, FakeStudy

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8)


@pytest.fixture
def study(tmp_path: Path) -> FakeStudy:
    study = FakeStudy(tmp_path / "mein Büro", num_folds=2)
    study.add_trial()
    return study


@pytest.fixture
def folder(study: FakeStudy, tmp_path: Path) -> Path:
    write_model(tmp_path / "model", study.record, study.trials[0], list(study.folds.values()))
    return tmp_path / "model"


def expected_logits(study: FakeStudy) -> np.ndarray:
    """The mean over the folds, computed with torch alone."""
    options = {key.removeprefix("model."): value for key, value in MODEL.items() if key != "model.name"}
    outputs = []
    for fold in study.folds.values():
        tensors = load_file(fold.folder / "weights.safetensors")
        mean, std = tensors.pop("harness.mean"), tensors.pop("harness.std")
        network = models.build("resnet", 1, 8, len(CLASSES), options).eval()
        network.load_state_dict(tensors)
        images = (torch.from_numpy(IMAGES) / 255 - mean[:, None, None]) / std[:, None, None]
        outputs.append(network(images).detach())
    return torch.stack(outputs).mean(0).numpy()


def test_a_trials_logits_are_the_mean_of_its_folds(study, folder):
    logits = load_trial_model(folder).predict_logits(IMAGES)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected_logits(study), rtol=1e-4, atol=1e-5)


def test_one_image_gets_what_it_gets_among_others(folder):
    model = load_trial_model(folder)
    np.testing.assert_allclose(
        model.predict_logits(IMAGES[2:3]), model.predict_logits(IMAGES)[2:3], rtol=1e-4, atol=1e-5
    )


def test_a_head_on_random_features_predicts_images(tmp_path: Path) -> None:
    options = {"architecture": "resnet18", "weights": None, "tune": "head", "input_size": 32}
    network = models.build("torchvision_net", 1, 8, 3, options)
    network.prepare(lambda key, make: make())
    kept = {"harness.mean": torch.full((512,), 0.5), "harness.std": torch.full((512,), 0.25)}
    save_file(network.kept_state() | kept, tmp_path / "weights.safetensors")
    compute = Compute("cpu", "fp32", channels_last=False, threads=1)
    found = load_fold_model(
        tmp_path / "weights.safetensors", values={"name": "torchvision_net", **options}, image_shape=(1, 8, 8),
        classes=("a", "b", "c"), sha256=digest_of(tmp_path / "weights.safetensors"), compute=compute,
    )  # fmt: skip
    logits = found.predict_logits(IMAGES, compute)
    expected = network.eval()((torch.from_numpy(IMAGES) / 255 - 0.5) / 0.25).detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_no_images_get_no_logits(folder):
    assert load_trial_model(folder).predict_logits(IMAGES[:0]).shape == (0, len(CLASSES))


def test_predicting_leaves_torch_as_it_was(folder):
    before = torch.get_rng_state(), torch.get_num_threads()
    load_trial_model(folder).predict_logits(IMAGES)
    assert torch.equal(torch.get_rng_state(), before[0]) and torch.get_num_threads() == before[1]


@pytest.mark.parametrize(
    "images", [IMAGES.astype(np.float32), IMAGES[0], IMAGES[:, :, :4]], ids=["float", "one", "small"]
)
def test_other_images_are_refused(folder, images):
    with pytest.raises(DataError, match=r"takes uint8 images of N×1×8×8 \(got"):
        load_trial_model(folder).predict_logits(images)


def test_a_flipped_bit_of_the_weights_is_noticed(folder):
    content = bytearray((folder / "fold1.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "fold1.safetensors").write_bytes(content)
    with pytest.raises(RecordError, match=r"fold1\.safetensors: damaged"):
        load_trial_model(folder)


def test_weights_of_another_architecture_are_refused(folder):
    document = json.loads((folder / "model.json").read_text())
    document["model"]["width"] = 8
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(RecordError, match="not the weights of this resnet"):
        load_trial_model(folder)


def test_a_path_out_of_the_folder_is_not_followed(folder, tmp_path):
    document = json.loads((folder / "model.json").read_text())
    (tmp_path / "elsewhere").write_bytes(b"")
    document["folds"][0]["weights"] = "../elsewhere"
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(RecordError, match=r"model/elsewhere: cannot be read"):
        load_trial_model(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1}'])
def test_a_document_that_is_not_one_is_refused(folder, content):
    (folder / "model.json").write_text(content)
    with pytest.raises(RecordError, match=r"model\.json: "):
        load_trial_model(folder)


def test_nothing_but_data_is_written(folder):
    assert {path.name for path in folder.iterdir()} == {
        "model.json",
        "fold0.safetensors",
        "fold1.safetensors",
    }
