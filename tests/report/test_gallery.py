"""The gallery: the images that it should show, on a page that needs nothing but itself."""

import re

import numpy as np
import pytest

from harness.errors import UsageError
from harness.report.gallery import gallery
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store


def test_it_shows_what_the_best_trials_agree_on_and_get_wrong(tuned: Store) -> None:
    document = gallery(LoadedStudy.open(tuned, "small"), top=2, most=5)
    study = LoadedStudy.open(tuned, "small")
    found = [study.out_of_fold(study.trials[number]) for number in document.trials]
    calls, labels = [one.probabilities.argmax(1) for one in found], found[0].labels
    wrong = np.flatnonzero((calls[0] == calls[1]) & (calls[0] != labels))
    assert document.found["wrong"] == len(wrong)
    for name, rows in document.images["wrong"].items():
        assert 1 <= len(rows) <= 5 and {row.label for row in rows} == {name}
        assert all(row.index in wrong for row in rows)
        sure = [row.confidence for row in rows]
        assert sure == sorted(sure, reverse=True)


def test_the_page_is_whole_and_asks_for_nothing(tuned: Store) -> None:
    document = gallery(LoadedStudy.open(tuned, "small"), most=3)
    page = (tuned.study_folder("small") / "gallery.html").read_text(encoding="utf-8")
    shown = sum(len(rows) for classes in document.images.values() for rows in classes.values())
    assert page.count("<figcaption>") == shown > 0
    assert not re.search(r"<script|https?://|src=\"(?!data:image/png;base64,)", page)
    assert "Wrong (" in page and "script-src 'none'" in page and "color-scheme: light dark" in page


def test_without_a_complete_trial_there_is_no_gallery(tuned: Store) -> None:
    for path in (tuned.study_folder("small") / "trials").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no complete trial"):
        gallery(LoadedStudy.open(tuned, "small"))
