"""What a training loop of the user's own has made that is no network: a classifier, kept as arrays.

Such a loop returns an object with
    predict(images)   uint8 (N, C, H, W) to (N, classes) probabilities
    state()           arrays by name, of which `restore` in the loop's module makes the classifier again
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.config import plugins
from harness.errors import TrialError, UsageError

SUM_TOLERANCE = 1e-3  # by which probabilities may miss 1
LEAST = float(np.finfo(np.float32).tiny)  # a probability that still has a logarithm


class OwnClassifier(nn.Module):
    """(N, C, H, W) images, as harness normalises them for it, to (N, classes) logits: logarithms of probabilities.

    loop: the name of the training loop that makes the classifier.
    """

    def __init__(self, loop: str, in_channels: int, num_classes: int):
        super().__init__()
        self.loop, self.num_classes = loop, num_classes
        self.normalisation = ((0.0,) * in_channels, (1.0,) * in_channels)  # pixels of 0..1
        self.classifier: Any = None

    def hold(self, classifier: Any) -> None:
        """Be this classifier from now on. Raises TrialError for what is none."""
        for name in ("predict", "state"):
            if not callable(getattr(classifier, name, None)):
                kind = type(classifier).__name__
                raise self._wrong(
                    f"gives a {kind} without a method {name}; see own_code.md for what it should give"
                )
        self.classifier = classifier
        self.state_dict()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels = (images.float() * 255).round().to(torch.uint8).cpu().contiguous().numpy()
        found = self.classifier.predict(pixels)
        found = found.detach().cpu().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
        if found.shape != (wanted := (len(pixels), self.num_classes)):
            raise self._wrong(f"predicts an array of {found.shape} for {len(pixels)} images, not of {wanted}")
        probabilities = found.astype(np.float32)
        if not np.isfinite(probabilities).all() or (probabilities < 0).any():
            raise self._wrong("predicts probabilities that are negative or no numbers")
        if (abs(probabilities.sum(1) - 1) > SUM_TOLERANCE).any():
            raise self._wrong(
                f"predicts numbers that add up to {probabilities.sum(1)[0]:.4g}, not probabilities"
            )
        return torch.from_numpy(probabilities).clamp(min=LEAST).log().to(images.device)

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:  # type: ignore[override]
        """The classifier's arrays as tensors; nothing before there is one."""
        if self.classifier is None:
            return {}
        arrays = self.classifier.state()
        if not isinstance(arrays, Mapping):
            raise self._wrong(f"has a state of the type {type(arrays).__name__}, not arrays by name")
        found = {}
        for name, array in arrays.items():
            kept = np.ascontiguousarray(array)
            if kept.dtype.kind not in "biuf":
                raise self._wrong(f"has in its state {name} of {kept.dtype}; only arrays of numbers are kept")
            found[str(name)] = torch.from_numpy(kept.reshape(np.shape(array)).copy())
        return found

    def load_state_dict(self, state: Mapping[str, Any], *_: Any, **__: Any) -> Any:  # type: ignore[override]
        """Make the classifier again. Raises TrialError where the loop's module has no `restore`."""
        plugin = plugins.find("train.loop", self.loop)
        if plugin is None:
            raise UsageError(f"there is no training loop {self.loop!r} any more")
        plugins.load(plugin)
        restore = getattr(sys.modules[plugin.module], "restore", None)
        if restore is None:
            raise self._wrong(
                "has no function restore beside it, which makes a classifier of what state() gave"
            )
        self.hold(restore({name: tensor.cpu().numpy() for name, tensor in state.items()}))

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The arrays of its state, which are all that it has."""
        return iter(self.state_dict().values())

    def _wrong(self, said: str) -> TrialError:
        plugin = plugins.find("train.loop", self.loop)
        place = plugin.place if plugin else self.loop
        return TrialError(f"training loop {self.loop}: {place} {said}")
