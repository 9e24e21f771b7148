"""A study's split: images of one picture are held out together, as far as the study asks for it."""

from pathlib import Path

import numpy as np
import pytest

from harness.config.study_file import load_study_file
from harness.data import near_duplicates
from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import Manifest, kind_of_duplicates, make_split
from harness.seeds import seed_for
from tests.data.photographs import brighter, flipped, jpeg, pieces

NUM_VIEWS = 50


@pytest.fixture(scope="module")
def images() -> Images:
    """50 views, then 10 of them again, 10 flipped, 10 brighter, 10 as JPEG."""
    originals = pieces(NUM_VIEWS)
    changes = (
        lambda image: image,
        flipped,
        lambda image: brighter(image, 1.1),
        lambda image: jpeg(image, 70),
    )
    copies = [changes[place // 10](originals[place]) for place in range(40)]
    shown = np.concatenate([np.arange(NUM_VIEWS), np.arange(40)])
    return Images(np.concatenate([originals, np.stack(copies)]), shown % 2, ("a", "b"))


def split_of(images: Images, study_file: Path, home: Path, duplicates: str = "near") -> Manifest:
    return make_split(load_study_file(str(study_file), [f"cv.duplicates={duplicates}"]), images, home)


@pytest.mark.parametrize(
    ("of_data", "of_cv", "expected"),
    [
        ("near", "near", "near"), ("exact", "near", "exact"), ("ignore", "near", "ignore"),
        ("near", "ignore", "ignore"), ("ignore", "exact", "exact"),
    ],
)  # fmt: skip
def test_the_folds_follow_the_switch_of_the_data_unless_cv_says_otherwise(
    images: Images, tmp_path: Path, of_data: str, of_cv: str, expected: str
) -> None:
    text = f"data: {{name: folder, root: x, duplicates: {of_data}}}\ncv: {{folds: 3, duplicates: {of_cv}}}\n"
    (tmp_path / "study.yaml").write_text(text + "model: {name: simple_cnn}\n")
    study = load_study_file(str(tmp_path / "study.yaml"))
    assert kind_of_duplicates(study) == expected
    assert ("duplicates" in study.definition()["data"]) == (of_data != "near")


def divided(split: Manifest) -> list[int]:
    """The images whose copy is in another fold."""
    return [place for place in range(40) if split.fold_of[place] != split.fold_of[NUM_VIEWS + place]]


def test_planted_copies_are_in_one_fold(images: Images, study_file: Path, tmp_path: Path) -> None:
    split = split_of(images, study_file, tmp_path)
    assert not divided(split)
    assert (split.groups == np.concatenate([np.arange(NUM_VIEWS), np.arange(40)])).all()
    for label in (0, 1):
        assert set(np.bincount(split.fold_of[images.labels == label])) <= {15}


def test_equal_ones_only_or_none_where_the_study_says_so(
    images: Images, study_file: Path, tmp_path: Path
) -> None:
    exact = split_of(images, study_file, tmp_path, "exact")
    assert divided(exact) and min(divided(exact)) >= 10 and len(set(exact.groups)) == 80
    ignoring = split_of(images, study_file, tmp_path, "ignore")
    assert min(divided(ignoring)) < 10 and len(set(ignoring.groups)) == 90


def test_without_duplicates_the_folds_are_those_that_ignore_them(
    images: Images, study_file: Path, tmp_path: Path
) -> None:
    originals = images.take(np.arange(NUM_VIEWS))
    seed = seed_for(0, "split") % 2**32
    plain = make_folds(originals.labels, num_folds=3, seed=seed)
    for kind in ("near", "exact", "ignore"):
        assert (split_of(originals, study_file, tmp_path, kind).fold_of == plain).all()


def test_duplicates_are_joined_with_the_groups_of_the_data_set(
    images: Images, study_file: Path, tmp_path: Path
) -> None:
    groups = np.arange(90)
    groups[[0, 21]] = 500  # so 0, its copy 50, 21 and its copy 71 belong together
    grouped = Images(images.pixels, images.labels, images.classes, groups=groups)
    split = split_of(grouped, study_file, tmp_path)
    assert not divided(split)
    assert set(np.flatnonzero(split.groups == split.groups[0])) == {0, 21, 50, 71}


def test_a_data_set_is_searched_once(
    images: Images, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = split_of(images, study_file, tmp_path)
    monkeypatch.setattr(near_duplicates, "find", None)
    assert split_of(images, study_file, tmp_path).hash == first.hash
    assert split_of(images, study_file, tmp_path, "exact").hash != first.hash
