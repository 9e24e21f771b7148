"""The training loops of harness/docs/loops.md, copied from the page into a project: tuned, delivered and used."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.api import StartedStudy
from harness.cli import run
from harness.inference.model import load_trial_model
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

PAGE = Path(harness.__file__).parent / "docs" / "loops.md"
BLOCK = re.compile(r"^`((?:loops|studies)/\w+\.\w+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES: dict[str, str] = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
RUNNER = """\
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from harness.cli import run
for arguments in json.loads(sys.argv[1]):
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = run(arguments)
    print(json.dumps([code, out.getvalue() + err.getvalue()]), flush=True)
"""
SMALL = ["train.epochs=2", "train.batch_size=16", "model={name: resnet, depth: 1, width: 4}"]
FEW = ["search.trials=2", "cv.folds=2", "search.batch=2", "compute.precision=fp32"]


def tuned(name: str, changes: list[str]) -> StartedStudy:
    """The study of a loop of the page, which is copied into the current folder, run small."""
    for file in (f"loops/{name}.py", f"studies/{name}.yaml"):
        write(Path.cwd(), file, FILES[file])
    return harness.tune(f"studies/{name}.yaml", changes=changes, offline=True, progress=False, workers=1)


def test_the_page_has_loops_and_studies() -> None:
    names = ("plain", "hog_svm", "forest", "by_skorch")
    with_study = [file for name in names for file in (f"loops/{name}.py", f"studies/{name}.yaml")]
    assert [*FILES] == [*with_study, "loops/by_lightning.py", "loops/by_trainer.py"]
    for name, text in FILES.items():
        if name.endswith(".py"):
            compile(text, name, "exec")


@pytest.mark.parametrize(
    ("name", "changes", "least"),
    [
        pytest.param("hog_svm", FEW, 0.8, marks=pytest.mark.slow),
        pytest.param("plain", [*FEW, *SMALL], 0.2, marks=pytest.mark.slow),
        pytest.param("forest", [*FEW, "train.trees=[5, 20]"], 0.7, marks=pytest.mark.slow),
        pytest.param("by_skorch", [*FEW, *SMALL], 0.2, marks=pytest.mark.slow),
    ],
)
def test_a_loop_of_the_page_is_tuned_reproduced_and_used(
    project: Path, name: str, changes: list[str], least: float, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tuned(name, changes)
    assert set(study.trials["state"]) == {"complete"} and study.trials["mean"].max() > least
    assert len(study.trials["mean"].unique()) == 2, "the searched values reach the loop"
    assert set(study.source()) == {f"loops/{name}.py"}
    assert run(["reproduce", name]) == 0
    assert "BITWISE" in capsys.readouterr().out
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    before = study.model()(torch.from_numpy(images)).detach().numpy()
    assert run(["export", name, "--format", "safetensors", "--output", "delivered"]) == 0
    delivered = load_trial_model(Path("delivered"))
    assert np.allclose(delivered.predict(images), before, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["plain", "hog_svm"])
def test_a_loop_of_the_page_is_audited_tested_and_bundled(project: Path, tmp_path: Path, name: str) -> None:
    tuned(name, FEW)
    image = project / "digit.png"
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(image)

    def commands(*lines: list[str], folder: Path = project, expect: list[int]) -> list[str]:
        """What each says, of some that one process runs."""
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, json.dumps(lines)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [code for code, _ in found] == expect and "Traceback" not in str(found), found
        return [said for _, said in found]

    bundle, predict = str(tmp_path / "bundle.zip"), ["predict", name, str(image)]
    audited, tested, predicted, _ = commands(
        ["audit", name],
        ["final", name, "--top", "1"],
        predict,
        ["bundle", name, "--output", bundle],
        expect=[0] * 4,
    )
    assert re.search(r"^audit of trial \d+ passed: ", audited, re.MULTILINE) and "test accuracy" in tested
    row = predicted.splitlines()[1]
    assert row.startswith(str(image))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    _, refused = commands(
        ["bundle", "--import", bundle], ["reproduce", name], folder=elsewhere, expect=[0, 2]
    )
    assert "--trust-code" in refused
    export = ["export", name, "--output", "model.pt2", "--format", "pt2"]
    _, reproduced, again, exported = commands(
        ["bundle", "--import", bundle, "--trust-code"],
        ["reproduce", name],
        predict,
        export,
        folder=elsewhere,
        expect=[0, 0, 0, 2 if name == "hog_svm" else 0],
    )
    assert "BITWISE" in reproduced and row in again
    assert "only --format safetensors holds what it makes" in exported or name == "plain"
