"""Embeddings of frozen encoders: the same as without keeping them, made once, and again where damaged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from harness.models.frozen import Encoder, FrozenModel
from harness.training import Compute, FoldData, Keeper, Statistics, features, predict_logits
from tests.training.conftest import train

PLAIN = Statistics((0.5,) * 3, (0.25,) * 3)


class Counted(nn.Module):
    """A convolution with a mean; counts the images that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 5, 3)
        self.num_images = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.num_images += len(images)
        features: torch.Tensor = self.layer(images).relu().mean((2, 3))
        return features


@pytest.fixture
def network() -> Counted:
    torch.manual_seed(0)
    return Counted()


@pytest.fixture
def model(network: Counted, request: pytest.FixtureRequest) -> FrozenModel:
    torch.manual_seed(1)
    return FrozenModel(Encoder(request.node.name, 5, lambda: network), nn.Linear(5, 3))


def test_a_head_on_kept_embeddings_predicts_what_the_whole_model_does(
    tmp_path: Path, model: FrozenModel, data: FoldData, compute: Compute
) -> None:
    rows = Keeper(tmp_path).embeddings(model.encoder, data.pixels, "data", PLAIN, compute)
    expected = predict_logits(model, data.pixels, PLAIN, compute)
    np.testing.assert_allclose(predict_logits(model, np.array(rows), PLAIN, compute), expected, atol=1e-5)


def test_embeddings_are_made_once_and_in_parts_that_a_crash_does_not_cost(
    tmp_path: Path,
    model: FrozenModel,
    network: Counted,
    data: FoldData,
    compute: Compute,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "PART", 40)
    keep = Keeper(tmp_path)

    def fail_after_the_first(*_: object) -> None:
        if network.num_images > 40:
            raise KeyboardInterrupt

    hook = network.register_forward_hook(fail_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        keep.embeddings(model.encoder, data.pixels, "data", PLAIN, compute)
    hook.remove()
    network.num_images = 0
    first = keep.embeddings(model.encoder, data.pixels, "data", PLAIN, compute)
    assert network.num_images == len(data.pixels) - 40
    again = keep.embeddings(model.encoder, data.pixels, "data", PLAIN, compute)
    assert network.num_images == len(data.pixels) - 40
    assert np.array_equal(first, again)
    assert [path.suffix for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("what", ["data", "statistics", "compute", "encoder"])
def test_other_images_statistics_compute_or_encoders_have_embeddings_of_their_own(
    tmp_path: Path, model: FrozenModel, network: Counted, data: FoldData, compute: Compute, what: str
) -> None:
    keep = Keeper(tmp_path)
    keep.embeddings(model.encoder, data.pixels, "data", PLAIN, compute)
    other = Encoder("another", 5, lambda: network) if what == "encoder" else model.encoder
    statistics = Statistics((0.1,) * 3, (0.25,) * 3) if what == "statistics" else PLAIN
    precise = Compute("cpu", "bf16", True, 1) if what == "compute" else compute
    keep.embeddings(other, data.pixels, "other" if what == "data" else "data", statistics, precise)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_damaged_embeddings_are_made_anew(
    tmp_path: Path, model: FrozenModel, data: FoldData, compute: Compute, caplog: pytest.LogCaptureFixture
) -> None:
    first = np.array(Keeper(tmp_path).embeddings(model.encoder, data.pixels, "data", PLAIN, compute))
    (path,) = tmp_path.glob("*.npy")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    again = Keeper(tmp_path).embeddings(model.encoder, data.pixels, "data", PLAIN, compute)
    assert np.array_equal(first, again)
    assert "is damaged" in caplog.text


def test_the_head_alone_is_trained_and_has_no_weights_of_the_encoder(
    tmp_path: Path, model: FrozenModel, network: Counted, data: FoldData, compute: Compute
) -> None:
    rows = np.array(Keeper(tmp_path).embeddings(model.encoder, data.pixels, "data", PLAIN, compute))
    before = network.layer.weight.clone()
    embedded = FoldData(rows, data.labels, data.train, data.held_out, data.num_classes)
    epochs, _ = train(model, embedded, {"augment": "none", "lr": 0.5, "epochs": 8})
    assert torch.equal(network.layer.weight, before)
    assert sorted(model.state_dict()) == ["head.bias", "head.weight"]
    assert epochs[-1].train_loss < epochs[0].train_loss
