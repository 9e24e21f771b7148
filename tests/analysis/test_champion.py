"""What the network of all images is expected to score, and a test score that contradicts it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis.champion import half_of
from harness.analysis.confirm import confirm, with_estimate
from harness.data.folds import make_folds
from harness.data.images import Images
from harness.data.split import LEFT_OUT, Manifest
from harness.folds import guards
from harness.store.findings import ChampionEstimate, Confirmation
from harness.store.loaded_study import LoadedStudy
from harness.store.store import Store
from tests import made_up_findings


def test_half_of_every_class_of_every_fold_stays_with_its_groups_whole() -> None:
    labels = np.repeat(np.arange(4), 60)
    groups = np.arange(240) // 3
    pixels = np.random.default_rng(0).integers(0, 256, (240, 1, 4, 4), dtype=np.uint8)
    fold_of = make_folds(labels, num_folds=5, seed=0, groups=groups)
    split = Manifest.make(
        Images(pixels, labels, ("a", "b", "c", "d"), tuple(map(str, range(240)))), fold_of, groups,
        num_folds=5, seed=0,
    )  # fmt: skip
    smaller = half_of(split, seed=1)
    smaller.verify()
    assert smaller.hash not in (split.hash, half_of(split, seed=2).hash)
    assert smaller.hash == half_of(split, seed=1).hash
    stays = smaller.fold_of != LEFT_OUT
    assert (smaller.fold_of[stays] == split.fold_of[stays]).all()
    for group in range(80):
        assert len(set(stays[groups == group].tolist())) == 1
    for fold in range(5):
        guards.division(smaller, fold, smaller.train_indices(fold), smaller.held_out(fold))
        for label in range(4):
            there = (split.fold_of == fold) & (labels == label)
            assert there.sum() / 2 <= stays[there].sum() <= there.sum() / 2 + 3


def last(steps: Any) -> Confirmation:
    *_, found = steps
    assert isinstance(found, Confirmation)
    return found


def test_confirm_says_what_the_network_of_all_images_will_score(tuned: Store) -> None:
    study = LoadedStudy.open(tuned, "small")
    found = last(confirm(study, top=1))
    expected, record = found.champion, study.record
    assert expected is not None and expected.trial == found.winner and expected.higher_is_better
    assert expected.confirmed == found.of(found.winner).confirmed
    assert expected.expected == pytest.approx(expected.confirmed - expected.optimism + expected.gain)
    assert expected.low < expected.expected < expected.high
    assert expected.train_images == record.data["num_images"]
    assert expected.test_images == record.data["test"]["num_images"]
    assert expected.fold_images == pytest.approx(expected.train_images / 2, rel=0.02)
    assert tuned.read_finding("small", Confirmation) == found
    trained = len(list(tuned.home.glob("folds/*")))
    assert last(with_estimate(study, replace(found, champion=None))) == found
    assert len(list(tuned.home.glob("folds/*"))) == trained


def test_networks_that_cannot_be_trained_on_so_few_images_leave_it_open(
    tuned: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = LoadedStudy.open(tuned, "small")
    monkeypatch.setattr(
        "harness.analysis.champion.half_of",
        lambda split, seed: replace(split, fold_of=np.full_like(split.fold_of, LEFT_OUT)),
    )
    *lines, found = confirm(study, top=1)
    assert isinstance(found, Confirmation) and found.champion is None
    assert "cannot be estimated" in str(lines[-1])


@pytest.mark.parametrize(
    ("score", "higher_is_better", "said"),
    [(0.5, True, "too much"), (0.9, True, "easier"), (0.5, False, "easier"), (0.9, False, "too much")],
)
def test_a_test_score_outside_of_what_was_expected_is_said_so_with_causes(
    score: float, higher_is_better: bool, said: str
) -> None:
    known = made_up_findings.final_test()
    expected = ChampionEstimate(known.trial, higher_is_better, 0.7, 0.6, 0.8, 0.69, 0.01, 0.02, 80, 100, 50)

    def tested(value: float, champion: ChampionEstimate | None) -> str:
        found = replace(
            known,
            scores={**known.scores, known.objective: value},
            confirm=replace(known.confirm, champion=champion),
        )
        return found.contradiction

    assert "0.7000 (95 % 0.6000 to 0.8000)" in tested(score, expected) and said in tested(score, expected)
    assert not tested(0.65, expected)
    assert not tested(score, None)
    assert not tested(score, replace(expected, trial=known.trial + 1))
