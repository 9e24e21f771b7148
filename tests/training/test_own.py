"""Trainings with parts of the user's own: what these are given, and that the same inputs still give the same bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import TrialError, UsageError
from harness.training import Compute, FoldData, options_from
from tests.config.test_plugins import project, write
from tests.training.conftest import equal, make_model, train, weights

__all__ = ["project"]  # the fixture

CROSS_ENTROPY = "from torch.nn.functional import cross_entropy\n"


def trained(
    data: FoldData, values: dict[str, Any], **more: Any
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """The losses of a training's epochs, and its weights."""
    model = make_model(data)
    epochs, _ = train(model, data, values, **more)
    return [epoch.train_loss for epoch in epochs], weights(model)


def same(first: Any, second: Any) -> bool:
    return first[0] == second[0] and equal(first[1], second[1])


@pytest.mark.parametrize(
    "text",
    [
        "def loss(logits, targets): return cross_entropy(logits, targets)",
        "def loss(input, target): return cross_entropy(input, target)",
        "from torch.nn import CrossEntropyLoss\nclass loss(CrossEntropyLoss):\n def __init__(self): super().__init__()",
        "class loss:\n def __call__(self, logits, targets): return cross_entropy(logits, targets)",
    ],
)
def test_a_loss_of_one_s_own_that_is_cross_entropy_gives_its_bits(
    project: Path, compute: Compute, data: FoldData, text: str
) -> None:
    write(project, "losses/mine.py", CROSS_ENTROPY + text)
    assert same(trained(data, {"loss": "mine"}), trained(data, {}))


def test_a_loss_for_each_image_is_averaged(project: Path, compute: Compute, data: FoldData) -> None:
    text = "def loss(logits, targets): return cross_entropy(logits, targets, reduction='none')"
    write(project, "losses/mine.py", CROSS_ENTROPY + text)
    assert trained(data, {"loss": "mine"})[0] == pytest.approx(trained(data, {})[0], rel=1e-5)


def test_a_loss_is_given_what_it_names(project: Path, compute: Compute, data: FoldData) -> None:
    text = """
def loss(logits, targets, weight, label_smoothing, lr, factor: float = 1.0):
    assert lr == 0.05
    return factor * cross_entropy(logits, targets, weight=weight, label_smoothing=label_smoothing)
"""
    write(project, "losses/mine.py", CROSS_ENTROPY + text)
    values = {"label_smoothing": 0.1, "class_weights": "balanced"}
    plain = trained(data, values)
    assert same(trained(data, {**values, "loss": "mine"}), plain)
    assert not same(trained(data, {**values, "loss": "mine", "factor": 2.0}), plain)
    for name in ("torch.nn:CrossEntropyLoss", "torch.nn.functional:cross_entropy"):
        assert same(trained(data, {**values, "loss": name}), plain)


def test_the_loss_on_held_out_images_stays_cross_entropy(
    project: Path, compute: Compute, data: FoldData
) -> None:
    write(project, "losses/mine.py", "def loss(logits, targets): return (logits * 0).sum(1) - 1")
    epochs, _ = train(make_model(data), data, {"loss": "mine", "epochs": 1})
    assert epochs[0].train_loss == -1 and epochs[0].validation_loss > 0


@pytest.mark.parametrize("mix", ["none", "mixup"])
def test_a_loss_is_given_labels_or_shares(project: Path, compute: Compute, data: FoldData, mix: str) -> None:
    shape = "(len(logits), 3)" if mix == "mixup" else "(len(logits),)"
    text = f"def loss(x, y):\n    assert y.shape == {shape}\n    return cross_entropy(x, y)"
    text = text.replace("x, y", "logits, targets").replace("y.shape", "targets.shape")
    write(project, "losses/mine.py", CROSS_ENTROPY + text)
    values = {"mix": mix, "epochs": 1, "augment": "standard"}
    assert same(trained(data, {**values, "loss": "mine"}), trained(data, values))


def test_a_loss_that_is_none_ends_the_trial(project: Path, compute: Compute, data: FoldData) -> None:
    write(project, "losses/mine.py", "def loss(logits, targets): return logits")
    with pytest.raises(
        TrialError, match=r"loss mine: losses/mine.py:loss gives a tensor of \(16, 3\) for 16 images"
    ):
        trained(data, {"loss": "mine"})


def test_code_that_is_gone_is_not_harness_s(project: Path, compute: Compute, data: FoldData) -> None:
    with pytest.raises(UsageError, match="there is no loss 'gone' any more"):
        trained(data, {"loss": "gone"})
    with pytest.raises(UsageError, match="unknown train option 'factor'"):
        options_from({"factor": 1.0})


RESUMED: dict[str, tuple[str, str, dict[str, Any]]] = {  # a file, its text, and values
    "loss": ("losses/mine.py", CROSS_ENTROPY + "import torch\ndef loss(logits, targets):\n"
             "    return cross_entropy(logits, targets) * (1 + torch.rand(()))", {}),
}  # fmt: skip


@pytest.mark.parametrize("choice", RESUMED)
def test_a_resumed_training_ends_with_the_same_bits(
    project: Path, compute: Compute, data: FoldData, tmp_path: Path, choice: str
) -> None:
    file, text, values = RESUMED[choice]
    write(project, file, text)
    values = {choice: "mine", **values}
    whole = trained(data, values)

    def end_at(step: int) -> Callable[[], None]:
        steps = iter(range(step))

        def before_step() -> None:
            if next(steps, None) is None:
                raise KeyboardInterrupt

        return before_step

    with pytest.raises(KeyboardInterrupt):
        trained(data, values, checkpoint=tmp_path / "state", before_step=end_at(7))
    assert (tmp_path / "state").is_file()
    assert same(trained(data, values, checkpoint=tmp_path / "state"), whole)
    assert not same(trained(data, {}), whole)
