"""Networks of timm, with weights in a cache folder that the tests fill themselves: nothing is downloaded."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from harness import models
from harness.errors import HarnessError, UsageError
from harness.models.frozen import FrozenModel

timm = pytest.importorskip("timm")
DEFAULT, VIT = "tinynet_e", "test_vit"  # 0.8 M parameters and any size; 0.4 M and 160 pixels
REPOSITORY = "timm/tinynet_e.in1k"
Publish = Callable[..., Any]


def built(
    architecture: str = DEFAULT, channels: int = 3, size: int = 32, classes: int = 10, **options: Any
) -> Any:
    torch.manual_seed(0)
    return models.build("timm_net", channels, size, classes, {"architecture": architecture, **options})


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hugging Face's cache folder, empty, on a machine without a network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def publish(hub: Path) -> Publish:
    """Puts a network with random weights into the cache folder as an architecture's, and returns it."""

    def published(architecture: str = DEFAULT) -> Any:
        torch.manual_seed(1)
        network = timm.create_model(architecture).eval()
        content = save(network.state_dict())
        repository = timm.get_pretrained_cfg(architecture).hf_hub_id
        folder = hub / f"models--{repository.replace('/', '--')}"
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        link = folder / "snapshots" / ("0" * 40) / "model.safetensors"
        for path in (blob, link, folder / "refs" / "main"):
            path.parent.mkdir(parents=True)
        blob.write_bytes(content)
        link.symlink_to(blob)
        (folder / "refs" / "main").write_text("0" * 40)
        return network

    return published


@pytest.mark.parametrize("architecture", [DEFAULT, VIT, "mobilenetv3_small_050", "convnext_atto"])
@pytest.mark.parametrize(("size", "channels"), [pytest.param(4, 1, marks=pytest.mark.slow), (33, 3)])
def test_every_family_learns_from_images_of_any_size_and_channels(
    architecture: str, size: int, channels: int
) -> None:
    model = built(architecture, channels, size, classes=5)
    logits = model(torch.randn(2, channels, size, size))
    logits.square().sum().backward()
    assert logits.shape == (2, 5)
    assert next(model.backbone.parameters()).grad is not None
    assert model.eval()(torch.randn(1, channels, size, size)).isfinite().all()


@pytest.mark.parametrize("architecture", [DEFAULT, VIT])
def test_published_weights_and_their_own_last_layer_give_timms_logits(
    architecture: str, publish: Publish
) -> None:
    own = publish(architecture)
    model = built(architecture, pretrained=True).eval()
    model.initialise_from(torch.empty(0))
    size = model.backbone.size
    assert (3, size, size) == own.pretrained_cfg["input_size"]
    assert model.normalisation == (own.pretrained_cfg["mean"], own.pretrained_cfg["std"])
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(own.get_classifier()(model.backbone(images)), own(images))


def test_a_vision_transformers_weights_serve_another_size(publish: Publish) -> None:
    publish(VIT)
    model = built(VIT, pretrained=True, input_size=64)
    model.initialise_from(torch.empty(0))
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_head_is_trained_on_a_backbone_that_is_made_when_it_is_first_used(publish: Publish) -> None:
    model = built(pretrained=True, tune="head")
    assert isinstance(model, FrozenModel)
    assert model.encoder.key == "timm tinynet_e.in1k 3x106x106"
    assert [name for name, _ in model.named_parameters()] == ["head.1.weight", "head.1.bias"]
    own = publish()
    images = torch.randn(2, 3, 106, 106)
    with torch.no_grad():
        torch.testing.assert_close(own.get_classifier()(model.encoder(images)), own(images))


def test_last_block_trains_the_last_block_with_its_norms_and_the_head() -> None:
    model = built(VIT, tune="last_block")
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained[0] == "backbone.network.blocks.5.norm1.weight"
    assert trained[-4:] == ["backbone.network.norm.weight", "backbone.network.norm.bias", "head.1.weight",
                            "head.1.bias"]  # fmt: skip


def test_a_damaged_file_in_the_cache_is_noticed(publish: Publish, hub: Path) -> None:
    publish()
    (blob,) = hub.glob("*/blobs/*")
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    with pytest.raises(HarnessError, match=f"{blob} is damaged"):
        built(pretrained=True).initialise_from(torch.empty(0))


def test_without_a_network_one_line_says_what_to_put_where(hub: Path) -> None:
    with pytest.raises(HarnessError) as error:
        built(pretrained=True).initialise_from(torch.empty(0))
    assert str(error.value).startswith(
        f"no model.safetensors of {REPOSITORY} in {hub}, and it cannot be fetched ("
    )
    assert f"hf download {REPOSITORY} model.safetensors" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("resnet19", {}, "unknown architecture of timm 'resnet19'; did you mean 'resnet1"),
        (
            "resnet18.a1_in2k",
            {},
            "unknown architecture of timm 'resnet18.a1_in2k'; did you mean 'resnet18.a1_in1k'",
        ),
        (VIT, {"input_size": 40}, "test_vit cannot take images of input_size 40"),
        (VIT, {"input_size": 200}, "test_vit cannot take images of input_size 200"),
        ("densenet121", {"input_size": 32, "pretrained": True, "channels": 2}, "1 or 3 channels"),
        ("resnet10", {"pretrained": True}, "unknown architecture"),
    ],
)
def test_a_mistake_is_answered_in_one_line(architecture: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        built(architecture, **options)
    assert "\n" not in str(error.value)


def test_an_architecture_without_weights_says_so() -> None:
    without = next(name for name in timm.list_models() if not timm.get_pretrained_cfg(name).has_weights)
    with pytest.raises(UsageError, match=f"timm has no weights of {without}"):
        built(without, pretrained=True)


def test_without_timm_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"needs timm; install it with: pip install 'harness-cv\[timm\]'"):
        built()
