"""Networks of torchvision, with weights files that the tests publish themselves: nothing is downloaded."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models as torchvision_models

from harness import models
from harness.errors import HarnessError, UsageError
from harness.models import transfer
from harness.models.frozen import FrozenModel


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


SMALL = "shufflenet_v2_x0_5"  # 0.3 M parameters, 224 pixels
SLOW = [
    *("efficientnet_b0", "densenet121", "regnet_y_400mf", "googlenet", "inception_v3", "convnext_tiny"),
    *("vit_b_32", "swin_t", "swin_v2_t", "maxvit_t", "alexnet", "vgg11_bn", "resnet50"),
]
FAMILIES = [SMALL, "resnet18", "mobilenet_v3_small", *map(slow, SLOW)]
Publish = Callable[..., Any]


def built(
    architecture: str = SMALL, channels: int = 3, size: int = 32, classes: int = 10, **options: Any
) -> Any:
    torch.manual_seed(0)
    return models.build("torchvision_net", channels, size, classes, {"architecture": architecture, **options})


def own_network(architecture: str, **options: Any) -> Any:
    """torchvision's network with random weights, its batch norms' statistics included."""
    torch.manual_seed(1)
    if architecture in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    network = torchvision_models.get_model(architecture, weights=None, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
    return network.eval()


def last_layer(network: nn.Module) -> Any:
    return [part for part in network.modules() if isinstance(part, nn.Linear | nn.Conv2d)][-1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's cache folder, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def publish(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publishes a network with random weights as torchvision's DEFAULT ones, at a file's address, and returns it."""

    def published(architecture: str = SMALL, *, digits: str = "") -> nn.Module:
        network = own_network(architecture)
        file = tmp_path / "weights.pth"
        torch.save(network.state_dict(), file)
        name = f"{architecture}-{digits or hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth"
        url = file.rename(tmp_path / name).as_uri()
        monkeypatch.setattr(torchvision_models.get_model_weights(architecture)["DEFAULT"].value, "url", url)
        return network

    return published


@pytest.mark.parametrize("architecture", FAMILIES)
def test_the_architectures_own_last_layer_on_our_backbone_gives_its_own_logits(architecture: str) -> None:
    size = {"maxvit_t": 224, "resnet18": 32}.get(architecture, 96)
    own = own_network(architecture, **({"image_size": size} if architecture.startswith("vit") else {}))
    model = built(architecture, input_size=size, stem="original").eval()
    missing, _ = model.backbone.network.load_state_dict(own.state_dict(), strict=False)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        logits = last_layer(own)(model.backbone(images))
        assert missing == []
        torch.testing.assert_close(logits, own(images))


def test_squeezenets_last_convolution_becomes_a_layer_on_the_averaged_features() -> None:
    own, model = own_network("squeezenet1_1"), built("squeezenet1_1", input_size=96).eval()
    model.backbone.network.load_state_dict(own.state_dict(), strict=False)
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model.backbone(images), own.features(images).mean((2, 3)))


@pytest.mark.parametrize("architecture", [*FAMILIES, "squeezenet1_1"])
@pytest.mark.parametrize(("size", "channels"), [pytest.param(4, 1, marks=pytest.mark.slow), (33, 3)])
def test_every_family_learns_from_images_of_any_size_and_channels(
    architecture: str, size: int, channels: int
) -> None:
    options = {"input_size": 32} if architecture.startswith("vit") else {}
    model = built(architecture, channels, size, classes=5, **options)
    logits = model(torch.randn(2, channels, size, size))
    logits.square().sum().backward()
    assert logits.shape == (2, 5)
    assert next(model.backbone.parameters()).grad is not None
    assert model.eval()(torch.randn(1, channels, size, size)).isfinite().all()


@pytest.mark.parametrize(
    ("architecture", "first", "num_tensors"),
    [
        ("resnet18", "layer4.1.conv1.weight", 6),
        ("mobilenet_v3_small", "classifier.0.weight", 2),
        ("squeezenet1_1", "features.12.squeeze.weight", 6),
        slow("efficientnet_b0", "features.8.0.weight", 3),
        slow("densenet121", "features.denseblock4.denselayer16.norm1.weight", 6 + 2),
        slow("vit_b_32", "encoder.layers.encoder_layer_11.ln_1.weight", 12 + 2),
        slow("swin_t", "features.7.1.norm1.weight", 13 + 2),
    ],
)
def test_last_block_trains_the_last_block_with_its_norms_and_the_head(
    architecture: str, first: str, num_tensors: int
) -> None:
    model = built(architecture, input_size=32, tune="last_block")
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained[0] == f"backbone.network.{first}"
    assert len(trained) == num_tensors + 2
    assert trained[-2:] == ["head.1.weight", "head.1.bias"]


