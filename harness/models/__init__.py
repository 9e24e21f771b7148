"""Network architectures, one file each; the file's name is the model's name in a study.

A file offers `build(in_channels, image_size, num_classes, *, options)`. It draws its initial weights from
torch's global generator, so the caller seeds that first. It takes images of any size from 4 pixels
and with any number of channels.
"""

from collections.abc import Mapping
from importlib import import_module

from torch import nn

from harness import catalog
from harness.errors import UsageError, did_you_mean
from harness.records import Scalar


def build(
    name: str, in_channels: int, image_size: int, num_classes: int, options: Mapping[str, Scalar]
) -> nn.Module:
    """The network of `models/NAME.py` for square images, from (N, C, H, W) floats to (N, classes) logits.

    Raises UsageError for an unknown model or option, with the nearest guess.
    """
    known = catalog.models()
    if name not in known:
        raise UsageError(f"unknown model '{name}'{did_you_mean(name, list(known))}")
    allowed = [option.name for option in known[name].options]
    for option in options:
        if option not in allowed:
            raise UsageError(f"unknown option '{option}' of {name}{did_you_mean(option, allowed)}")
    module = import_module(f"{__name__}.{name}")
    model: nn.Module = module.build(in_channels, image_size, num_classes, **options)
    return model
