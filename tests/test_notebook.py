"""A notebook that tunes a network and a metric of its own cells: one process or two, an edit, a model in use."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

IMPORTS = """
import numpy as np
import torch
from torch import nn
import harness
"""
MODEL = '''
WIDTHS = {"narrow": 4, "wide": 8}

def block(size, width):
    return nn.Sequential(nn.Linear(size, width), nn.ReLU())

class Net(nn.Module):
    """Two layers."""

    def __init__(self, in_channels, image_size, num_classes, kind: str = "narrow"):
        super().__init__()
        width = WIDTHS[kind]
        first = block(in_channels * image_size**2, width)
        self.body = nn.Sequential(nn.Flatten(), first, nn.Linear(width, num_classes))

    def forward(self, x):
        return self.body(x)
'''
METRIC = """
def share_right(labels, predictions):
    return np.mean(labels == predictions)
"""
TUNE = """
STUDY = {
    "data": {"name": "digits", "test_fraction": 0.8},
    "model": {"kind": ("narrow", "wide")},
    "train": {"epochs": 1, "augment": "none", "batch_size": 32, "lr": 0.1},
    "cv": {"folds": 2, "duplicates": "ignore"},
    "search": {"trials": 2, "sampler": "grid", "racing": "none"},
}

def tune(name, workers=1):
    given = {"model": Net, "metric": share_right}
    return harness.tune(STUDY, **given, name=name, workers=workers, offline=True, progress=False)

one, two = tune("one"), tune("two", workers=2)
assert list(one.folds["key"]) == list(two.folds["key"]) and set(one.trials["state"]) == {"complete"}
assert list(one.source()) == ["main/Net.py", "main/share_right.py"]
"""
SAME = """
tune("one")
"""
REFUSED = """
try:
    tune("one")
except harness.errors.UsageError as error:
    said = str(error)
print(said)
"""
IN_USE = """
edited = tune("edited", workers=2)
loaded = harness.load_study("one")
images = np.random.default_rng(0).random((3, 8, 8))
frame = loaded.predict(images)
assert len(frame) == 3 and isinstance(loaded.model().portable.networks[0].body[1][1], nn.ReLU)
assert isinstance(edited.model().portable.networks[0].body[1][1], nn.Tanh)
edited.model()(torch.rand(2, 1, 8, 8)).shape
"""


def ran(folder: Path, *cells: str) -> list[str]:
    """What each cell of a notebook prints and gives, when it is run in that folder."""
    path = folder / "study.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [
        "".join(
            output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
        )
        for cell in notebook.cells
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_notebook_tunes_what_its_cells_define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    commented = MODEL.replace("width = WIDTHS[kind]", "width = WIDTHS[kind]  # of the middle")
    edited = MODEL.replace("nn.ReLU()", "nn.Tanh()")
    outputs = ran(tmp_path, IMPORTS, MODEL, METRIC, TUNE, commented, SAME, edited, REFUSED, IN_USE)
    assert "main/Net.py: function block changed" in outputs[7] and "--as NAME" in outputs[7]
    assert "-    return nn.Sequential(nn.Linear(size, width), nn.ReLU())" in outputs[7]
    assert outputs[8] == "torch.Size([2, 10])"
