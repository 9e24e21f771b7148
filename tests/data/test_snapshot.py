"""Snapshots of data sets: what has become of files since, and where images of a grown data set go."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.holdout import Growth, grown_test_part
from harness.data.images import Images
from harness.data.snapshot import LEFT_OUT, Snapshot, compare, rows_before
from harness.errors import DataError

BEFORE = Snapshot(
    classes=("cat", "dog"),
    names=("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "dog/3.png"),
    parts=("train", "test", "train", "train", LEFT_OUT),
    labels=(0, 0, 1, 1, 1),
    hashes=("a", "b", "c", "d", ""),
    states=("1 1 1",) * 5,
    facts={"width": (8, 8, 8, 9, 0), "format": ("PNG", "PNG", "JPEG", "PNG", "")},
    problems={"dog/3.png": "empty"},
)


def now(**files: str) -> tuple[list[str], list[str]]:
    """Names and hashes: cat_1="a" is cat/1.png."""
    return [f"{name.replace('_', '/')}.png" for name in files], list(files.values())


ALL = {"cat_1": "a", "cat_2": "b", "dog_1": "c", "dog_2": "d", "dog_3": ""}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (ALL, "0 added, 0 removed, 0 changed"),
        (ALL | {"dog_added": "x"}, "1 added (dog/added.png), 0 removed, 0 changed"),
        ({"cat_2": "b", "dog_1": "c"}, "0 added, 3 removed (cat/1.png, dog/2.png, dog/3.png), 0 changed"),
        (ALL | {"cat_1": "x"}, "0 added, 0 removed, 1 changed (cat/1.png)"),
        (ALL | {"dog_3": "repaired"}, "0 added, 0 removed, 1 changed (dog/3.png)"),
        (
            {"cat_1": "a", "cat_2": "b", "dog_1": "c", "cat_9": "d", "dog_3": ""},
            "0 added, 0 removed, 0 changed, 1 moved (dog/2.png to cat/9.png)",
        ),
        (
            ALL | {f"dog_{n}": f"new {n}" for n in range(10, 15)},
            "5 added (dog/10.png, dog/11.png, dog/12.png, …), 0 removed, 0 changed",
        ),
        (ALL | {"cat_1": "b", "cat_2": "a"}, "0 added, 0 removed, 2 changed (cat/1.png, cat/2.png)"),
        (ALL | {"cat_copy": "a"}, "1 added (cat/copy.png), 0 removed, 0 changed"),
        ({}, "0 added, 5 removed (cat/1.png, cat/2.png, dog/1.png, …), 0 changed"),
    ],
)
def test_what_has_become_of_files_is_said_by_name(files: dict[str, str], expected: str) -> None:
    found = compare(BEFORE, *now(**files))
    assert str(found) == expected and bool(found) == (expected != "0 added, 0 removed, 0 changed")


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("cat/1.png", "a", 0),
        ("cat/1.png", "other", 0),  # repaired or retouched: it keeps its place
        ("dog/9.png", "d", 3),  # moved
        ("cat/1.png", "d", 3),  # what it shows counts more than how it is called
        ("dog/9.png", "x", -1),
        ("dog/3.png", "repaired", -1),  # it was left out
    ],
)
def test_a_file_is_recognised_by_its_content_or_by_its_name(name: str, content: str, row: int) -> None:
    assert rows_before(BEFORE, [name], [content]).tolist() == [row]


def test_a_snapshot_comes_back_as_it_was_kept_and_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json.gz"
    BEFORE.save(path)
    assert Snapshot.load(path) == BEFORE and Snapshot.load(path).hash == BEFORE.hash
    assert BEFORE.columns("train")["width"].tolist() == [8, 8, 9]
    content = path.read_bytes()
    for broken in (b"", content[:-9], content[:40] + bytes([content[40] ^ 1]) + content[41:], b"{}"):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="damaged snapshot"):
            Snapshot.load(path)
    with pytest.raises(DataError, match="no such snapshot"):
        Snapshot.load(tmp_path / "none")


def test_the_hash_is_of_the_contents_and_not_of_when_they_were_written() -> None:
    assert replace(BEFORE, states=("2 2 2",) * 5).hash == BEFORE.hash
    assert replace(BEFORE, parts=("test", *BEFORE.parts[1:])).hash != BEFORE.hash
    assert replace(BEFORE, hashes=("z", *BEFORE.hashes[1:])).hash != BEFORE.hash


def test_images_without_names_are_known_by_their_pixels() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (6, 1, 4, 4), np.uint8)
    pixels[3] = pixels[1]
    images = Images(pixels, np.array([0, 1] * 3), ("a", "b"))
    snapshot = Snapshot.of_images(images.take(np.arange(4)), images.take(np.arange(4, 6)))
    assert len(set(snapshot.names)) == 6 and snapshot.parts == ("train",) * 4 + ("test",) * 2
    grown = Snapshot.of_images(images.take(np.array([0, 1, 3, 2])), images.take(np.arange(4, 6)))
    assert not compare(snapshot, grown.names, grown.hashes)


def grown(
    labels: list[int], before: list[str | None], alike: list[int] | None = None, fraction: float = 0.2
) -> list[str]:
    keys = [str(number).encode() for number in range(len(labels))]
    together = np.arange(len(labels)) if alike is None else np.array(alike)
    return grown_test_part(np.array(labels), keys, together, before, fraction=fraction)


def test_old_images_keep_their_part_and_new_ones_fill_up_the_test_part_of_their_class() -> None:
    before = ["train"] * 8 + ["test"] * 2 + ["train"] * 8 + ["test"] * 2
    labels = [0] * 10 + [1] * 10 + [0] * 20
    parts = grown(labels, [*before, *[None] * 20])
    assert parts[:20] == before
    assert parts[20:].count("test") == 4 and parts[20:].count("train") == 16
    assert grown(labels, [*before, *[None] * 20]) == parts


def test_new_images_go_where_their_duplicates_are_and_are_left_out_where_these_are_in_both_parts() -> None:
    labels = [0] * 9
    before = ["train", "train", "test", "train", "test", None, None, None, None]
    alike = [0, 1, 2, 3, 4, 0, 2, 5, 5]
    assert grown(labels, list(before), alike)[5:] == ["train", "test", "train", "train"]
    both = [0, 1, 2, 3, 4, 0, 2, 0, 2]
    keys = [str(number).encode() for number in range(8)] + [b"5"]  # image 8 is in one group with image 5
    parts = grown_test_part(np.array(labels), keys, np.array(both), before, fraction=0.2)
    assert parts[5:] == [LEFT_OUT] * 4 and parts[:5] == before[:5]


def test_a_data_set_can_be_divided_as_it_was_and_new_images_stay_outside() -> None:
    names, hashes = now(**ALL, dog_added="x", cat_moved="b")
    growth = Growth(BEFORE, takes_new=False)
    assert growth.parts(names, hashes) == ["train", "test", "train", "train", LEFT_OUT, LEFT_OUT, "test"]
    assert Growth(BEFORE, takes_new=True).parts(names, hashes)[4:6] == [None, None]
