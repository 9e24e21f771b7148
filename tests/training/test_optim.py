import logging
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from harness.training.optim import OptimOptions, Schedule, make_optimizers

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


def stepped(
    model: nn.Module, *optimizers: torch.optim.Optimizer, first: int = 0, last: int = 4
) -> list[torch.Tensor]:
    for step in range(first, last):
        images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        for optimizer in optimizers:
            optimizer.zero_grad()
        model(images).square().mean().backward()
        for optimizer in optimizers:
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
    first, second = stepped(ours, *make_optimizers(ours, options)), stepped(theirs, reference(groups))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_biases_and_norms_do_not_decay_and_frozen_weights_do_not_move() -> None:
    model = network()
    model[0].requires_grad_(False)
    (optimizer,) = make_optimizers(model, OptimOptions(weight_decay=0.1))
    groups = optimizer.param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rest", ["sgd", "adamw"])
def test_muon_is_torchs_own_on_kernels_as_matrices_and_another_optimiser_on_the_rest(
    layout: Any, rest: Any
) -> None:
    ours, theirs = network().to(memory_format=layout), network().to(memory_format=layout)
    kernel = next(theirs.parameters())
    order = (0, 2, 3, 1) if layout == torch.channels_last else (0, 1, 2, 3)
    back = (0, 3, 1, 2) if layout == torch.channels_last else (0, 1, 2, 3)
    matrix = nn.Parameter(kernel.detach().permute(order).flatten(1))
    muon = torch.optim.Muon([matrix], 0.02, weight_decay=0.1, momentum=0.9)
    plain = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[rest](
        [
            {"params": [p for p in theirs.parameters() if p.ndim == 2], "weight_decay": 0.1},
            {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=0.01,
        **({"momentum": 0.9, "nesterov": True} if rest == "sgd" else {}),
    )
    options = OptimOptions("muon", 0.02, rest=rest, rest_lr=0.01, weight_decay=0.1)
    optimizers = make_optimizers(ours, options)
    for step in range(4):
        stepped(ours, *optimizers, first=step, last=step + 1)
        images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        theirs.zero_grad()
        theirs(images).square().mean().backward()
        assert kernel.grad is not None
        matrix.grad = kernel.grad.permute(order).flatten(1)
        muon.step()
        plain.step()
        shape = [kernel.shape[axis] for axis in order]
        kernel.data.copy_(matrix.detach().view(shape).permute(back))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_model_may_scale_the_learning_rate_of_its_parameters() -> None:
    model = network()
    model.learning_rate_scale = lambda name: 0.1 if name.startswith("0.") else 1.0  # type: ignore[assignment]
    (optimizer,) = make_optimizers(model, OptimOptions())
    scales = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: scales[id(p)] for name, p in model.named_parameters()} == {
        name: 0.1 if name.startswith("0.") else 1.0 for name, _ in model.named_parameters()
    }


def test_triangular_rises_from_a_fifth_to_the_peak_and_falls_linearly_to_nothing() -> None:
    found = rates(schedule="triangular", peak_at=0.5)
    peak = EPOCHS * STEPS // 2
    assert found[0] == pytest.approx(0.2 * 0.4)
    assert found[peak] == max(found) == pytest.approx(0.4)
    falls = [found[step] - found[step + 1] for step in range(peak, len(found) - 1)]
    assert falls == pytest.approx([0.4 / peak] * len(falls))
    assert found[-1] == pytest.approx(0.4 / peak)
