"""Losses against formulas written out in NumPy, and against torch and torchvision where they have them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from harness.training.compute import Compute
from harness.training.loop import FoldData
from harness.training.losses import focal_loss, mean_loss
from harness.training.options import TrainOptions
from tests.training.conftest import PLAIN, make_model, train

RANDOM = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(32, 5, generator=RANDOM)
LABELS = torch.randint(0, 5, (32,), generator=RANDOM)
SHARES = torch.randn(32, 5, generator=RANDOM).softmax(1)
WEIGHT = torch.tensor([0.2, 1.0, 3.0, 0.7, 1.4])


def by_hand(gamma: float, *, targets: torch.Tensor, weight: torch.Tensor | None, smoothing: float) -> float:
    """Image by image, class by class, in double precision."""
    total = counted = 0.0
    for row, target in zip(LOGITS.double().tolist(), targets.tolist(), strict=True):
        probabilities = np.exp(row) / np.exp(row).sum()
        shares = np.eye(5)[target] if isinstance(target, int) else np.array(target)
        for label, (share, probability) in enumerate(zip(shares, probabilities, strict=True)):
            share = (1 - smoothing) * share + smoothing / 5
            of_class = 1.0 if weight is None else weight[label].item()
            total -= of_class * share * (1 - probability) ** gamma * np.log(probability)
        counted += weight[target].item() if weight is not None and isinstance(target, int) else 1.0
    return total / counted


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighted"])
@pytest.mark.parametrize("targets", [LABELS, SHARES], ids=["labels", "shares"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_the_focal_loss_is_its_formula_and_with_a_gamma_of_zero_torch_s_cross_entropy(
    gamma: float, targets: torch.Tensor, weight: torch.Tensor | None, smoothing: float
) -> None:
    found = focal_loss(LOGITS, targets, gamma=gamma, weight=weight, label_smoothing=smoothing)
    expected = by_hand(gamma, targets=targets, weight=weight, smoothing=smoothing)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    if gamma == 0:
        reference = F.cross_entropy(LOGITS, targets, weight=weight, label_smoothing=smoothing)
        torch.testing.assert_close(found, reference)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_of_two_classes_it_is_the_sigmoid_s_focal_loss_of_torchvision(gamma: float) -> None:
    logits, labels = LOGITS[:, 0], LABELS % 2
    two = torch.stack([torch.zeros_like(logits), logits], dim=1)
    expected = sigmoid_focal_loss(logits, labels.float(), alpha=-1, gamma=gamma, reduction="mean")
    torch.testing.assert_close(focal_loss(two, labels, gamma=gamma), expected)


@pytest.mark.parametrize("gamma", [0.01, 0.5, 1.0, 2.0])
def test_what_is_certain_has_a_finite_gradient_whether_right_or_wrong(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0, 0], [0, 200.0, 0], [0, 0, 0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0, 0, 0]), gamma=gamma).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
    assert logits.grad[0].abs().max() < 1e-6 < logits.grad[1].abs().max()


def test_its_gradient_is_that_of_its_values() -> None:
    logits = LOGITS[:6].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda one: focal_loss(one, LABELS[:6], gamma=1.5), (logits,))


def test_a_study_s_loss_has_its_options() -> None:
    options = TrainOptions(loss="focal", focal_gamma=1.5, label_smoothing=0.1)
    expected = by_hand(1.5, targets=LABELS, weight=WEIGHT, smoothing=0.1)
    assert mean_loss(options, WEIGHT)(LOGITS, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_a_network_is_trained_by_it(compute: Compute, data: FoldData) -> None:
    """With a gamma of 0 as by cross-entropy, with another one otherwise; also of mixed images."""
    found = {}
    for name, values in {
        "cross-entropy": {}, "zero": {"loss": "focal", "focal_gamma": 0.0}, "two": {"loss": "focal"},
        "mixed": {"loss": "focal", "augment": "none", "mix": "mixup", "class_weights": "effective"},
    }.items():  # fmt: skip
        model = make_model(data)
        epochs, _ = train(model, data, {**PLAIN, "epochs": 2, **values})
        found[name] = [epoch.train_loss for epoch in epochs]
    assert found["zero"] == pytest.approx(found["cross-entropy"], rel=1e-4)
    assert found["two"][0] < 0.9 * found["cross-entropy"][0]
    assert np.isfinite(found["mixed"]).all()


@pytest.mark.parametrize("values", [{}, {"loss": "focal"}, {"mix": "mixup"}, {"patience": 2}])
def test_soft_labels_are_trained_on_in_place_of_the_labels(
    compute: Compute, data: FoldData, values: dict[str, object]
) -> None:
    """All of a label is as the label; other shares train another network, which those of held-out images do not."""

    def trained(shares: np.ndarray | None) -> tuple[list[float], torch.Tensor]:
        model = make_model(data)
        epochs, _ = train(model, replace(data, soft_labels=shares), {**PLAIN, **values})
        return [epoch.train_loss for epoch in epochs], torch.cat(
            [one.flatten() for one in model.parameters()]
        )

    whole = np.eye(3, dtype=np.float32)[data.labels]
    softer, others = 0.7 * whole + np.float32(0.1), whole.copy()
    others[data.held_out] = whole[data.held_out][:, [1, 2, 0]]
    losses, weights = trained(None)
    same_losses, same = trained(whole)
    assert same_losses == pytest.approx(losses, rel=1e-3)
    torch.testing.assert_close(same, weights, rtol=0.05, atol=0.02)
    assert torch.equal(trained(others)[1], same)
    assert trained(softer)[0][-1] > losses[-1] and not torch.equal(trained(softer)[1], weights)


def test_the_mean_loss_of_soft_labels_is_what_networks_reach(compute: Compute, data: FoldData) -> None:
    """Trained long on shares of 0.7, 0.2, 0.1 the network says these, and the loss is their entropy."""
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]], np.float32)[data.labels]
    epochs, _ = train(
        make_model(data, width=16), replace(data, soft_labels=shares), {**PLAIN, "epochs": 60, "lr": 0.1}
    )
    entropy = -sum(share * np.log(share) for share in (0.7, 0.2, 0.1))
    assert entropy - 1e-4 < epochs[-1].train_loss < entropy + 0.02
    assert epochs[-1].train_accuracy > 0.95
