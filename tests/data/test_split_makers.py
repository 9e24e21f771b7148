"""Split makers of the user's own: what they are given, and one clear line for what is no split."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from harness.config import catalog
from harness.config.study_file import Study, parse_study_file
from harness.data.images import Images
from harness.data.split import Manifest, make_split
from harness.data.split_makers import remarks
from harness.errors import StudyError
from harness.seeds import seed_for
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

STUDY = (
    "data: {name: digits}\nmodel: {name: resnet, depth: 1}\nsearch: {seed: 3}\ncv: {duplicates: ignore, %s}\n"
)
NAMES = tuple(f"patient{index // 4}/{index}.png" for index in range(24))
GROUPS = np.arange(24) // 2  # pairs, within patients
IMAGES = Images(
    np.random.default_rng(0).integers(0, 256, (24, 1, 4, 4), dtype=np.uint8),
    np.arange(24) % 2,
    ("cat", "dog"),
    NAMES,
    GROUPS,
)
SEED = seed_for(3, "split") % 2**32
HEAD = "import numpy as np\n"


def study(cv: str) -> Study:
    return parse_study_file((STUDY % cv).encode(), [], name="own", source="own.yaml")


def split(cv: str, home: Path, images: Images = IMAGES) -> Manifest:
    return make_split(study(cv), images, home)


def test_it_is_given_what_it_takes_by_name(project: Path, tmp_path: Path) -> None:
    text = """
def split(labels, groups, names, images, num_folds, seed, *, digits: int = 7):
    assert (labels.dtype, labels.shape, groups.dtype, groups.shape) == (np.int64, (24,), np.int64, (24,))
    assert names[23] == "patient5/23.png" and images.shape == (24, 1, 4, 4) and images.dtype == np.uint8
    assert not images.flags.writeable and seed == SEED and digits == 9
    labels[:] = 0  # a copy
    return np.array([int(name[7]) for name in names]) // 2
