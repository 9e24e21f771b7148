"""Grad-CAM: bright where the evidence for the class is, for every convolutional network, and none for others."""

import numpy as np
import pytest
import torch
from torch import nn

from harness.inference import gradcam
from harness.inference.gradcam import GradCam
from harness.inference.model import FoldModel, TrialModel
from harness.training import Statistics
from tests.inference.made_up_models import CLASSES, made, noise


def brightness_model() -> TrialModel:
    """Class 0 is red and class 1 is blue, anywhere: a convolution that copies, and means of what it gives."""
    network = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 3),
    )
    with torch.no_grad():
        nn.init.dirac_(network[0].weight)  # type: ignore[arg-type]
        network[4].weight.copy_(torch.tensor([[1.0, 0, -1], [-1, 0, 1], [0, 0, 0]]))  # type: ignore[union-attr, operator]
    fold = FoldModel(network.eval(), Statistics((0.0,) * 3, (1.0,) * 3))
    return TrialModel((fold,), (3, 16, 16), CLASSES, made("resnet").compute)


@pytest.mark.parametrize(("label", "place"), [(0, (3, 4)), (1, (12, 9))])
def test_it_is_bright_where_the_class_is(label: int, place: tuple[int, int]) -> None:
    pixels = np.zeros((3, 16, 16), np.uint8)
    pixels[0, 3, 4] = pixels[2, 12, 9] = 255
    found = GradCam(brightness_model())(np.stack([np.zeros_like(pixels), pixels]), [0, label])
    assert found is not None and found.shape == (2, 16, 16) and not found[0].any()
    heat = found[1]
    assert heat[place] == 1 and heat.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "name",
    [
        "resnet",
        "simple_cnn",
        "staged_cnn",
        "block_mixture",
        "speednet",
        pytest.param("torchvision_net", marks=pytest.mark.slow),
        pytest.param("timm_net", marks=pytest.mark.slow),
    ],
)
def test_every_convolutional_network_has_one(name: str) -> None:
    model = made(name, 2, size=32)
    maps = GradCam(model)(noise(1, 32).repeat(3, 0), range(3))
    assert maps is not None and min(maps.shape[1:]) > 1 and np.isfinite(maps).all()
    assert maps.min() >= 0 and maps.max() == 1


def test_many_at_once_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradcam, "CHUNK_PIXELS", 2 * 32 * 32)
    model, pixels, labels = made("resnet", 2, size=32), noise(5, 32), [0, 1, 2, 0, 1]
    together = GradCam(model)(pixels, labels)
    assert together is not None
    for heat, image, label in zip(together, pixels, labels, strict=True):
        alone = GradCam(model)(image[None], [label])
        np.testing.assert_allclose(heat, alone[0], atol=1e-5)


class Patches(nn.Module):
    """(N, 3, 16, 16) images to (N, 16, 8) tokens, and on from there."""

    def __init__(self, mixer: nn.Module):
        super().__init__()
        self.cut, self.mixer, self.head = nn.Conv2d(3, 8, 4, 4), mixer, nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.mixer(self.cut(images).flatten(2).transpose(1, 2))
        logits: torch.Tensor = self.head(tokens.flatten(1, -2).mean(1))
        return logits


class WindowAttention(nn.Linear):
    """On maps, like Swin's, whose channels are the last axis: they would be taken for a place."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return super().forward(tokens.unflatten(1, (4, 4)))


@pytest.mark.parametrize("mixer", ["attention", "windows", "tokens"])
def test_a_network_of_tokens_has_none(mixer: str) -> None:
    layers = {
        "attention": nn.TransformerEncoderLayer(8, 2, 8, batch_first=True),
        "windows": WindowAttention(8, 8),
        "tokens": nn.Linear(8, 8),
    }
    fold = FoldModel(Patches(layers[mixer]).eval(), Statistics((0.5,) * 3, (0.25,) * 3))
    model = TrialModel((fold,), (3, 16, 16), CLASSES, made("resnet").compute)
    assert GradCam(model)(noise(1), [0]) is None


@pytest.mark.slow
def test_a_clip_has_none() -> None:
    assert GradCam(made("clip_fusion"))(noise(1), [0]) is None


def test_the_network_is_left_as_it_was() -> None:
    model, pixels = made("resnet"), noise(3)
    before = model.predict(pixels)
    GradCam(model)(pixels, [0, 1, 2])
    np.testing.assert_array_equal(model.predict(pixels), before)
    network = model.folds[0].network
    assert not network.training and all(weight.grad is None for weight in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
