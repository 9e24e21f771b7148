"""Network architectures, one file each; the file's name is the model's name in a study.

A file offers `build(in_channels, image_size, num_classes, *, options)`, or with `classes`, their names, in place
of their number. It draws its initial weights from torch's global generator, so the caller seeds that first. It
takes images of any size from 4 pixels and with any number of channels.

A network may offer more to the training:
    normalisation                  mean and standard deviation per channel, for pixels scaled to 0..1, in place of
                                   those of the fold's training images
    initialise_from(images)        initial weights that depend on (N, C, H, W) normalised training images
    learning_rate_scale(name)      a factor on the learning rate of the parameter of that name
    encoder                        a `frozen.FrozenModel`'s: its embeddings are computed once per data set
    require_file()                 raises UsageError where its weights are a file that does not fit; before trial 0
    kept_state(), load_kept_state(state)
                                   in place of `state_dict`, what is kept of it after its training
    embed_texts(texts)             texts as vectors that can be compared with the encoder's of images
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from harness.config import catalog, plugins
from harness.config.kinds import NO_NETWORK
from harness.errors import UsageError, did_you_mean
from harness.records import Scalar, Values

if TYPE_CHECKING:
    from torch import nn


def section(values: Values, part: str) -> Values:
    """One map of a trial, undotted: section({"model.depth": 3, …}, "model") is {"depth": 3, …}."""
    return {path.partition(".")[2]: value for path, value in values.items() if path.startswith(part + ".")}


def architecture(values: Values) -> Values:
    """What a network is rebuilt from: the name and the options of its model.

    Where a training loop has made what predicts, `none` and the name of that loop.
    """
    found = section(values, "model")
    return {**found, "loop": values["train.loop"]} if found["name"] == NO_NETWORK else found


def build(
    name: str, in_channels: int, image_size: int, classes: int | Sequence[str], options: Mapping[str, Scalar]
) -> "nn.Module":
    """The network of `models/NAME.py` for square images, from (N, C, H, W) floats to (N, classes) logits.

    classes: their names, or how many there are.
    Raises UsageError for an unknown model or option, with the nearest guess.
    """
    if name == NO_NETWORK:
        from harness.models.own_classifier import OwnClassifier  # loads torch

        num_classes = classes if isinstance(classes, int) else len(classes)
        return OwnClassifier(str(options["loop"]), in_channels, num_classes)
    entry = catalog.entry("model", name)
    if entry is None:
        raise UsageError(f"unknown model '{name}'{did_you_mean(name, list(catalog.known('model')))}")
    allowed = [option.name for option in entry.options]
    for option in options:
        if option not in allowed:
            raise UsageError(f"unknown option '{option}' of {name}{did_you_mean(option, allowed)}")
    names = [f"class {number}" for number in range(classes)] if isinstance(classes, int) else list(classes)
    given = {
        "in_channels": in_channels, "image_size": image_size, "num_classes": len(names), "classes": names,
    }  # fmt: skip
    model: nn.Module = plugins.call(builder(name), given, options)
    return model


def builder(name: str) -> Callable[..., "nn.Module"]:
    """The function or class of a model that there is. Raises UsageError for one that cannot be imported."""
    plugin = plugins.find("model", name)
    found: Callable[..., nn.Module] = (
        import_module(f"{__name__}.{name}").build if plugin is None else plugins.load(plugin)
    )
    return found
