"""Soft labels from the data to what is said of a study: trained on, part of what a fold is, never scored by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.analysis.compare import Contender, compare
from harness.analysis.leak_probes import AuditedTrial, PermutedLabels
from harness.analysis.reproduce import Reproduction, reproduce
from harness.data.images import Images
from harness.folds.tasks import fold_tasks
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store

STUDY = {
    "model": {"name": "simple_cnn", "width": 4},
    "train": {"epochs": 2, "batch_size": 16, "lr": 0.05, "augment": "none", "keep_models": "none"},
    "cv": {"folds": 2},
    "search": {"trials": 1, "racing": "none"},
    "tracker": "none",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with votes for the classes, one without, and one whose votes are all for the label."""
    home = tmp_path_factory.mktemp("soft")
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pixels = (random.integers(0, 128, (3, 8, 8, 3))[labels] + random.integers(0, 128, (90, 8, 8, 3))).astype(
        np.uint8
    )
    whole = np.eye(3)[labels]
    votes = 6 * whole + random.integers(0, 4, (90, 3))
    for name, given in (("soft", votes), ("hard", labels), ("whole", whole)):
        harness.tune(STUDY, data=(pixels, given), name=name, home=home, progress=False)
    return home


def opened(home: Path, name: str) -> LoadedStudy:
    return LoadedStudy.open(Store(home), name)


def test_they_are_what_a_fold_is_made_of_and_scores_go_by_the_labels(home: Path) -> None:
    studies = [opened(home, name) for name in ("soft", "hard", "whole")]
    keys = {task.key() for study in studies for task in fold_tasks(study.record, study.trials[0]).values()}
    assert len(keys) == 6  # all for the label is another input, too
    assert len({study.record.data["test"]["hash"] for study in studies}) == 1  # one sealed part
    assert len({study.record.scored_on for study in studies}) == 1
    assert "scored_on" not in studies[1].record.data  # whose record is as it always was
    hard, whole = (study.trials[0].scores for study in studies[1:])
    assert whole == pytest.approx(hard, abs=0.05)
    losses = [study.folds(study.trials[0])[0].epochs[-1].train_loss for study in studies]
    assert losses[2] == pytest.approx(losses[1], rel=1e-3) and losses[0] > losses[1]
    compared = compare([Contender(study, study.trials[0]) for study in studies[:2]])
    assert {row.trial for row in compared.trials} == {"soft:0", "hard:0"}


def test_such_a_study_is_trained_again_to_the_same_bits(home: Path) -> None:
    *_, found = reproduce(opened(home, "soft"))
    assert isinstance(found, Reproduction) and found.verdict == "BITWISE"


def test_labels_that_are_dealt_out_anew_take_their_shares_along(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the probe would train on what the images show, and find nothing."""
    study = opened(home, "soft")
    images = Store(home).read_images(study.record.data["hash"])
    assert images is not None and images.soft_labels is not None
    given: list[Images] = []

    def train(self: AuditedTrial, changed: Images, *_: object, **__: object) -> object:
        given.append(changed)
        raise InterruptedError

    monkeypatch.setattr(AuditedTrial, "train", train)
    subject = AuditedTrial(study, study.trials[0], images, study.split)
    with pytest.raises(InterruptedError):
        list(PermutedLabels().check(subject))
    (changed,) = given
    assert changed.soft_labels is not None
    assert (changed.labels != images.labels).mean() > 0.5
    assert (changed.soft_labels.argmax(1) == changed.labels).all()


def test_a_loop_of_ones_own_is_given_those_of_its_training_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.training import Compute, options_from, session
    from harness.training.own_loop import fit_by_own_loop
    from tests.config.test_plugins import write
    from tests.training.conftest import exhausted, make_data, make_model

    write(
        tmp_path,
        "loops/seen.py",
        "def fit(network, soft_labels):\n    network.seen = soft_labels\n    yield\n",
    )
    monkeypatch.chdir(tmp_path)
    harness.folds.code.use_current_folder()
    data = make_data()
    shares = np.full((len(data.labels), 3), 1 / 3, np.float32)
    shares[:, 0] += np.arange(len(shares), dtype=np.float32) / 1000
    for given in (None, shares):
        model, compute = make_model(data), Compute("cpu", "fp32", channels_last=True, threads=1)
        with session(compute):
            exhausted(
                fit_by_own_loop(
                    model, replace(data, soft_labels=given), options=options_from({"loop": "seen"}),
                    compute=compute, seed=0,
                )
            )  # fmt: skip
        seen = model.seen
        assert seen is None if given is None else np.array_equal(np.asarray(seen), shares[data.train])
