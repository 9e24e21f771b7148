from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from harness.training.balance import BalanceOptions, epoch_order, loss_weights

LABELS = np.repeat([0, 1, 2], [900, 90, 10])
INDICES = np.arange(0, 1000, 2)


def test_shuffled_epochs_meet_every_image_once_and_in_another_order_each_time() -> None:
    first, second = (epoch_order(BalanceOptions(), LABELS, INDICES, seed=1, epoch=epoch) for epoch in (1, 2))
    assert sorted(first) == sorted(second) == INDICES.tolist()
    assert first.tolist() != second.tolist()


def test_balanced_sampling_meets_every_class_equally_often_and_only_images_of_the_training_part() -> None:
    options = BalanceOptions(sampling="balanced")
    orders = [epoch_order(options, LABELS, INDICES, seed=1, epoch=epoch) for epoch in range(20)]
    met = np.concatenate(orders)
    shares = np.bincount(LABELS[met]) / len(met)
    assert all(len(order) == len(INDICES) for order in orders)
    assert set(met) <= set(INDICES)
    np.testing.assert_allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / len(met)))


def test_an_epochs_order_is_a_function_of_seed_and_epoch() -> None:
    options = BalanceOptions(sampling="balanced")
    first, again = (epoch_order(options, LABELS, INDICES, seed=3, epoch=4) for _ in range(2))
    other = epoch_order(options, LABELS, INDICES, seed=4, epoch=4)
    assert first.tolist() == again.tolist() != other.tolist()


def test_balanced_class_weights_give_every_class_the_same_part_of_the_loss() -> None:
    weights = loss_weights(BalanceOptions(class_weights="balanced"), LABELS, INDICES, 3)
    assert weights is not None
    labels = torch.from_numpy(LABELS[INDICES])
    losses = F.cross_entropy(torch.zeros(len(labels), 3), labels, weight=weights, reduction="none")
    parts = [losses[labels == label].sum().item() for label in range(3)]
    np.testing.assert_allclose(parts, parts[0], rtol=1e-5)
    assert losses.mean().item() == F.cross_entropy(torch.zeros(1, 3), labels[:1]).item()


def test_without_balancing_there_are_no_weights_and_an_absent_class_is_no_division_by_zero() -> None:
    assert loss_weights(BalanceOptions(), LABELS, INDICES, 3) is None
    weights = loss_weights(BalanceOptions(class_weights="balanced"), LABELS, INDICES, 4)
    assert weights is not None and torch.isfinite(weights).all()


@pytest.mark.parametrize("beta", [0.9, 0.99, 0.999, 0.9999])
def test_effective_class_weights_are_those_of_the_paper(beta: float) -> None:
    """In proportion to (1 - beta) / (1 - beta^n); here their mean over the images is 1, there over the classes."""
    weights = loss_weights(BalanceOptions(class_weights="effective", effective_beta=beta), LABELS, INDICES, 3)
    assert weights is not None and weights[LABELS[INDICES]].mean().item() == pytest.approx(1, rel=1e-5)
    expected = [(1 - beta) / (1 - beta**number) for number in (450, 45, 5)]
    np.testing.assert_allclose(weights / weights[0], np.array(expected) / expected[0], rtol=1e-5)


def test_effective_weights_lie_between_equal_and_balanced_ones() -> None:
    def weights(beta: float) -> Any:
        return loss_weights(
            BalanceOptions(class_weights="effective", effective_beta=beta), LABELS, INDICES, 4
        )

    balanced = loss_weights(BalanceOptions(class_weights="balanced"), LABELS, INDICES, 4)
    assert balanced is not None and torch.isfinite(weights(0.999)).all()
    torch.testing.assert_close(weights(0.0), torch.ones(4))
    torch.testing.assert_close(
        weights(1 - 1e-9)[:3] / weights(1 - 1e-9)[0], balanced[:3] / balanced[0], rtol=1e-4, atol=0
    )
