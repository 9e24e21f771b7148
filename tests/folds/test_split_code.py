"""A study's own split maker: kept with it, judged by its folds, asked again for a confirmation, and never to train."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from harness.analysis import bundle
from harness.analysis.confirm import confirm
from harness.analysis.diff import diff
from harness.analysis.reproduce import Reproduction, reproduce
from harness.config import plugins
from harness.config.study_file import Study, parse_study_file
from harness.data.split import Manifest
from harness.errors import UsageError
from harness.folds import code, project
from harness.search.checking import answered
from harness.store.findings import Confirmation
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.tuning import Settings, StudyEnded, tune
from tests.config.test_plugins import project as project_folder
from tests.config.test_plugins import write

__all__ = ["project_folder"]  # the fixture

SPLIT = '''"""Deals groups out by chance."""
import numpy as np
from parts.other import SIZE


def split(groups, num_folds, seed, *, shift: int = 0):
    drawn = np.random.default_rng(seed).permutation(groups.max() + 1)
    return (drawn[groups] * SIZE + shift) % num_folds
'''
STUDY = """
data: {name: digits, test_fraction: 0.8}
model: {name: simple_cnn, width: 4}
train: {epochs: 1, batch_size: 64, augment: none}
cv: {folds: 2, duplicates: ignore, split: mine}
search: {trials: 1, racing: none}
"""


@pytest.fixture
def own(project_folder: Path) -> Path:
    """A project with a split maker, and what it imports."""
    write(project_folder, "splits/mine.py", SPLIT)
    write(project_folder, "parts/other.py", "SIZE = 1\n")
    return project_folder


def study(*overrides: str) -> Study:
    code.forget()
    return parse_study_file(STUDY.encode(), overrides, name="own", source="own.yaml")


def tuned(name: str = "own", *overrides: str) -> list[str]:
    """The keys of a study's folds."""
    for event in tune(study(*overrides), Settings(Path("mlruns"), workers=1, name=name, offline=True)):
        ended = event
    assert isinstance(ended, StudyEnded)
    return [key for trial in ended.trials for key in trial.folds]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def opened(name: str = "own") -> LoadedStudy:
    return LoadedStudy.open(Store(Path("mlruns")), name)


def confirmed(name: str = "own", repeats: int = 1) -> Confirmation:
    *_, found = confirm(opened(name), top=1, repeats=repeats)
    assert isinstance(found, Confirmation)
    return found


@pytest.mark.slow
def test_what_edits_do_to_a_study(own: Path) -> None:
    keys = tuned()
    kept = own / "mlruns/studies/own/sources"
    assert (kept / "splits/mine.py").is_file() and (kept / "parts/other.py").is_file()
    edit(own / "splits/mine.py", "* SIZE", "* SIZE * 1")
    assert tuned() == keys, "an edit that deals the same folds goes on"
    assert tuned("again") == keys, "and is no part of their keys"
    edit(own / "parts/other.py", "SIZE = 1", "SIZE = 3")
    assert tuned() == keys, "as 3 is odd"
    edit(own / "splits/mine.py", "default_rng(seed)", "default_rng(seed + 1)")
    with pytest.raises(UsageError) as refused:
        tuned()
    said = str(refused.value)
    lines = said.splitlines()
    assert lines[0] == "study own has changed since it began:"
    assert lines[1].startswith("  cv.split   deals ") and lines[1].endswith(" of 359 images to other folds")
    assert lines[2:4] == [
        "  parts/other.py: what stands outside of functions changed",
        "  splits/mine.py: function split changed",
    ]
    assert "+    drawn = np.random.default_rng(seed + 1)" in said
    assert said.endswith("put it back to go on, or run it as a new study with --as NAME")
    assert not set(tuned("other")) & set(keys)

    found = diff(opened(), opened("other"))
    assert {(one.section, one.what) for one in found.found if one.section in ("data", "code")} == {
        ("data", "split"), ("code", "splits/mine.py: split"), ("code", "parts/other.py: <module>"),
    }  # fmt: skip
    assert "+SIZE = 3" in found.sources

    assert not confirmed().has_same_folds
    assert plugins.project() == kept, "a confirmation deals by the split maker that the study began with"
    new = Manifest.load(own / "mlruns/studies/own/confirm/split0.npz")
    old = Manifest.load(own / "mlruns/studies/own/split.npz")
    code.use_project(own)
    edit(own / "splits/mine.py", "default_rng(seed + 1)", "default_rng(seed)")
    edit(own / "parts/other.py", "SIZE = 3", "SIZE = 1")
    code.forget()
    assert (confirmed().of(0).scores, plugins.project()) == (confirmed().of(0).scores, kept)
    again = Manifest.load(own / "mlruns/studies/own/confirm/split0.npz")
    assert again.hash == new.hash and (new.fold_of != old.fold_of).any()
    code.use_project(own)


