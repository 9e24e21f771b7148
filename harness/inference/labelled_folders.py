"""Folders of labelled images, by the names of a model's classes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from harness.data.image_files import Candidate, class_folders, image_files
from harness.errors import DataError, MissingData, did_you_mean

NUM_NAMED = 5  # folders that a message names
PARTS = ("train", "test", "val", "valid", "validation", "dev")


def folders_of_classes(folder: Path, classes: Sequence[str]) -> dict[str, Path]:
    """The folders in it by name. Raises DataError where none is a class of the model."""
    if not folder.is_dir():
        raise MissingData(f"{folder}: there is no such folder")
    try:
        folders = class_folders(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}") from None
    parts = [name for name in folders if name not in classes and name.casefold() in PARTS]
    if not folders:
        raise DataError(f"{folder}: there must be a folder for each class in it ({', '.join(classes[:10])})")
    if parts:
        raise DataError(f"{folder}: has parts; say which is to be scored, {folder / parts[0]} for example")
    if not set(folders) & set(classes):
        raise DataError(
            f"{folder}: no folder in it is a class of the model: {_few(list(folders))}"
            f"{did_you_mean(next(iter(folders)), list(classes))}"
        )
    return folders


def unknown_classes(folder: Path, unknown: Collection[str], total: int, classes: Sequence[str]) -> DataError:
    """What is said of folders that are no classes of the model.   total: folders there are."""
    names = list(unknown)
    return DataError(
        f"{folder}: {len(names)} of {total} folders are no classes of the model: {_few(names)}"
        f"{did_you_mean(names[0], list(classes))}; --skip-unknown leaves them out"
    )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - NUM_NAMED:,} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more


def labelled_files(folders: Mapping[str, Path], classes: Sequence[str]) -> Iterator[tuple[Candidate, int]]:
    """The image files of the class folders, each with the label of its class."""
    for name, place in folders.items():
        for candidate in image_files([str(place)]):
            yield candidate, classes.index(name)
