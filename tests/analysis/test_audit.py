"""The audit: both verdicts, on studies whose truth is known, and what the command line makes of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.audit import _ceiling, audit, require_passed
from harness.analysis.duplicate_leakage import _plain_folds
from harness.analysis.false_stops import false_stops
from harness.analysis.leaderboard import status
from harness.cli import run
from harness.data.images import Images
from harness.data.split import Manifest
from harness.errors import CheckFailed, UsageError
from harness.store.findings import Audit, FalseStops
from harness.store.loaded_study import LoadedStudy, started_study
from harness.store.store import Store
from tests import made_up_findings
from tests.tuned_study import STUDY, tune

TINY_CLIP = Path(__file__).parents[1] / "models" / "tiny_clip.json"
CLIP = """\
data: {{name: digits}}
model: {{name: clip_fusion, architecture: {architecture}, weights: null, text: {text}, head: fusion}}
train: {{epochs: 5, batch_size: 64, optimizer: adam, lr: 3e-3, schedule: constant, augment: none}}
cv: {{folds: 3}}
search: {{trials: 1}}
"""


def last(steps: Any) -> Audit:
    *_, found = steps
    assert isinstance(found, Audit)
    return found


@pytest.fixture
def longer(tmp_path: Path) -> Store:
    """The store of the study `longer`: one trial of three epochs."""
    text = (
        STUDY.replace("epochs: 1", "epochs: 3").replace("[0.0, 0.3]", "0.0").replace("trials: 2", "trials: 1")
    )
    (tmp_path / "longer.yaml").write_text(text, encoding="utf-8")
    return tune(tmp_path / "longer.yaml", tmp_path / "home")


def test_an_honest_study_passes(tuned: Store) -> None:
    study = LoadedStudy.open(tuned, "small")
    found = last(audit(study))
    assert found.verdict == "passed", found.sentence
    beside = "look-alikes in a row"  # digits are sorted by who wrote them
    assert {check.probe for check in found.findings if check.verdict != "passed"} == {beside}
    probes = {check.probe: check for check in found.findings}
    assert probes["permuted labels"].figure <= probes["permuted labels"].bound
    assert found.duplicates is not None and found.duplicates.pairs_crossing_folds == 0
    assert not (tuned.study_folder("small") / "probes").exists()
    assert tuned.read_finding("small", Audit) == found
    stands = status(study)
    assert stands.audit is not None and stands.audit.verdict == "passed"
    require_passed(found)


@pytest.mark.slow
def test_a_probe_is_trained_as_long_as_its_option_says(
    longer: Store, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.progress.QUIET_SECONDS", -1.0)  # every epoch is told
    asked = ["--set", "permuted_labels.epochs=2", "--set", "blank_images.epochs=1"]
    assert run(["audit", "longer", "--home", str(longer.home), *asked]) == 0
    said = capfd.readouterr()
    after = said.err.partition("probe: permuted labels")[2]
    permuted, blank = after.partition("probe: blank images")[::2]
    assert [part.count("fold 0 epoch ") for part in (permuted, blank.partition("probe: ")[0])] == [2, 1]
    assert "permuted_labels.epochs 2, blank_images.epochs 1" in said.out
    found = longer.read_finding("longer", Audit)
    assert found is not None and found.options == {
        "permuted_labels": {"epochs": 2},
        "blank_images": {"epochs": 1},
    }


def test_an_interrupted_audit_goes_on(tuned: Store) -> None:
    study = LoadedStudy.open(tuned, "small")
    steps = audit(study)
    said = [next(steps) for _ in range(4)]
    steps.close()  # type: ignore[attr-defined]
    assert any("permuted labels" in str(line) for line in said)
    kept = list((tuned.study_folder("small") / "probes").glob("folds/*"))
    assert kept and last(audit(study)).verdict == "passed"


def test_a_failed_study_is_marked_everywhere_and_ends_with_3(
    tuned: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    found = made_up_findings.audit(verdict="failed", sentence="The text is the label.")
    with pytest.raises(CheckFailed, match="fails its audit: The text is the label"):
        require_passed(found)
    tuned.write_finding("small", found)
    assert run(["status", "small", "--home", str(tuned.home)]) == 0
    assert "audit of trial 0 failed: The text is the label." in capsys.readouterr().out
    assert run(["status", "small", "--json", "--home", str(tuned.home)]) == 0
    assert json.loads(capsys.readouterr().out)["audit"]["verdict"] == "failed"


@pytest.mark.parametrize("wanted", ["7", "last"])
def test_only_a_complete_trial_is_audited(tuned: Store, wanted: str) -> None:
    with pytest.raises(UsageError, match=f"no complete trial {wanted}"):
        list(audit(LoadedStudy.open(tuned, "small"), trial=wanted))


@pytest.mark.parametrize(
    ("name", "classes", "num_images", "score", "verdict"),
    [
        ("cifar10", ["a", "b"], 50_000, 0.998, "failed"),
        ("cifar10", ["a", "b"], 50_000, 0.99, "passed"),
        ("folder", ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"], 900,
         0.999, "failed"),
        ("folder", ["a", "b"], 1000, 1.0, "failed"),
        ("folder", ["a", "b"], 999, 1.0, "passed"),
        ("digits", ["a", "b"], 1438, 0.9993, "passed"),
    ],
)  # fmt: skip
def test_scores_that_nobody_has_reached_are_an_alarm(
    tuned: Store, name: str, classes: list[str], num_images: int, score: float, verdict: str
) -> None:
    data = {"settings": {"name": name}, "classes": classes, "num_images": num_images}
    assert _ceiling(replace(started_study(tuned, "small"), data=data), score).verdict == verdict


def test_stopped_trials_are_finished_and_compared(tuned: Store) -> None:
    record, trials = started_study(tuned, "small"), tuned.read_trials("small")
    best, other = sorted(trials, key=lambda trial: -(trial.mean or 0.0))
    stopped = replace(other, state="stopped", folds=other.folds[:1], scores=other.scores[:1])
    *_, worse = false_stops(LoadedStudy(tuned, record, (best, stopped)), sample=3)
    assert isinstance(worse, FalseStops)
    assert (worse.stopped, worse.finished, worse.false, worse.low) == (1, 1, (), 0.0)
    assert worse.means == {str(other.number): pytest.approx(other.mean)}
    swapped = replace(best, state="stopped", folds=best.folds[:1], scores=best.scores[:1])
    weak = replace(other, mean=(best.mean or 0) - 0.05)
    *_, better = false_stops(LoadedStudy(tuned, record, (weak, swapped)), sample=3)
    assert isinstance(better, FalseStops)
    assert better.false == (best.number,) and better.rate == 1.0
    assert better.largest_gain == pytest.approx(0.05)
    *_, from_nothing = false_stops(LoadedStudy(tuned, record, (replace(other, mean=0.0), swapped)), sample=3)
    assert isinstance(from_nothing, FalseStops)
    assert from_nothing.false == (best.number,) and from_nothing.largest_gain == best.mean


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_leaking_clip_is_caught_and_the_honest_one_passes(
    tmp_path: Path, tuning_of: Callable[..., Store]
) -> None:
    verdicts = {}
    for text in ("class_prompts", "label_prompt"):
        path = tmp_path / f"{text}.yaml"
        path.write_text(CLIP.format(architecture=TINY_CLIP, text=text), encoding="utf-8")
        store = tuning_of(path, tmp_path / "home")
        verdicts[text] = last(audit(LoadedStudy.open(store, text)))
    leaking = {check.probe: check.verdict for check in verdicts["label_prompt"].findings}
    assert verdicts["class_prompts"].verdict == "passed", verdicts["class_prompts"].sentence
    assert verdicts["label_prompt"].sentence.startswith("The text given with an image is made from its label")
    assert leaking["text made from the label"] == leaking["permuted labels"] == "failed"
    assert leaking["images replaced by noise"] == "failed"


def test_folds_to_compare_with_are_drawn_for_rare_classes_too() -> None:
    labels = np.where(np.arange(24) < 2, 1, 0)
    images = Images(np.zeros((24, 1, 4, 4), np.uint8), labels, ("many", "two"))
    split = Manifest.make(images, np.arange(24) % 3, np.arange(24), num_folds=3, seed=0)
    assert np.bincount(_plain_folds(split, 3).fold_of).tolist() == [8, 8, 8]
