"""Finds the image files of a folder of classes, without opening any, in the same order on every system."""

import hashlib
import logging
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from harness.data.foreign_folders import stray_images, told_texts, without_texts
from harness.data.formats import NEEDS_EXTRA, is_image_name, needs_extra
from harness.errors import DataError, MissingData
from harness.os_errors import OF_THE_PROCESS, require_about_the_file
from harness.standalone.image_pixels import UnreadableError

logger = logging.getLogger(__name__)

MAX_DEPTH = 50
MAX_VISITS = 100
MAX_FILE_BYTES = 2**28
# Folders that systems make beside and inside of people's own: of macOS, Linux, Windows, Synology and QNAP.
OF_SYSTEMS = (
    "__macosx", "lost+found", "$recycle.bin", "recycler", "system volume information", "@eadir", "#recycle",
    "#snapshot", "@recycle", "@recently-snapshot", "found.000",
    "mlruns", "wandb", "lightning_logs", "node_modules", "__pycache__",  # of tools, whose pictures are of no class
)  # fmt: skip
VALIDATION = ("val", "valid", "validation", "dev")


class ImageFile(NamedTuple):
    """name: its path in the data set, as text anybody can print.   state: changes when the file does.

    problem: why it cannot be read, or "".
    """

    name: str
    path: str
    label: int
    state: str
    problem: str


@dataclass(frozen=True)
class Listing:
    """The files of a data set, or of its one official part.

    files: sorted by class, then name.   official: they are one part, so none of them is to be held out.
    """

    classes: tuple[str, ...]
    files: tuple[ImageFile, ...]
    official: bool

    def fingerprint(self, *more: str) -> str:
        """SHA-256 over names, sizes and times of the files, and `more`: the same if the files are."""
        lines = [*more, *self.classes, *(f"{file.name}\0{file.state}" for file in self.files)]
        return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def list_images(root: Path, part: Literal["train", "test"]) -> Listing:
    """The files for `part` of `root/<class>/…` or `root/train/<class>/…` and `root/test/<class>/…`.

    Without `root/test` they are all of the files, of which the caller holds some out.
    Raises DataError for any other layout, and for a class without images.
    """
    try:
        train, test = _layout(root)
        for store in filter(_is_store, root.iterdir()):
            logger.warning("%s: passed over, for it is a store of harness", printable(str(store)))
        classes = without_texts(_folders(train))
        if strays := stray_images(train):
            named, count = ", ".join(map(printable, strays[:3])), len(strays)
            many = "1 image is" if count == 1 else f"{count} images are"
            logger.warning("%s: %s in no class folder and passed over: %s", train, many, named)
        if len(set(classes)) < 2:
            found = f"only {next(iter(classes))}" if classes else "none"
            raise DataError(f"{train}: a class is a folder of images and there must be at least 2 ({found})")
        test_classes = None if test is None else _test_folders(test, list(classes))
        if part == "test" and test_classes is not None:
            files = tuple(_files(test_classes, part="test"))
        else:
            files = tuple(_files(classes, part="train"))
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from None
    return Listing(tuple(classes), files, official=test is not None)


