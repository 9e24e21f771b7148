"""The code that trains a fold is part of its key: what counts, what does not, and what an edit does to a study."""

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import catalog
from harness.errors import CheckFailed
from harness.folds import code
from harness.folds.fold import FoldTask
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

ROOT = Path(__file__).parents[2]
UPDATE = "run `python -m tests.sources`, which proves that their bits are those of the table and enters them"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to edit."""
    ignored = shutil.ignore_patterns("__pycache__", "web")
    return Path(shutil.copytree(code.PACKAGE, tmp_path / "edited" / "harness", ignore=ignored))


def edit(package: Path, name: str, old: str, new: str) -> None:
    text = (package / name).read_text(encoding="utf-8")
    assert old in text
    (package / name).write_text(text.replace(old, new), encoding="utf-8")


def run(package: Path, script: str, *arguments: str) -> str:
    """What a script prints that runs with the copy."""
    path = os.pathsep.join([str(package.parent), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}, cwd=package.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("model", sorted(catalog.models()))
def test_the_table_knows_the_present_sources(model: str) -> None:
    assert {part for part in code.identity(model) if part != "model"} == set(), UPDATE
    assert code.identity(model) == {}, UPDATE


def test_comments_docstrings_and_layout_are_no_edit(tmp_path: Path) -> None:
    sources = {
        "plain": 'def f(x):\n    return x + 1\n\n\nclass A:\n    y = f"{f(1)!r:>{3}} b"\n',
        "other": '"""What it is."""\n# why\ndef f(x):  # so\n    """Adds."""\n    return (x +\n            1)\n'
        'class A:\n    "B"\n    y = f"{f(1)!r:>{3}} " "b"\n',
        "edited": 'def f(x):\n    return x + 2\n\n\nclass A:\n    y = f"{f(1)!r:>{3}} b"\n',
    }
    for name, text in sources.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    plain, other, edited = (code.source_hash(tmp_path / f"{name}.py") for name in sources)
    assert plain == other != edited


def test_the_hash_of_a_source_is_the_same_on_every_python(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(
        "from a import b\n\n\n@b\ndef f(x: int = 1, *, y=2.5) -> str:\n    return f'{x:>{y}}' * y\n"
    )
    assert code.source_hash(path) == "24f45ea74e5ba80a372e2ad0ba9828dfae1469c257bbf3c1956b00d1ae1a22cf"


def test_an_edit_of_a_model_is_one_for_its_folds_alone(package: Path) -> None:
    before = {model: code.hashes(model) for model in ("resnet", "simple_cnn")}
    edit(package, "models/resnet.py", "F.relu", "F.gelu")
    after = {model: code.hashes(model, package=package) for model in before}
    assert after["simple_cnn"] == before["simple_cnn"]
    assert after["resnet"]["training"] == before["resnet"]["training"]
    assert after["resnet"]["model"] != before["resnet"]["model"]


def test_the_key_of_a_fold_changes_with_its_code_and_is_the_old_one_with_that_of_a_release(
    package: Path,
) -> None:
    task = FoldTask({"model.name": "resnet"}, "d", "s", 2, 0, 0, {"device": "cpu"})
    assert "code" not in task.document() and FoldTask(**task.document()) == task
    assert replace(task, code=code.identity("resnet", package=package)).key() == task.key()
    edit(package, "models/resnet.py", "F.relu", "F.gelu")
    code.forget()
    edited = replace(task, code=code.identity("resnet", package=package))
    assert edited.key() != task.key() and list(edited.code) == ["model"]
    assert FoldTask(**json.loads(json.dumps(edited.document()))) == edited


def test_what_is_known_by_now_is_no_edit_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert code.canonical({"model": "f00"}, "resnet") == {"model": "f00"}
    table = {"models/resnet": {"f00": code.RECIPE, "f01": 3}}
    monkeypatch.setattr(code, "known_sources", lambda: table)
    assert code.canonical({"model": "f00"}, "resnet") == {}
    assert (
        code.canonical({"model": "f01"}, "resnet")
        == {"model": "3"}
        == code.canonical({"model": "3"}, "resnet")
    )


def test_a_process_does_not_train_what_other_code_is_to_train() -> None:
    code.require({}, "resnet")
    with pytest.raises(CheckFailed, match=r"harness/models/resnet\.py"):
        code.require({"model": "f00"}, "resnet")


@pytest.mark.slow
def test_all_that_a_training_loads_is_its_code_or_cannot_change_it(package: Path) -> None:
    script = """