@pytest.mark.slow
def test_a_split_in_which_nothing_is_drawn_is_confirmed_on_its_own_folds(own: Path) -> None:
    write(own, "splits/mine.py", "def split(groups, num_folds): return groups % num_folds")
    tuned()
    found = confirmed(repeats=2)
    assert found.has_same_folds and found.variance is not None
    assert found.variance.components.share["split"] is None
    assert found.variance.components.share["initialisation"] is not None
    first = found.of(0)
    means = np.mean(
        first.scores, axis=0
    )  # of each fold over the seeds: two scores, not four, with the weight of six
    assert first.confirmed_half_width is not None
    assert first.confirmed_half_width / first.confirmed_standard_error == pytest.approx(t.ppf(0.975, 6 + 1))
    assert first.confirmed_standard_error >= np.sqrt((1 / 2 + 1) * means.var(ddof=1) / 7)
    assert opened().finding(Confirmation) == found


@pytest.mark.slow
def test_a_bundle_is_reproduced_without_its_split_maker(own: Path, tmp_path: Path) -> None:
    write(own, "dealing.py", SPLIT)
    tuned("own", "cv.split=./dealing.py")
    bundle.write(opened(), tmp_path / "own.zip", with_images=False)
    store = Store(tmp_path / "theirs")
    bundle.read(store, tmp_path / "own.zip")
    assert set(bundle.sources(store, "own")) == {"dealing.py", "parts/other.py"}
    shutil.rmtree(own / "parts")
    (own / "dealing.py").unlink()
    code.forget()
    theirs = LoadedStudy.open(store, "own")
    *_, found = reproduce(theirs)
    assert isinstance(found, Reproduction) and found.verdict == "BITWISE"
    with pytest.raises(UsageError, match=r"somebody else's.*--trust-code"):
        list(confirm(theirs, top=1))
    bundle.read(store, tmp_path / "own.zip", trust_code=True)
    plugins.be_wary(False)
    *_, confirmation = confirm(theirs, top=1)
    assert isinstance(confirmation, Confirmation)
    code.use_project(own)


def test_check_says_what_is_wrong_and_what_is_uneven(own: Path) -> None:
    import json

    write(own, "studies/own.yaml", STUDY)
    asked = json.dumps({"study": "studies/own.yaml", "overrides": [], "measure": False, "images": None})
    code.forget()
    assert "warnings" in json.loads(answered(asked)) and not json.loads(answered(asked))["warnings"]
    edit(own / "splits/mine.py", "return (drawn", "return 0.5 * (drawn")
    code.forget()
    ((path, said),) = [one.values() for one in json.loads(answered(asked))["problems"]]
    assert path == "cv.split" and said.startswith(
        "split maker mine: splits/mine.py:split gives float64 (359,)"
    )
    write(own, "splits/mine.py", "def split(groups, num_folds): return (groups % 5 == 0).astype(int)")
    code.forget()
    (warning,) = json.loads(answered(asked))["warnings"]
    assert warning.startswith("cv.split: folds hold out 72 to 287 images, and each counts the same")


def test_what_a_study_names_is_found_without_its_split_maker(own: Path) -> None:
    definition = study().definition()
    assert project.names_in(definition) == (("cv.split", "mine"),)
    assert project.names_in(definition, project.OF_TRAINING) == ()
    assert code.others_in({"model.name": "resnet", "train.lr": 0.1}) == ()
