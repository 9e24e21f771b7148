"""The sealed test: who may open it, how often it counts, and what a kill in between leaves."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from harness import prepare as preparing
from harness.analysis import final as finishing
from harness.analysis import readiness
from harness.analysis.final import final, refit_task
from harness.analysis.leaderboard import status
from harness.analysis.model_card import publish
from harness.analysis.readiness import Request
from harness.analysis.test_set_ledger import Ledger
from harness.cli import finishing as starting
from harness.cli import run
from harness.cli.worth import worth
from harness.config.study_file import load_study_file
from harness.data import test_set
from harness.data.images import Images
from harness.errors import CheckFailed, DataError, HarnessError, RecordError, UsageError
from harness.records import StudyRecord, TrialRecord
from harness.store.findings import Check, FinalTest
from harness.store.loaded_study import LoadedStudy, started_study
from harness.store.store import Store
from tests import made_up_findings
from tests.tuned_study import STUDY


@pytest.fixture
def audited(tuned: Store) -> Iterator[Store]:
    audit(tuned, "passed")
    yield tuned
    test_set.opened = False


def audit(store: Store, verdict: str) -> None:
    trials = store.read_trials("small")
    best = max(trials, key=lambda trial: trial.mean or 0.0).number
    store.write_finding("small", made_up_findings.audit(verdict=verdict, trial=best))


def last(store: Store, **request: Any) -> FinalTest:
    test_set.opened = False  # a process of its own
    *_, found = final(LoadedStudy.open(store, "small"), Request(**request))
    assert isinstance(found, FinalTest)
    return found


def kinds(store: Store) -> list[str]:
    return [line.kind for line in Ledger(store.home).lines()]


def test_the_winner_is_trained_on_all_images_and_scored_once(audited: Store) -> None:
    found = last(audited)
    assert kinds(audited) == ["opened", "result"]
    assert found.looks == 1 and found.num_images == 1438
    low, high = found.intervals["accuracy"]
    assert low < found.scores["accuracy"] < high
    assert np.sum(found.confusion) == 1438
    refit = audited.read_fold(found.refit)
    assert refit is not None and refit.confusion == ((0,) * 10,) * 10 and refit.metrics == {}
    assert refit.task["fold"] == finishing.NO_FOLD and len(refit.epochs) == 1


def test_asking_again_shows_what_is_recorded_and_opens_nothing(
    audited: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = last(audited)
    monkeypatch.setattr(test_set, "load_test", lambda *_: pytest.fail("the test images were opened"))
    assert last(audited) == found
    assert kinds(audited) == ["opened", "result"]


def test_a_second_look_needs_a_reason_and_is_counted(audited: Store) -> None:
    first = last(audited)
    second = last(audited, again="the first one had a wrong label map")
    assert (first.looks, second.looks) == (1, 2)
    assert second.reason == "the first one had a wrong label map"
    assert second.scores == first.scores
    (earlier,) = second.earlier
    assert (earlier.study, earlier.trial, earlier.score) == ("small", first.trial, first.scores["accuracy"])
    assert "looked at 2 times, so this score may be too good; the first look, at trial" in second.worth
    assert f"came to {first.scores['accuracy']:.4f} (95 % " in second.worth
    assert first.earlier == () and "too good" not in first.worth


@pytest.mark.slow
def test_a_process_that_dies_while_it_looks_has_looked(
    audited: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(finishing, "_scored", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            last(audited)
    assert kinds(audited) == ["opened"]
    found = last(audited)
    assert kinds(audited) == ["opened", "result"] and found.looks == 1


def test_a_failed_audit_keeps_the_seal_unless_somebody_answers_for_it(audited: Store) -> None:
    audit(audited, "failed")
    with pytest.raises(CheckFailed, match="The test images stay sealed"):
        last(audited)
    assert kinds(audited) == []
    assert last(audited, checked="I looked at every image").checked == "I looked at every image"


def test_what_the_audit_has_found_is_told_before_the_seal_is_opened(audited: Store) -> None:
    best = max(audited.read_trials("small"), key=lambda trial: trial.mean or 0.0).number
    checks = (
        Check("folds", "passed", None, None, "All is well."),
        Check("duplicates across folds", "noted", 0.002, 0.01, "3 pairs are in two folds."),
        Check("duplicates in the test images", "failed", 0.2, 0.01, "72 of 359 are copies."),
    )
    known = made_up_findings.audit(verdict="failed", trial=best, findings=checks)
    audited.write_finding("small", known)
    steps = final(LoadedStudy.open(audited, "small"), Request(checked="I have looked at them"))
    lines = [step for step in steps if isinstance(step, str)]
    expected = [f"audit {check.verdict}: {check.probe}: {check.sentence}" for check in checks[1:]]
    assert lines[:2] == expected and lines.index("opening the test images") > 1


def test_it_is_the_winner_that_is_audited(audited: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was audited before: the best trial by its folds may not be the one that is delivered."""
    study = LoadedStudy.open(audited, "small")
    assert study.best is not None
    winner = 1 - study.best.number
    probed: list[str] = []

    def confirmed(study: LoadedStudy, _: Request) -> Iterator[Any]:
        yield "confirming"
        return replace(made_up_findings.confirmation(), winner=winner)

    def probe(study: LoadedStudy, *, trial: str, cluster: Any) -> Iterator[Any]:
        probed.append(trial)
        yield made_up_findings.audit(verdict=verdict, trial=int(trial))

    monkeypatch.setattr(readiness, "_confirmed", confirmed)
    monkeypatch.setattr(readiness, "audit", probe)
    verdict = "failed"
    with pytest.raises(CheckFailed, match="The test images stay sealed"):
        last(audited)
    verdict = "passed"
    steps = [*readiness.ready(LoadedStudy.open(audited, "small"), Request())]
    assert probed == [str(winner)] * 2
    assert f"audit of trial {winner} passed: " in steps[-1]


