"""Any network of timm by name, from scratch, from its published weights or from a file; needs the extra `timm`.

Source: github.com/huggingface/pytorch-image-models
Parameters: 774,782
"""

import sys
from functools import partial
from typing import Annotated, Any, Literal

import torch
from torch import nn

from harness.config.signatures import Between, NamesFile, Unless, Younger
from harness.errors import UsageError
from harness.models import transfer
from harness.models.transfer import Backbone, Preprocessing, Source
from harness.models.weight_files import fitted, path_in
from harness.models.weights import from_hub, from_url, require_hub, require_url


def build(
    in_channels: int,
    image_size: int,
    num_classes: int,
    *,
    architecture: str = "tinynet_e",
    pretrained: Annotated[bool | str, NamesFile()] = False,
    tune: Literal["head", "last_block", "all"] = "all",
    backbone_lr: Annotated[float, Between(above=0.0, high=1.0)] = 0.1,
    input_size: Annotated[int, Between(32, 1024)] | None = None,
    constants: Annotated[
        Literal["published", "imagenet", "half"], Younger(), Unless(pretrained=False)
    ] = "published",
    dropout: Annotated[float, Between(0.0, 0.95)] = 0.0,
) -> nn.Module:
    """A network of timm with a new last layer.

    architecture: a name of `timm.list_models()`, or with a tag one of `timm.list_pretrained()`, which says which
    weights: resnet18.a1_in1k.   pretrained: true is the tag's weights, or without a tag timm's default ones; a path
    is that of a file of weights, safetensors or a state dict of PyTorch, whose last layer is left out.
    constants: what weights want images normalised by: `published` says the architecture's tag, `imagenet` are
    ImageNet's mean and std, `half` scales pixels to -1..1.
    tune: what is trained: the last layer (then the backbone runs once per data set), also the last block, or all.
    backbone_lr: with weights, the last block's learning rate as a fraction of `train.lr`; see torchvision_net.
    dropout: before the last layer.
    input_size: images are resized to it; null is the size of the weights, or without any that of the images,
    doubled until the network can take it. What is made for one size, like vit_…, has at first that of its weights.
    """
    file = path_in(pretrained)
    if isinstance(pretrained, str) and file is None:
        raise UsageError(f"model.pretrained is true, false or a path with a dot (got {pretrained!r})")
    published = _published(architecture, has_weights=pretrained is True)
    if pretrained and in_channels not in (1, 3):
        raise UsageError(f"weights of {architecture} are for images of 1 or 3 channels (got {in_channels})")
    own_size = int(published.input_size[-1])
    size = input_size or (own_size if pretrained or published.fixed_input_size else image_size)
    interpolation = "bilinear" if published.interpolation == "bilinear" else "bicubic"
    recipe = Preprocessing(published.mean, published.std, interpolation).with_constants(constants)
    preprocessing = recipe if pretrained else None
    channels = 3 if pretrained else in_channels
    fixed: dict[str, Any] = {"img_size": size} if published.fixed_input_size else {}

    def make() -> Backbone:
        network = _create_model(architecture, in_chans=channels, **fixed)
        if input_size and not transfer.takes(network, channels, input_size):
            raise transfer.unfit(architecture, input_size)
        working = input_size or transfer.working_size(network, channels, size, own_size=own_size)
        return Backbone(network, network.head_hidden_size, working, preprocessing, in_channels)

    def fetched(network: nn.Module) -> dict[str, torch.Tensor]:
        repository = published.hf_hub_id
        path = from_hub(repository, "model.safetensors") if repository else from_url(published.url)
        overlay = {"file": str(path)}
        state: dict[str, torch.Tensor] = _create_model(
            architecture, pretrained=True, pretrained_cfg_overlay=overlay, **fixed
        ).state_dict()
        return state

    def from_file(network: nn.Module) -> dict[str, torch.Tensor]:
        assert file is not None
        last = published.classifier or ()
        ignore = (last,) if isinstance(last, str) else tuple(last)
        convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
        return fitted(
            file,
            network.state_dict(),
            ignore=ignore,
            convert=convert and partial(convert, model=network),
            others=transfer.relatives(architecture.partition(".")[0], _architectures(), _create_model),
        )

    named = f"{architecture} random"
    if pretrained:
        named = f"{architecture} file" if file else f"{published.architecture}.{published.tag}"
        named += "" if constants == "published" else f" {constants}"
    source = Source(
        key=f"timm {named} {in_channels}x{size}x{size}",
        make=make,
        weights=(from_file if file else fetched) if pretrained else None,
        file=file,
        published=partial(_require_published, published) if pretrained and not file else lambda: None,
    )
    return transfer.model(source, num_classes, tune=tune, backbone_lr=backbone_lr, dropout=dropout)


def _published(architecture: str, *, has_weights: bool) -> Any:
    """What timm knows of an architecture's weights, whether they are used or not."""
    try:
        import timm
    except ModuleNotFoundError:
        raise UsageError(
            "model timm_net needs timm; install it with: pip install 'harness-cv[timm]'"
        ) from None
    known = timm.list_pretrained() if "." in architecture else timm.list_models()
    if architecture not in known:
        raise transfer.unknown("architecture of timm", architecture, known)
    published: Any = timm.get_pretrained_cfg(architecture)
    if has_weights and not published.has_weights:
        raise UsageError(f"timm has no weights of {architecture}; choose pretrained false, or a file")
    return published


def _require_published(published: Any) -> None:
    """Raises HarnessError where the weights are neither here nor to be fetched."""
    if published.hf_hub_id:
        require_hub(published.hf_hub_id, "model.safetensors")
    else:
        require_url(published.url)


def _architectures() -> list[str]:
    import timm

    known: list[str] = timm.list_models()
    return known


def _create_model(architecture: str, **arguments: Any) -> Any:
    import timm

    try:
        return timm.create_model(architecture, num_classes=0, **arguments)
    except (AssertionError, ValueError):
        if "img_size" not in arguments:
            raise
        raise transfer.unfit(architecture, arguments["img_size"]) from None
