"""What of a folder of images may be meant is told before a study begins: by name, with figures, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.config.study_file import load_study_file
from harness.search.preflight import preflight

RANDOM = np.random.default_rng(0)
HOW_MADE = "a network may tell the class by how its files were made, and not by what they show"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def noise(size: int = 8, channels: int = 3) -> Image.Image:
    pixels = RANDOM.integers(0, 256, (size, size, channels), dtype=np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def made(
    name: str, count: int = 20, make: Callable[[], Image.Image] = noise, ending: str = "png", **options: int
) -> None:
    """Images of a class."""
    for number in range(count):
        path = Path("photos", name, f"{number:03}.{ending}")
        path.parent.mkdir(parents=True, exist_ok=True)
        make().save(path, **options)


def equal_in_two_classes() -> None:
    made("cat")
    made("dog")
    for number in range(4):
        shutil.copy(f"photos/cat/{number:03}.png", f"photos/dog/cat{number}.png")


def one_picture(ending: str = "png") -> None:
    made("cat")
    made("dog", 1)
    for number in range(19):
        shutil.copy("photos/dog/000.png", f"photos/dog/copy{number}.{ending}")


def both(one: Callable[[], object], other: Callable[[], object]) -> Callable[[], object]:
    return lambda: (one(), other())


CASES: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "nothing": (both(lambda: made("cat"), lambda: made("dog")), ()),
    "equal pictures in two classes": (
        equal_in_two_classes,
        ("pictures are in more than one class, so no network can be right about them: cat/", "held out together: cat/"),
    ),
    "classes that differ by a capital": (
        both(lambda: made("Cat"), lambda: made("cat")), ("classes Cat, cat are told apart by how their names are",),
    ),
    "classes that differ by a space": (
        both(lambda: made("sea lion"), lambda: made("sea_lion")), ("classes sea lion, sea_lion are told apart by",),
    ),
    "990 to 10": (
        both(lambda: made("cat", 990), lambda: made("dog", 10)),
        ("cat has 792 images and dog has 8, which accuracy hardly sees: a network that always says cat scores 0.9900",),
    ),
    "15 to 1 among four": (
        lambda: [made(name, count) for name, count in zip("abcd", (150, 60, 60, 10), strict=True)],
        ("a has 120 images and d has 8, which accuracy hardly sees: a network that always says a scores 0.5357",),
    ),
    "another format": (
        both(lambda: made("cat"), lambda: made("dog", ending="bmp")),
        (f"100% of class dog and 0% of all others have the file format BMP: {HOW_MADE}",),
    ),
    "another size": (
        both(lambda: made("cat"), lambda: made("dog", make=lambda: noise(12))),
        ("have a width of at most 8: ", "have a height of at most 8: "),
    ),
    "another quality": (
        both(lambda: made("cat", ending="jpg", quality=90), lambda: made("dog", ending="jpg", quality=40)),
        (f"100% of class cat and 0% of all others have a JPEG quality above 40: {HOW_MADE}",),
    ),
    "transparency": (
        both(lambda: made("cat"), lambda: made("dog", make=lambda: noise(channels=4))),
        ("pixels of the kind RGB: ", "100% of class dog and 0% of all others have transparency: "),
    ),
    "grey": (
        both(lambda: made("cat"), lambda: made("dog", make=lambda: noise(channels=1))),
        (f"100% of class dog and 0% of all others have pixels of the kind L: {HOW_MADE}",),
    ),
    "images beside the classes and a folder of texts": (
        lambda: (
            made("cat"), made("dog"), noise().save("photos/seen.png"), Path("photos/notes").mkdir(),
            Path("photos/notes/1.txt").touch(),
        ),
        ("notes: passed over, for it holds texts and no image", "1 image is in no class folder and passed over"),
    ),
}  # fmt: skip


def warnings_of(data: str = "") -> list[str]:
    Path("own.yaml").write_text(
        f"data: {{name: folder, root: photos, image_size: 8{data}}}\n"
        "model: {name: resnet, depth: 1, blocks: 1, width: 2}\ntrain: {epochs: 1}\n"
        "cv: {folds: 2}\nsearch: {trials: 1}\n",
        encoding="utf-8",
    )
    found = preflight(load_study_file("own.yaml", ()), Path("home"))
    assert not found.problems
    return list(found.warnings)


@pytest.mark.parametrize("case", CASES)
def test_what_may_be_meant_is_told_and_nothing_else(case: str) -> None:
    make, said = CASES[case]
    make()
    lines = warnings_of()
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))


def test_a_class_of_one_picture_is_told_where_it_can_be_divided_at_all() -> None:
    one_picture()
    (first, *others) = warnings_of(", duplicates: ignore")
    assert first == "class dog is one picture, 16 times over; add others"
    assert any("16 images show 1 picture more than once" in line for line in others)
    assert any("sealed test images show pictures that are in training, too" in line for line in others)