def test_what_became_of_the_winner_is_said_wherever_the_study_is_shown(
    audited: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = last(audited)
    loaded = LoadedStudy.open(audited, "small")
    assert loaded.chosen is not None and loaded.chosen.number == found.trial
    said = [line.plain for line in worth(status(loaded), audited.home)]
    assert any(
        line.startswith(f"confirmed with fresh seeds: trial {found.trial} is the best") for line in said
    )
    score = f"{found.scores['accuracy']:.4f}"
    assert any(f"test of trial {found.trial}, on 1,438 images: {score}" in line for line in said)
    assert any(line.startswith(f"audit of trial {found.trial} passed") for line in said)
    stale = replace(found, trial=1 - found.trial)
    audited.write_finding("small", stale)
    said = [line.plain for line in worth(status(LoadedStudy.open(audited, "small")), audited.home)]
    assert any(
        f"trial {stale.trial} has not been audited: harness audit small --trial" in line for line in said
    )
    path = tmp_path / "small.yaml"
    path.write_text(STUDY, encoding="utf-8")
    for trials in (2, 3):
        study = load_study_file(path, [f"search.trials={trials}", "search.sampler=random"])
        preparing._beware_of_the_test(study, audited, "small")
    (warning,) = [
        record.getMessage() for record in caplog.records if "have been opened" in record.getMessage()
    ]
    assert "another look at them is a second one" in warning


@pytest.mark.parametrize("answer", ["n", "y"])
def test_whoever_sits_at_a_terminal_is_asked_first(
    audited: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(finishing, "final", lambda *_: (_ for _ in ()).throw(CheckFailed("it goes on")))
    code = run(["final", "small", "--home", str(audited.home)])
    said = capsys.readouterr().err
    assert "opens the 1,438 sealed test images of study small: make it the last step" in said
    assert (code, "nothing was opened" in said) == ((0, True) if answer == "n" else (3, False))
    assert kinds(audited) == []


def test_looks_at_the_same_images_are_told_before_another_one(
    audited: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    study = LoadedStudy.open(audited, "small")
    assert starting._agreed(study, "") and "before" not in capsys.readouterr().err.splitlines()[-1]
    last(audited)
    other = replace(study, record=replace(study.record, name="other"))
    assert starting._agreed(other, "")
    said = capsys.readouterr().err
    assert "they have been opened once before, first for study small: this score may be too good" in said


def test_an_unfinished_study_is_not_tested(audited: Store) -> None:
    (audited.study_folder("small") / "trials" / "00001.json").unlink()
    with pytest.raises(UsageError, match="1 of 2 trials"):
        last(audited)


def test_an_unfinished_study_can_be_ended_as_it_is_advised(
    audited: Store, tuning_of: Callable[..., Store], tmp_path: Path
) -> None:
    """Of four trials two have begun and one has ended."""
    path = tmp_path / "small.yaml"
    path.write_text(STUDY, encoding="utf-8")
    audited.write_study(replace(started_study(audited, "small"), num_trials=4))
    running = audited.read_trials("small")[1]
    audited.write_trial("small", TrialRecord(1, "running", running.params, running.values))
    with pytest.raises(UsageError, match="1 of 4 trials") as refused:
        last(audited)
    advised = str(refused.value).rpartition("tune --trials ")[2]
    tuning_of(path, audited.home, f"search.trials={advised}")
    assert last(audited).looks == 1


@pytest.mark.slow
def test_a_look_that_was_taken_out_of_the_ledger_is_noticed(audited: Store) -> None:
    last(audited)
    (audited.home / "ledger.jsonl").unlink()
    (audited.home / "ledger.head").unlink()
    with pytest.raises(RecordError, match="is not in it any more"):
        last(audited)


def test_a_data_set_without_test_images_is_said_so(audited: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise DataError("digits: there are no test images")

    monkeypatch.setattr(test_set, "load_test", none)
    with pytest.raises(DataError, match="no test images"):
        last(audited)
    assert kinds(audited) == []


def test_nothing_is_trained_after_the_test_images_were_opened(audited: Store) -> None:
    test_set.load_test(started_study(audited, "small").data["settings"])
    steps = final(LoadedStudy.open(audited, "small"), Request())
    with pytest.raises(CheckFailed, match="have been opened in this process"):
        list(steps)


def test_early_stopping_trains_for_the_mean_of_the_chosen_epochs(
    tuned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = LoadedStudy.open(tuned, "small")
    trial = study.trials[0]
    assert refit_task(study, trial).values["train.epochs"] == 1
    trial.values.update({"train.patience": 3, "train.epochs": 50})
    chosen = iter((4, 9))

    def fold(_: str) -> Any:
        return type("Fold", (), {"chosen_epoch": next(chosen), "metrics": {"accuracy": 0.5}})

    monkeypatch.setattr(tuned, "read_fold_record", fold)
    task = refit_task(study, trial)
    assert (task.values["train.epochs"], task.values["train.patience"]) == (6, None)


def test_a_metric_without_a_value_for_what_is_left_costs_no_look(
    tuned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = LoadedStudy.open(tuned, "small")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)
    test = Images(pixels, np.array([0, 1, 0, 1]), ("a", "b"))
    monkeypatch.setattr(finishing, "images_of", lambda *_: test.take(np.array([1, 3])))

    def only_of_two_classes(labels: np.ndarray, _: np.ndarray) -> float:
        if len(set(labels.tolist())) < 2:
            raise HarnessError("needs two classes")
        return 0.5

    monkeypatch.setattr(finishing, "find_metric", lambda _: only_of_two_classes)
    found = finishing._without_duplicates(study, test, np.eye(2)[test.labels])
    assert (found.num_images, found.score_without) == (2, None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType")
def test_the_champion_is_in_mlflows_registry_and_predicts(audited: Store) -> None:
    import mlflow

    from harness.tracking.mlflow_registry import FORMAT
    from harness.tracking.mlflow_tracker import MlflowTracker

    found = last(audited)
    uri = f"sqlite:///{audited.home}/mlflow.db"
    study = LoadedStudy.open(audited, "small")
    MlflowTracker(uri, home=audited.home).deliver(study.with_trials(()), final=True)
    assert publish(study, found) == publish(study, found) == "1"
    client = mlflow.MlflowClient(tracking_uri=uri)
    version = client.get_model_version_by_alias("small", "champion")
    assert "opened for this" in version.description and "Looks at these test images" in version.description
    mlflow.set_tracking_uri(uri)
    test = test_set.load_test(started_study(audited, "small").data["settings"])
    table = mlflow.pyfunc.load_model("models:/small@champion").predict(test.pixels)
    assert (table["label"] == np.array(test.classes)[test.labels]).mean() == found.scores["accuracy"]
    (logged,) = client.search_logged_models(
        [client.get_experiment_by_name("small").experiment_id], "name = 'final'"
    )
    client.delete_logged_model_tag(logged.model_id, FORMAT)  # as an earlier release has left them
    client.delete_model_version_tag("small", "1", FORMAT)
    assert publish(study, found) == publish(study, found) == "2"
    assert str(client.get_model_version_by_alias("small", "champion").version) == "2"


def record_of(images: Images) -> StudyRecord:
    data = {"image_shape": list(images.pixels.shape[1:]), "classes": list(images.classes)}
    return cast(StudyRecord, SimpleNamespace(data=data))


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([0, 1, 1], ("cat", "owl"), [0, 2, 2]),
        ([0, 1, 2], ("dog", "cat", "owl"), [1, 0, 2]),
        ([0, 1, 2], ("cat", "dog", "owl"), [0, 1, 2]),
    ],
)
def test_test_labels_are_numbered_as_those_of_training(
    labels: list[int], classes: tuple[str, ...], expected: list[int]
) -> None:
    pixels = np.zeros((3, 1, 4, 4), np.uint8)
    trained = record_of(Images(pixels, np.arange(3), ("cat", "dog", "owl")))
    found = finishing._of_its_classes(Images(pixels, np.array(labels), classes), trained)
    assert found.labels.tolist() == expected and found.classes == ("cat", "dog", "owl")


def test_test_images_of_another_kind_are_refused_before_they_are_opened() -> None:
    trained = record_of(Images(np.zeros((2, 1, 4, 4), np.uint8), np.arange(2), ("cat", "dog")))
    other = Images(np.zeros((2, 1, 4, 4), np.uint8), np.arange(2), ("cat", "emu"))
    with pytest.raises(
        DataError, match="have the class emu, and training images only cat, dog; nothing was opened"
    ):
        finishing._of_its_classes(other, trained)
    wider = Images(np.zeros((2, 3, 4, 4), np.uint8), np.arange(2), ("cat", "dog"))
    with pytest.raises(
        DataError, match=r"shape \(3, 4, 4\), and training images \(1, 4, 4\); nothing was opened"
    ):
        finishing._of_its_classes(wider, trained)