""".replace("SEED", str(SEED))
    write(project, "splits/by_patient.py", HEAD + text)
    found = split("folds: 3, split: by_patient, digits: 9", tmp_path)
    assert found.fold_of.tolist() == [0] * 8 + [1] * 8 + [2] * 8 and found.fold_of.dtype == np.int64
    assert (found.groups == GROUPS).all() and IMAGES.labels.any()


def test_an_option_has_the_default_of_its_signature(project: Path, tmp_path: Path) -> None:
    text = "def split(groups, num_folds, shift: int = 1): return (groups + shift) % num_folds"
    write(project, "splits/shifted.py", text)
    assert split("folds: 3, split: shifted", tmp_path).fold_of[0] == 1
    assert split("folds: 3, split: shifted, shift: 2", tmp_path).fold_of[0] == 2
    assert study("split: shifted, shift: 2").definition()["cv"] == {
        "folds": 5, "duplicates": "ignore", "split": "shifted", "shift": 2,
    }  # fmt: skip


def test_a_study_that_names_none_is_what_it_was() -> None:
    plain = study("folds: 3").definition()
    assert plain["cv"] == {"folds": 3, "duplicates": "ignore"}
    assert study("folds: 3, split: stratified").definition() == plain


@pytest.mark.parametrize("name", ["./dealing.py:by_pair", "dealing:by_pair", "./dealing.py"])
def test_its_name_is_looked_up_as_all_names_are(project: Path, tmp_path: Path, name: str) -> None:
    text = "def by_pair(groups, num_folds): return groups % num_folds\nsplit = by_pair\n"
    write(project, "dealing.py", text)
    assert (split(f'split: "{name}"', tmp_path).fold_of == GROUPS % 5).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("KFold", KFold(4, shuffle=True, random_state=SEED)),
        ("StratifiedKFold", StratifiedKFold(4, shuffle=True, random_state=SEED)),
        ("KFold, shuffle: false", KFold(4)),
        ("GroupKFold", GroupKFold(4, shuffle=True, random_state=SEED)),
        ("GroupKFold, shuffle: false", GroupKFold(4)),
    ],
)
def test_a_class_of_scikit_learn_deals_as_it_does_there(
    project: Path, tmp_path: Path, name: str, reference: Any
) -> None:
    images = IMAGES if name.startswith("Group") else Images(IMAGES.pixels, IMAGES.labels, IMAGES.classes)
    cls, _, options = name.partition(", ")
    found = split(f"folds: 4, split: 'sklearn.model_selection:{cls}', {options}", tmp_path, images)
    for fold, (_, held_out) in enumerate(reference.split(images.pixels, images.labels, images.groups)):
        assert found.held_out(fold).tolist() == held_out.tolist()


def test_generators_that_all_code_shares_are_left_alone(project: Path, tmp_path: Path) -> None:
    text = "import random\ndef split(groups, num_folds, seed):\n"
    text += "    random.seed(seed); np.random.seed(seed)\n    return np.random.permutation(12)[groups] % num_folds"
    write(project, "splits/seeding.py", HEAD + text)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    split("split: seeding", tmp_path)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]


SIGNED = "def split(labels, groups, num_folds, seed):\n    "
WRONG = {
    "exits": ("raise SystemExit(0)", "split maker mine: splits/mine.py:3: SystemExit: 0"),
    "raises": ("raise ValueError('no\\nway')", "split maker mine: splits/mine.py:3: ValueError: no way"),
    "nothing": ("pass", "splits/mine.py:split gives NoneType; it should be the fold of each image, integers (24,)"),
    "too few": ("return groups[:5] % num_folds", "gives int64 (5,); it should be the fold of each image"),
    "floats": ("return groups / 5", "gives float64 (24,)"),
    "truths": ("return groups > 5", "gives bool (24,)"),
    "texts": ("return [str(group) for group in groups]", "gives <U2 (24,)"),
    "a mixture": ("return [[1], 2]", "gives list"),
    "too high": ("return groups", "deals image 10 (patient2/10.png) to fold 5, and the 5 folds are numbered 0 to 4"),
    "too low": ("return groups % num_folds - 1", "deals image 0 (patient0/0.png) to fold -1, and"),
    "a fold of nothing": ("return groups % 4", "holds no image out in fold 4, of 5"),
    "a class that is never trained on": ("return np.where(labels == 1, 1, groups % 4 + (groups % 4 > 0))",
        "trains fold 1 on no image of class dog"),
    "a group apart": ("return np.arange(24) % num_folds",
        "deals image 0 (patient0/0.png) to fold 0 and image 1 (patient0/1.png) to fold 1, which are of one group of "
        "the data set: keep images whose `groups` are equal in one fold"),
    "NumPy's dice": ("return np.random.permutation(12)[groups] % num_folds", "deals otherwise when it is asked again"),
    "Python's dice": ("import random; return np.array(random.sample(range(12), 12))[groups] % num_folds",
        "deals otherwise when it is asked again; draw by `seed`"),
    "torch's dice": ("import torch; return torch.randperm(12)[groups] % num_folds", "deals otherwise when"),
    "dice of its own": ("return np.random.default_rng().permutation(12)[groups] % num_folds", "deals otherwise when"),
    "it remembers": ("split.n = getattr(split, 'n', 0) + 1; return (groups + split.n) % num_folds", "deals otherwise"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_split_is_told_in_one_line(project: Path, tmp_path: Path, what: str) -> None:
    body, said = WRONG[what]
    write(project, "splits/mine.py", HEAD + SIGNED + body)
    with pytest.raises(StudyError) as refused:
        split("split: mine", tmp_path)
    found = str(refused.value)
    assert found.startswith("own.yaml: 1 problem\n  cv.split   split maker mine: ") and said in found, found
    assert len(found.splitlines()) == 2


def test_names_that_are_not_there_are_told_unless_they_have_a_default(project: Path, tmp_path: Path) -> None:
    nameless = Images(IMAGES.pixels, IMAGES.labels, IMAGES.classes)
    write(project, "splits/mine.py", "def split(names, num_folds): ...")
    with pytest.raises(
        StudyError, match=r"mine\.py:split takes names, and the images of this data set have none"
    ):
        split("split: mine", tmp_path, nameless)
    text = "def split(labels, num_folds, names=None): return np.arange(24) % num_folds + (names is not None)"
    write(project, "splits/other.py", HEAD + text)
    assert split("split: other", tmp_path, nameless).fold_of[1] == 1


def test_duplicates_that_it_parts_are_named_as_such(project: Path, tmp_path: Path) -> None:
    pixels = IMAGES.pixels.copy()
    pixels[7] = pixels[0]
    write(
        project,
        "splits/mine.py",
        "import numpy as np\ndef split(labels, num_folds): return np.arange(24) % num_folds",
    )
    images = Images(pixels, IMAGES.labels, IMAGES.classes)
    given = parse_study_file(
        (STUDY % "split: mine").replace("ignore", "exact").encode(), [], name="own", source="own.yaml"
    )
    with pytest.raises(
        StudyError, match=r"image 0 to fold 0 and image 7 to fold 2, which are duplicates \(see cv\.dup"
    ):
        make_split(given, images, tmp_path)


CLASS = "class split:\n def __init__(self, n_splits): ...\n def split(self, X, y, groups):\n"
CLASS += "  every = np.arange(len(y))\n  parts = [every[groups % 5 == fold] for fold in range(5)]\n"
PARTS = {
    "too few": ("parts.pop()", "gives 4 parts, and cv.folds is 5"),
    "twice": (
        "parts[1] = np.append(parts[1], 0)",
        "holds image 0 (patient0/0.png) out 2 times; cross-val",
    ),
    "nowhere": ("parts[1] = parts[1] + 22", "gives parts that are no indices of images, (train, test)"),
    "never": ("parts[1] = parts[1][1:]", "holds image 2 (patient0/2.png) out 0 times"),
}


@pytest.mark.parametrize("what", PARTS)
def test_parts_have_to_be_a_partition(project: Path, tmp_path: Path, what: str) -> None:
    change, said = PARTS[what]
    write(
        project,
        "splits/mine.py",
        f"{HEAD}{CLASS}  {change}\n  return [(np.setdiff1d(every, p), p) for p in parts]",
    )
    with pytest.raises(StudyError, match=r"split maker mine: splits/mine\.py:split ") as refused:
        split("split: mine", tmp_path)
    assert said in str(refused.value)


def test_parts_that_train_on_less_than_the_rest_are_refused(project: Path, tmp_path: Path) -> None:
    write(
        project, "splits/mine.py", f"{HEAD}{CLASS}  return [(np.setdiff1d(every, p)[1:], p) for p in parts]"
    )
    with pytest.raises(StudyError, match="trains part 0 on other images than all that it does not hold out"):
        split("split: mine", tmp_path)


@pytest.mark.parametrize(
    ("cv", "said"),
    [
        ("split: by_pair", "cv.split   unknown split maker 'by_pair'; did you mean 'by_pairs'?"),
        ("split: by_pairs, shfit: 1", "cv.shfit   unknown cv option; did you mean 'shift'?"),
        ("split: by_pairs, shift: much", "cv.shift   must be an integer"),
        ("split: by_pairs, shift: [1, 2]", "cv.shift   must be one value: all trials of a study have the same folds"),
        ("shift: 1", "cv.shift   unknown cv option"),
        ("split: [by_pairs, stratified]", "cv.split   must be a valid string"),
        ("split: hungry", "splits/hungry.py:split wants depth, which has no default; harness gives labels, groups"),
        ("split: folding", "splits/folding.py:split has the argument folds, and so has cv; give it another name"),
        ("split: broken", "split maker broken: splits/broken.py:1: "),
        ("split: nowhere:split", "no module nowhere"),
    ],
)  # fmt: skip
def test_a_study_file_that_cannot_be_used_says_so(project: Path, cv: str, said: str) -> None:
    write(project, "splits/by_pairs.py", "def split(groups, shift: int = 0): ...")
    write(project, "splits/hungry.py", "def split(groups, depth): ...")
    write(project, "splits/folding.py", "def split(groups, folds: int = 3): ...")
    write(project, "splits/broken.py", "def split(:")
    with pytest.raises(StudyError) as refused:
        study(cv)
    assert said in str(refused.value) and len(str(refused.value).splitlines()) == 2


def test_a_file_with_the_name_of_harness_s_own_is_refused(project: Path) -> None:
    write(project, "splits/stratified.py", "def split(groups): ...")
    with pytest.raises(
        StudyError, match=r"splits/stratified\.py:split has the name of harness's own split maker"
    ):
        study("folds: 3")


def test_what_is_uneven_is_remarked() -> None:
    assert remarks(np.arange(24) // 4 % 3, IMAGES) == []
    fold_of = np.where(IMAGES.labels == 0, 0, np.arange(24) % 3)
    lacking, uneven = remarks(fold_of, IMAGES)
    assert lacking.startswith(
        "fold 1 holds out no image of cat; fold 2 holds out no image of cat: a score by class"
    )
    assert uneven.startswith(
        "folds hold out 4 to 16 images, and each counts the same: a trial's score is the mean"
    )


def test_the_example_of_the_documents_keeps_patients_and_duplicates_together(
    project: Path, tmp_path: Path
) -> None:
    page = (catalog.PACKAGE / "docs" / "own_code.md").read_text(encoding="utf-8")
    write(project, "splits/by_patient.py", page.partition("```python\n")[2].partition("```")[0])
    names = tuple(f"{'cat' if index % 2 else 'dog'}/p{index // 4:03d}-{index}.png" for index in range(24))
    groups = np.arange(24)
    groups[23] = 0  # patients 0 and 5 share a picture
    images = Images(IMAGES.pixels, IMAGES.labels, IMAGES.classes, names, groups)
    fold_of = split("folds: 3, split: by_patient", tmp_path, images).fold_of
    patients = fold_of.reshape(6, 4)
    assert (patients == patients[:, :1]).all() and patients[0, 0] == patients[5, 0]
