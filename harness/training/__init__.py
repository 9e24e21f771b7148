"""Training of one network: options in, a generator of epoch records out.

    with session(compute):
        torch.manual_seed(seed_for(study_seed, fold, "init"))       # fit takes a ready model
        model = models.build("resnet", 3, 32, 10, {})
        for epoch in fit(model, data, options=options_from(values), compute=compute, seed=seed):
            print(epoch)

The map of a study's `train:` is the union of the fields of Train-, Optim-, Augment- and BalanceOptions.

What is named here loads torch when it is first used, so that importing this costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.training.compute import Compute, ComputeOptions, on_this_machine, recorded, resolve, session
    from harness.training.environment import fingerprint
    from harness.training.features import Keeper, predict_logits, statistics_for
    from harness.training.loop import Fitted, FoldData, fit
    from harness.training.options import Settings, TrainOptions, options_from
    from harness.training.own_loop import fit_by_own_loop
    from harness.training.pixels import Statistics

FILES = {
    "compute": ("Compute", "ComputeOptions", "on_this_machine", "recorded", "resolve", "session"),
    "features": ("Keeper", "predict_logits", "statistics_for"),
    "environment": ("fingerprint",),
    "loop": ("Fitted", "FoldData", "fit"),
    "own_loop": ("fit_by_own_loop",),
    "options": ("Settings", "TrainOptions", "options_from"),
    "pixels": ("Statistics",),
}
__all__ = [
    "Compute",
    "ComputeOptions",
    "Fitted",
    "FoldData",
    "Keeper",
    "Settings",
    "Statistics",
    "TrainOptions",
    "fingerprint",
    "fit",
    "fit_by_own_loop",
    "on_this_machine",
    "options_from",
    "predict_logits",
    "recorded",
    "resolve",
    "session",
    "statistics_for",
]


def __getattr__(name: str) -> Any:
    for file, names in FILES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{file}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
