"""One network's own tensors as a file for somebody's copy of its class, with a JSON that says how to build it."""

import inspect
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness import models
from harness.config import plugins
from harness.config.kinds import NO_NETWORK
from harness.errors import UsageError
from harness.files import write_file
from harness.inference.export import TOLERANCE, beside_predict, check_images, compared, described, on_cpu
from harness.inference.model import FoldModel, TrialModel
from harness.models.frozen import KEPT, FrozenModel

Format = Literal["safetensors", "pt"]
PICKLED = (".pt", ".pth")  # a target's suffix that asks for torch.save; all others are safetensors


def export_state_dict(
    model: TrialModel, target: Path, *, study: str, trial: int, images: np.ndarray | None = None
) -> dict[str, Any]:
    """Write the network's state dict to `target`, and what is known of it beside; what lies beside.

    Of a frozen encoder the tensors are in it, too; their names begin with `encoder.`.
    images: uint8 (N, C, H, W), on which the network that is built anew must agree; see `export.check_images`.
    Raises UsageError for several networks, or none; CheckFailed, with nothing written, where they do not agree.
    """
    fold = only_network(model, "state_dict")
    images = check_images(model.image_shape) if images is None else images
    as_studied = beside_predict(model, images)
    model = on_cpu(model)
    state = {name: tensor.detach().contiguous() for name, tensor in state_of(fold.network).items()}
    kind: Format = "pt" if target.suffix in PICKLED else "safetensors"
    function, arguments = _how_to_build(model)
    document = described(model, "state_dict", study, trial) | {
        "input": "float32 (N, C, H, W): uint8 pixels, normalised as `preprocessing` says",
        "output": "float32 (N, classes): logits; softmax(logits / temperature) are the probabilities",
        "build": {"function": function, "arguments": arguments},
        "load": {
            "safetensors": "network.load_state_dict(safetensors.torch.load_file(path))",
            "pt": "network.load_state_dict(torch.load(path, weights_only=True))",
        }[kind],
    }
    content = _content(state, kind, document)
    rebuilt = _rebuilt(model, fold, _read(content, kind))
    document |= compared(rebuilt.predict, images, model.predict(images), "state_dict", TOLERANCE) | as_studied
    if target.is_dir():
        raise UsageError(f"{target}: is a folder")
    write_file(target, content)
    document |= {"path": str(target), "bytes": len(content)}
    beside = target.with_name(f"{target.name}.json")
    write_file(beside, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return document


def only_network(model: TrialModel, kind: str) -> FoldModel:
    """Raises UsageError for a model of several networks, or of none."""
    if model.architecture.get("name") == NO_NETWORK:
        raise UsageError(
            f"the training loop {model.architecture['loop']} makes no network, so there is no {kind} of it"
        )
    if len(model.folds) > 1:
        numbers = ", ".join(map(str, range(len(model.folds))))
        raise UsageError(
            f"a {kind} is of one network, and this model is the mean of {len(model.folds)}: choose with --fold "
            f"({numbers})"
        )
    return model.folds[0]


def state_of(network: Any) -> dict[str, Any]:
    """The tensors of a network, and of its encoder where it is frozen."""
    state: dict[str, Any] = dict(network.state_dict())
    if isinstance(network, FrozenModel):
        state |= {KEPT + name: tensor for name, tensor in network.encoder.network().state_dict().items()}
    return state


def _how_to_build(model: TrialModel) -> tuple[str, dict[str, Any]]:
    """The function or class that makes the network, as module:name or file:name, and its arguments."""
    options = {name: value for name, value in model.architecture.items() if name != "name"}
    name = model.architecture["name"]
    function, plugin = models.builder(name), plugins.find("model", name)
    channels, size, _ = model.image_shape
    given = {
        "in_channels": channels,
        "image_size": size,
        "num_classes": len(model.classes),
        "classes": list(model.classes),
    }
    taken = inspect.signature(function).parameters
    arguments = {name: value for name, value in given.items() if name in taken} | options
    return plugin.place if plugin else f"{function.__module__}:{function.__qualname__}", arguments


def _content(state: dict[str, Any], kind: Format, document: dict[str, Any]) -> bytes:
    import torch
    from safetensors.torch import save

    if kind == "safetensors":
        told = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in document.items()
        }
        shared = {name: tensor.clone() for name, tensor in state.items()}  # which safetensors refuses
        return save(shared, metadata={"format": "pt", **told} | {"format": "pt"})
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def _read(content: bytes, kind: Format) -> dict[str, Any]:
    import torch
    from safetensors.torch import load

    if kind == "safetensors":
        return load(content)
    found: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return found


def _rebuilt(model: TrialModel, fold: FoldModel, state: dict[str, Any]) -> TrialModel:
    """The model with a network that is built anew and has these tensors."""
    options = {name: value for name, value in model.architecture.items() if name != "name"}
    channels, size, _ = model.image_shape
    network: Any = models.build(model.architecture["name"], channels, size, model.classes, options)
    if isinstance(network, FrozenModel):
        encoder = {name.removeprefix(KEPT): value for name, value in state.items() if name.startswith(KEPT)}
        network.encoder.network().load_state_dict(encoder)
        state = {name: value for name, value in state.items() if not name.startswith(KEPT)}
    network.load_state_dict(state)
    return replace(model, folds=(replace(fold, network=network.eval()),))
