"""The state of a training between two epochs, as one file that is either whole or not there.

The file is a safetensors document, with everything that is not a tensor as JSON in its metadata, and the
SHA-256 of all that as its last 32 bytes. Random state needs no saving: every epoch draws from its own seed.
"""

import json
import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from harness.errors import RecordError
from harness.files import with_checksum, without_checksum, write_file
from harness.os_errors import require_about_the_file
from harness.records import Epoch

log = logging.getLogger(__name__)
Weights = dict[str, torch.Tensor]


@dataclass
class Progress:
    """How far a training got.

    epochs: the records so far.   best_epoch, best_score: by the inner split, with early stopping only.
    best_weights: the network's state after best_epoch.
    """

    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_score: tuple[float, float] | None = None
    best_weights: Weights = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What changes during a training. average: a moving average of the model's weights, or None."""

    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    average: nn.Module | None = None


def write(path: Path, progress: Progress, state: State, identity: dict[str, Any]) -> None:
    """Write the state so that a crash at any moment leaves the old file or the new one.

    identity: what defines this training; `read` ignores the file of another one.
    Raises StoreError where the disk does not take it; the old file stays.
    """
    tensors = _prefixed("model", state.model.state_dict()) | _prefixed("best", progress.best_weights)
    if state.average is not None:
        tensors |= _prefixed("average", state.average.state_dict())
    for place, optimizer in enumerate(state.optimizers):
        for number, moments in optimizer.state_dict()["state"].items():
            tensors |= _prefixed(f"optimizer.{place}.{number}", _tensors(moments))
    document = {
        "identity": identity,
        "epochs": [asdict(epoch) for epoch in progress.epochs],
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "optimizers": [_scalars_of(optimizer) for optimizer in state.optimizers],
    }
    write_file(path, with_checksum(save(tensors, metadata={"harness": json.dumps(document)})))


def read(path: Path, state: State, identity: dict[str, Any]) -> Progress:
    """Load into `state` what `write` wrote and return how far it is.

    A missing file, a damaged one or one of another training changes nothing and returns an empty Progress;
    the last two are logged as warnings. Raises RecordError where it has that training's name and not its content.
    """
    try:
        content = without_checksum(path.read_bytes())
    except FileNotFoundError:
        return Progress()
    except OSError as error:
        require_about_the_file(error, path)
        log.warning("checkpoint %s cannot be read (%s); this training starts over", path, error.strerror)
        return Progress()
    if content is None:
        log.warning("checkpoint %s is damaged; this training starts over", path)
        return Progress()
    try:
        # safetensors: eight bytes of length, then the header as JSON; `load` does not return its metadata.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        document, tensors = json.loads(header["__metadata__"]["harness"]), load(content)
        known = document["identity"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("checkpoint %s is unreadable (%s); this training starts over", path, error)
        return Progress()
    if not _equal_up_to_rounding(known, json.loads(json.dumps(identity))):
        log.warning("checkpoint %s belongs to another training; this one starts over", path)
        return Progress()
    try:
        return _restored(state, document, tensors)
    except (RuntimeError, KeyError, TypeError, ValueError, IndexError) as error:  # whole, but not by `write`
        raise RecordError(f"{path}: damaged, delete it: {str(error).splitlines()[0]}") from None


def _equal_up_to_rounding(known: Any, ours: Any) -> bool:
    """Processors add in different orders, so statistics of the same images may differ in the last bit."""
    if isinstance(known, dict) and isinstance(ours, dict):
        return known.keys() == ours.keys() and all(
            _equal_up_to_rounding(known[key], ours[key]) for key in ours
        )
    if isinstance(known, list) and isinstance(ours, list):
        return len(known) == len(ours) and all(map(_equal_up_to_rounding, known, ours))
    if isinstance(known, float) and isinstance(ours, float):
        return math.isclose(known, ours, rel_tol=1e-12)
    return bool(known == ours)


def _restored(state: State, document: dict[str, Any], tensors: Weights) -> Progress:
    state.model.load_state_dict(_selected("model", tensors))
    if state.average is not None:
        state.average.load_state_dict(_selected("average", tensors))
    scalars = document.get("optimizers", [{}] * len(state.optimizers))  # releases before 0.3 wrote none
    for place, optimizer in enumerate(state.optimizers):
        _load_optimizer(optimizer, _selected(f"optimizer.{place}", tensors), scalars[place])
    score = document["best_score"]
    return Progress(
        epochs=[Epoch(**epoch) for epoch in document["epochs"]],
        best_epoch=document["best_epoch"],
        best_score=None if score is None else (score[0], score[1]),
        best_weights=_selected("best", tensors),
    )


def _scalars_of(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What is no tensor of the states of its parameters, and of its groups: numbers, text, true and false."""
    document = optimizer.state_dict()
    return {
        "state": {str(number): _scalars(moments) for number, moments in document["state"].items()},
        "groups": [_scalars(group) for group in document["param_groups"]],
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Weights, scalars: dict[str, Any]) -> None:
    """Put each state into its parameter's memory layout: fused kernels walk both in memory order."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states: dict[int, dict[str, Any]] = {}
    for number, parameter in enumerate(parameters):
        state: dict[str, Any] = _selected(str(number), tensors)
        for name, value in state.items():
            if value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)
        state |= scalars.get("state", {}).get(str(number), {})
        if state:
            states[number] = state
    groups = optimizer.state_dict()["param_groups"]
    for group, known in zip(groups, scalars.get("groups", groups), strict=True):
        group |= _scalars(known)
    optimizer.load_state_dict({"state": states, "param_groups": groups})


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}


def _tensors(values: dict[str, Any]) -> Weights:
    return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def _prefixed(prefix: str, tensors: dict[str, Any]) -> Weights:
    """Copies in memory order, for safetensors takes neither strides nor shared memory."""
    return {
        f"{prefix}.{name}": tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
        if tensor is not None
    }


def _selected(prefix: str, tensors: Weights) -> Weights:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
