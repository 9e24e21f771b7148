"""A training's own parts that are wrong: one clear line each, before the first trial."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.config.study_file import parse_study_file
from harness.data.images import Images
from harness.errors import StudyError
from harness.search.own_contract import require_own_code
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

IMAGES = Images(
    np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8),
    np.arange(12) % 3,
    ("a", "b", "c"),
)
FILES = {"loss": "losses/mine.py", "optimizer": "optimizers/mine.py", "schedule": "schedules/mine.py",
         "augment": "augmentations/mine.py"}  # fmt: skip


def tried(train: str) -> list[str]:
    raw = (
        f"data: {{name: digits}}\nmodel: {{name: resnet, depth: 1, width: 4}}\ntrain: {{epochs: 2, {train}}}"
    )
    return require_own_code(parse_study_file(raw.encode(), [], name="own", source="own.yaml"), IMAGES)


@dataclass(frozen=True)
class Wrong:
    """A file that is wrong, and what is said of it.   train: the rest of the section."""

    choice: str
    text: str
    said: str
    train: str = "lr: 0.1"


OPTIMIZER = """
import torch
class optimizer(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.count = 0
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(parameter.grad, alpha=-group["lr"])
"""
SGD = "import torch\ndef optimizer(params, lr):\n    "
AUGMENT = "import torch\ndef augment(images):\n    "
SCHEDULE = "def schedule(progress, step):\n    "
LOSS = "def loss(logits, targets):\n    "
WRONG = {
    "a loss that is nan": Wrong("loss", LOSS + "return logits.sum() * float('nan')",
        "loss mine: losses/mine.py:loss gives nan for logits and labels of 2 images"),
    "a loss without a gradient": Wrong("loss", LOSS + "return logits.detach().sum()",
        "loss mine: losses/mine.py:loss gives a loss without a gradient"),
    "a loss that no logit reaches": Wrong("loss", LOSS + "return (logits * 0).sum()", "no gradient reaches the logits"),
    "a loss whose gradient is endless": Wrong("loss", LOSS + "return (logits * 0).sqrt().sum()",
        "gives a loss whose gradient is not finite"),
    "a loss that is a number": Wrong("loss", LOSS + "return 1.0", "gives float for 2 images; a loss is one number"),
    "a loss for each logit": Wrong("loss", LOSS + "return logits", "gives a tensor of (2, 3) for 2 images"),
    "a loss that raises": Wrong("loss", LOSS + "raise ValueError('no\\nway')", "losses/mine.py:2: ValueError: no way"),
    "a loss that knows no shares": Wrong("loss", LOSS + "return logits[range(len(targets)), targets].sum()",
        "losses/mine.py:2: IndexError", "mix: mixup"),
    "a loss that learns": Wrong("loss", "from torch import nn\nclass loss(nn.Module):\n def __init__(self):\n"
        "  super().__init__()\n  self.more = nn.Linear(1, 1)\n def forward(self, x, y): return x.sum()",
        "has parameters, which no optimiser is given"),
    "a loss that takes no smoothing": Wrong("loss", LOSS + "return logits.sum()", "takes no label_smoothing",
        "label_smoothing: 0.1"),
    "a loss that takes no weights": Wrong("loss", LOSS + "return logits.sum()", "takes no weight, which train.class",
        "class_weights: balanced"),
    "no optimiser": Wrong("optimizer", "def optimizer(params, lr): return 3",
        "optimiser mine: optimizers/mine.py:optimizer gives a int, not a torch.optim.Optimizer"),
    "an optimiser of other groups": Wrong("optimizer", SGD + "return torch.optim.SGD([p for group in params "
        "for p in group['params']], lr=lr)", "makes other groups of `params`"),
    "an optimiser that does nothing": Wrong("optimizer", OPTIMIZER.replace('-group["lr"]', "0"), "changes no weight"),
    "an optimiser that reads no lr": Wrong("optimizer", OPTIMIZER.replace('-group["lr"]', "-0.1"),
        "does not read lr of its groups"),
    "an optimiser that forgets": Wrong("optimizer", OPTIMIZER.replace("for parameter in", "self.count += 1\n"
        "            for parameter in").replace('-group["lr"]', '-group["lr"] / self.count'),
        "goes on with other bits after a checkpoint"),
    "an optimiser with a list for its state": Wrong("optimizer", OPTIMIZER.replace("parameter.add_(parameter.grad",
        "self.state[parameter].setdefault('all', []).append(parameter.grad.clone())\n"
        "                parameter.add_(sum(self.state[parameter]['all'])"), "after a checkpoint"),
    "an optimiser that wants a closure": Wrong("optimizer", "from torch.optim import LBFGS as optimizer",
        "LBFGS doesn't support per-parameter options"),
    "an optimiser that explodes": Wrong("optimizer", OPTIMIZER.replace('-group["lr"]', '-group["lr"] * 1e999'),
        "weights that are not finite"),
    "an optimiser that raises": Wrong("optimizer", SGD + "raise KeyError('why')", "optimizers/mine.py:3: KeyError"),
    "an augmentation of another shape": Wrong("augment", AUGMENT + "return images[:, :, :4]",
        "augmentation mine: augmentations/mine.py:augment makes (2, 3, 4, 8) torch.float32 of images (2, 3, 8, 8)"),
    "an augmentation of another type": Wrong("augment", AUGMENT + "return images.double()", "torch.float64 of images"),
    "an augmentation of numpy": Wrong("augment", AUGMENT + "return images.numpy()", "gives a ndarray for images"),
    "an augmentation that is nan": Wrong("augment", AUGMENT + "return images / 0", "makes pixels that are not finite"),
    "an augmentation that rolls other dice": Wrong("augment", "import random\n" + AUGMENT
        + "return images * random.random()", "draw by torch's generator"),
    "an augmentation that raises": Wrong("augment", AUGMENT + "return images[9]", "mine.py:3: IndexError"),
    "an augmentation of nothing": Wrong("augment", "def augment(lr=0.1): return 1", "takes neither images"),
    "a schedule that is nan": Wrong("schedule", SCHEDULE + "return float('nan')",
        "schedule mine: schedules/mine.py:schedule gives nan at step 0 of"),
    "a schedule that ends below 0": Wrong("schedule", SCHEDULE + "return 0.4 - progress", "; a factor on lr is finite"),
    "a schedule of nothing": Wrong("schedule", SCHEDULE + "return None", "TypeError"),
    "a schedule that raises": Wrong("schedule", SCHEDULE + "return 1 / step", "schedules/mine.py:2: ZeroDivisionError"),
    "a schedule that is 0": Wrong("schedule", SCHEDULE + "return 0", "gives 0 at every step"),
    "a schedule that rolls dice": Wrong("schedule", "import random\n" + SCHEDULE + "return random.random()",
        "gives another factor the second time"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_before_the_first_trial(project: Path, what: str) -> None:
    wrong = WRONG[what]
    write(project, FILES[wrong.choice], wrong.text)
    before = torch.get_rng_state()
    with pytest.raises(StudyError) as refused:
        tried(f"{wrong.choice}: mine, {wrong.train}")
    said = str(refused.value)
    assert said.startswith(f"own.yaml: 1 problem\n  train.{wrong.choice}   ") and wrong.said in said, said
    assert len(said.splitlines()) == 2
    assert torch.equal(torch.get_rng_state(), before)


RIGHT = {
    "a loss of shares": ("loss", "import torch\ndef loss(logits, targets): return -(logits.log_softmax(1) * targets)"
        ".sum(1) if targets.ndim == 2 else torch.nn.functional.cross_entropy(logits, targets)", "mix: [none, mixup]"),
    "a loss of torch": ("loss", "from torch.nn import MultiMarginLoss as loss", "lr: 0.1"),
    "an optimiser": ("optimizer", OPTIMIZER, "lr: 0.1"),
    "one of torch": ("optimizer", "from torch.optim import Adamax as optimizer", "lr: 0.2, weight_decay: 0.01"),
    "an augmentation for each image": ("augment", "import torch\n"
        "def augment(image, by: float = 0.5): return image + by * torch.rand_like(image)", "lr: 0.1"),
    "one of torchvision": ("augment", "from torchvision.transforms.v2 import RandomErasing as augment", "p: 1.0"),
    "a factor above 1": ("schedule", "def schedule(epoch): return 3 - epoch", "lr: 0.1"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_is_not_refused(project: Path, what: str) -> None:
    choice, text, train = RIGHT[what]
    write(project, FILES[choice], text)
    assert tried(f"{choice}: mine, {train}") == []


def test_another_default_than_harness_s_is_warned_of(project: Path) -> None:
    write(project, "losses/mine.py", "def loss(logits, targets, lr=0.5): return logits.sum()")
    assert tried("loss: mine, lr: 0.2") == []
    assert tried("loss: mine") == [
        "train.lr is 0.1, harness's default, where losses/mine.py:loss has 0.5; name the one that you want"
    ]
