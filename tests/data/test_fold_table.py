"""Folds from a table of one's own: read as people write them, and refused in one line where they are no split."""

from pathlib import Path

import numpy as np
import pytest

from harness.data.fold_table import folds_in_table
from harness.data.images import Images
from harness.data.split_makers import deal
from harness.errors import UsageError

NAMES = ("cat/a.png", "cat/b.png", "cat/c.png", "dog/a.png", "dog/b.png", "dog/c.png")
LABELS = np.array([0, 0, 0, 1, 1, 1])
FOLDS = dict(zip(NAMES, [0, 1, 2, 0, 1, 2], strict=True))


def written(path: Path, folds: dict[str, object], head: str = "image,fold") -> str:
    path.write_text("\n".join([head, *(f"{name},{fold}" for name, fold in folds.items())]), encoding="utf-8")
    return str(path)


def images(names: tuple[str, ...] = NAMES) -> Images:
    return Images(np.arange(6 * 16, dtype=np.uint8).reshape(6, 1, 4, 4), LABELS, ("cat", "dog"), names)


@pytest.mark.parametrize("called", [(0, 1, 2), (1, 2, 3), (8, 9, 10), ("a", "b", "c"), ("0.0", "1.0", "2.0")])
def test_folds_are_in_the_order_of_their_numbers_or_names(tmp_path: Path, called: tuple[object, ...]) -> None:
    path = written(tmp_path / "f.csv", {name: called[fold] for name, fold in FOLDS.items()})
    found, names = folds_in_table(path, NAMES, num_folds=3)
    assert found.tolist() == [0, 1, 2, 0, 1, 2] and found.dtype == np.int64
    assert names == tuple(map(str, called))


def test_images_are_named_as_in_other_tables_and_those_that_are_sealed_may_be_there(tmp_path: Path) -> None:
    full = {f"/home/me/photos/{name}": fold for name, fold in FOLDS.items()}
    path = written(tmp_path / "f.csv", {**full, "/home/me/photos/cat/sealed.png": 2}, "Path,Fold")
    assert folds_in_table(path, NAMES, num_folds=3)[0].tolist() == [0, 1, 2, 0, 1, 2]


def test_images_without_names_are_numbered(tmp_path: Path) -> None:
    path = written(tmp_path / "f.csv", {str(number): number % 3 for number in range(20)})
    cv = {"folds": 3, "split": path}
    assert deal(cv, images(()), np.arange(6), seed=0).tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("folds", "num_folds", "why"),
    [
        (
            dict.fromkeys(NAMES[:4], 0),
            3,
            r"2 of 6 training images have no fold there: dog/b\.png, dog/c\.png$",
        ),
        (
            {**FOLDS, "cat/c.png": ""},
            3,
            r"1 of 6 .*cat/c\.png; 1 rows of the table have no name or no fold: row 3",
        ),
        (FOLDS, 5, r"has 3 folds \(0, 1, 2\), and cv\.folds is 5; set cv\.folds: 3"),
        (dict.fromkeys(NAMES, 1), 5, r"has 1 fold \(1\), and cv\.folds is 5; it needs two or more"),
        ({**FOLDS, "cat\\a.png": 1}, 3, r"cat/a\.png is in two folds: 0 and 1"),
        ({"a.png": 0, **FOLDS} | {"cat/a.png": "", "dog/a.png": ""}, 3, r"a\.png could be any of 2 images"),
    ],
)
def test_what_is_no_fold_of_each_image_is_refused(
    tmp_path: Path, folds: dict[str, object], num_folds: int, why: str
) -> None:
    path = written(tmp_path / "f.csv", folds)
    with pytest.raises(UsageError, match=rf"f\.csv: .*{why}"):
        folds_in_table(path, NAMES, num_folds=num_folds)


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        folds_in_table(str(tmp_path / "none.csv"), NAMES, num_folds=3)
    path = written(tmp_path / "f.csv", FOLDS, "image,bin")
    with pytest.raises(UsageError, match=r"needs the columns name .* and fold .*; got image, bin"):
        folds_in_table(path, NAMES, num_folds=3)


def test_torn_groups_and_classes_that_a_fold_does_not_train_on_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "f.csv", {name: fold + 1 for name, fold in FOLDS.items()})
    groups = np.array([0, 1, 2, 3, 4, 1])
    with pytest.raises(
        UsageError, match=r"image 1 \(cat/b\.png\) to fold 2 and image 5 \(dog/c\.png\) to fold 3"
    ):
        deal({"folds": 3, "split": path}, images(), groups, seed=0)
    path = written(tmp_path / "f.csv", {name: "x" if name < "d" else "y" for name in NAMES})
    with pytest.raises(UsageError, match="trains fold x on no image of class cat"):
        deal({"folds": 2, "split": path}, images(), np.arange(6), seed=0)
