"""Copies that are held out apart are told of before a study begins, and so is how many sealed images are copies."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.config.study_file import load_study_file
from harness.data import near_duplicates
from harness.data.data_set import load_data
from harness.data.near_duplicates import find
from harness.data.snapshot import TEST, TRAIN, Snapshot
from harness.search.preflight import Preflight, preflight
from tests.data.photographs import brighter, pieces

CLASSES = ("cat", "dog")
NUM_PICTURES = 60


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Different pictures, and of each a darker copy, sure to be found and like no other one."""
    pixels = pieces(NUM_PICTURES)
    copies = np.stack([brighter(image, 0.9) for image in pixels])
    found = find(np.concatenate([pixels, copies]))
    alike: list[set[int]] = [set() for _ in pixels]
    for one, two in found.pairs.tolist():
        alike[one % NUM_PICTURES].add(two)
        alike[two % NUM_PICTURES].add(one)
    sure = [one for one, two in found.pairs[found.sure].tolist() if two == one + NUM_PICTURES]
    chosen = [one for one in sure if alike[one] == {one, one + NUM_PICTURES}]
    assert len(chosen) >= 30
    return pixels[chosen], copies[chosen]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(pixels: np.ndarray, root: str, *, prefix: str = "", shift: int = 0) -> None:
    for number, image in enumerate(pixels):
        path = Path(root, CLASSES[(number + shift) % 2], f"{prefix}{number:02}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path)


def looked_at(duplicates: str = "near", cv: str = "near") -> Preflight:
    Path("own.yaml").write_text(
        f"data: {{name: folder, root: photos, image_size: 32, duplicates: {duplicates}}}\n"
        "model: {name: resnet, depth: 1, blocks: 1, width: 2}\ntrain: {epochs: 1}\n"
        f"cv: {{folds: 2, duplicates: {cv}}}\nsearch: {{trials: 1}}\n",
        encoding="utf-8",
    )
    found = preflight(load_study_file("own.yaml", ()), Path("home"))
    assert not found.problems
    return found


def said(found: Preflight, words: str) -> list[str]:
    return [line for line in found.warnings if words in line]


def copies_in(snapshot: Snapshot) -> tuple[int, int]:
    """How many pictures are twice in the training part, and how many sealed images have their copy there."""
    part = {Path(name).name: part for name, part in zip(snapshot.names, snapshot.parts, strict=True)}
    pairs = [{part[name], part[f"z{name}"]} for name in part if f"z{name}" in part]
    return pairs.count({TRAIN}), pairs.count({TRAIN, TEST})


def test_copies_are_held_out_together_and_on_one_side(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    written(pictures[0], "photos")
    written(pictures[1], "photos", prefix="z")
    found = looked_at()
    assert found.data is not None and found.alike is not None
    inside, across = copies_in(found.data.snapshot)
    assert across == 0 and not said(found, "sealed") and not said(found, "worth nothing")
    assert said(
        found, f"{2 * inside} images show {inside} pictures more than once, and are held out together"
    )
    assert not len(found.alike.pairs[found.alike.sure])


@pytest.mark.parametrize(
    ("data", "cv", "option"),
    [
        ("exact", "near", "data.duplicates: exact"),
        ("ignore", "near", "data.duplicates: ignore"),
        ("exact", "exact", "data.duplicates: exact"),
        ("near", "exact", "cv.duplicates: exact"),
        ("near", "ignore", "cv.duplicates: ignore"),
    ],
)
def test_copies_that_an_option_keeps_apart_are_counted_on_both_sides(
    data: str, cv: str, option: str, pictures: tuple[np.ndarray, np.ndarray]
) -> None:
    written(pictures[0], "photos")
    written(pictures[1], "photos", prefix="z")
    found = looked_at(data, cv)
    assert found.data is not None and found.alike is not None
    inside, across = copies_in(found.data.snapshot)
    (line,) = said(found, "worth nothing")
    assert line.startswith(f"{2 * inside} images show {inside} pictures more than once") and option in line
    total = found.data.test.num_images
    lines = [
        f"{across} of {total} sealed test images show pictures that are in training, too: {option} allows it, and near "
        "keeps copies on one side"
    ]
    assert said(found, "sealed") == (lines if data != "near" else []) and (across > 0) == (data != "near")
    assert found.alike.sure.sum() == inside and found.alike.sure[:inside].all()


def test_near_copies_that_are_kept_apart_are_not_looked_for_where_that_takes_long(
    pictures: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "minutes", lambda _: 92.0)
    written(pictures[0], "photos")
    written(pictures[1], "photos", prefix="z")
    found = looked_at("exact")
    assert found.data is not None and found.alike is not None
    (line,) = said(found, "not looked for")
    count = len(found.data.train.labels)
    assert line.startswith(
        f"near copies among {count} images were not looked for, which would take some 92 minutes"
    )
    assert not said(found, "more than once") and not said(found, "sealed test images show")
    assert not len(found.alike.pairs)
    assert not said(looked_at(), "not looked for")  # of near ones, which are looked for however long it takes


def test_a_copy_of_another_class_may_be_sealed_and_only_its_number_is_told(
    pictures: tuple[np.ndarray, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    written(pictures[0], "photos")
    written(pictures[1], "photos", prefix="z", shift=1)
    found = looked_at()
    assert found.data is not None and found.alike is not None
    snapshot = found.data.snapshot
    inside, across = copies_in(snapshot)
    assert across > 0
    (line,) = said(found, "sealed")
    assert line.startswith(f"{across} of ") and line.endswith("final tells the score without them, too")
    assert said(found, f"{inside} pairs of images of different classes show the same picture")
    sealed = [snapshot.names[row] for row in snapshot.rows(TEST)]
    assert not [name for name in sealed if name in caplog.text]
    labels = found.data.train.labels[found.alike.pairs[:inside]]
    assert (labels[:, 0] != labels[:, 1]).all()


def test_copies_in_a_test_folder_are_counted(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    written(pictures[0], "photos/train")
    written(pictures[1][:5], "photos/test", prefix="z")
    found = looked_at()
    assert said(found, "sealed") == [
        "5 of 5 sealed test images show pictures that are in training, too: take them out of the test folder or out of "
        "the training folder"
    ]


def test_nothing_is_said_where_no_sealed_image_is_a_copy(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    written(pictures[0][:-4], "photos/train")
    written(pictures[0][-4:], "photos/test")
    found = looked_at()
    assert not said(found, "sealed") and not said(found, "same picture")


def test_the_count_is_of_pixels_alone_whatever_the_sealed_labels_and_is_kept(
    pictures: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(pictures[0], "photos/train")
    written(pictures[1][:5], "photos/test", shift=1)
    data = load_data({"name": "folder", "root": "photos", "image_size": 32})
    within = find(data.train.pixels)
    assert data.num_copies(within, Path("home")) == 5
    monkeypatch.setattr("harness.data.near_duplicates.find", lambda *_: pytest.fail("searched again"))
    assert data.num_copies(within, Path("home")) == 5
    kept = [path.read_bytes() for path in Path("home", "duplicates").iterdir()]
    assert len(kept) == 1 and len(kept[0]) < 200, "only the number is kept"
