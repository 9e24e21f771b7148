"""Every model of the catalog keeps the same promises; a new file in `harness/models/` is covered at once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from harness import models
from harness.config import catalog
from harness.config.signatures import Option
from harness.errors import UsageError

NAMES = sorted(catalog.models())
# Options that make a model whose default is large quick to build and run; the parameters are counted without them.
SMALL: dict[str, dict[str, Any]] = {
    "clip_fusion": {
        "architecture": str(Path(__file__).with_name("tiny_clip.json")),
        "head": "fusion",
        "width": 8,
    },
    "torchvision_net": {"architecture": "squeezenet1_1"},
}
OPTION_CHOICES = [
    (name, {option.name: choice})
    for name, entry in sorted(catalog.models().items())
    for option in entry.options
    for choice in (*option.choices, option.limits.low)
    if choice not in (None, "label_prompt")  # which predicts from labels only: see test_clip_fusion.py
]


def built(name: str, channels: int = 3, size: int = 32, classes: int = 10, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return models.build(name, channels, size, classes, SMALL.get(name, {}) | options)


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [4, 7, 13, 14, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_channels_give_one_logit_per_class(name: str, size: int, channels: int) -> None:
    model = built(name, channels, size, classes=7)
    assert model(torch.randn(2, channels, size, size)).shape == (2, 7)


@pytest.mark.parametrize(("name", "options"), OPTION_CHOICES, ids=str)
def test_every_choice_and_lowest_value_builds_a_working_network(name: str, options: dict[str, Any]) -> None:
    assert built(name, size=8, **options)(torch.randn(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_reaches_every_trainable_parameter(name: str) -> None:
    model = built(name, size=16)
    nn.functional.cross_entropy(model(torch.randn(8, 3, 16, 16)), torch.arange(8)).backward()
    trainable = [(key, value) for key, value in model.named_parameters() if value.requires_grad]
    without = [key for key, value in trainable if value.grad is None or not value.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_is_deterministic_and_independent_of_the_batch(name: str) -> None:
    has_dropout = any(option.name == "dropout" for option in catalog.models()[name].options)
    model = built(name, size=8, **({"dropout": 0.5} if has_dropout else {})).eval()
    images = torch.randn(6, 3, 8, 8)
    with torch.inference_mode():
        first, second, alone = model(images), model(images), model(images[:1])
    assert torch.equal(first, second)
    torch.testing.assert_close(alone, first[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_weights_survive_safetensors_bit_for_bit(name: str) -> None:
    model, other = built(name, size=8), built(name, size=8)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(load(save(model.state_dict())))
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(model.eval()(images), other.eval()(images))


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_initial_weights(name: str) -> None:
    first, second = built(name), built(name)
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))


@pytest.mark.parametrize("name", NAMES)
def test_the_catalog_has_a_summary_of_the_model(name: str) -> None:
    assert catalog.models()[name].summary.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_has_as_many_parameters_as_it_states(name: str) -> None:
    assert catalog.models()[name].parameters == f"{num_parameters(models.build(name, 3, 32, 10, {})):,}"


CHOICES = [
    (name, option)
    for name in NAMES
    for option in catalog.models()[name].options
    if option.choices and option.kind == "str"
]


@pytest.mark.parametrize(("name", "option"), CHOICES, ids=lambda value: getattr(value, "name", value))
def test_an_unknown_choice_never_falls_through_to_another(name: str, option: Option) -> None:
    with pytest.raises((AssertionError, KeyError, RuntimeError), match="unheard_of"):
        built(name, size=8, **{option.name: "unheard_of"})(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("size", [4, 13, 32])
def test_a_simple_cnn_of_any_depth_takes_any_image(depth: int, size: int) -> None:
    model = built("simple_cnn", size=size, depth=depth, width=4)
    assert model(torch.randn(2, 3, size, size)).shape == (2, 10)
    assert sum(isinstance(layer, nn.Conv2d) for layer in model) == depth  # type: ignore[arg-type]


def test_simple_cnn_has_the_504_266_parameters_of_the_well_known_network() -> None:
    model = built("simple_cnn")
    assert num_parameters(model) == 504_266
    assert [tuple(value.shape) for value in model.parameters() if value.ndim > 1] == [
        (32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (128, 3200), (10, 128),
    ]  # fmt: skip


@pytest.mark.parametrize(("blocks", "expected"), [(1, 78_042), (3, 272_474), (5, 466_906)])
def test_resnets_of_8_20_and_32_layers_have_their_parameters(blocks: int, expected: int) -> None:
    # He et al. 2016, table 6: 0.27 M and 0.46 M; the two 1×1 projections with their norms add 2,752.
    assert num_parameters(built("resnet", blocks=blocks)) == expected


def test_a_resnet_stops_halving_before_the_images_vanish() -> None:
    model = built("resnet", size=8, depth=6, width=2)
    features = []
    model.get_submodule("stages").register_forward_hook(lambda *call: features.append(call[2].shape))
    model(torch.randn(2, 3, 8, 8))
    assert features == [(2, 64, 2, 2)]


def test_an_unknown_model_or_option_is_answered_with_the_nearest_guess() -> None:
    with pytest.raises(UsageError, match="did you mean 'resnet'"):
        built("resnt")
    with pytest.raises(UsageError, match="did you mean 'dropout'"):
        built("resnet", droput=0.1)
