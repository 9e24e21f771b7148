"""Every name that an option of a study can be set to has a branch of its own, and no other name has one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.config import catalog
from harness.config.signatures import Option
from harness.errors import UsageError
from harness.training.augment import AugmentOptions, draw, mixer
from harness.training.balance import BalanceOptions, epoch_order, loss_weights
from harness.training.compute import Compute
from harness.training.losses import mean_loss
from harness.training.optim import OptimOptions, Schedule, make_optimizers
from harness.training.options import TrainOptions

LABELS = np.repeat([0, 1], [30, 10])
INDICES = np.arange(len(LABELS))


def weights_after_steps(**options: Any) -> list[float]:
    """One convolution kernel and its bias, after three steps."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    optimizers = make_optimizers(network, OptimOptions(lr=0.01, weight_decay=0.1, **options))
    for _ in range(3):
        network(torch.ones(2, 1, 3, 3)).square().sum().backward()
        for optimizer in optimizers:
            with torch.no_grad():
                optimizer.step()
            optimizer.zero_grad()
    return torch.cat([parameter.flatten() for parameter in network.parameters()]).tolist()


def drawn(**options: Any) -> list[Any]:
    found = [
        draw(AugmentOptions(**options), INDICES, 8, 8, seed=0, epoch=epoch).columns.tolist()
        for epoch in (1, 2)
    ]
    return [*found, [draw(AugmentOptions(**options), INDICES, 8, 8, seed=0, epoch=1).rows.tolist()]]


def mixed(mix: Any) -> list[float]:
    torch.manual_seed(1)
    images, labels = torch.rand(8, 1, 8, 8), torch.arange(8) % 2
    found = mixer(AugmentOptions(mix=mix), 2)
    return [value for _ in range(4) for value in found(images, labels)[0].flatten().tolist()]


def class_weights(kind: Any) -> list[float] | None:
    found = loss_weights(BalanceOptions(class_weights=kind), LABELS, INDICES, 2)
    return None if found is None else found.tolist()


BEHAVIOURS: dict[str, Callable[[Any], Any]] = {  # what comes of each choice
    "loss": lambda name: mean_loss(TrainOptions(loss=name), None)(torch.eye(2), torch.ones(2).long()).item(),
    "optimizer": lambda name: weights_after_steps(optimizer=name),
    "rest": lambda name: weights_after_steps(optimizer="muon", rest=name),
    "schedule": lambda name: list(Schedule(OptimOptions(schedule=name), num_epochs=30, steps_per_epoch=2)),
    "augment": lambda name: drawn(augment=name),
    "flip": lambda name: drawn(flip=name, crop_padding=0),
    "mix": mixed,
    "sampling": lambda name: epoch_order(
        BalanceOptions(sampling=name), LABELS, INDICES, seed=0, epoch=1
    ).tolist(),
    "class_weights": class_weights,
    "precision": lambda name: str(Compute("cpu", name, channels_last=True, threads=1).dtype),
}
ELSEWHERE = {
    "keep_models",  # tests/test_tuning.py
    "device",  # what a machine has
    "loop",  # tests/test_loops_page.py
    "evaluate",  # test_loop.py
}


def options() -> dict[str, Option]:
    known = catalog.train_options() | catalog.compute_options()
    return {name: option for name, option in known.items() if option.choices}


def test_the_table_has_every_option_with_choices() -> None:
    assert set(BEHAVIOURS) | ELSEWHERE == set(options())


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_every_choice_has_a_branch_of_its_own(name: str) -> None:
    choices = [choice for choice in options()[name].choices if choice != "auto"]
    found = {choice: BEHAVIOURS[name](choice) for choice in choices}
    same = [
        (one, other) for one in choices for other in choices if one < other and found[one] == found[other]
    ]  # type: ignore[operator]
    assert not same


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
def test_an_unknown_name_never_falls_through_to_another(name: str) -> None:
    with pytest.raises((AssertionError, KeyError, UsageError), match="unheard_of"):
        BEHAVIOURS[name]("unheard_of")
