"""Finding the files: layouts, order, odd names, links, and clear words for what cannot be meant."""

import logging
import os
from pathlib import Path

import pytest

from harness.data.image_files import image_files, list_images, printable
from harness.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path, part: str = "train") -> list[str]:
    return [file.name for file in list_images(root, part).files]  # type: ignore[arg-type]


def test_classes_are_in_natural_order_and_files_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "c10/b.jpg", "c10/a.PNG", "c9/z.webp", "c9/deep/er/x.tif", "собака/кот 1.jpeg")
    listing = list_images(tmp_path, "train")
    assert listing.classes == ("c9", "c10", "собака") and not listing.official
    assert names(tmp_path) == ["c9/deep/er/x.tif", "c9/z.webp", "c10/a.PNG", "c10/b.jpg", "собака/кот 1.jpeg"]
    assert [file.label for file in listing.files] == [0, 0, 1, 1, 2]


def test_train_and_test_folders_are_official_parts_with_the_training_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "train/c/3.jpg", "test/c/4.jpg", "test/a/5.jpg")
    assert names(tmp_path, "train") == ["a/1.jpg", "b/2.jpg", "c/3.jpg"]
    assert names(tmp_path, "test") == ["a/5.jpg", "c/4.jpg"]
    test = list_images(tmp_path, "test")
    assert test.official and test.classes == ("a", "b", "c") and [file.label for file in test.files] == [0, 2]


def test_the_training_part_does_not_look_into_the_test_classes(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg")
    before = list_images(tmp_path, "train").fingerprint()
    touch(tmp_path, "test/a/4.jpg", "test/b/5.jpg")
    assert list_images(tmp_path, "train").fingerprint() == before


def test_a_train_folder_alone_is_the_whole_data_set(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/2.jpg")
    assert not list_images(tmp_path, "train").official
    assert names(tmp_path, "train") == names(tmp_path, "test") == ["a/1.jpg", "b/2.jpg"]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "bus/2.jpg")
    assert list_images(tmp_path, "train").classes == ("bus", "train")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "at least 2"),
        (["a.jpg", "b.jpg"], "at least 2 .none"),
        (["a/1.jpg"], "at least 2 .only a"),
        (["a/1.jpg", "b/notes.txt"], "b: no image in this class folder .1 other files, e.g. b/notes.txt"),
        (["a/1.jpg", "b/.hidden.jpg"], "b: no image"),
        (["train/1.jpg", "test/2.jpg"], "a folder for each class"),
        (["test/a/1.jpg", "test/b/1.jpg"], "train/"),
        (["test/a/1.jpg", "cat/1.jpg", "dog/1.jpg"], "train/"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/x.jpg"], "test/"),
        (["train/a/1.jpg", "train/b/1.jpg", "bus/1.jpg"], "bus/ is neither a class nor a part"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/c/x.jpg"], "class c is not in the training folder .a, b"),
        (["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"], "val/ is not used.*rename it to test/"),
        (["train/a/1.jpg", "train/b/1.jpg", "Valid/a/1.jpg"], "valid/ is not used.*rename it to test/"),
    ],
)
def test_a_layout_that_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, files: list[str], message: str
) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DataError, match=message) as caught:
        list_images(tmp_path, "train")
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_a_file_in_its_place_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "file")
    for name in ("nothing", "file"):
        with pytest.raises(DataError, match=f"{name}: there is no such folder"):
            list_images(tmp_path / name, "train")


def test_files_not_named_like_images_and_an_unused_val_folder_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/a/Thumbs.db", "train/b/2.jpg", "test/a/3.jpg", "val/a/4.jpg")
    assert names(tmp_path) == ["a/1.jpg", "b/2.jpg"]
    assert "1 files are not named like images and ignored: a/Thumbs.db" in caplog.text
    assert "val/ is not used" in caplog.text


@pytest.mark.parametrize(
    "folder",
    [
        "__MACOSX",
        "lost+found",
        "$RECYCLE.BIN",
        "System Volume Information",
        "@eaDir",
        "#recycle",
        ".thumbnails",
        ".git",
        ".ipynb_checkpoints",
        ".Trash-1000",
        "mlruns",
        "wandb",
        "node_modules",
        "found.000",
    ],
)
def test_folders_that_systems_make_are_no_classes_and_hold_no_images(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "a/1.jpg", "b/2.jpg")
    before = list_images(tmp_path, "train")
    touch(tmp_path, f"{folder}/a/3.jpg", f"a/{folder}/SYNO_THUMB.jpg", f"b/{folder}/4.txt")
    assert list_images(tmp_path, "train") == before
    assert [Path(one.path).name for one in image_files([str(tmp_path)])] == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["README.md", "labels.csv", ".DS_Store", "Thumbs.db", "desktop.ini"], []),
        (["notes/1.txt"], ["notes: passed over, for it holds texts and no image"]),
        (["notes/deep/er/1.TXT", "notes/2.md", "notes/.hidden"], ["notes: passed over"]),
        (["annotations/1.xml", "docs/paper.pdf"], ["annotations: passed over", "docs: passed over"]),
        (["scripts/a.py", "scripts/.ipynb_checkpoints/a.png", "scripts/__pycache__/a.pyc"], ["scripts: passed over"]),
        (["seen.png"], ["1 image is in no class folder and passed over: seen.png"]),
        (["z.jpg", "y.PNG", "x.gif", "w.webp"], ["4 images are in no class folder and passed over: w.webp, x.gif"]),
        ([".hidden.png", "._1.jpg"], []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("root", [".", "train"])
def test_what_lies_beside_the_classes_changes_nothing_and_what_may_be_meant_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: list[str], said: list[str], root: str
) -> None:
    touch(tmp_path, f"{root}/ants/1.jpg", f"{root}/bees/2.jpg")
    before = list_images(tmp_path, "train")
    assert not caplog.messages
    touch(tmp_path, *(f"{root}/{name}" for name in files))
    assert list_images(tmp_path, "train") == before
    assert len(caplog.messages) == len(said)
    assert all(part in line for part, line in zip(said, caplog.messages, strict=True))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["notes/1.txt", "notes/2.raw"], "notes: no image in this class folder .2 other files, e.g. notes/"),
        (["scans/1.dcm"], "scans: no image in this class folder .1 other files, e.g. scans/1.dcm"),
        (["clips/1.mp4"], "clips: no image in this class folder .1 other files, e.g. clips/1.mp4"),
        (["wasps/.hidden"], "wasps: no image in this class folder$"),
    ],
)
def test_a_folder_that_may_be_a_class_nobody_can_read_is_no_folder_of_texts(
    tmp_path: Path, files: list[str], message: str
) -> None:
    touch(tmp_path, "ants/1.jpg", "bees/2.jpg", *files)
    with pytest.raises(DataError, match=message):
        list_images(tmp_path, "train")


