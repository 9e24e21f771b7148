import logging
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from harness.training.optim import OptimOptions, Schedule, make_optimizer

EPOCHS, STEPS = 6, 7


def rates(**options: Any) -> list[float]:
    return list(Schedule(OptimOptions(lr=0.4, **options), num_epochs=EPOCHS, steps_per_epoch=STEPS))


def torchs_rates(kind: type[lr_scheduler.LRScheduler], **options: Any) -> list[float]:
    """The same number of steps of one of torch's own schedulers."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    scheduler = kind(optimizer, **options)
    found = []
    for _ in range(EPOCHS * STEPS):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


def test_step_is_torchs_step_schedule() -> None:
    expected = torchs_rates(lr_scheduler.StepLR, step_size=2 * STEPS, gamma=0.3)
    assert rates(schedule="step", step_size=2, gamma=0.3) == pytest.approx(expected)


def test_cosine_is_torchs_cosine_schedule() -> None:
    expected = torchs_rates(lr_scheduler.CosineAnnealingLR, T_max=EPOCHS * STEPS)
    assert rates(schedule="cosine") == pytest.approx(expected)


def test_linear_is_torchs_linear_schedule() -> None:
    expected = torchs_rates(
        lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.0, total_iters=EPOCHS * STEPS
    )
    assert rates(schedule="linear") == pytest.approx(expected)


@pytest.mark.parametrize("peak_at", [0.1, 0.3, 0.6])
def test_one_cycle_is_torchs_one_cycle_schedule(peak_at: float) -> None:
    expected = torchs_rates(
        lr_scheduler.OneCycleLR, max_lr=0.4, total_steps=EPOCHS * STEPS, pct_start=peak_at
    )
    assert rates(schedule="one_cycle", peak_at=peak_at) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_warm_up_rises_linearly_to_the_full_rate_then_the_schedule_begins(schedule: str) -> None:
    found = rates(schedule=schedule, warmup_epochs=2)
    rise = 2 * STEPS
    assert found[:rise] == pytest.approx([0.4 * (step + 1) / rise for step in range(rise)])
    assert found[rise] == pytest.approx(0.4)


def test_one_cycle_says_that_it_ignores_the_warm_up(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = rates(schedule="one_cycle", warmup_epochs=2)
    assert found == rates(schedule="one_cycle")
    assert "warmup_epochs is ignored" in caplog.text


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "linear", "one_cycle"])
@pytest.mark.parametrize("warmup_epochs", [0, 0.5, 100])
def test_a_run_of_a_single_step_has_a_learning_rate(schedule: Any, warmup_epochs: float) -> None:
    options = OptimOptions(schedule=schedule, warmup_epochs=warmup_epochs)
    (rate,) = Schedule(options, num_epochs=1, steps_per_epoch=1)
    assert 0 < rate <= options.lr


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 4)
    )
    return layers.to(memory_format=torch.channels_last)


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    for step in range(4):
        images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
    return list(model.parameters())


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        (OptimOptions("sgd", 0.01), lambda g: torch.optim.SGD(g, 0.01, 0.9, nesterov=True)),
        (OptimOptions("sgd", 0.01, nesterov=False), lambda g: torch.optim.SGD(g, 0.01, 0.9)),
        (OptimOptions("sgd", 0.01, momentum=0.0), lambda g: torch.optim.SGD(g, 0.01)),
        (OptimOptions("adam", 0.01), lambda g: torch.optim.Adam(g, 0.01)),
        (OptimOptions("adamw", 0.01), lambda g: torch.optim.AdamW(g, 0.01)),
    ],
)
def test_the_fused_optimisers_do_what_torchs_plain_ones_do(options: OptimOptions, reference: Any) -> None:
    ours, theirs = network(), network()
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in theirs.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    first, second = stepped(ours, make_optimizer(ours, options)), stepped(theirs, reference(groups))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_biases_and_norms_do_not_decay_and_frozen_weights_do_not_move() -> None:
    model = network()
    model[0].requires_grad_(False)
    groups = make_optimizer(model, OptimOptions(weight_decay=0.1)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]
