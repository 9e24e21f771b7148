"""What tells a class besides the picture: each clue is told by itself, and none where all files are alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.analysis import file_clues
from harness.data.images import Images
from tests.analysis.test_marks import photographs

FACTS = {
    "format": ("PNG", "JPEG"), "width": (64, 640), "quality": (30, 95), "bytes_per_pixel": (0.5, 2.0),
    "has_alpha": (True, False), "camera": ("Canon", "no camera"), "taken": (1.70e9, 1.75e9),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FACTS))
def test_a_fact_of_one_class_alone_is_noted_with_what_it_means(name: str) -> None:
    images = photographs()
    (found,) = [
        one
        for one in checks(images, {name: np.where(images.labels == 1, *FACTS[name])})
        if one[0] != "file names"
    ]
    probe, verdict, sentence = found
    assert (probe, verdict) == (f"files: {name.replace('_', ' ')}", "noted")
    assert "of class class1 and" in sentence and file_clues.MEANING[name] in sentence


def checks(images: Images, facts: dict[str, np.ndarray]) -> list[tuple[str, str, str]]:
    return [(check.probe, check.verdict, check.sentence) for check in file_clues.checks(images, facts)]


def test_facts_that_say_nothing_pass_in_one_line() -> None:
    images, random = photographs(), np.random.default_rng(0)
    facts = {name: np.array(pair)[random.integers(2, size=len(images))] for name, pair in FACTS.items()}
    found = checks(images, facts)
    assert [(probe, verdict) for probe, verdict, _ in found] == [
        ("files", "passed"),
        ("file names", "passed"),
    ]


def test_a_date_is_told_as_a_date() -> None:
    images = photographs()
    taken = np.where(images.labels == 1, 1.70e9, 1.75e9)
    assert "a time in EXIF of at most 2023-11-14" in checks(images, {"taken": taken})[0][2]


def test_the_label_in_the_file_name() -> None:
    images = photographs(360)
    random = np.random.default_rng(0).permutation(len(images))
    numbered = tuple(f"{images.classes[label]}/{random[i]:04}.png" for i, label in enumerate(images.labels))
    named = tuple(f"x/{images.classes[label]}_{random[i]:04}.png" for i, label in enumerate(images.labels))
    for names, verdict in ((numbered, "passed"), (named, "noted")):
        by_name, order = checks(replace(images, names=names).take(random), {})
        assert by_name[:2] == ("file names", verdict) and order[:2] == ("order of images", "passed")
    assert "100% of the file names contain the class" in by_name[2]


def test_an_order_that_tells_the_class() -> None:
    images = photographs(360)
    blocks = np.argsort(np.arange(360) // 40 % 3, kind="stable")
    found = checks(replace(images, names=()).take(np.argsort(blocks)), {})
    assert [one[:2] for one in found] == [("order of images", "noted")]


def test_exif_is_read_from_the_files_that_are_still_there(tmp_path: Path) -> None:
    images = photographs(60)
    for name, label, pixels in zip(images.names, images.labels, images.pixels, strict=True):
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if label == 0:
            exif[file_clues.MODEL] = "Canon EOS 80D"
            exif[file_clues.TIME] = "2024:05:01 10:00:00"
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path, "PNG", exif=exif)
    columns = {"bytes": np.full(60, 2048), "width": np.full(60, 32), "height": np.full(60, 32)}
    facts = file_clues.facts_of(images, columns, {"name": "folder", "root": str(tmp_path)})
    assert set(facts["camera"][images.labels == 0]) == {"Canon EOS 80D"}
    assert set(facts["camera"][images.labels != 0]) == {"no camera"}
    assert "taken" not in facts and facts["bytes_per_pixel"].tolist() == [2.0] * 60
    (tmp_path / "train" / images.names[0]).unlink()
    assert "camera" not in file_clues.facts_of(images, columns, {"name": "folder", "root": str(tmp_path)})