def test_blocks_hold_every_parameter_once_and_begin_with_the_stem() -> None:
    network = own_network("resnet18")
    found = transfer.blocks(network)
    assert [name for block in found for name in block] == [name for name, _ in network.named_parameters()]
    assert found[0] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert len(found) == 1 + 8 + 1  # stem, residual blocks, last layer


def test_a_frozen_block_keeps_its_weights_and_batch_statistics_bit_for_bit() -> None:
    model = built("resnet18", size=8, tune="last_block")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    F.cross_entropy(model(torch.randn(8, 3, 8, 8)), torch.arange(8)).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[2] for name in changed if name.startswith("backbone")} == {"layer4"}
    assert "backbone.network.layer4.1.bn1.running_mean" in changed
    assert "backbone.network.layer4.0.bn1.running_mean" not in changed


def test_a_small_stem_is_for_small_images_without_weights() -> None:
    def stem(**options: Any) -> tuple[int, bool]:
        network = built("resnet18", **options).backbone.network
        return network.conv1.kernel_size[0], isinstance(network.maxpool, nn.MaxPool2d)

    assert stem() == (3, False)
    assert stem(stem="original") == (7, True)
    assert stem(size=96) == (7, True)
    assert stem(size=96, stem="small") == (3, False)
    assert stem(weights="DEFAULT", input_size=32) == (7, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"architecture": "resnet19"},
            "unknown architecture of torchvision 'resnet19'; did you mean 'resnet1",
        ),
        ({"architecture": "fasterrcnn_resnet50_fpn"}, "unknown architecture"),
        ({"architecture": "resnet50", "weights": "IMAGENET1K_V3"}, "DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2"),
        ({"architecture": "resnet18", "weights": "DEFAULT", "stem": "small"}, "for its original stem"),
        ({"architecture": "vit_b_16", "input_size": 40}, "vit_b_16 cannot take images of input_size 40"),
        ({"architecture": "maxvit_t", "input_size": 96}, "maxvit_t cannot take images of input_size 96"),
        slow(
            {"architecture": "inception_v3", "input_size": 32, "stem": "original"},
            "inception_v3 cannot take images of input_size 32",
        ),
        slow({"architecture": "vgg11", "stem": "small"}, "no stem that could be smaller"),
    ],
    ids=str,
)
def test_a_mistake_is_answered_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        built(**options)
    assert "\n" not in str(error.value)


def test_weights_take_images_of_one_or_three_channels() -> None:
    with pytest.raises(UsageError, match="1 or 3 channels"):
        built(channels=4, weights="DEFAULT")


def test_published_weights_are_fetched_when_the_training_begins(publish: Publish, cache: Path) -> None:
    own = publish()
    model = built(weights="DEFAULT")
    assert not cache.exists()
    model.initialise_from(torch.empty(0))
    state = model.backbone.network.state_dict()
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in state.items())
    assert [file.suffix for file in sorted(cache.iterdir())] == [".pth", ".lock"]


def test_without_weights_nothing_is_loaded_when_the_training_begins() -> None:
    assert built().initialise_from is None


def test_images_are_prepared_as_the_weights_want_them_but_not_cropped(publish: Publish) -> None:
    from torchvision.transforms.v2.functional import normalize, resize

    own = publish()
    model = built(weights="DEFAULT").eval()
    model.initialise_from(torch.empty(0))
    pixels = torch.rand(2, 3, 32, 32)
    mean, std = model.normalisation
    recipe = torchvision_models.get_model_weights(SMALL)["DEFAULT"].transforms()
    assert (list(mean), list(std)) == (recipe.mean, recipe.std)
    with torch.no_grad():
        logits = own.fc(model.backbone(normalize(pixels, mean, std)))
        expected = own(normalize(resize(pixels, [224, 224], antialias=True), recipe.mean, recipe.std))
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


def test_grey_images_count_as_colour_images_of_three_equal_channels(publish: Publish) -> None:
    publish()
    grey, colour = (built(channels=channels, weights="DEFAULT").eval() for channels in (1, 3))
    for model in (grey, colour):
        model.initialise_from(torch.empty(0))
    pixels = torch.rand(2, 1, 28, 28)

    def normalised(model: Any, images: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(part)[:, None, None] for part in model.normalisation)
        return (images - mean) / std

    with torch.no_grad():
        expected = colour(normalised(colour, pixels.expand(-1, 3, -1, -1)))
        torch.testing.assert_close(grey(normalised(grey, pixels)), expected, rtol=1e-3, atol=1e-4)


