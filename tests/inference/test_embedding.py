"""An image's vector is what the last linear layer is given, of length 1, whichever the network."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.errors import HarnessError, UsageError
from harness.inference.embedding import Embedder, unit
from harness.inference.model import FoldModel, TrialModel
from harness.models.frozen import Encoder, FrozenModel
from harness.training import Statistics
from tests.inference.made_up_models import made, noise

PLAIN = ("resnet", "simple_cnn", "block_mixture", "speednet", "staged_cnn")
LAST = {"resnet": "head", "block_mixture": "head", "speednet": "head"}


@pytest.mark.parametrize("name", PLAIN)
def test_the_last_layer_makes_the_logits_of_the_vector(name: str) -> None:
    model, pixels = made(name), noise(5)
    vectors = Embedder(model)(pixels)
    layer = getattr(model.folds[0].network, LAST[name]) if name in LAST else model.folds[0].network[-1]  # type: ignore[index]
    weight, bias = layer.weight.detach(), layer.bias
    logits = model.predict_logits(pixels) - (0 if bias is None else bias.detach().numpy())
    expected = unit(logits)  # the vector's length is lost, so is that of the logits
    found = unit(vectors @ weight.numpy().T)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_batch_that_the_network_splits_keeps_its_order() -> None:
    embedder, pixels = Embedder(made("block_mixture")), noise(150)
    np.testing.assert_allclose(embedder(pixels)[[0, 149]], embedder(pixels[[0, 149]]), atol=1e-5)


@pytest.mark.parametrize("name", ["torchvision_net", "clip_fusion"])
@pytest.mark.slow
def test_a_frozen_network_is_searched_by_its_encoder(name: str) -> None:
    model, pixels = made(name, 2), noise(3)
    embedder = Embedder(model)
    encoder = model.folds[0].network.encoder
    assert embedder.size == encoder.size  # type: ignore[union-attr]
    mean, std = (torch.tensor(part)[:, None, None] for part in ((0.4, 0.5, 0.3), (0.25, 0.2, 0.3)))
    expected = encoder((torch.from_numpy(pixels) / 255 - mean) / std).numpy()  # type: ignore[operator]
    np.testing.assert_allclose(embedder(pixels), unit(expected), atol=1e-4)


def test_networks_that_share_an_encoder_are_one() -> None:
    encoder = Encoder("test_embedding", 12, lambda: nn.Sequential(nn.AvgPool2d(8), nn.Flatten()))
    compute, statistics = made("resnet").compute, Statistics((0.5,) * 3, (0.25,) * 3)
    folds = tuple(FoldModel(FrozenModel(encoder, nn.Linear(12, 3)).eval(), statistics) for _ in range(2))
    embedder, pixels = Embedder(TrialModel(folds, (3, 16, 16), ("a", "b", "c"), compute)), noise(3)
    means = pixels.reshape(3, 3, 2, 8, 2, 8).mean((3, 5)).reshape(3, 12)
    assert embedder.size == 12
    np.testing.assert_allclose(embedder(pixels), unit((means / 255 - 0.5) / 0.25), atol=1e-4)


def test_the_score_of_several_networks_is_the_mean_of_theirs() -> None:
    model, pixels = made("resnet", 3), noise(2)
    alone = [Embedder(TrialModel((fold,), (3, 16, 16), model.classes, model.compute)) for fold in model.folds]
    scores = [float(one @ two) for one, two in (embedder(pixels) for embedder in alone)]
    one, two = Embedder(model)(pixels)
    assert one @ two == pytest.approx(np.mean(scores), abs=1e-5)
    assert len({round(score, 4) for score in scores}) == 3


def test_other_weights_have_another_key() -> None:
    keys = {Embedder(made(name)).key for name in PLAIN}
    model = made("resnet")
    keys.add(Embedder(model).key)
    with torch.no_grad():
        next(model.folds[0].network.parameters()).flatten()[0] += 1e-3
    keys.add(Embedder(model).key)
    assert len(keys) == 6


def test_a_network_without_a_linear_layer_is_told_in_one_line() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = made("resnet")
    fold = FoldModel(network.eval(), model.folds[0].statistics)
    with pytest.raises(HarnessError, match="conv has no linear layer"):
        Embedder(TrialModel((fold,), (3, 16, 16), model.classes, model.compute, {"name": "conv"}))


def test_only_a_clip_knows_texts() -> None:
    with pytest.raises(UsageError, match="resnet knows no texts"):
        Embedder(made("resnet")).texts(["a red car"])


def test_vectors_that_are_not_finite_are_like_nothing() -> None:
    found = unit(np.array([[3.0, 4.0], [np.nan, 0.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(found, np.array([[0.6, 0.8], [0, 0], [0, 0]], np.float32))


@pytest.mark.slow
def test_a_clip_finds_by_text_what_its_own_similarity_says() -> None:
    model, pixels = made("clip_fusion"), noise(4)
    embedder = Embedder(model)
    texts = ["a photo of a dog.", "a red car"]
    found = embedder(pixels) @ embedder.texts(texts).T
    network = model.folds[0].network
    clip = network._clip  # type: ignore[union-attr]
    expected = embedder(pixels) @ clip.embed_texts(texts).numpy().T  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet", "test_efficientnet"])
def test_networks_of_timm_have_vectors(architecture: str) -> None:
    embedder = Embedder(made("timm_net", architecture=architecture, size=32, tune="all"))
    vectors = embedder(noise(3, 32))
    assert vectors.shape == (3, embedder.size) and np.linalg.matrix_rank(vectors) == 3
