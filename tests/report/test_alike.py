"""Pairs of images that are alike are shown with names, the most suspicious first, and images that are sealed never."""

import io
from dataclasses import replace

import numpy as np
import pytest

from harness.data.duplicate_warnings import to_look_at
from harness.data.image_similarity import LIKELY, PARTLY, SURE
from harness.data.images import Images
from harness.data.near_duplicates import VERSION, Duplicates
from harness.data.split import where_duplicates_are
from harness.folds.train_folds import images_of
from harness.report.alike import ADVICE, alike_in, chosen_of, notices, page_part
from harness.report.collect import collect
from harness.report.gallery import gallery
from harness.report.html import page
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

Row = tuple[int, int, int, float]  # two images, level, similarity


def duplicates(*rows: Row, exact: tuple[int, ...] = ()) -> Duplicates:
    count = len(rows)
    return Duplicates(
        np.array([row[:2] for row in rows], np.int64).reshape(-1, 2),
        np.isin(np.arange(count), exact),
        np.array([row[3] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.uint8),
        np.zeros(count, np.uint8),
        np.ones((count, 2), np.complex64),
    )


def images(labels: list[int]) -> Images:
    pixels = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(8, 2).repeat(8, 3)
    names = tuple(f"{'ab'[label]}/{number}.png" for number, label in enumerate(labels))
    return Images(pixels, np.array(labels, np.int64), ("a", "b"), names)


LABELS = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0] + [0, 1] * 10
FOUND = duplicates(
    (0, 1, SURE, 0.9), (2, 3, SURE, 0.95), (4, 5, LIKELY, 0.7), (6, 7, LIKELY, 0.8), (8, 9, PARTLY, 0.6),
    (10, 11, SURE, 1.0), exact=(5,),
)  # fmt: skip


def test_the_most_suspicious_come_first_and_what_is_held_out_together_is_left_out() -> None:
    labels, alone = np.array(LABELS), np.arange(len(LABELS))
    found = to_look_at(FOUND, labels, alone)
    assert found.pairs.tolist() == [[10, 11], [0, 1], [2, 3], [4, 5], [6, 7]]
    together = alone.copy()
    together[[3, 7, 11]] = [
        2,
        6,
        10,
    ]  # as near has it, equal ones even with two labels; and as the user has it
    assert to_look_at(FOUND, labels, together).pairs.tolist() == [[10, 11], [0, 1], [4, 5]]


@pytest.mark.parametrize(
    ("most", "shown"), [(24, [2, 1, 2]), (3, [1, 1, 1]), (4, [2, 1, 1]), (1, [1, 0, 0]), (2, [1, 1, 0])]
)
def test_each_kind_has_its_share_of_what_is_shown_and_its_count(most: int, shown: list[int]) -> None:
    some = images(LABELS)
    alike = chosen_of(to_look_at(FOUND, some.labels, np.arange(len(LABELS))), some, most)
    assert alike.found == {"two classes": 2, "apart": 1, "likely": 2}
    kinds = [pair.kind for pair in alike.pairs]
    assert [kinds.count(kind) for kind in ("two classes", "apart", "likely")] == shown
    first = alike.pairs[0]
    assert first.equal and [image.name for image in first.images] == ["a/10.png", "b/11.png"]
    assert [image.label for image in first.images] == ["a", "b"]


def test_a_page_says_names_classes_and_how_many_more_there_are() -> None:
    some = images(LABELS)
    alike = chosen_of(to_look_at(FOUND, some.labels, np.arange(len(LABELS))), some, 4)
    content = page_part(alike, dict(enumerate(some.pixels)))
    assert content.count("<img") == 8 and "a/10.png" in content and "a · b, equal" in content
    assert "Likely copies (2, of which 1 are shown)" in content and "held out apart (1)" in content
    assert "alike 95\u00a0%" in content and "data.groups" in content


def test_no_name_or_class_can_break_the_page() -> None:
    evil = "<script>alert(1)</script>\"' onerror='x"
    some = replace(images(LABELS), names=tuple(evil for _ in LABELS), classes=(evil, "b"))
    alike = chosen_of(to_look_at(FOUND, some.labels, np.arange(len(LABELS))), some)
    content = page_part(alike, dict(enumerate(some.pixels)))
    assert "<script" not in content and "' onerror" not in content


def test_a_reader_is_told_first_of_copies_that_are_held_out_apart_and_of_no_others() -> None:
    some, alone = images(LABELS), np.arange(len(LABELS))
    alike = chosen_of(to_look_at(FOUND, some.labels, alone), some)
    (notice,) = notices(alike)
    assert notice.level == "note" and notice.text.startswith("1 pair of copies is held out apart")
    alone[3] = 2
    assert notices(chosen_of(to_look_at(FOUND, some.labels, alone), some)) == []


def known(study: LoadedStudy) -> tuple[int, int]:
    """Have the store say that two images of one class, which are held out apart, are likely copies."""
    labels, groups = study.split.labels, study.split.groups
    one = 0
    two = next(
        index for index in range(1, len(labels)) if labels[index] == labels[0] and groups[index] != groups[0]
    )
    found, content = duplicates((one, two, LIKELY, 0.77)), io.BytesIO()
    np.savez(content, version=VERSION, **vars(found))
    path = where_duplicates_are(study.record.data["hash"], study.store.home)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.getvalue())
    return one, two


def test_a_studys_report_and_gallery_show_them_from_its_training_images(tuned: Store) -> None:
    study = LoadedStudy.open(tuned, "small")
    one, two = known(study)
    report = collect([study])
    (pair,) = report.studies[0].alike.pairs if report.studies[0].alike else ()
    assert [image.index for image in pair.images] == [one, two] and pair.kind == "likely"
    pixels, shown = images_of(tuned, study.record, split=study.split).pixels, report.pixels["small"]
    assert all((shown[index] == pixels[index]).all() for index in (one, two))
    content = page(report)
    assert "Images that are alike" in content and f"image {two}" in content and "alike 77" in content
    assert report.document["studies"][0]["alike"]["found"] == {"likely": 1}
    gallery(study)
    written = (tuned.study_folder("small") / "gallery.html").read_text(encoding="utf-8")
    assert "<h2>Alike</h2>" in written and "alike 77" in written


def test_where_nobody_has_looked_nothing_is_said_and_nothing_searched(
    tuned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = LoadedStudy.open(tuned, "small")
    where_duplicates_are(study.record.data["hash"], tuned.home).unlink()
    monkeypatch.setattr("harness.data.near_duplicates.find", lambda *_: pytest.fail("searched"))
    assert alike_in(study) is None
    content = page(collect([study]))
    assert "Images that are alike" not in content and ADVICE[:20] not in content
