"""Repeated cross-validation, hold-outs and own folds, from the study file to the report: what is counted and said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, t

import harness
from harness.analysis import leaderboard
from harness.analysis.audit import _guards
from harness.analysis.compare import compare, named
from harness.analysis.confirm import confirm
from harness.analysis.reproduce import Reproduction, reproduce
from harness.cli import finding_tables
from harness.config.study_file import load_study_file
from harness.errors import StudyError, UsageError
from harness.prepare import prepare
from harness.records import StudyRecord
from harness.report.collect import collect
from harness.report.gallery import choose
from harness.store.findings import Confirmation
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from harness.store.trial_scores import sampling_of

STUDY = """\
# Does it work?
data: {name: digits, test_fraction: 0.8}
model: {name: resnet, depth: 1, width: 8}
train: {epochs: 2, batch_size: 16, lr: [0.05, 0.1], augment: none, keep_models: none}
cv: {CV}
search: {trials: 2, sampler: grid, racing: none}
"""
FORMS = {
    "repeats": "folds: 2, repeats: 3",
    "hold_out": "folds: 1, fraction: 0.3",
    "hold_outs": "folds: 1, fraction: 0.3, repeats: 2",
}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tuned_study import tune

    folder = tmp_path_factory.mktemp("forms")
    for name, cv in FORMS.items():
        (folder / f"{name}.yaml").write_text(STUDY.replace("CV", cv), encoding="utf-8")
        tune(folder / f"{name}.yaml", folder / "home")
    return folder / "home"


@pytest.fixture
def opened(homes: Path) -> Callable[[str], LoadedStudy]:
    return lambda name: LoadedStudy.open(Store(homes), name)


def test_the_error_of_repeats_is_that_of_nadeau_and_bengio_drawn_to_the_images_error(
    opened: Callable[..., LoadedStudy],
) -> None:
    """(1 / (R·k) + n_test / n_train) · s², with 1 / (k - 1) of k folds however often, and f / (1 - f) of a hold-out.

    s² is at least the sampling variance, and drawn towards it with the weight of six scores.
    """
    for name, ratio, number in (("repeats", 1.0, 6), ("hold_outs", 0.3 / 0.7, 2)):
        study = opened(name)
        for trial in study.trials:
            assert len(trial.scores) == number
            least = sampling_of(study, trial, "accuracy")
            seen, freedom = max(np.var(trial.scores, ddof=1), least), number - 1
            variance = (6 * least + freedom * seen) / (6 + freedom)
            assert trial.standard_error == pytest.approx(np.sqrt((1 / number + ratio) * variance), rel=1e-9)
            assert trial.half_width / trial.standard_error == pytest.approx(t.ppf(0.975, 6 + freedom))


def test_the_error_of_one_hold_out_is_that_of_sampling_its_images(opened: Callable[..., LoadedStudy]) -> None:
    study = opened("hold_out")
    for trial in study.trials:
        labels, probabilities = study.out_of_fold(trial).known
        share = (probabilities.argmax(1) == labels).mean()
        expected = np.sqrt(share * (1 - share) / (len(labels) - 1))
        assert trial.standard_error == pytest.approx(expected)
        assert trial.half_width == pytest.approx(1.959964 * expected)


@pytest.mark.parametrize(("name", "each"), [("repeats", 3), ("hold_out", 1), ("hold_outs", None)])
def test_pooled_predictions_have_each_image_as_often_as_it_was_held_out(
    opened: Callable[..., LoadedStudy], name: str, each: int | None
) -> None:
    study = opened(name)
    trial = study.best
    assert trial is not None
    found = study.out_of_fold(trial)
    held_out = found.images[found.fold_of >= 0]
    assert found.complete and len(found.known[0]) == sum(
        len(study.split.held_out(f)) for f in range(len(trial.folds))
    )
    if each:
        assert set(np.unique(held_out, return_counts=True)[1].tolist()) == {each}
    for fold in range(len(trial.folds)):
        np.testing.assert_array_equal(
            np.sort(found.images[found.fold_of == fold]), study.split.held_out(fold)
        )
    np.testing.assert_array_equal(found.known[0], study.split.labels[held_out])
    means = [np.mean(found.right[found.fold_of == fold]) for fold in range(len(trial.folds))]
    assert means == pytest.approx(list(trial.scores))
    images, labels, mean = found.of_images()
    np.testing.assert_array_equal(labels, study.split.labels[images])
    rows = np.flatnonzero((found.images == images[0]) & (found.fold_of >= 0))
    np.testing.assert_allclose(mean[0], found.probabilities[rows].mean(0), rtol=1e-5)


def test_the_report_says_what_is_counted_and_the_matrix_sums_to_it(
    opened: Callable[..., LoadedStudy],
) -> None:
    said = {
        "repeats": "counts every image 3 times",
        "hold_out": "± is of these images being a sample",
        "hold_outs": "was held out",
    }
    for name, words in said.items():
        study = opened(name)
        page = collect([study]).studies[0]
        assert words in page.scored_by and words in leaderboard.status(study).scored_by
        assert any(words in sentence for sentence in page.answer)
        assert page.held_out is not None
        total = sum(map(sum, page.held_out.confusion))
        assert total == len(study.out_of_fold(study.trials[0]).known[0])
        assert choose(study, top=2, most=3).images is not None
    plain = replace(opened("repeats").record, definition={}, num_folds=5)
    assert plain.scored_by == "" and plain.validation == "5-fold cross-validation"


def test_frames_have_a_row_for_every_prediction(homes: Path) -> None:
    frame = harness.load_study("repeats", home=homes).predictions()
    assert frame.index.value_counts().eq(3).all()
    frame = harness.load_study("hold_out", home=homes).predictions()
    assert frame.index.is_unique and frame["fold"].eq(0).all()


def test_compare_counts_each_image_once(opened: Callable[..., LoadedStudy]) -> None:
    study = opened("repeats")
    found = compare(named(opened, ["repeats:0", "repeats:1"]))
    against = found.trials[1].against_best
    assert against is not None and found.num_folds == 6
    best, other = (study.out_of_fold(study.trials[int(row.trial[-1])]).first for row in found.trials)
    assert against.mcnemar.only_best_right == int((best.right & ~other.right).sum())


def test_on_one_held_out_part_trials_are_compared_by_its_images(
    opened: Callable[..., LoadedStudy], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = opened("hold_out")
    found = compare(named(opened, ["hold_out:0", "hold_out:1"]))
    against = found.trials[1].against_best
    right = [study.out_of_fold(study.trials[int(row.trial[-1])]).right for row in found.trials]
    held_out = study.out_of_fold(study.trials[0]).fold_of >= 0
    gaps = right[1][held_out].astype(float) - right[0][held_out]
    error = np.std(gaps, ddof=1) / np.sqrt(len(gaps))
    assert against is not None and against.difference == pytest.approx(gaps.mean())
    assert against.difference_standard_error == pytest.approx(error, rel=0.01)
    assert against.high - against.difference == pytest.approx(1.959964 * against.difference_standard_error)
    assert against.t_test.p == pytest.approx(2 * norm.sf(abs(against.t_test.t)))
    assert found.smallest_difference == pytest.approx((1.959964 + 0.841621) * error, rel=0.01)
    finding_tables.comparison(found)
    said = capsys.readouterr().out
    assert "with one held-out part, a difference of" in said and "another division" in said
    monkeypatch.setattr("harness.analysis.compare._deviations", lambda objective, contenders: None)
    with pytest.raises(UsageError, match=r"hold_out:\d is scored on one held-out part, .*cv\.repeats"):
        compare(named(opened, ["hold_out:0", "hold_out:1"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FORMS))
def test_a_trial_is_confirmed_audited_and_reproduced(opened: Callable[..., LoadedStudy], name: str) -> None:
    study = opened(name)
    *_, found = confirm(study, top=1)
    assert isinstance(found, Confirmation) and not found.has_same_folds
    assert len(found.trials[0].scores[0]) == study.record.num_folds
    assert found.trials[0].confirmed_standard_error > 0
    champion, num_images = found.champion, study.record.data["num_images"]
    assert champion and champion.low < champion.expected < champion.high
    assert champion.train_images == num_images
    assert champion.fold_images == pytest.approx(num_images * (1 - 1 / study.record.parts), rel=0.02)
    assert champion.gain > 0  # of digits, more images are better
    check = _guards(study, study.trials[0])
    words = {
        "repeats": "held out 3 times",
        "hold_out": "were held out;",
        "hold_outs": "were held out in 2 times;",
    }
    assert check.verdict == "passed" and words[name] in check.sentence
    *_, again = reproduce(study, trial="0")
    assert isinstance(again, Reproduction) and again.verdict == "BITWISE"


def test_own_folds_are_the_study_s_and_an_edit_of_the_table_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tuning_of: Callable[..., Store]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = Path("folds.csv")
    table.write_text("image,fold\n" + "\n".join(f"{i},{i % 2 + 1}" for i in range(1797)), encoding="utf-8")
    path = tmp_path / "own.yaml"
    path.write_text(STUDY.replace("CV", "folds: 2, split: folds.csv, duplicates: ignore"), encoding="utf-8")
    store = tuning_of(path, tmp_path / "home")
    study = LoadedStudy.open(store, "own")
    np.testing.assert_array_equal(study.split.fold_of, np.arange(len(study.split.fold_of)) % 2)
    table.write_text(table.read_text().replace("\n5,2", "\n5,1"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"(?s)cv\.split   deals 1 of .* folds\.csv was edited"):
        prepare(load_study_file(str(path)), store, "own")
    table.unlink()  # the study has its split
    prepare(load_study_file(str(path)), store, "own")
    *_, found = confirm(study, top=1)
    assert isinstance(found, Confirmation) and found.has_same_folds


@pytest.mark.parametrize(
    ("cv", "why"),
    [
        ("folds: 2, fraction: 0.3", "cv.fraction   is read with folds: 1 only"),
        ("folds: 50, repeats: 3", "cv.repeats   50 folds 3 times are more than 100"),
        (
            "folds: 2, repeats: 2, split: own.csv",
            "cv.repeats   must be 1: own.csv says one fold of each image",
        ),
        ("folds: 1, split: own.csv", "cv.split   must be stratified with folds: 1"),
        ("folds: 0", "cv.folds"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_line(tmp_path: Path, cv: str, why: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.replace("CV", cv), encoding="utf-8")
    with pytest.raises(StudyError, match=why):
        load_study_file(str(path))


def test_a_race_over_one_fold_is_refused_by_name_only(tmp_path: Path) -> None:
    from harness.search.racing import require_enough_trials

    path = tmp_path / "s.yaml"
    path.write_text(STUDY.replace("CV", "folds: 1"), encoding="utf-8")
    require_enough_trials(load_study_file(str(path)))
    with pytest.raises(StudyError, match="paired has nothing to stop: with one fold"):
        require_enough_trials(load_study_file(str(path), ["search.racing=paired"]))


def test_too_few_trials_to_race_are_told_where_set_alone_has_made_them_few(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from harness.search.racing import require_enough_trials

    path = tmp_path / "s.yaml"
    text = STUDY.replace("CV", "folds: 2").replace("racing: none", "racing: paired")
    path.write_text(text.replace("trials: 2", "trials: 20"), encoding="utf-8")
    require_enough_trials(load_study_file(str(path), ["search.trials=2"]))
    assert "paired can stop nothing before trial 5 with 2 folds, and search.trials=2: all" in caplog.text
    with pytest.raises(StudyError, match="can stop nothing before trial 5"):
        require_enough_trials(load_study_file(str(path), ["search.trials=2", "search.racing=paired"]))
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match="can stop nothing before trial 5"):
        require_enough_trials(load_study_file(str(path)))


def test_words_for_how_trials_are_scored() -> None:
    def record(num_folds: int, **cv: object) -> StudyRecord:
        return StudyRecord(
            "s", "", "", {"cv": cv}, "accuracy", "maximize", num_folds, 1, 0, {}, "", {}, {}, 0.0
        )

    assert record(15, repeats=3).validation == "3 times repeated 5-fold cross-validation"
    assert record(1).validation == "a hold-out of 20% of the images"
    assert record(4, repeats=4, fraction=0.25).validation == "4 hold-outs of 25% of the images"
    assert [record(15, repeats=3).parts, record(5).parts, record(1, fraction=0.25).parts] == [5, 5, 4]
