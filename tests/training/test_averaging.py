import torch
from torch import nn

from harness.training import Compute, FoldData
from harness.training.optim import averaged
from tests.training.conftest import equal, make_model, train, weights


def test_the_average_follows_the_weights_by_the_decay_after_a_quick_start() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = averaged(model, 0.5)
    found, expected = [], 0.0
    for step in range(30):
        with torch.no_grad():
            model.weight.fill_(step)
        average.update_parameters(model)
        decay = 0.0 if step == 0 else min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        found.append(average.module.weight.item() - expected)
    assert max(map(abs, found)) < 1e-4


def test_the_statistics_of_batch_norms_are_averaged_and_their_counters_copied() -> None:
    model = nn.BatchNorm1d(2)
    average = averaged(model, 0.9)
    for _ in range(3):
        model(torch.randn(8, 2))
        average.update_parameters(model)
    assert average.module.num_batches_tracked == 3
    assert not torch.equal(average.module.running_mean, model.running_mean)


def test_the_average_is_what_is_scored_and_kept(data: FoldData, compute: Compute) -> None:
    plain, smooth = make_model(data), make_model(data)
    expected, _ = train(plain, data, {})
    epochs, _ = train(smooth, data, {"ema": 0.99})
    assert [epoch.train_loss for epoch in epochs] == [epoch.train_loss for epoch in expected]
    assert epochs[-1].validation_loss != expected[-1].validation_loss
    assert not equal(weights(smooth), weights(plain))


def test_a_decay_of_zero_is_the_weights_themselves(data: FoldData, compute: Compute) -> None:
    plain, same = make_model(data), make_model(data)
    train(plain, data, {})
    train(same, data, {"ema": 0.0})
    assert equal(weights(same), weights(plain))
