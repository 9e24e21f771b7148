"""The peer is read right; the rest needs a GPU."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.benchmarks import card_training

PEER = """
import pathlib
import time
assert pathlib.Path("cifar10/train.pt").exists() and pathlib.Path("cifar10/test.pt").exists()
print("|  run     |  epoch  |  train_acc  |  val_acc  |  tta_val_acc  |  time_seconds  |")
print("|  warmup  |      0  |     0.1000  |   0.1000  |               |        9.0000  |")
print("|          |   eval  |     0.1000  |   0.1000  |       0.1000  |        9.5000  |")
print("|       0  |      0  |     0.5000  |   0.6000  |               |        0.3000  |")
print("|          |   eval  |     0.9000  |   0.9300  |       0.9400  |        2.5000  |", flush=True)
time.sleep(600)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, count in (("train", 2), ("test", 1)):
        for name in ("cat", "dog"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def test_the_peer_finds_the_images_that_it_would_have_downloaded(root: Path, tmp_path: Path) -> None:
    card_training.keep(root, tmp_path / "kept")
    for part, count in (("train", 4), ("test", 2)):
        data = torch.load(tmp_path / "kept" / f"{part}.pt")
        assert data["images"].shape == (count, 32, 32, 3) and data["images"].dtype == torch.uint8
        assert data["labels"].tolist() == sorted(data["labels"].tolist()) and data["classes"] == [
            "cat",
            "dog",
        ]


def test_the_peer_s_first_run_after_its_warm_up_counts(root: Path, tmp_path: Path) -> None:
    (tmp_path / "airbench94_muon.py").write_text(PEER)
    options = argparse.Namespace(root=root, airbench=tmp_path / "airbench94_muon.py", device="cuda")
    assert card_training.airbench(options).figures == {"seconds": 2.5, "accuracy": 0.94}


def test_a_peer_that_ends_early_is_told() -> None:
    with pytest.raises(RuntimeError, match="ended early: no GPU"):
        card_training._until_first_run(["no GPU"])


def test_a_rehearsal_changes_the_peer_where_it_names_the_gpu() -> None:
    text = (
        "import torch\nfrom torch import nn\n@torch.compile\ndef f(x):\n    return x.half()\n"
        'a = torch.device("cuda"); t = torch.cuda.Event(enable_timing=True); t.record(); torch.cuda.synchronize()\n'
        'model = nn.Linear(2, 2).cuda()\nmodel.compile(mode="max-autotune")\nprint(f(torch.ones(1)).dtype, a)\n'
    )
    changed = card_training.for_the_processor(text)
    assert "cuda" not in changed and "compile" not in changed
    exec(compile(changed, "peer", "exec"), {"__name__": "peer"})