def test_ants_and_bees_as_they_are_published(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [
        f"{part}/{name}/{number}.jpg"
        for part in ("train", "val")
        for name in ("ants", "bees")
        for number in "12"
    ]
    touch(tmp_path, *files, "notes/sources.txt", "__MACOSX/train/ants/._1.jpg", "LICENSE")
    with pytest.raises(
        DataError, match=r"val/ is not used.*rename it to test/ to seal it for the final score"
    ):
        list_images(tmp_path, "train")
    (tmp_path / "val").rename(tmp_path / "test")
    expected = ["ants/1.jpg", "ants/2.jpg", "bees/1.jpg", "bees/2.jpg"]
    assert names(tmp_path, "train") == names(tmp_path, "test") == expected
    assert list_images(tmp_path, "train").official
    assert {line.partition(": ")[2] for line in caplog.messages} == {
        "passed over, for it holds texts and no image"
    }


def test_a_store_beside_the_classes_is_passed_over_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "a/1.jpg", "b/2.jpg", "mlruns/studies/x/picture.png", "mlruns/folds/1/result.json")
    assert names(tmp_path) == ["a/1.jpg", "b/2.jpg"]
    assert caplog.messages == [f"{tmp_path / 'mlruns'}: passed over, for it is a store of harness"]
    touch(tmp_path, "studies/3.jpg", "folds/4.jpg")
    assert list_images(tmp_path, "train").classes == ("a", "b", "folds", "studies")


def test_a_store_whose_first_study_is_only_beginning_is_no_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(
        tmp_path,
        "a/1.jpg",
        "b/2.jpg",
        "runs/studies/x/lock",
        "runs/studies/x/holder.json",
        "runs/duplicates/3.npz",
    )
    assert names(tmp_path) == ["a/1.jpg", "b/2.jpg"]
    assert caplog.messages == [f"{tmp_path / 'runs'}: passed over, for it is a store of harness"]
    touch(tmp_path, "rooms/studies/desks/3.jpg")
    assert list_images(tmp_path, "train").classes == ("a", "b", "rooms")


def test_links_are_followed_but_not_in_circles(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "elsewhere/deep/1.jpg", "root/b/2.jpg")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "b" / "itself").symlink_to(tmp_path / "root" / "b" / "itself")
    (tmp_path / "root" / "b" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "deep" / "1.jpg")
    caplog.set_level(logging.WARNING)
    assert names(tmp_path / "root") == ["a/deep/1.jpg", "b/2.jpg", "b/link.jpg"]
    assert "not followed" in caplog.text


def test_broken_links_and_pipes_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    problems = {file.name: file.problem for file in list_images(tmp_path, "train").files}
    assert problems["a/gone.jpg"] == "No such file or directory"
    assert problems["a/pipe.jpg"] == "not a regular file"
    assert problems["a/1.jpg"] == ""


def test_too_many_folders_inside_each_other_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/" + "d/" * 60 + "1.jpg")
    with pytest.raises(DataError, match="more than 50 folders"):
        list_images(tmp_path, "train")


def test_names_become_printable_text() -> None:
    assert printable("кот и пёс.jpg") == printable("кот и пе\u0308с.jpg") == "кот и пёс.jpg"
    assert printable("a\nb\udcff") == r"a\nb\udcff"


def test_names_that_are_no_text_can_be_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff\n.jpg")).touch()
    assert names(tmp_path) == ["a/1.jpg", r"a/\udcff\n.jpg", "b/1.jpg"]


def test_the_fingerprint_changes_with_any_file(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    path = tmp_path / "a" / "1.jpg"
    prints = [list_images(tmp_path, "train").fingerprint("x")]
    assert list_images(tmp_path, "train").fingerprint("x") == prints[0]
    prints.append(list_images(tmp_path, "train").fingerprint("y"))
    path.write_bytes(b"1")
    prints.append(list_images(tmp_path, "train").fingerprint("x"))
    status = path.stat()
    path.write_bytes(b"2")  # with the old size and time
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    prints.append(list_images(tmp_path, "train").fingerprint("x"))
    path.rename(tmp_path / "a" / "2.jpg")
    prints.append(list_images(tmp_path, "train").fingerprint("x"))
    assert len(set(prints)) == len(prints)
