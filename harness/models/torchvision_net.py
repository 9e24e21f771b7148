"""Any classification network of torchvision by name, from scratch, from its published weights or from a file.

Source: github.com/pytorch/vision, torchvision.models
Parameters: 11,173,962
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from harness.config.signatures import Between, NamesFile, Unless, Younger
from harness.errors import UsageError, did_you_mean
from harness.models import transfer
from harness.models.transfer import Backbone, Preprocessing, Source
from harness.models.weight_files import fitted, path_in
from harness.models.weights import from_url, published_hash, require_url

FIXED_SIZE = ("vit_", "maxvit_")  # architectures that are made for images of one size
INITIALISED = ("googlenet", "inception_v3")  # architectures that have to be told whether they begin at random
SMALL_IMAGE = 64  # up to so many pixels `stem: auto` takes the small stem


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    architecture: str = "resnet18",
    weights: Annotated[str, NamesFile()] | None = None,
    tune: Literal["head", "last_block", "all"] = "all",
    backbone_lr: Annotated[float, Between(above=0.0, high=1.0)] = 0.1,
    input_size: Annotated[int, Between(32, 1024)] | None = None,
    stem: Literal["auto", "small", "original"] = "auto",
    constants: Annotated[
        Literal["published", "imagenet", "half"], Younger(), Unless(weights=None)
    ] = "published",
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.0,
) -> nn.Module:
    """A network of torchvision.models with a new last layer.

    architecture: a name of `torchvision.models.list_models()` that classifies images.
    weights: one of torchvision's names, like DEFAULT or IMAGENET1K_V1, or the path of a file of weights, safetensors
    or a state dict of PyTorch, whose last layer is left out; null starts from random weights.
    constants: what weights want images normalised by: `published` are those of torchvision's weights, `imagenet`
    ImageNet's mean and std, `half` scales pixels to -1..1.
    tune: what is trained: the last layer (then the backbone runs once per data set), also the last block, or all.
    backbone_lr: with weights, the last block's learning rate as a fraction of `train.lr`, which the new layer has;
    it falls geometrically to its square in the first layers.
    input_size: images are resized to it; null is the size of the weights, or without any that of the images,
    doubled until the network can take it; vit_… and maxvit_t are always for one size, at first their weights' own.
    stem: `small` makes a first convolution that strides a 3×3 one without stride and drops the max-pooling after
    it; `auto` does so without weights for images of up to 64 pixels.
    dropout: before the last layer; the architecture's own dropout is switched off.
    """
    file = path_in(weights)
    published, own_size = _published(architecture, None if file else weights)
    chosen = published if weights else None
    if chosen and in_channels not in (1, 3):
        raise UsageError(f"weights of {architecture} are for images of 1 or 3 channels (got {in_channels})")
    if chosen and not file and stem == "small":
        raise UsageError(
            f"weights of {architecture} are for its original stem; choose stem auto or weights null"
        )
    is_fixed = architecture.startswith(FIXED_SIZE)
    size = input_size or (own_size if chosen or is_fixed else image_size)
    small = {"small": True, "original": False, "auto": not chosen and size <= SMALL_IMAGE}[stem]
    recipe = published.transforms()
    preprocessing = Preprocessing(
        tuple(recipe.mean), tuple(recipe.std), recipe.interpolation.value
    ).with_constants(constants)
    channels = 3 if chosen else in_channels

    def make() -> Backbone:
        network, width = _headless(architecture, size, chosen, load=False)
        if not _adapt_stem(network, channels, small=small) and stem == "small":
            raise UsageError(f"{architecture} has no stem that could be smaller; choose stem auto")
        if input_size and not transfer.takes(network, channels, input_size):
            raise transfer.unfit(architecture, input_size)
        working = input_size or transfer.working_size(network, channels, size, own_size=own_size)
        return Backbone(network, width, working, preprocessing if chosen else None, in_channels)

    def trained(network: nn.Module) -> dict[str, torch.Tensor]:
        return _from_file(file, network, architecture, size) if file else _trained(architecture, size, chosen)

    form = f"{'small' if small else 'original'} stem"
    name = f"random, {form}"
    if chosen:
        name = f"file, {form}" if file else published_hash(chosen.url)
        name += "" if constants == "published" else f" {constants}"
    source = Source(
        key=f"torchvision {architecture} {name} {in_channels}x{size}x{size}",
        make=make,
        weights=trained if chosen else None,
        file=file,
        published=partial(require_url, chosen.url) if chosen and not file else lambda: None,
    )
    return transfer.model(source, num_classes, tune=tune, backbone_lr=backbone_lr, dropout=dropout)


def _published(architecture: str, weights: str | None) -> tuple[Any, int]:
    """The member of torchvision's enum, by default its best, and the side of the images that it was made for."""
    from torchvision import models

    known = models.list_models(module=models)
    if architecture not in known:
        raise transfer.unknown("architecture of torchvision", architecture, known)
    members = models.get_model_weights(architecture).__members__
    found = {name: member for name, member in members.items() if member.meta["categories"]}
    if weights is not None and weights not in found:
        raise UsageError(f"unknown weights '{weights}' of {architecture}{did_you_mean(weights, list(found))}")
    member = found[weights or "DEFAULT"]
    return member, int(member.transforms().crop_size[0])


