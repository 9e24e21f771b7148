"""Soft labels: read as people write them, and what is no shares of the classes refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.data import load_training
from harness.data.conversion import as_images
from harness.data.images import Images
from harness.data.soft_labels import read_soft_labels, shares_of
from harness.data.test_set import load_test
from harness.errors import DataError

NAMES = ("cat/a.png", "cat/b.png", "dog/a.png")
LABELS = np.array([0, 0, 1])
CLASSES = ("cat", "dog")


def read(path: Path, text: str, encoding: str = "utf-8") -> tuple[np.ndarray, list[str]]:
    path.write_text(text, encoding=encoding)
    return read_soft_labels(path, NAMES, LABELS, CLASSES, "train")


@pytest.mark.parametrize(
    "text",
    [
        "name,cat,dog\ncat/a.png,0.7,0.3\ncat/b.png,1,0\ndog/a.png,0,1\n",
        "dog;File;annotators;cat\n3;/home/me/cat/a.png;10;7\n0;/home/me/cat/b.png;1;1\n2;/home/me/dog/a.png;2;0\n",
        "image\tcat\tdog\ndog\\a.png\t0\t9\ncat/b\t 5 \t0\ncat/a\t14\t6\n",
    ],
)
def test_shares_and_counts_are_read_in_any_order(tmp_path: Path, text: str) -> None:
    shares, notes = read(tmp_path / "s.csv", text)
    assert shares.dtype == np.float32 and not notes
    np.testing.assert_allclose(shares, [[0.7, 0.3], [1, 0], [0, 1]], rtol=1e-6)


def test_images_without_a_row_keep_their_label_which_is_told(tmp_path: Path) -> None:
    shares, notes = read(tmp_path / "s.csv", "name,cat,dog\ncat/a.png,1,3\ncat/sealed.png,1,0\n")
    np.testing.assert_allclose(shares, [[0.25, 0.75], [1, 0], [0, 1]])
    assert len(notes) == 2
    assert (
        "no row for 2 of 3 images (cat/b.png, dog/a.png, …), which are trained on with their label"
        in notes[0]
    )
    assert "likeliest class of 1 image is not the label that they are scored by (cat/a.png)" in notes[1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,cat\ncat/a.png,1\n", "one column for each of 2 classes, .* of dog$"),
        ("name,cat,dog,dog\ncat/a.png,1,1,1\n", "of dog$"),
        ("cat,dog\n1,1\n", "needs a column of names, called name or file"),
        (
            "name,cat,dog\nhorse/a.png,1,0\n",
            "a row for none of the 3 images, which are called like cat/a.png",
        ),
        ("name,cat,dog\ncat/a.png,1,0\ncat/a.png,0,1\n", "cat/a.png has two rows"),
        ("name,cat,dog\ncat/a.png,yes,0\n", "must be numbers .*yes"),
        ("name,cat,dog\ncat/a.png,,0\n", "must be numbers"),
        ("name,cat,dog\ncat/b.png,1,0\ncat/a.png,-1,2\n", "0 and more, not as in row 2: -1, 2$"),
        ("name,cat,dog\ncat/a.png,nan,2\n", "0 and more, not as in row 1: nan, 2$"),
        ("name,cat,dog\ncat/b.png,1,0\ncat/a.png,0,0\n", "row 2 has a share of no class"),
        ("", "needs one column for each of 2 classes"),
    ],
)
def test_what_is_no_such_table_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DataError, match=why) as error:
        read(tmp_path / "s.csv", text)
    assert "\n" not in str(error.value)


def test_a_class_may_be_called_as_a_column_of_names_is(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("file,image,person\na.png,1,3\n", encoding="utf-8")
    shares, _ = read_soft_labels(path, ["person/a.png"], np.array([1]), ("image", "person"), "train")
    np.testing.assert_allclose(shares, [[0.25, 0.75]])


def test_they_are_part_of_what_images_are(tmp_path: Path) -> None:
    shares = shares_of(np.array([[3, 1], [1, 0], [0, 1]]), "here")
    plain = Images(np.arange(48, dtype=np.uint8).reshape(3, 1, 4, 4), LABELS, CLASSES, NAMES)
    soft = Images(plain.pixels, LABELS, CLASSES, NAMES, soft_labels=shares)
    other = Images(plain.pixels, LABELS, CLASSES, NAMES, soft_labels=shares[[1, 0, 2]])
    assert len({one.content_hash for one in (plain, soft, other)}) == 3
    soft.save(tmp_path / "kept")
    back = Images.open(tmp_path / "kept").verified()
    assert back.soft_labels is not None and (back.soft_labels == shares).all()
    assert back.content_hash == soft.content_hash
    taken = soft.take(np.array([2, 0])).soft_labels
    assert taken is not None and (taken == shares[[2, 0]]).all()
    np.save(tmp_path / "kept" / "soft_labels.npy", shares[[1, 0, 2]])
    with pytest.raises(DataError, match="damaged"):
        Images.open(tmp_path / "kept").verified()
    for wrong in (shares.astype(np.float64), shares[:2], 2 * shares, shares - [[1, -1]]):
        with pytest.raises(DataError, match="soft labels must be"):
            Images(plain.pixels, LABELS, CLASSES, soft_labels=np.asarray(wrong))


def test_a_folder_has_those_of_its_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "home"))
    random, root, table = np.random.default_rng(0), tmp_path / "photos", tmp_path / "shares.csv"
    lines = ["name,cat,dog"]
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                root / name / f"{number}.png"
            )
            lines.append(f"{name}/{number}.png,{number},{8 - number}")
    table.write_text("\n".join(lines), encoding="utf-8")
    settings = {"name": "folder", "root": str(root), "image_size": 8}
    plain, test = load_training(settings), load_test(settings).content_hash
    soft = load_training({**settings, "soft_labels": {"csv": str(table)}})
    assert plain.soft_labels is None and soft.soft_labels is not None and soft.names == plain.names
    expected = [int(name[4]) / 8 for name in soft.names]
    np.testing.assert_allclose(soft.soft_labels[:, 0], expected)
    assert load_test({**settings, "soft_labels": {"csv": str(table)}}).content_hash == test
    assert "is not the label that they are scored by" in caplog.text
    table.write_text("\n".join([*lines[:-1], "dog/7.png,0,1"]), encoding="utf-8")
    edited = load_training({**settings, "soft_labels": {"csv": str(table)}})
    assert edited.content_hash != soft.content_hash or "dog/7.png" not in soft.names
    assert load_training(settings).content_hash == plain.content_hash


def test_arrays_of_shares_are_soft_labels() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    votes = np.array([[1, 3, 0], [5, 5, 0], [0, 0, 2]])
    found = as_images((pixels, votes), "mine")
    assert found.labels.tolist() == [1, 0, 2] and found.classes == ("0", "1", "2")
    assert found.soft_labels is not None and found.soft_labels[0].tolist() == [0.25, 0.75, 0]
    named = as_images((pixels, votes / 10, ("x", "y", "z")), "mine")
    assert named.classes == ("x", "y", "z") and named.soft_labels is not None
    assert (named.soft_labels == found.soft_labels).all()
    items = [(image, row) for image, row in zip(pixels, votes, strict=True)]
    listed = as_images(items, "mine").soft_labels
    assert listed is not None and (listed == found.soft_labels).all()
    with pytest.raises(DataError, match="mine: soft labels are counts or shares"):
        as_images((pixels, votes - 1), "mine")
    with pytest.raises(DataError, match="labels of the shape"):
        as_images((pixels, votes[:2]), "mine")
