"""A study's own code: what an edit does at every level, what is kept, and where it is found again."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness import models
from harness.analysis import bundle
from harness.analysis.diff import diff
from harness.analysis.reproduce import Reproduction, reproduce
from harness.config import plugins
from harness.config.study_file import Study, parse_study_file
from harness.errors import HarnessError, RecordError, UsageError
from harness.files import digest_of
from harness.folds import code, project
from harness.folds.train_folds import workplace_of
from harness.inference.export import save_model
from harness.inference.find_model import find_model
from harness.inference.model import load_trial_model
from harness.records import FoldRecord
from harness.store.loaded_study import LoadedStudy
from harness.store.model_files import FoldWeights, ModelDocument, write_document
from harness.store.store import Store
from harness.tuning import Settings, StudyEnded, tune
from tests.config.test_plugins import project as project_folder
from tests.config.test_plugins import write

__all__ = ["project_folder"]  # the fixture

MODEL = '''"""A linear classifier."""
from torch import nn
from parts.layers import head

SIZE = 1


def build(in_channels, image_size, num_classes):
    return nn.Sequential(nn.Flatten(), head(in_channels * image_size**2 * SIZE, num_classes))


def unused():
    return 1
'''
LAYERS = "from torch import nn\n\n\ndef head(size, num_classes):\n    return nn.Linear(size, num_classes)\n"
METRIC = "def score(labels, predictions):\n    return (labels == predictions).mean()\n"
STUDY = """
data: {name: digits, test_fraction: 0.8}
model: {name: mine}
train: {epochs: 1, batch_size: 64, augment: none, lr: [0.1, 0.01]}
cv: {folds: 2, duplicates: ignore}
search: {trials: 2, sampler: grid, racing: none}
objective: mine
"""


@pytest.fixture
def own(project_folder: Path) -> Path:
    """A project with a model, what it imports, and a metric."""
    write(project_folder, "models/mine.py", MODEL)
    write(project_folder, "parts/layers.py", LAYERS)
    write(project_folder, "metrics/mine.py", METRIC)
    write(project_folder, "parts/other.py", "SIZE = 2\n")
    return project_folder


def study(*overrides: str) -> Study:
    code.forget()
    return parse_study_file(STUDY.encode(), overrides, name="own", source="own.yaml")


def tuned(name: str = "own", *overrides: str) -> tuple[list[str], list[float]]:
    """The keys of a study's folds and the means of its trials."""
    for event in tune(study(*overrides), Settings(Path("mlruns"), workers=1, name=name, offline=True)):
        ended = event
    assert isinstance(ended, StudyEnded)
    return [key for trial in ended.trials for key in trial.folds], [
        trial.mean or 0.0 for trial in ended.trials
    ]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


LAYOUT = "(\n    size,\n    num_classes,\n):\n\n    return"
EDITS = {  # file, what stands there, what is put there, and whether it is another training
    "a constant of the model": ("models/mine.py", "SIZE = 1", "SIZE = 1 * 1", True),
    "a function of the model": ("models/mine.py", "nn.Flatten(), ", "nn.Flatten(), nn.Identity(), ", True),
    "what it imports from the project": (
        "parts/layers.py",
        "num_classes)\n",
        "num_classes, bias=False)\n",
        True,
    ),
    "a comment": ("models/mine.py", "SIZE = 1", "SIZE = 1  # of what", False),
    "a docstring": ("models/mine.py", '"""A linear classifier."""', '"""Linear."""', False),
    "layout": ("parts/layers.py", "(size, num_classes):\n    return", LAYOUT, False),
    "a file that it does not import": ("parts/other.py", "SIZE = 2", "SIZE = 3", False),
}


@pytest.mark.parametrize("what", EDITS)
def test_the_key_of_a_fold_changes_with_what_can_change_it(own: Path, what: str) -> None:
    file, old, new, is_other = EDITS[what]
    code.forget()
    before = code.identity("mine")
    edit(own / file, old, new)
    assert code.identity("mine") == before, "a process reads its sources once"
    code.forget()
    assert (code.identity("mine") != before) == is_other


def test_the_same_code_has_the_same_key_in_another_folder(own: Path, tmp_path: Path) -> None:
    code.forget()
    before = code.identity("mine")
    shutil.copytree(own, tmp_path / "elsewhere")
    code.use_project(tmp_path / "elsewhere")
    assert code.identity("mine") == before
    code.use_project(own)