def test_pretrained_layers_learn_the_slower_the_nearer_to_the_image() -> None:
    model = built("resnet18", weights="DEFAULT", backbone_lr=0.25)
    rates = {name: model.learning_rate_scale(name) for name, _ in model.named_parameters()}
    assert rates["head.1.weight"] == 1.0
    assert rates["backbone.network.layer4.1.conv1.weight"] == 0.25
    assert rates["backbone.network.conv1.weight"] == rates["backbone.network.bn1.bias"] == 0.25**2
    assert list(rates.values()) == sorted(rates.values())
    assert built("resnet18").learning_rate_scale("backbone.network.conv1.weight") == 1.0


def test_a_head_is_trained_on_a_backbone_that_is_made_when_it_is_first_used(
    publish: Publish, cache: Path
) -> None:
    own = publish()
    model = built(tune="head", weights="DEFAULT", dropout=0.2)
    url = torchvision_models.get_model_weights(SMALL)["DEFAULT"].url
    assert isinstance(model, FrozenModel)
    assert url[-12:-4] in model.encoder.key and "3x224x224" in model.encoder.key
    assert [name for name, _ in model.named_parameters()] == ["head.1.weight", "head.1.bias"]
    assert not cache.exists()
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(own.fc(model.encoder(images)), own(images))


def test_encoders_that_see_different_things_have_different_keys() -> None:
    def key(channels: int = 3, **options: Any) -> str:
        return str(built("resnet18", channels, tune="head", **options).encoder.key)

    keys = [key(), key(1), key(size=28), key(input_size=64), key(stem="original"), key(weights="DEFAULT")]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


def test_the_head_has_the_same_first_weights_whether_or_not_the_backbone_was_seen_before() -> None:
    transfer._outline.cache_clear()
    first, second = built(tune="head"), built(tune="head")
    assert torch.equal(first.head[1].weight, second.head[1].weight)


def test_enlarged_images_are_evaluated_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built(weights="DEFAULT").eval()
    images, sizes = torch.randn(5, 3, 32, 32), []
    model.backbone.network.register_forward_hook(lambda *call: sizes.append(len(call[2])))
    whole = model(images)
    monkeypatch.setattr(transfer, "PIXELS_AT_ONCE", 2 * 224**2)
    with torch.inference_mode():
        torch.testing.assert_close(model(images), whole, rtol=1e-4, atol=1e-5)
    assert sizes == [5, 2, 2, 1]


def test_weights_that_are_not_what_their_name_says_are_refused(publish: Publish, cache: Path) -> None:
    publish(digits="0123abcd")
    with pytest.raises(HarnessError, match="invalid hash value") as error:
        built(weights="DEFAULT").initialise_from(torch.empty(0))
    assert "\n" not in str(error.value)
    assert not list(cache.glob("*.pth"))


def test_a_damaged_file_in_the_cache_is_noticed(publish: Publish, cache: Path) -> None:
    publish()
    model = built(weights="DEFAULT")
    model.initialise_from(torch.empty(0))
    (file,) = cache.glob("*.pth")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(HarnessError, match=f"{file} is damaged"):
        model.initialise_from(torch.empty(0))


def test_without_a_network_one_line_says_what_to_put_where(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "file:///nowhere/shufflenet-0123abcd.pth"
    monkeypatch.setattr(torchvision_models.get_model_weights(SMALL)["DEFAULT"].value, "url", url)
    with pytest.raises(HarnessError) as error:
        built(weights="DEFAULT").initialise_from(torch.empty(0))
    assert str(error.value).startswith(f"no shufflenet-0123abcd.pth in {cache}, and it cannot be fetched (")
    assert str(error.value).endswith(f"put it there, from {url}")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_vision_transformers_weights_serve_another_size(publish: Publish) -> None:
    own = publish("vit_b_32")
    model = built("vit_b_32", weights="DEFAULT", input_size=224).eval()
    model.initialise_from(torch.empty(0))
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(own.heads(model.backbone(images)), own(images))
    larger = built("vit_b_32", weights="DEFAULT", input_size=64).eval()
    larger.initialise_from(torch.empty(0))
    assert larger.backbone.network.encoder.pos_embedding.shape[1] == 1 + 2 * 2
