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


OPTIMIZER = """
import torch
class optimizer(torch.optim.Optimizer):
    def __init__(self, params, lr, weight_decay=0.0, beta: float = 0.9):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "beta": beta, "count": 0})
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["count"] += 1
            for parameter in group["params"]:
                state = self.state[parameter]
                state.setdefault("step", 0)
                state["step"] += 1
                mean = state.setdefault("mean", torch.zeros_like(parameter))
                mean.lerp_(parameter.grad, 1 - group["beta"])
                scale = group["lr"] / (state["step"] * group["count"]) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(mean.sign(), alpha=-scale)
"""


def test_an_optimiser_is_given_groups_and_what_it_names(
    project: Path, compute: Compute, data: FoldData
) -> None:
    text = "import torch\ndef optimizer(params, lr, momentum, nesterov, weight_decay):\n"
    text += "    assert weight_decay == 0.01\n"
    text += "    return torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)"
    write(project, "optimizers/mine.py", text)
    values = {"weight_decay": 0.01, "momentum": 0.8}
    assert same(trained(data, {**values, "optimizer": "mine"}), trained(data, values))
    values = {"weight_decay": 0.01, "momentum": 0.0, "schedule": "constant"}
    mine, plain = trained(data, {**values, "optimizer": "torch.optim:SGD"}), trained(data, values)
    assert mine[0] == pytest.approx(plain[0], rel=1e-4), "torch's own is not fused"


def test_optimisers_of_torch_are_named_directly(project: Path, compute: Compute, data: FoldData) -> None:
    values = {"optimizer": "torch.optim:RMSprop", "lr": 0.001}
    losses, _ = trained(data, values)
    assert losses[-1] < losses[0]
    assert not same(trained(data, {**values, "alpha": 0.5}), trained(data, values))
    assert not same(trained(data, {**values, "momentum": 0.5}), trained(data, values))


def test_a_schedule_is_a_factor_on_the_learning_rate(project: Path, compute: Compute, data: FoldData) -> None:
    write(project, "schedules/mine.py", "def schedule(progress): return 1 - progress")
    write(project, "schedules/shape.py", "class shape:\n def __init__(self, by: float = 1.0): self.by = by\n"
          " def __call__(self, step, num_steps): return self.by * (1 - step / num_steps)")  # fmt: skip
    plain = trained(data, {"schedule": "linear"})
    assert same(trained(data, {"schedule": "mine"}), plain)
    assert same(trained(data, {"schedule": "./schedules/shape.py:shape"}), plain)
    assert not same(trained(data, {"schedule": "./schedules/shape.py:shape", "by": 0.5}), plain)
    warm = {"warmup_epochs": 1.0}
    assert same(trained(data, {"schedule": "mine", **warm}), trained(data, {"schedule": "linear", **warm}))


def test_a_schedule_counts_steps_and_epochs_from_0(project: Path, compute: Compute, data: FoldData) -> None:
    text = "def schedule(step, num_steps, epoch, num_epochs):\n"
    text += (
        "    assert (num_steps, num_epochs, epoch) == (15, 3, step // 5) and 0 <= step < 15\n    return 1.0"
    )
    write(project, "schedules/mine.py", text)
    assert same(trained(data, {"schedule": "mine"}), trained(data, {"schedule": "constant"}))


def test_a_factor_below_0_ends_the_trial(project: Path, compute: Compute, data: FoldData) -> None:
    write(project, "schedules/mine.py", "def schedule(epoch): return 1.0 - epoch")
    with pytest.raises(TrialError, match=r"schedules/mine.py:schedule gives -1.0 at step 10 of 15; a factor"):
        trained(data, {"schedule": "mine"})


@pytest.mark.slow
def test_an_augmentation_is_given_the_batch_or_its_images(
    project: Path, compute: Compute, data: FoldData
) -> None:
    text = """
def batch(images):
    assert images.shape[1:] == (3, 8, 8) and 0 <= images.min() and images.max() <= 1
    return images.flip(-1)
def single(image, *, twice: bool = False): return image if twice else image.flip(-1)
class Flip:
    def __call__(self, image): return image.flip(-1)
"""
    write(project, "changes.py", text)
    batch, *others = (
        trained(data, {"augment": name, **more})
        for name, more in (
            ("changes:batch", {}),
            ("changes:single", {}),
            ("changes:Flip", {}),
            ("torchvision.transforms.v2:RandomHorizontalFlip", {"p": 1.0}),
        )
    )
    assert all(same(batch, other) for other in others)
    unchanged = trained(data, {"augment": "changes:single", "twice": True})
    assert not same(batch, unchanged)
    assert unchanged[0] == pytest.approx(trained(data, {"augment": "none"})[0], rel=1e-4)


def test_what_an_augmentation_draws_depends_on_seed_epoch_and_batch_alone(
    project: Path, compute: Compute, data: FoldData, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "import torch\ndef augment(images):\n    print(torch.rand(()).item())\n    return images"
    write(project, "augmentations/mine.py", text)
    found = []
    for more in ({}, {"mix": "mixup", "lr": 0.01}):  # which draws from the same generator
        trained(data, {"augment": "mine", "epochs": 2, **more})
        found.append(capsys.readouterr().out.split())
    assert found[0] == found[1] and len(set(found[0])) == len(found[0]) == 10


RESUMED: dict[str, tuple[str, str, dict[str, Any]]] = {  # a file, its text, and values
    "loss": ("losses/mine.py", CROSS_ENTROPY + "import torch\ndef loss(logits, targets):\n"
             "    return cross_entropy(logits, targets) * (1 + torch.rand(()))", {}),
    "optimizer": ("optimizers/mine.py", OPTIMIZER, {"lr": 0.01}),
    "schedule": ("schedules/mine.py", "def schedule(step): return 1 / (1 + step)", {}),
    "augment": ("augmentations/mine.py", "import torch\ndef augment(images):\n"
                "    return images * torch.rand(len(images), 1, 1, 1)", {"mix": "mixup"}),
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