@pytest.mark.slow
def test_what_edits_do_to_a_study(own: Path) -> None:
    keys, means = tuned()
    edit(own / "models/mine.py", "SIZE = 1", "SIZE = 1  # of what")
    assert tuned() == (keys, means), "a comment is no edit"
    assert tuned("again") == (keys, means), "and its folds are found"
    edit(own / "parts/layers.py", "nn.Linear(size, num_classes)", "nn.Linear(size, num_classes, bias=False)")
    with pytest.raises(UsageError) as refused:
        tuned()
    said = str(refused.value)
    assert "parts/layers.py: function head changed\n" in said and "--as NAME" in said
    assert "-    return nn.Linear(size, num_classes)\n" in said
    assert "+    return nn.Linear(size, num_classes, bias=False)\n" in said
    assert "tests.sources" not in said
    others, _ = tuned("other")
    assert not set(others) & set(keys)

    store = Store(Path("mlruns"))
    record = LoadedStudy.open(store, "own").record
    assert workplace_of(store, record).project == own / "mlruns/studies/own/sources"
    shutil.rmtree(own / "mlruns/studies/own/sources/parts")
    code.use_project(own)
    with pytest.raises(UsageError, match=r"what was kept of it in .* is not whole"):
        project.use_code_of(store, record)
    edit(own / "parts/layers.py", ", bias=False", "")
    code.forget()
    project.use_code_of(store, record)
    assert plugins.project() == own


@pytest.mark.slow
def test_folds_are_judged_anew_by_an_edited_metric_and_not_trained_again(own: Path) -> None:
    keys, means = tuned()
    edit(own / "metrics/mine.py", ".mean()", ".mean() / 2")
    with pytest.raises(UsageError, match=r"metrics/mine\.py: function score changed"):
        tuned()
    again, halves = tuned("halves")
    assert again == keys and halves == pytest.approx([mean / 2 for mean in means])
    folds = LoadedStudy.open(Store(Path("mlruns")), "halves").all_folds
    records = folds(LoadedStudy.open(Store(Path("mlruns")), "halves").trials[0])
    assert all(isinstance(fold, FoldRecord) and "mine" in fold.metrics for fold in records)


@pytest.mark.slow
def test_what_was_kept_is_run_only_if_it_is_what_the_study_began_with(own: Path) -> None:
    tuned()
    store = Store(Path("mlruns"))
    record = LoadedStudy.open(store, "own").record
    shutil.rmtree(own / "models")
    kept = own / "mlruns/studies/own/sources/models/mine.py"
    code.forget()
    edit(kept, "return 1", "return 2")
    with pytest.raises(UsageError, match="is not whole"):
        project.use_code_of(store, record)
    edit(kept, "return 2", "return 1")
    project.use_code_of(store, record)
    assert plugins.project() == own / "mlruns/studies/own/sources"
    code.use_project(own)
    (own / "mlruns/studies/own" / project.UNTRUSTED).touch()
    with pytest.raises(UsageError, match=r"somebody else's.*--trust-code"):
        project.use_code_of(store, record)
    assert plugins.project() == own


