"""What a study's `train:` map sets: how long and on what here, the rest in the files that use it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from harness.config import catalog, own_code
from harness.config.signatures import Between, Only, OrOwn, Unless, Younger, without_younger
from harness.errors import UsageError, did_you_mean
from harness.records import Scalar
from harness.training.augment import AugmentOptions
from harness.training.balance import BalanceOptions
from harness.training.optim import OptimOptions


@dataclass(frozen=True)
class TrainOptions:
    """How long and on what.

    loop: what trains the network: harness, or a function of your own, which reads those of the other options that it
    takes. Default: harness's own, which is fast and goes on from a checkpoint.
    loss: what is minimised, of the logits and the targets; the loss on held-out images is always cross-entropy.
    Default: it trains probabilities, not only the order of classes.
    focal_gamma: the focal loss multiplies a class's part of the cross-entropy by (1 - its probability) to this power,
    so that what is right and certain counts little; 0 is cross-entropy (Lin et al. 2017, arXiv 1708.02002). Default:
    the paper's.
    epochs: times that the training images are gone through, at most where patience is set. Default: enough to order
    trials by, not to reach the best; give the final study more.
    batch_size: images a step; a last batch of one image joins the batch before it, for the sake of batch norm. Default:
    what the default learning rate goes with.
    label_smoothing: share of a label that is spread evenly over all classes.
    clip_norm: the gradient is scaled down to this norm; null never.
    patience: stop after so many epochs without a better accuracy on an inner split of the training part, and
    choose the best epoch; null trains all epochs and chooses the last.
    inner_fraction: share of the training part that is set aside as that inner split; with patience only. Default:
    enough images to see an epoch's gain, and little is lost to training.
    evaluate: after which epochs the held-out images are scored: all of them, every fifth and the last (`sparse`), or
    the last alone; a fold's result is the same to the bit. Default: curves tell early what goes wrong, and cost a small
    network a few per cent of its time.
    keep_models: whose weights the store keeps; the training does not look at it. Default: what predict, serve and
    export need; the others can be trained again to the same bits.
    """

    loop: Annotated[Literal["harness"], OrOwn(), Younger()] = "harness"
    loss: Annotated[Literal["cross_entropy", "focal"], OrOwn(), Younger()] = "cross_entropy"
    focal_gamma: Annotated[float, Between(0.0, 20.0), Only(loss="focal"), Younger()] = 2.0
    epochs: Annotated[int, Between(1, 100_000)] = 20
    batch_size: Annotated[int, Between(1, 65_536)] = 128
    label_smoothing: Annotated[float, Between(0.0, 0.99), Only(loss=("cross_entropy", "focal"))] = 0.0
    clip_norm: Annotated[float, Between(above=0.0)] | None = None
    patience: Annotated[int, Between(1)] | None = None
    inner_fraction: Annotated[float, Between(above=0.0, high=0.5), Unless(patience=None)] = 0.1
    evaluate: Annotated[Literal["every", "sparse", "last"], Younger()] = "every"
    keep_models: Literal["best", "all", "none"] = "best"


@dataclass(frozen=True)
class Settings:
    """Everything a study's `train:` map sets.   own: the options of the user's own code, by name."""

    train: TrainOptions = field(default_factory=TrainOptions)
    optim: OptimOptions = field(default_factory=OptimOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    balance: BalanceOptions = field(default_factory=BalanceOptions)
    own: Mapping[str, Scalar] = field(default_factory=dict)


def identity(settings: Settings) -> dict[str, dict[str, Any]]:
    """What a checkpoint must agree on, by part: no younger option that has its default, nor what is kept of the result.

    `keep_models` stands in it as null, as it has from the first release on.
    """
    known = catalog.train_options().values()
    parts = {part: without_younger(values, known) for part, values in asdict(settings).items()}
    if not parts["own"]:
        del parts["own"]
    return {**parts, "train": {**parts["train"], "keep_models": None}}


def options_from(values: Mapping[str, Scalar]) -> Settings:
    """Settings from a flat map like {"epochs": 20, "lr": 0.1}; what is not named keeps its default.

    The values are not checked against their limits: `config` has done so.
    Raises UsageError for an unknown name.
    """
    parts: dict[str, Any] = {
        field.name: field.default_factory for field in fields(Settings) if field.name != "own"
    }
    names = {part: [field.name for field in fields(kind)] for part, kind in parts.items()}
    own = own_code.owners(values)
    known = [*(name for part in names.values() for name in part), *own]
    for name in values:
        if name not in known:
            raise UsageError(f"unknown train option '{name}'{did_you_mean(name, known)}")
    chosen: dict[str, Any] = {
        part: kind(**{name: values[name] for name in names[part] if name in values})
        for part, kind in parts.items()
    }
    return Settings(**chosen, own={name: values[name] for name in own if name in values})
