"""The corrected interval knows of the luck of trainings, and the gain over the defaults not of that of the choice."""

import math

import pytest

from harness.report.collect import _against_defaults
from harness.search import selection_bias
from harness.search.selection_bias import corrected_score
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.store.trial_scores import sampling_of


def test_the_interval_is_that_of_the_images_and_of_the_trainings(
    tuned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = LoadedStudy.open(tuned, "small")
    found, best = corrected_score(study), study.best
    assert found is not None and best is not None
    sampling = sampling_of(study, best, "accuracy")
    error = study.error(best.scores, sampling)
    assert sampling is not None and error is not None
    training = error.half_width * math.sqrt(1 - sampling / 2 / error.standard_error**2)
    monkeypatch.setattr(selection_bias, "_training_half_width", lambda *_: 0.0)
    bare = corrected_score(study)
    assert bare is not None and bare.corrected == found.corrected
    assert found.high - found.corrected == pytest.approx(math.hypot(bare.high - bare.corrected, training))
    assert found.low == pytest.approx(
        max(0.0, found.corrected - math.hypot(bare.corrected - bare.low, training))
    )


def test_an_interval_stays_where_scores_can_be(tuned: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_bias, "_training_half_width", lambda *_: 5.0)
    found = corrected_score(LoadedStudy.open(tuned, "small"))
    assert found is not None and (found.low, found.high) == (0.0, 1.0)


def test_the_gain_over_the_defaults_is_without_the_luck_of_the_choice(tuned: Store) -> None:
    study = LoadedStudy.open(tuned, "small")
    corrected = corrected_score(study)
    raw, found = _against_defaults(study, None), _against_defaults(study, corrected)
    if raw is None:  # the defaults are the best on this processor
        assert study.best is not None and study.best.number == 0 and found is None
        return
    assert corrected is not None and found is not None
    luck = corrected.naive - corrected.corrected
    assert raw.gain - found.gain == pytest.approx(luck) == pytest.approx(raw.low - found.low)
