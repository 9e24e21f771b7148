"""Training loops of the user's own that are wrong: one clear line each, before the first trial."""

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
    np.random.default_rng(0).integers(0, 256, (24, 3, 8, 8), dtype=np.uint8),
    np.arange(24) % 3,
    ("a", "b", "c"),
)
NETWORK = """
import random
import numpy as np
import torch
from torch.nn import functional as F

def fit(network, dataset, lr):
    optimizer = torch.optim.SGD(network.parameters(), lr)
    for epoch in range(2):
        for image, label in dataset:
            optimizer.zero_grad()
            F.cross_entropy(network(image[None]), torch.tensor([label])).backward()
            optimizer.step()
        yield {"loss": 1.0}
"""
OWN = """
import numpy as np

class Mean:
    def __init__(self, means):
        self.means = means
    def predict(self, images):
        near = -np.square(images.reshape(len(images), 1, -1) / 255.0 - self.means).sum(2)
        shares = np.exp(near - near.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)
    def state(self):
        return {"means": self.means}

def fit(images, labels, num_classes):
    flat = images.reshape(len(images), -1) / 255.0
    return Mean(np.stack([flat[labels == label].mean(0) for label in range(num_classes)]))

def restore(state):
    return Mean(state["means"])
"""
STEP = "            optimizer.step()\n"
YIELD = '        yield {"loss": 1.0}\n'
SHARES = "return shares / shares.sum(1, keepdims=True)"
WRONG_NETWORK = [
    ("(), lr)", "(), [lr] / 2)", "mine.py:8: TypeError: unsupported operand"),
    ("    optimizer =", "    raise SystemExit(0)\n    optimizer =", "mine.py:8: SystemExit: 0"),
    (STEP, "", "leaves the network as it was: every weight is the same after an epoch"),
    (
        YIELD,
        "        yield network\n",
        "yields a ResNet, where a map of loss, accuracy, lr may stand, or nothing; the",
    ),
    ('"loss"', '"los"', "says 'los' of an epoch; known are loss, accuracy, lr"),
    ("1.0}", "float('nan')}", "non-finite loss (nan) in the training loop mine"),
    (
        "(), lr)",
        "(), lr * np.random.default_rng().random())",
        "gives other predictions when it trains once more with",
    ),
    (
        YIELD,
        "        next(network.parameters()).data.fill_(1e38)\n" + YIELD,
        "non-finite loss on the held-out images after",
    ),
    ("lr):", "lr, epochs):", "yields more often than 1 times, the epochs that it was given"),
]
WRONG_OWN = [
    ("return Mean(np.stack", "return (np.stack", "gives a ndarray without a method predict"),
    ("    def state", "    def other", "gives a Mean without a method state"),
    ("def restore", "def other", "has no function restore beside it"),
    (
        '{"means": self.means}',
        '{"means": "much"}',
        "has in its state means of <U4; only arrays of numbers are kept",
    ),
    ('{"means": self.means}', "self.means", "has a state of the type ndarray, not arrays by name"),
    (SHARES, "return near", "predicts probabilities that are negative or no numbers"),
    (SHARES, "return shares * 7", "not probabilities"),
    (SHARES, "return shares.argmax(1)", "predicts an array of"),
    ('(state["means"])', '(state["means"] * 0)', "keeps something else than what predicts"),
    ("/ 255.0 - s", "/ 255.0 * len(images) - s", "predicts an image otherwise among others than alone"),
    (
        ".mean(0) for",
        ".mean(0) * np.random.default_rng().random() for",
        "gives other predictions when it trains once",
    ),
    (
        "        near =",
        "        self.means = self.means * 0.9\n        near =",
        "the same images otherwise the second time",
    ),
    ("import numpy as np", "import numpy as np\nimport not_to_be_found", "No module named 'not_to_be_found'"),
    ("    return Mean(np", "    images.sum(7)\n    return Mean(np", "mine.py:16: AxisError"),
]


def tried(text: str) -> None:
    """With one epoch where that is an argument, while NETWORK trains two."""
    write(Path.cwd(), "loops/mine.py", text)
    model = "model: {name: resnet, depth: 1, width: 4, norm: group}\n" * ("network" in text)
    raw = f"data: {{name: digits}}\n{model}train: {{loop: mine{', epochs: 1' * ('epochs)' in text)}}}\n"
    before = torch.get_rng_state()
    found = require_own_code(parse_study_file(raw.encode(), [], name="own", source="own.yaml"), IMAGES)
    assert found == [] and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("text", [NETWORK, OWN])
def test_a_loop_that_trains_is_let_through(project: Path, text: str) -> None:
    random_state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    tried(text)
    assert np.array_equal(np.random.get_state()[1], random_state)


def test_what_a_loop_draws_from_seeded_generators_is_let_through(project: Path) -> None:
    noise = "image = image + random.random() + np.random.rand() + torch.rand(1)"
    tried(NETWORK.replace("            optimizer.zero", f"            {noise}\n            optimizer.zero"))


def test_a_loop_may_end_with_other_weights_than_at_its_last_epoch(project: Path) -> None:
    tried(NETWORK + "    for weights in network.parameters():\n        weights.data *= 0.5\n")


def test_what_a_loop_prints_goes_to_stderr(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried(OWN.replace("    flat =", "    print('a word')\n    flat ="))
    out, err = capsys.readouterr()
    assert not out and "a word" in err


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [(NETWORK, *wrong) for wrong in WRONG_NETWORK] + [(OWN, *wrong) for wrong in WRONG_OWN],
)
def test_a_wrong_loop_is_one_line_before_the_first_trial(
    project: Path, text: str, old: str, new: str, said: str
) -> None:
    assert old in text
    with pytest.raises(StudyError) as refused:
        tried(text.replace(old, new))
    found = str(refused.value)
    assert said in found and len(found.splitlines()) <= 2, found
    assert found.count("training loop mine") <= 2