def class_folders(root: Path) -> dict[str, Path]:
    """The folders in `root` that people have made, by printable name, in natural order: classes, or parts.

    Raises DataError for two of one name, OSError where there is no listing it.
    """
    return _folders(root)


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Sorts class2 before class10."""
    pieces = re.split("([0-9]+)", name)
    return [int(piece) if position % 2 else piece for position, piece in enumerate(pieces)], name


def _layout(root: Path) -> tuple[Path, Path | None]:
    """The folders of training and test classes; without a test folder the training one is for both."""
    if not root.is_dir():
        raise MissingData(f"{root}: there is no such folder")
    inside = {name.casefold(): folder for name, folder in _folders(root).items()}
    parts = [name for name in ("train", "test", *VALIDATION) if name in inside]
    with_classes = [name for name in parts if _folders(inside[name])]
    if not with_classes and (
        not parts or len(parts) < len(inside)
    ):  # then a folder called train is a class, of trains
        return root, None
    for name in ("train", "test"):
        if name not in with_classes and (name == "train" or name in parts):
            raise DataError(f"{root}: there must be a folder for each class, in it or in its {name}/")
    others = [name for name in inside if name not in parts]
    others = [name for name in others if name not in told_texts({name: inside[name] for name in others})]
    if others:
        raise DataError(f"{root}: {others[0]}/ is neither a class nor a part, beside {', '.join(parts)}")
    validation = [name for name in parts if name in VALIDATION]
    if validation and "test" not in parts:
        raise DataError(
            f"{root}: {validation[0]}/ is not used, as the training images are cross-validated: "
            "rename it to test/ to seal it for the final score, or move its images into train/"
        )
    if validation:
        logger.warning("%s: %s/ is not used: the images of train/ are cross-validated", root, validation[0])
    return inside["train"], inside.get("test")


def _test_folders(test: Path, classes: list[str]) -> dict[str, Path]:
    folders = without_texts(_folders(test))
    unknown = [name for name in folders if name not in classes]
    if unknown:
        raise DataError(
            f"{test}: class {unknown[0]} is not in the training folder ({', '.join(classes[:10])})"
        )
    return {name: folders.get(name, test / name) for name in classes}


def _folders(folder: Path) -> dict[str, Path]:
    """The visible folders inside that people have made, by printable name, in natural order."""
    with os.scandir(folder) as entries:
        paths = [
            Path(entry.path)
            for entry in entries
            if not _is_passed_over(entry.name) and _is_folder(entry) and not _is_store(Path(entry.path))
        ]
    named = {printable(path.name): path for path in paths}
    if len(named) < len(paths):
        raise DataError(f"{folder}: two folders have the same name but for how its accents are encoded")
    return {name: named[name] for name in sorted(named, key=natural_order)}


def _is_passed_over(name: str) -> bool:
    """Whether a file or folder is hidden, or a folder that systems make."""
    return name.startswith(".") or name.casefold() in OF_SYSTEMS


def _is_store(folder: Path) -> bool:
    """Whether a folder is a store of harness, also one in which the first study is only beginning."""
    if not (folder / "studies").is_dir():
        return False
    return (folder / "folds").is_dir() or any((folder / "studies").glob("*/lock"))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _files(classes: dict[str, Path], *, part: str) -> Iterator[ImageFile]:
    """All images of all classes; other files are ignored, and told of."""
    all_ignored: list[str] = []
    for label, (name, folder) in enumerate(classes.items()):
        ignored: list[str] = []
        found = []
        if part == "train" or folder.exists():
            found = sorted(_walk(folder, name, label, frozenset(), ignored, Counter()))
        if not found and part == "train":
            other = f" ({len(ignored)} other files, e.g. {ignored[0]})" if ignored else ""
            other += f"; {NEEDS_EXTRA}" if _needing_extra(ignored) else ""
            raise DataError(f"{folder}: no image in this class folder{other}")
        yield from found
        all_ignored += ignored
    if heic := _needing_extra(all_ignored):
        named = ", ".join(heic[:3])
        logger.warning("%d photographs are passed over: %s (%s)", len(heic), named, NEEDS_EXTRA)
        all_ignored = [name for name in all_ignored if not needs_extra(Path(name).suffix.lower())]
    if all_ignored:
        named = ", ".join(all_ignored[:3])
        logger.warning("%d files are not named like images and ignored: %s", len(all_ignored), named)


def _needing_extra(names: Sequence[str]) -> list[str]:
    return sorted(name for name in names if needs_extra(os.path.splitext(name)[1].lower()))  # noqa: PTH122  as below


def _walk(
    folder: Path,
    name: str,
    label: int,
    ancestors: frozenset[tuple[int, int]],
    ignored: list[str],
    visits: Counter[tuple[object, ...]],
) -> Iterator[ImageFile]:
    """The image files in and below a folder. Links are followed, but never into a folder they lie in.

    visits: how often each folder was come to so far; a few folders of links can be walked in billions of ways.
    """
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in ancestors:
        if not visits["circle", *here]:
            logger.warning("%s: a link to a folder above it is not followed", printable(str(folder)))
        visits["circle", *here] += 1
        return
    visits[here] += 1
    if visits[here] > MAX_VISITS:
        raise DataError(f"{printable(str(folder))}: links lead to this folder in more than {MAX_VISITS} ways")
    if len(ancestors) > MAX_DEPTH:
        raise DataError(f"{printable(str(folder))}: more than {MAX_DEPTH} folders inside each other")
    with os.scandir(folder) as entries:
        for entry in entries:
            inner = f"{name}/{printable(entry.name)}"
            if _is_passed_over(entry.name):
                continue
            if _is_folder(entry):
                yield from _walk(Path(entry.path), inner, label, ancestors | {here}, ignored, visits)
            elif is_image_name(os.path.splitext(entry.name)[1].lower()):  # noqa: PTH122  a Path costs 5 times as much
                yield _image_file(entry, inner, label)
            else:
                ignored.append(inner)


def _image_file(entry: "os.DirEntry[str]", name: str, label: int) -> ImageFile:
    try:
        status = entry.stat()
    except OSError as error:
        return ImageFile(name, entry.path, label, "", error.strerror or "cannot be found")
    problem = "" if stat.S_ISREG(status.st_mode) else "not a regular file"
    state = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    return ImageFile(name, entry.path, label, state, problem)


def printable(name: str) -> str:
    """A file name as text that can be stored and shown: accents composed, odd bytes written out."""
    if name.isascii() and name.isprintable():
        return name
    composed = unicodedata.normalize("NFC", name)
    hidden = ("Cc", "Cs")  # control characters, and bytes that are no UTF-8
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in hidden else char
        for char in composed
    )


class Candidate(NamedTuple):
    """A file that may be an image.   problem: why it, or the folder of that path, cannot be looked at, or ""."""

    path: str
    problem: str = ""


def image_files(paths: Sequence[str], *, without: Path | None = None) -> Iterator[Candidate]:
    """The files, and those in and below the folders that are named like images, in the order of their names.

    A file that is named itself is taken whatever its name. Hidden files, folders that systems make, and links to a
    folder that they lie in, are passed over.   without: a folder that is not looked into.
    Memory grows with the largest folder only.
    """
    skipped = None if without is None else os.path.realpath(without)
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112  a path may hold what Path refuses
            yield from _below(path, frozenset(), skipped)
        else:
            yield Candidate(path)


def read(path: str) -> bytes:
    """The content of a regular file. Raises UnreadableError for anything else, and for a very large one.

    Raises StoreError where it is this process that can read no file more.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123  without waiting for who might write into a pipe
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableError("not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise UnreadableError(f"larger than {MAX_FILE_BYTES:,} bytes")
            return file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in OF_THE_PROCESS:
            require_about_the_file(error, Path(path))
        raise UnreadableError(getattr(error, "strerror", None) or str(error)) from None


def _below(folder: str, ancestors: frozenset[tuple[int, int]], skipped: str | None) -> Iterator[Candidate]:
    if skipped is not None and os.path.realpath(folder) == skipped:
        return
    try:
        status = os.stat(folder)  # noqa: PTH116
        here = (status.st_dev, status.st_ino)
        if here in ancestors:
            return
        with os.scandir(folder) as scanned:
            entries = sorted(
                (entry.name, _is_folder(entry)) for entry in scanned if not _is_passed_over(entry.name)
            )
    except OSError as error:
        yield Candidate(folder, error.strerror or "cannot be listed")
        return
    if len(ancestors) > MAX_DEPTH:
        yield Candidate(folder, f"more than {MAX_DEPTH} folders inside each other")
        return
    for name, is_folder in entries:
        path = os.path.join(folder, name)  # noqa: PTH118
        if is_folder:
            yield from _below(path, ancestors | {here}, skipped)
        elif is_image_name(suffix := os.path.splitext(name)[1].lower()):  # noqa: PTH122  a Path costs 5 times as much
            yield Candidate(path)
        elif needs_extra(suffix):
            yield Candidate(path, NEEDS_EXTRA)