import sys
from tests.sources.probe import outcomes
(outcome,) = outcomes([{"train.patience": 1, "train.mix": "mixup"}])
assert len(outcome["bits"]) == 64, outcome
files = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "harness"]
print("\\n".join(files))
"""
    loaded = {Path(name).relative_to(package).as_posix() for name in run(package, script).splitlines()}
    counted = {name for names in code.sources("resnet").values() for name in names}
    assert {name for name in loaded - counted if not code.is_irrelevant(name)} == set()
    assert {"training/loop.py", "models/resnet.py", "scoring/metrics.py", "data/folds.py"} <= loaded & counted


def test_what_cannot_change_a_fold_is_there_and_is_reached() -> None:
    for name in code.IRRELEVANT:
        assert (code.PACKAGE / name).exists(), f"{name} is gone; strike it out"
    assert code.third_party("timm_net") >= {"torch", "numpy", "timm"}


def test_libraries_that_compute_are_known_by_their_versions(project: Path) -> None:
    assert code.files_of((("objective", "sklearn.metrics:matthews_corrcoef"),)) == {}
    write(project, "losses/mine.py", "def loss(logits, targets):\n    from scipy.special import expit\n")
    write(project, "metrics/mine.py", "from sklearn.metrics import f1_score as score\n")
    assert "scipy" in code.third_party("resnet", (("train.loss", "mine"),))
    assert not {"scipy", "sklearn"} & code.third_party("resnet"), (
        "or all folds of before had another fingerprint"
    )
    assert set(code.files_of((("objective", "mine"),))) == {"metrics/mine.py"}


def test_what_decides_which_values_a_model_gets_is_code_of_a_training(package: Path) -> None:
    before = code.hashes("resnet")["training"]
    edit(package, "models/__init__.py", 'path.startswith(part + ".")', "path.startswith(part)")
    assert code.hashes("resnet", package=package)["training"] != before
    assert not any(name.endswith("/") for name in code.IRRELEVANT)  # whoever adds a file decides


def test_an_edit_is_told_by_file_and_function(package: Path) -> None:
    before = code.functions("resnet")
    assert code.edits(before, code.functions("resnet", package=package)) == []
    edited = {**before, "harness/models/resnet.py": {**before["harness/models/resnet.py"], "build": "other"}}
    assert code.edits(before, edited) == ["harness/models/resnet.py: function build changed"]


@pytest.mark.slow
def test_every_file_of_the_package_can_be_hashed() -> None:
    for path in code.PACKAGE.rglob("*.py"):
        assert code.source_hash(path) == code._hash(ast.parse(path.read_text(encoding="utf-8")))


TUNE = """
import sys
from pathlib import Path
from harness.errors import HarnessError
from tests.tuned_study import tune
try:
    store = tune(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
except HarnessError as error:
    sys.exit(print(error))
trials = store.read_trials(Path(sys.argv[1]).stem)
print(trials[0].folds[0], store.read_fold(trials[0].folds[0]).num_parameters, trials[0].mean)
"""
STUDY = """\
data: {name: digits, test_fraction: 0.8}
model: {name: mine}
train: {epochs: 1, batch_size: 64, lr: 0.1, augment: none, keep_models: none}
cv: {folds: 2}
search: {trials: 1, racing: none}
compute: {device: cpu, precision: fp32}
"""
LINEAR = '''\
"""A linear network."""
from torch import nn


def build(in_channels: int, image_size: int, num_classes: int, *, width: int = 8) -> nn.Module:
    """Pixels to logits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))
'''
TWO_LAYERS = LINEAR.replace(
    "image_size**2, num_classes)", "image_size**2, width), nn.ReLU(), nn.Linear(width, num_classes)"
)


@pytest.mark.slow
def test_a_rewritten_model_is_trained_again_and_a_study_that_has_begun_is_told(
    package: Path, tmp_path: Path
) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.yaml").write_text(STUDY, encoding="utf-8")
    first, second, home = str(tmp_path / "first.yaml"), str(tmp_path / "second.yaml"), str(tmp_path / "home")
    model = package / "models" / "mine.py"
    model.write_text(LINEAR, encoding="utf-8")
    linear = run(package, TUNE, first, home)
    model.write_text(
        LINEAR.replace("linear network", "network of one layer") + "\n# a comment\n", encoding="utf-8"
    )
    assert run(package, TUNE, first, home) == linear == run(package, TUNE, second, str(tmp_path / "other"))
    model.write_text(TWO_LAYERS, encoding="utf-8")
    refused = run(package, TUNE, first, home)
    assert "harness/models/mine.py: function build changed" in refused and "--as NAME" in refused
    layers = run(package, TUNE, second, home)
    assert linear.split()[1] == "650" and layers.split()[1] == "610"  # parameters
    assert layers.split()[0] != linear.split()[0]


@pytest.mark.slow
def test_an_edit_of_a_model_of_the_release_is_refused_and_goes_on_once_it_is_put_back(
    package: Path, tmp_path: Path
) -> None:
    path, home = tmp_path / "small.yaml", str(tmp_path / "home")
    path.write_text(STUDY.replace("mine", "resnet, depth: 1, width: 4"), encoding="utf-8")
    before = run(package, TUNE, str(path), home)
    edit(package, "models/resnet.py", "F.relu", "F.gelu")
    refused = run(package, TUNE, str(path), home)
    assert "harness/models/resnet.py: function" in refused and "changed" in refused
    edit(package, "models/resnet.py", "F.gelu", "F.relu")
    assert run(package, TUNE, str(path), home) == before