PARTS = {  # of a training: file, text, what stands there and what is put there
    "loss": (
        "losses/mine.py",
        "from torch.nn.functional import cross_entropy\nfrom parts.other import SIZE\n"
        "def loss(logits, targets, factor: float = 1.0): return factor * cross_entropy(logits, targets)\n",
        "factor * cross", "factor * 2 * cross",
    ),
    "optimizer": (
        "optimizers/mine.py",
        "import torch\nfrom parts.other import SIZE\n"
        "def optimizer(params, lr): return torch.optim.SGD(params, lr=lr, momentum=0.5)\n",
        "momentum=0.5", "momentum=0.6",
    ),
    "schedule": (
        "schedules/mine.py",
        "from parts.other import SIZE\ndef schedule(progress): return 1 - 0.5 * progress\n",
        "0.5 *", "0.9 *",
    ),
    "augment": (
        "augmentations/mine.py",
        "from parts.other import SIZE\ndef augment(images): return (images * 0.9).clamp(0, 1)\n",
        "0.9", "0.5",
    ),
    "loop": (
        "loops/mine.py",
        "import torch\nfrom torch.nn.functional import cross_entropy\nfrom torch.utils.data import DataLoader\n"
        "from parts.other import SIZE\ndef fit(network, dataset, lr):\n"
        "    optimizer = torch.optim.SGD(network.parameters(), lr)\n"
        "    for images, labels in DataLoader(dataset, 64):\n"
        "        optimizer.zero_grad()\n        cross_entropy(network(images), labels).backward()\n"
        "        optimizer.step()\n",
        "dataset, 64", "dataset, 32",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("choice", PARTS)
def test_an_edited_part_of_the_training_is_refused_and_trained_again_under_another_name(
    own: Path, choice: str
) -> None:
    file, text, old, new = PARTS[choice]
    write(own, file, text)
    named = f"train.{choice}=mine"
    if choice in ("augment", "loop"):  # which other options of the study do not fit
        rest = {"augment": "epochs: 1, batch_size: 64, ", "loop": ""}[choice]
        named = f"train={{{rest}{choice}: mine, lr: [0.1, 0.01]}}"
    function = "fit" if choice == "loop" else choice
    keys, means = tuned("own", named)
    (own / file).write_text("# what it is\n" + text, encoding="utf-8")
    assert tuned("own", named) == (keys, means), "a comment is no edit"
    edit(own / file, old, new)
    with pytest.raises(UsageError, match=rf"{file}: function {function} changed"):
        tuned("own", named)
    others, _ = tuned("other", named)
    assert not set(others) & set(keys)
    edit(own / "parts/other.py", "SIZE = 2", "SIZE = 3")
    with pytest.raises(UsageError, match=r"parts/other\.py: what stands outside of functions changed"):
        tuned("other", named)

    store = Store(Path("mlruns"))
    kept = own / "mlruns/studies/own/sources"
    assert (kept / file).is_file() and (kept / "parts/other.py").is_file()
    assert workplace_of(store, LoadedStudy.open(store, "own").record).project == kept
    *_, found = reproduce(LoadedStudy.open(store, "own"))
    assert isinstance(found, Reproduction) and found.verdict == "BITWISE"
    code.use_project(own)


def test_code_is_sent_as_its_files_and_has_the_same_key_where_it_arrives(own: Path, tmp_path: Path) -> None:
    code.forget()
    before = code.identity("mine")
    files = project.packed({"model.name": "mine"})
    assert set(files) == {"models/mine.py", "parts/layers.py"}
    shutil.rmtree(own / "models")
    project.use_packed(files, tmp_path / "node")
    assert code.identity("mine") == before
    code.use_project(own)


@pytest.mark.slow
def test_a_bundle_brings_code_that_runs_only_once_it_is_trusted(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned()
    bundle.write(LoadedStudy.open(Store(Path("mlruns")), "own"), tmp_path / "own.zip", with_images=False)
    store = Store(tmp_path / "theirs")
    record = bundle.read(store, tmp_path / "own.zip")
    assert set(bundle.sources(store, "own")) == {"metrics/mine.py", "models/mine.py", "parts/layers.py"}
    project.use_code_of(store, record)
    assert plugins.project() == own, "who has the same code needs none of the bundle's"
    (own / "models").rename(own / "nets")
    code.forget()
    with pytest.raises(UsageError, match=r"somebody else's.*--trust-code"):
        project.use_code_of(store, record)
    kept = tmp_path / "theirs/studies/own/sources"
    code.use_project(tmp_path)
    monkeypatch.setattr(plugins, "_wary", False)  # as another process, which has not looked at the study
    for name in (
        f"./{kept.relative_to(tmp_path)}/models/mine.py",
        "theirs.studies.own.sources.models.mine:build",
    ):
        with pytest.raises(UsageError, match="came from somebody else and has not been trusted"):
            plugins.find("model", name)
    code.use_project(own)
    bundle.read(store, tmp_path / "own.zip", trust_code=True)
    project.use_code_of(store, record)
    assert plugins.project() == kept


@pytest.mark.slow
def test_two_studies_differ_in_what_was_edited(own: Path) -> None:
    tuned()
    edit(own / "metrics/mine.py", ".mean()", ".mean() / 2")
    tuned("other")
    store = Store(Path("mlruns"))
    first, second = (LoadedStudy.open(store, name) for name in ("own", "other"))
    found = diff(first, second)
    assert [(one.section, one.what) for one in found.found if one.section in ("values", "data", "code")] == [
        ("code", "metrics/mine.py: score")
    ]
    assert [line for line in found.sources if line.startswith(("+ ", "- ")) and "return" in line] == [
        "-    return (labels == predictions).mean()",
        "+    return (labels == predictions).mean() / 2",
    ]
    assert diff(first, first).found == () == diff(first, first).sources


def test_records_of_somebody_else_choose_no_code(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr("torch.hub.load", lambda *_, **__: ran.append(1))
    monkeypatch.setattr(plugins, "_wary", False)
    write(own, "evil.py", "open('ran', 'w').close()\nbuild = print\n")
    project.beware_of(tmp_path)
    assert plugins.find("model", "torch.hub:load") is not None, "of one's own records any name is taken"
    (tmp_path / project.UNTRUSTED).touch()
    assert project.beware_of(tmp_path)
    for name in ("torch.hub:load", "evil:build", "./evil.py", "./evil.py:build"):
        with pytest.raises(UsageError, match="nobody has said that it may be run"):
            models.build(name, 1, 8, 2, {})
    assert plugins.find("model", "mine") is not None
    assert not ran and not (own / "ran").exists()


def test_a_model_folder_of_somebody_else_chooses_no_code(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_wary", False)
    (tmp_path / "model").mkdir()
    save_file({}, tmp_path / "model/fold0.safetensors")
    document = ModelDocument(
        study="theirs",
        trial=0,
        model={"name": "evil:build"},
        image_shape=(1, 8, 8),
        classes=("a", "b"),
        compute={"device": "cpu", "precision": "fp32", "channels_last": False, "threads": 1},
        temperature=None,
        folds=[
            FoldWeights(0, "fold0.safetensors", digest_of(tmp_path / "model/fold0.safetensors"), [0.0], [1.0])
        ],
    )
    write_document(tmp_path / "model", document)
    write(own, "evil.py", "open('ran', 'w').close()\nbuild = print\n")
    with pytest.raises(UsageError, match="HARNESS_TRUST_CODE=1 for a model"):
        load_trial_model(tmp_path / "model")
    assert not (own / "ran").exists() and not plugins._wary
    monkeypatch.setenv("HARNESS_TRUST_CODE", "1")
    with pytest.raises(HarnessError):
        load_trial_model(tmp_path / "model")
    assert (own / "ran").exists(), "the test would see it run"


@pytest.mark.slow
def test_a_model_folder_brings_its_code_and_runs_it_only_where_it_is_trusted(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_wary", False)
    tuned()
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)
    found = find_model(Store(Path("mlruns")), "own", "")
    expected = found.model.predict(images)
    folder = tmp_path / "model"
    save_model(folder, found.model, study="own", trial=0)
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    assert {"sources/models/mine.py", "sources/parts/layers.py"} <= kept
    assert np.array_equal(load_trial_model(folder).predict(images), expected), "the project's own is the same"
    write(own, "models/mine.py", MODEL.replace("return nn.Sequential(", "return nn.Sequential(nn.ReLU(), "))
    for place in (own, tmp_path):
        monkeypatch.chdir(place)
        code.use_current_folder()
        with pytest.raises(
            UsageError, match=r"its maker's own: look at .*sources, then set HARNESS_TRUST_CODE=1"
        ):
            load_trial_model(folder)
        with monkeypatch.context() as patch:
            patch.setenv("HARNESS_TRUST_CODE", "1")
            again = load_trial_model(folder)
        assert np.array_equal(again.predict(images), expected)
        assert set(again.sources) == {label.removeprefix("sources/") for label in kept}
        assert plugins.project() == place, "what is looked for afterwards is the project's"
    write(folder, "sources/parts/layers.py", LAYERS + "# ")
    monkeypatch.setenv("HARNESS_TRUST_CODE", "1")
    with pytest.raises(RecordError, match=r"layers\.py: damaged"):
        load_trial_model(folder)


def test_a_model_folder_s_sources_lead_nowhere_else(own: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.py").write_text("SECRET = 1\n", encoding="utf-8")
    folder = tmp_path / "model"
    (folder / "sources").mkdir(parents=True)
    for label in ("../../secret.py", str(tmp_path / "secret.py"), "missing.py"):
        for hashed in (digest_of(tmp_path / "secret.py"), ""):
            with (
                pytest.raises(RecordError, match="does not match its hash"),
                project.code_of_model(folder, {"name": "resnet"}, {label: hashed}, is_trusted=True),
            ):
                pass


def test_a_model_of_the_users_own_may_have_the_name_of_harness_s_wherever_it_is_loaded(
    own: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    write(folder, "sources/models/resnet.py", MODEL)
    write(folder, "sources/parts/layers.py", LAYERS)
    labels = ("models/resnet.py", "parts/layers.py")
    sources = {label: digest_of(folder / "sources" / label) for label in labels}
    with project.code_of_model(folder, {"name": "resnet"}, sources, is_trusted=True):
        assert type(models.build("resnet", 1, 8, 2, {})).__name__ == "Sequential"
    with (
        pytest.raises(UsageError, match="its maker's own"),
        project.code_of_model(folder, {"name": "resnet"}, sources, is_trusted=False),
    ):
        pass
    write(own, "models/simple_cnn.py", MODEL)
    with project.code_of_model(folder, {"name": "simple_cnn"}, sources, is_trusted=False):
        assert plugins.find("model", "simple_cnn") is None, "the study had harness's"
    assert plugins.find("model", "simple_cnn") is not None