def _headless(architecture: str, size: int, weights: Any, *, load: bool) -> tuple[Any, int]:
    """The network without its last layer and dropout, and how many features it then gives.

    weights: what it is made for.   load: whether it has them; it is then made for the size of theirs.
    Raises UsageError for a size that it cannot be made for.
    """
    from torchvision import models

    extra = _without_initialisation(architecture) if weights else {}
    if not weights and architecture in INITIALISED:
        extra["init_weights"] = True
    if architecture.startswith(FIXED_SIZE) and not load:
        extra |= {"image_size": size} if architecture.startswith("vit_") else {"input_size": (size, size)}
    try:
        network = models.get_model(architecture, weights=weights if load else None, **extra)
    except (AssertionError, ValueError):
        raise transfer.unfit(architecture, size) from None
    if hasattr(network, "aux_logits"):  # extra outputs while training
        network.aux_logits = False
        network.AuxLogits = network.aux1 = network.aux2 = None
        network.transform_input = bool(weights)  # their weights want other constants than ImageNet's
    for _, dropout in _modules_of(network, nn.Dropout):
        dropout.p = 0.0
    name, layer = _modules_of(network, nn.Linear, nn.Conv2d)[-1]
    network.set_submodule(name, nn.Identity())
    return network, layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _trained(architecture: str, size: int, weights: Any) -> dict[str, torch.Tensor]:
    """The state of the network with its weights; vit_…'s embeddings of positions are interpolated to the size."""
    from torchvision.models.vision_transformer import interpolate_embeddings

    from_url(weights.url)
    network, _ = _headless(architecture, size, weights, load=True)
    state: dict[str, torch.Tensor] = network.state_dict()
    if architecture.startswith("vit_"):
        state = interpolate_embeddings(size, network.patch_size, state)
    return state


def _from_file(file: Path, network: nn.Module, architecture: str, size: int) -> dict[str, torch.Tensor]:
    from torchvision import models
    from torchvision.models.vision_transformer import interpolate_embeddings

    with torch.device("meta"):
        whole = models.get_model(architecture, weights=None, **_without_initialisation(architecture))
    last = _modules_of(whole, nn.Linear, nn.Conv2d)[-1][0]
    is_vit = architecture.startswith("vit_")
    convert = partial(interpolate_embeddings, size, whole.patch_size) if is_vit else None
    return fitted(
        file,
        network.state_dict(),
        ignore=(last, "AuxLogits", "aux1", "aux2"),
        convert=convert,
        others=transfer.relatives(
            architecture,
            models.list_models(module=models),
            lambda name: _headless(name, size, None, load=False)[0],
        ),
    )


def _without_initialisation(architecture: str) -> dict[str, Any]:
    return {"init_weights": False} if architecture in INITIALISED else {}


def _adapt_stem(network: Any, in_channels: int, *, small: bool) -> bool:
    """Give the first convolution its number of channels, and where asked and sensible its small form, in place.

    Returns whether the stem is small now. Patches that do not overlap and convolutions without stride stay.
    """
    name, old = _modules_of(network, nn.Conv2d)[0]
    small = small and old.stride[0] > 1 and old.kernel_size[0] > old.stride[0]
    if small or in_channels != old.in_channels:
        size, stride, padding = (3, 1, 1) if small else (old.kernel_size, old.stride, old.padding)
        bias = old.bias is not None
        network.set_submodule(
            name, nn.Conv2d(in_channels, old.out_channels, size, stride, padding, bias=bias)
        )
    poolings = _modules_of(network, nn.MaxPool2d)
    if small and poolings:
        network.set_submodule(poolings[0][0], nn.Identity())
    return small


def _modules_of(network: nn.Module, *kinds: type[nn.Module]) -> list[tuple[str, Any]]:
    return [(name, part) for name, part in network.named_modules() if isinstance(part, kinds)]
