"""A replayed step against the plain one. What is CUDA's own is played on the CPU, and real where there is a GPU."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.training import Compute, FoldData, fit, gradients, options_from, session
from harness.training.gradients import GraphedGradients, Outcome, PlainGradients
from tests.training.conftest import CPU, equal, make_data, make_model, train, weights

GRAPH = replace(CPU, cuda_graph=True)
Captured = tuple[Callable[[], None], Outcome]


def play(
    monkeypatch: pytest.MonkeyPatch, model: torch.nn.Module, *, gradient_times: float = 1.0
) -> list[str]:
    """Have a replay compute the step anew and leave all where the capture left it, as a graph does.

    What happens is in the list.
    """
    happened: list[str] = []

    def captured(step: Callable[[], Outcome]) -> Captured:
        happened.append("capture")
        outcome = step()
        kept = [(one, one.grad) for one in model.parameters() if one.grad is not None]

        def replay() -> None:
            happened.append("replay")
            for stale, fresh in zip(outcome, step(), strict=True):
                stale.copy_(fresh)
            for parameter, gradient in kept:
                assert parameter.grad is not None
                gradient.copy_(parameter.grad * gradient_times)
                parameter.grad = None

        return replay, outcome

    monkeypatch.setattr(gradients, "captured", captured)
    return happened


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "sgd", "clip_norm": 0.5},
        {"optimizer": "adamw", "lr": 0.01, "ema": 0.9},
        {"optimizer": "muon", "lr": 0.02, "label_smoothing": 0.2},
        {"augment": "standard", "mix": "mixup"},
    ],
)
def test_a_training_by_replays_has_the_bits_of_the_plain_one(
    compute: Compute, data: FoldData, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    """With batch norm and dropout, whose state the capture must leave alone; four batches of 16 images, one of 8."""
    plain, model = make_model(data, dropout=0.3), make_model(data, dropout=0.3)
    expected, _ = train(plain, data, values)
    happened = play(monkeypatch, model)
    epochs, _ = train(model, data, values, compute=GRAPH)
    assert equal(weights(model), weights(plain))
    assert [epoch.train_loss for epoch in epochs] == [epoch.train_loss for epoch in expected]
    assert [epoch.train_accuracy for epoch in epochs] == [epoch.train_accuracy for epoch in expected]
    assert happened == ["capture"] + ["replay"] * (1 + 3 * 4)  # one for the comparison


def test_a_training_that_goes_on_captures_anew_and_ends_with_the_same_bits(
    compute: Compute, data: FoldData, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = make_model(data, dropout=0.3)
    train(whole, data, {"epochs": 3})
    path = tmp_path / "checkpoint"
    options = options_from({"epochs": 3, "batch_size": 16, "lr": 0.05})
    for stops_after in (1, 3):
        model = make_model(data, dropout=0.3)
        happened = play(monkeypatch, model)
        fitting = fit(model, data, options=options, compute=GRAPH, seed=0, checkpoint=path)
        for _ in range(stops_after):
            next(fitting)
    for _ in fitting:
        pass
    assert happened[0] == "capture" and equal(weights(model), weights(whole))


@pytest.mark.parametrize(
    ("times", "said"),
    [(1.0, ""), (1.0005, ""), (1.002, "first gradients differ from the plain ones by 0.002")],
)
def test_a_graph_whose_gradients_differ_is_not_used(
    data: FoldData,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    times: float,
    said: str,
) -> None:
    model = make_model(data)
    happened = play(monkeypatch, model, gradient_times=times)
    graphed = GraphedGradients(PlainGradients(model, CPU, torch.nn.functional.cross_entropy))
    for _ in range(2):
        graphed(*batch(data))
    assert happened.count("replay") == (1 if said else 3)
    assert said in caplog.text and bool(caplog.text) == bool(said)


def test_a_network_that_cannot_be_captured_is_trained_plainly(
    compute: Compute, data: FoldData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain, model = make_model(data, dropout=0.3), make_model(data, dropout=0.3)
    train(plain, data, {})

    def fails(step: Callable[[], Outcome]) -> Captured:
        step()
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    monkeypatch.setattr(gradients, "captured", fails)
    train(model, data, {}, compute=GRAPH)
    assert equal(weights(model), weights(plain))
    assert caplog.text.count("cannot be captured") == 1 and "more of it" not in caplog.text


def test_memory_that_does_not_suffice_for_a_graph_is_told_as_such(
    data: FoldData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(step: Callable[[], Outcome]) -> Captured:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gradients, "captured", fails)
    graphed = GraphedGradients(PlainGradients(make_model(data), CPU, torch.nn.functional.cross_entropy))
    with pytest.raises(torch.OutOfMemoryError):
        graphed(*batch(data))


def test_a_step_is_captured_whole_or_not_at_all(data: FoldData, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch in parts, which memory asks for, is too."""
    model = make_model(data)
    happened = play(monkeypatch, model)
    plain = PlainGradients(model, replace(CPU, micro_batches=2), torch.nn.functional.cross_entropy)
    expected = plain(*batch(data))
    found = GraphedGradients(plain)(*batch(data))
    assert happened == ["capture", "replay", "replay"]
    assert [one.item() for one in found] == [one.item() for one in expected]


def batch(data: FoldData) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(data.pixels[:16]) / 255, torch.from_numpy(data.labels[:16])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_on_a_gpu_a_graph_trains_as_the_plain_way_does(precision: Any, optimizer: str) -> None:
    data, found = make_data(num_images=960, size=32, num_train=720), []
    values = {"optimizer": optimizer, "batch_size": 64, "lr": 0.02}
    for graph in (False, True):
        compute = Compute("cuda", precision, channels_last=True, threads=1, cuda_graph=graph)
        model = make_model(data, dropout=0.3)
        with session(compute):
            epochs, _ = train(model, data, values, compute=compute)
        found.append(([epoch.train_loss for epoch in epochs], weights(model)))
    (plain_losses, plain), (losses, graphed) = found
    assert losses == plain_losses and equal(plain, graphed)


@pytest.mark.gpu
def test_on_a_gpu_the_step_is_really_captured(caplog: pytest.LogCaptureFixture) -> None:
    data = make_data(num_images=96, size=32)
    compute = Compute("cuda", "fp32", channels_last=True, threads=1, cuda_graph=True)
    with session(compute):
        model = make_model(data).cuda()
        graphed = GraphedGradients(PlainGradients(model, compute, torch.nn.functional.cross_entropy))
        images, labels = (part.cuda() for part in batch(data))
        graphed(images, labels)
    assert graphed._replayed is not None and not caplog.text
