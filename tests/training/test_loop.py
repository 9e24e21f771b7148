from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from harness import models
from harness.config import catalog
from harness.errors import TrialError, UsageError
from harness.training import Compute, FoldData, Settings, fit, loop, options_from, predict_logits, session
from harness.training.loop import batch_bounds
from tests.training.conftest import CPU, PLAIN, equal, exhausted, make_data, make_model, train, weights


def test_one_batch_can_be_learned_by_heart(compute: Compute) -> None:
    data = make_data(num_images=48, num_train=32)
    shuffled = replace(data, labels=np.random.default_rng(1).integers(0, 3, 48))
    values = {**PLAIN, "epochs": 60, "batch_size": 32, "lr": 0.1, "schedule": "constant"}
    epochs, _ = train(make_model(data, width=16), shuffled, values)
    assert epochs[-1].train_accuracy == 1.0


def test_held_out_images_of_an_easy_set_are_recognised(compute: Compute, data: FoldData) -> None:
    epochs, fitted = train(make_model(data), data, {**PLAIN, "epochs": 12})
    assert [epoch.epoch for epoch in epochs] == list(range(1, 13))
    assert fitted.chosen_epoch == 12
    assert epochs[-1].validation_accuracy > 0.9


def test_validation_figures_are_those_of_the_predictions(compute: Compute, data: FoldData) -> None:
    model = make_model(data)
    epochs, fitted = train(model, data, {"label_smoothing": 0.2})
    logits = predict_logits(model, data.pixels[data.held_out], fitted.statistics, compute)
    labels = data.labels[data.held_out]
    loss = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert epochs[-1].validation_loss == pytest.approx(loss, rel=1e-5)
    assert epochs[-1].validation_accuracy == pytest.approx((logits.argmax(1) == labels).mean())


