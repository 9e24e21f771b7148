"""Training of one network: options in, a generator of epoch records out.

    with session(compute):
        torch.manual_seed(seed_for(study_seed, fold, "init"))       # fit takes a ready model
        model = models.build("resnet", 3, 32, 10, {})
        for epoch in fit(model, data, options=options_from(values), compute=compute, seed=seed):
            print(epoch)

The map of a study's `train:` is the union of the fields of TrainOptions, OptimOptions and AugmentOptions.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from harness.errors import UsageError, did_you_mean
from harness.records import Scalar
from harness.training.augment import AugmentOptions
from harness.training.compute import Compute, ComputeOptions, fingerprint, resolve, session
from harness.training.loop import Fitted, FoldData, Settings, TrainOptions, fit
from harness.training.optim import OptimOptions
from harness.training.pixels import Statistics, predict_logits

__all__ = [
    "AugmentOptions",
    "Compute",
    "ComputeOptions",
    "Fitted",
    "FoldData",
    "OptimOptions",
    "Settings",
    "Statistics",
    "TrainOptions",
    "fingerprint",
    "fit",
    "options_from",
    "predict_logits",
    "resolve",
    "session",
]


def options_from(values: Mapping[str, Scalar]) -> Settings:
    """Settings from a flat map like {"epochs": 20, "lr": 0.1}; what is not named keeps its default.

    The values are not checked against their limits: `config` has done so.
    Raises UsageError for an unknown name.
    """
    parts: dict[str, Any] = {"train": TrainOptions, "optim": OptimOptions, "augment": AugmentOptions}
    names = {part: [field.name for field in fields(kind)] for part, kind in parts.items()}
    known = [name for part in names.values() for name in part]
    for name in values:
        if name not in known:
            raise UsageError(f"unknown train option '{name}'{did_you_mean(name, known)}")
    chosen: dict[str, Any] = {
        part: kind(**{name: values[name] for name in names[part] if name in values})
        for part, kind in parts.items()
    }
    return Settings(**chosen)
