"""What a trial may have at most, where a study says so: parameters and bytes of its model, seconds of a fold.

A network's size is known before it is trained, from a network whose tensors have shapes and no memory.
"""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import models
from harness.config.sections import Constraints
from harness.config.study_file import Study
from harness.errors import HarnessError
from harness.records import StudyRecord, TrialRecord, Values
from harness.search.torch_settings import put_back

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Size:
    """parameters: all of them, trained or not.   model_bytes: of its parameters and buffers, as they are kept."""

    parameters: int
    model_bytes: int


@dataclass(frozen=True)
class Networks:
    """The networks of a study's trials, for images of this shape, (C, H, W), and these classes."""

    shape: Sequence[int]
    classes: Sequence[str]
    _sizes: dict[str, Size | None] = field(default_factory=dict)

    def size(self, values: Values) -> Size | None:
        """Of the network that these values make; None of one that cannot be made, which fails its trial."""
        options = models.section(values, "model")
        key = json.dumps(options, sort_keys=True)
        if key not in self._sizes:
            try:
                self._sizes[key] = network_size(options, self.shape, self.classes)
            except Exception as error:  # the trial will meet and name it
                del error
                self._sizes[key] = None
        return self._sizes[key]


@dataclass(frozen=True)
class Limits:
    """A study's constraints."""

    constraints: Constraints
    networks: Networks

    def too_large(self, values: Values) -> str:
        """Why a trial is not to be trained at all, or ""."""
        size, most = self._size(values), self.constraints
        if size and most.parameters is not None and size.parameters > most.parameters:
            return f"has {size.parameters:,} parameters, more than search.constraints.parameters = {most.parameters:,}"
        if size and most.model_bytes is not None and size.model_bytes > most.model_bytes:
            return f"has {size.model_bytes:,} bytes, more than search.constraints.model_bytes = {most.model_bytes:,}"
        return ""

    def too_slow(self, seconds: Sequence[float]) -> str:
        """Why a trial whose folds took so long may not win, or ""."""
        most = self.constraints.seconds_per_fold
        if most is None or not seconds or (mean := sum(seconds) / len(seconds)) <= most:
            return ""
        return f"took {mean:.1f} s a fold on that machine, more than search.constraints.seconds_per_fold = {most:g}"

    def excess(self, trial: TrialRecord) -> dict[str, float]:
        """By how much of each limit a trial is over it; 0 or less is within, and 0 what is not known."""
        size, most = self._size(trial.values), self.constraints
        found: dict[str, float] = {}
        if most.parameters is not None:
            found["parameters"] = size.parameters / most.parameters - 1 if size else 0.0
        if most.model_bytes is not None:
            found["model_bytes"] = size.model_bytes / most.model_bytes - 1 if size else 0.0
        if most.seconds_per_fold is not None:
            mean = trial.seconds / len(trial.folds) if trial.folds else most.seconds_per_fold
            found["seconds_per_fold"] = mean / most.seconds_per_fold - 1
        return found

    def _size(self, values: Values) -> Size | None:
        """None, too, where no limit asks for it."""
        if self.constraints.parameters is None and self.constraints.model_bytes is None:
            return None
        return self.networks.size(values)


def limits_of(study: Study, record: StudyRecord) -> Limits | None:
    """The limits of a study that has such; warns where they depend on the machine."""
    most = study.search.constraints
    if most == Constraints():
        return None
    if most.seconds_per_fold is not None:
        logger.warning(
            "search.constraints.seconds_per_fold: which trial is best depends on the speed and load of what trains them"
        )
    return Limits(most, Networks(record.data["image_shape"], record.data["classes"]))


def network_size(options: Values, shape: Sequence[int], classes: Sequence[str]) -> Size:
    """Of the network that these options make, `name` among them, for images of this shape. Raises as `outline` does."""
    network = outline(options, shape, classes)
    kept = network.state_dict().values()
    return Size(
        sum(parameter.numel() for parameter in network.parameters()),
        sum(tensor.numel() * tensor.element_size() for tensor in kept),
    )


def outline(options: Values, shape: Sequence[int], classes: Sequence[str]) -> Any:
    """The network that these options make, `name` among them, for images of this shape: if possible without memory.

    Raises HarnessError where the model refuses them, MemoryError, and whatever else its file raises.
    """
    import torch  # slow to import

    name = str(options["name"])
    rest = {option: value for option, value in options.items() if option != "name"}
    with put_back(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ready-made weights, which find no memory to go to

        def made(device: str) -> Any:
            with torch.device(device), _undrawn():
                return models.build(name, shape[0], shape[1], classes, rest)

        try:
            return made("meta")
        except (HarnessError, MemoryError):
            raise
        except Exception as error:  # some look at their weights while they are made
            del error
            return made("cpu")


def _undrawn() -> Any:
    """That random values are not drawn for tensors without memory: torch would import its compiler for it, seconds."""
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    drawing = (Tensor.normal_, Tensor.uniform_)

    class Undrawn(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            if function in drawing and args and args[0].is_meta:
                return args[0]
            return function(*args, **(kwargs or {}))

    return Undrawn()