def test_a_step_is_the_one_written_out_by_hand(compute: Compute, data: FoldData) -> None:
    """One step with label smoothing and clipping against plain torch on the same normalised images."""
    model, reference = make_model(data), make_model(data)
    values = {**PLAIN, "epochs": 1, "batch_size": 1000, "lr": 0.5, "schedule": "constant"}
    epochs, fitted = train(model, data, {**values, "label_smoothing": 0.1, "clip_norm": 0.01})
    mean, std = (
        torch.tensor(value).view(3, 1, 1) for value in (fitted.statistics.mean, fitted.statistics.std)
    )
    images = (torch.from_numpy(data.pixels[data.train]) / 255 - mean) / std
    optimizer = torch.optim.SGD(reference.parameters(), 0.5, momentum=0.9, nesterov=True)
    labels = torch.from_numpy(data.labels[data.train])
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)(reference(images), labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.01)
    optimizer.step()
    assert epochs[0].train_loss == pytest.approx(loss.item(), rel=1e-5)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_batch_in_parts_makes_the_same_step(compute: Compute, data: FoldData) -> None:
    """Without batch norm, which sees the parts: to rounding; an odd batch leaves parts of different sizes."""
    found = []
    for parts in (1, 2, 3):
        torch.manual_seed(0)
        model = models.build("resnet", 3, data.pixels.shape[2], 3, {"width": 4, "norm": "group"})
        values = {**PLAIN, "epochs": 1, "batch_size": 25, "lr": 0.1}
        with session(replace(compute, micro_batches=parts)):
            (epoch,) = fit(
                model,
                data,
                options=options_from(values),
                compute=replace(compute, micro_batches=parts),
                seed=0,
            )
        found.append((epoch, model))
    for epoch, model in found[1:]:
        assert epoch.train_loss == pytest.approx(found[0][0].train_loss, rel=1e-4)
        assert epoch.train_accuracy == pytest.approx(found[0][0].train_accuracy, abs=0.05)
        for ours, theirs in zip(model.parameters(), found[0][1].parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(
    compute: Compute, data: FoldData, precision: Any, optimizer: str
) -> None:
    def trained(seed: int) -> dict[str, torch.Tensor]:
        model = make_model(data, dropout=0.2)
        train(
            model,
            data,
            {"optimizer": optimizer, "lr": 0.01},
            seed=seed,
            compute=replace(CPU, precision=precision),
        )
        return weights(model)

    first = trained(seed=1)
    torch.rand(17)
    assert equal(first, trained(seed=1))
    assert not equal(first, trained(seed=2))


@pytest.mark.parametrize("field", ["dropout", "order", "augment"])
def test_dropout_order_and_augmentation_each_have_their_own_seed(
    compute: Compute, data: FoldData, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """What one purpose draws must matter: a changed seed for it alone changes the result."""

    def trained() -> dict[str, torch.Tensor]:
        model = make_model(data, dropout=0.3)
        train(model, data, {"epochs": 1})
        return weights(model)

    before, real = trained(), loop.seed_for
    for module in ("loop", "augment", "balance"):
        monkeypatch.setattr(
            f"harness.training.{module}.seed_for",
            lambda seed, purpose, *rest: real(seed + (purpose == field), purpose, *rest),
        )
    assert not equal(before, trained())


def test_bf16_and_fp32_agree_within_rounding(compute: Compute, data: FoldData) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        options = replace(CPU, precision=precision)  # type: ignore[arg-type]
        epochs, _ = train(make_model(data), data, {"epochs": 2}, compute=options)
        losses.append([epoch.train_loss for epoch in epochs])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]


def test_the_memory_layout_changes_only_the_rounding(compute: Compute, data: FoldData) -> None:
    losses = []
    for channels_last in (True, False):
        options = replace(CPU, channels_last=channels_last)
        epochs, _ = train(make_model(data), data, {"epochs": 2}, compute=options)
        losses.append([epoch.train_loss for epoch in epochs])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_loss_that_is_not_finite_ends_the_trial_and_names_epoch_and_step(
    compute: Compute, data: FoldData
) -> None:
    with pytest.raises(TrialError, match="non-finite loss at epoch 1, step 2"):
        train(make_model(data, norm="group"), data, {"lr": 1e30, "schedule": "constant"})


def test_weights_broken_by_the_last_step_are_seen_on_the_held_out_images(
    compute: Compute, data: FoldData
) -> None:
    with pytest.raises(TrialError, match="held-out images after epoch 1"):
        train(make_model(data, norm="group"), data, {"lr": 1e30, "batch_size": 1000, "schedule": "constant"})


@pytest.mark.parametrize("num_train", [1, 2, 17, 33])
@pytest.mark.parametrize("batch_size", [1, 2, 16, 1000])
def test_any_number_of_images_can_be_trained_on(compute: Compute, num_train: int, batch_size: int) -> None:
    data = make_data(num_images=40, num_train=num_train)
    epochs, _ = train(make_model(data), data, {"epochs": 1, "batch_size": batch_size})
    assert np.isfinite(epochs[0].train_loss)


@pytest.mark.parametrize(
    ("num_images", "batch_size", "expected"),
    [
        (10, 5, [0, 5, 10]),
        (12, 5, [0, 5, 10, 12]),
        (11, 5, [0, 5, 11]),
        (3, 5, [0, 3]),
        (1, 5, [0, 1]),
        (3, 1, [0, 1, 2, 3]),
        (2, 2, [0, 2]),
    ],
)
def test_a_last_batch_of_one_joins_the_batch_before(
    num_images: int, batch_size: int, expected: list[int]
) -> None:
    assert batch_bounds(num_images, batch_size) == expected


def test_early_stopping_keeps_the_weights_of_the_best_inner_epoch(
    compute: Compute, data: FoldData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inner accuracies are planted: epoch 2 is the best, and two more epochs are given to beat it."""
    planted = {1: (0.9, 0.5), 2: (0.4, 0.8), 3: (0.5, 0.8), 4: (0.1, 0.7), 5: (0.1, 1.0)}
    after: dict[int, dict[str, torch.Tensor]] = {}
    real = loop._Training._score

    def score(self: Any, indices: np.ndarray, epoch: int) -> tuple[float, float]:
        if indices is not self.inner:
            return real(self, indices, epoch)
        after[epoch] = weights(self.model)
        return planted[epoch]

    monkeypatch.setattr(loop._Training, "_score", score)
    model = make_model(data)
    epochs, fitted = train(model, data, {"epochs": 10, "patience": 2})
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4]
    assert fitted.chosen_epoch == 2
    assert equal(weights(model), after[2])
    assert not equal(weights(model), after[4])


def test_the_inner_split_comes_from_the_training_part_and_is_not_trained_on(
    compute: Compute, data: FoldData
) -> None:
    settings = options_from({"patience": 3, "inner_fraction": 0.25})
    training = loop._Training(make_model(data), data, settings, CPU, 0)
    assert np.array_equal(np.sort(np.concatenate([training.train, training.inner])), data.train)
    assert len(training.inner) == 18
    assert np.bincount(data.labels[training.inner]).tolist() == pytest.approx([6, 6, 6], abs=1)


def test_the_held_out_images_decide_nothing(compute: Compute, data: FoldData) -> None:
    """Other held-out labels change the reported figures and not one bit of the weights."""
    wrong = data.labels.copy()
    wrong[data.held_out] = (wrong[data.held_out] + 1) % 3
    found = []
    for labels in (data.labels, wrong):
        model = make_model(data)
        epochs, fitted = train(model, replace(data, labels=labels), {"epochs": 6, "patience": 2})
        found.append((weights(model), fitted.chosen_epoch, epochs[-1].validation_accuracy))
    assert equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    assert found[0][2] != found[1][2]


@pytest.mark.parametrize(
    ("evaluate", "scored"), [("every", [1, 2, 3, 4, 5, 6, 7]), ("sparse", [5, 7]), ("last", [7])]
)
def test_held_out_images_are_scored_after_the_epochs_that_are_asked_for(
    compute: Compute, data: FoldData, evaluate: str, scored: list[int]
) -> None:
    plain, model = make_model(data, dropout=0.2), make_model(data, dropout=0.2)
    train(plain, data, {"epochs": 7})
    epochs, _ = train(model, data, {"epochs": 7, "evaluate": evaluate})
    assert [epoch.epoch for epoch in epochs if not np.isnan(epoch.validation_loss)] == scored
    assert [epoch.epoch for epoch in epochs if not np.isnan(epoch.validation_accuracy)] == scored
    assert equal(weights(model), weights(plain))


def test_the_caller_may_stop_after_any_epoch_or_before_any_step(compute: Compute, data: FoldData) -> None:
    fitting = fit(make_model(data), data, options=Settings(), compute=CPU, seed=0)
    assert next(fitting).epoch == 1
    fitting.close()
    steps = iter(range(3))

    def stop_at_the_fourth_step() -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt

    settings = options_from({"batch_size": 16})
    with pytest.raises(KeyboardInterrupt):
        exhausted(
            fit(
                make_model(data),
                data,
                options=settings,
                compute=CPU,
                seed=0,
                before_step=stop_at_the_fourth_step,
            )
        )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough GPU memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_memory_that_does_not_suffice_ends_the_trial_only(
    compute: Compute, data: FoldData, error: Exception, message: str
) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(TrialError, match=message):
        train(make_model(data), data, {}, before_step=fail)


def test_other_errors_are_not_taken_for_lack_of_memory(compute: Compute, data: FoldData) -> None:
    def fail() -> None:
        raise RuntimeError("a shape is wrong")

    with pytest.raises(RuntimeError, match="a shape is wrong"):
        train(make_model(data), data, {}, before_step=fail)


def test_the_flat_map_of_a_study_reaches_the_three_groups_of_options() -> None:
    settings = options_from({"epochs": 7, "lr": 0.3, "flip": "none", "patience": None})
    assert (settings.train.epochs, settings.optim.lr, settings.augment.flip) == (7, 0.3, "none")
    assert options_from({}) == Settings()
    with pytest.raises(UsageError, match="did you mean 'epochs'"):
        options_from({"epoch": 7})


def test_the_catalog_and_the_dataclasses_name_the_same_options() -> None:
    groups = [getattr(Settings(), field.name) for field in fields(Settings) if field.name != "own"]
    defaults = {field.name: getattr(group, field.name) for group in groups for field in fields(group)}
    assert {name: option.default for name, option in catalog.train_options().items()} == defaults
