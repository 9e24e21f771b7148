"""Options of the user's own code in `train`: bound, searched and recorded beside harness's, and refused in one line."""

from pathlib import Path

import pytest

from harness.config import search_space
from harness.config.settings import Range
from harness.config.study_file import Study, parse_study_file
from harness.errors import StudyError
from harness.folds.tasks import task_values
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

FOCAL = '''"""Focal loss."""
def loss(logits, targets, gamma: float = 2.0, alpha: float = 1.0):
    """gamma: how little what is right already counts.   alpha: a factor."""
'''
STUDY = (
    "data: {name: digits}\nmodel: {name: resnet, depth: 1}\ntrain: {%s}\nsearch: {trials: 4, sampler: %s}\n"
)


def study(train: str, sampler: str = "tpe") -> Study:
    return parse_study_file((STUDY % (train, sampler)).encode(), [], name="own", source="own.yaml")


def problems(train: str) -> str:
    with pytest.raises(StudyError) as refused:
        study(train)
    return str(refused.value)


def test_options_of_own_code_stand_beside_harness_s(project: Path) -> None:
    write(project, "losses/focal.py", FOCAL)
    found = study("loss: focal, alpha: {low: 0.5, high: 2}, gamma: 3")
    assert (found.train["alpha"], found.train["gamma"]) == (Range("float", 0.5, 2.0), 3.0)
    assert [parameter.name for parameter in found.space.parameters] == ["train.alpha"]
    values = task_values(search_space.resolve(found, search_space.defaults(found)))
    assert (values["train.loss"], values["train.alpha"], values["train.gamma"]) == ("focal", 1.0, 3.0)
    assert found.definition()["train"]["loss"] == "focal"


def test_a_file_with_the_name_of_a_younger_default_is_refused(project: Path) -> None:
    write(project, "losses/focal.py", FOCAL)
    write(project, "losses/cross_entropy.py", FOCAL)
    for train in (
        "lr: 0.1",
        "loss: [cross_entropy, focal]",
    ):  # no fold's key would say that it is another loss
        with pytest.raises(
            StudyError, match=r"losses/cross_entropy\.py:loss has the name of harness's own loss"
        ):
            study(train)
    assert study("loss: focal").train["loss"] == "focal"


def test_a_study_without_own_code_is_what_it_was(project: Path) -> None:
    before = study("lr: 0.1")
    assert "loss" not in before.definition()["train"] and "alpha" not in before.train
    write(project, "losses/focal.py", FOCAL)
    assert study("lr: 0.1, loss: cross_entropy").definition() == before.definition()
    values = search_space.resolve(before, search_space.defaults(before))
    assert "train.loss" not in task_values(values)


def test_options_that_only_some_values_have_are_conditional(project: Path) -> None:
    write(project, "losses/focal.py", FOCAL)
    found = study("loss: [cross_entropy, focal], alpha: [1.0, 2.0], gamma: 3.0", "grid")
    grid = search_space.grid(found)
    assert grid == [
        {"train.loss": "cross_entropy"},
        {"train.loss": "focal", "train.alpha": 1.0},
        {"train.loss": "focal", "train.alpha": 2.0},
    ]
    plain, focal = (search_space.resolve(found, params) for params in grid[:2])
    alone = study("lr: 0.1")
    assert task_values(plain) == task_values(search_space.resolve(alone, {})), (
        "the fold of another study is found"
    )
    assert (focal["train.alpha"], focal["train.gamma"], plain["train.gamma"]) == (1.0, 3.0, 0.1)
    search_space.require_read(found)
    assert search_space.read_in_some(found) == []


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("loss: focla", "unknown value 'focla'; did you mean 'focal'?"),
        ("loss: focal, alhpa: 1", "train.alhpa   unknown train option; did you mean 'alpha'?"),
        ("loss: cross_entropy, alpha: 1", "train.alpha   unknown train option"),
        ("loss: focal, alpha: much", "train.alpha   must be a number"),
        ("loss: broken", r"loss broken: losses/broken.py:1: invalid syntax"),
        ("loss: hungry", "losses/hungry.py:loss wants depth, which has no default; harness gives logits, targets"),
        ("loss: losses.focal:nothing", "defines no nothing"),
        ("loss: nowhere:loss", "no module nowhere"),
        ("loss: focal, schedule: step", "has the argument gamma, and so has the schedule of this study; give"),
        ("loss: [focal, other]", "losses/other.py:loss has the argument alpha, and so has losses/focal.py:loss, with"),
        ("loss: 3", "unknown value 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_in_one_line(project: Path, train: str, said: str) -> None:
    write(project, "losses/focal.py", FOCAL)
    write(project, "losses/broken.py", "def loss(:")
    write(project, "losses/hungry.py", "def loss(logits, targets, depth): ...")
    write(project, "losses/other.py", "def loss(logits, targets, alpha: float = 7.0): ...")
    found = problems(train)
    assert said in found and len(found.splitlines()) <= 2, found


LOOP = "def fit(network, dataset, epochs, lr, momentum: float = 0.5): ..."
ALONE = "def fit(images, labels, strength: float = 1.0): ..."


def test_a_training_loop_reads_the_options_that_it_takes_and_has_others_of_its_own(project: Path) -> None:
    write(project, "loops/mine.py", LOOP)
    found = study("loop: mine, lr: {low: 0.01, high: 0.1}, epochs: 3, momentum: [0.1, 0.2]")
    assert [parameter.name for parameter in found.space.parameters] == ["train.lr", "train.momentum"]
    search_space.require_read(found)
    values = task_values(search_space.resolve(found, search_space.defaults(found)))
    assert (values["train.loop"], values["train.momentum"], values["model.name"]) == ("mine", 0.2, "resnet")
    write(project, "loops/other.py", "def fit(network, dataset, lr): ...")
    assert "train.loop" not in task_values(search_space.resolve(study("lr: 0.1"), {}))
    search_space.require_read(study("loop: [harness, other], lr: [0.1, 0.2]"))
    (said,) = search_space.read_in_some(study("loop: [harness, other], batch_size: [16, 32]"))
    assert "train.batch_size" in said and "train.loop is harness" in said


def test_a_training_loop_that_takes_no_network_needs_no_model(project: Path) -> None:
    write(project, "loops/alone.py", ALONE)
    text = "data: {name: digits}\ntrain: {loop: alone, strength: [1.0, 2.0]}\nsearch: {trials: 2}\n"
    found = parse_study_file(text.encode(), [], name="own", source="own.yaml")
    assert found.model == {"name": "none"} and found.definition()["model"] == {"name": "none"}
    again = parse_study_file((text + "model: {name: none}\n").encode(), [], name="own", source="own.yaml")
    assert again.definition_hash() == found.definition_hash()
    constrained = text + "cv: {folds: 2}\n"
    for override, said in [
        ("search.constraints.parameters=10", "needs a network, and the training loop of this study has none"),
        (
            "objective=[accuracy, parameters]",
            "parameters needs a network, and the training loop of this study has none",
        ),
        ("search.rung=0.5", "the training loop of this study does not take their number; use null"),
    ]:
        with pytest.raises(StudyError, match=said):
            parse_study_file(constrained.encode(), [override], name="own", source="own.yaml")


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("loop: mine, batch_size: 8", "train.batch_size   nothing reads it: loops/mine.py:fit takes no argument batch"),
        ("loop: mine, patience: 3", "train.patience   nothing reads it: loops/mine.py:fit takes no argument patience"),
        ("loop: mine, loss: focal", "train.loss   nothing reads it"),
        ("loop: minee", "unknown value 'minee'; did you mean 'mine'?"),
        ("loop: alone", "model   the training loop alone takes no network; leave the section out"),
        ("loop: [mine, alone]", "alone takes no network, and the others do; write a study for each"),
        ("loop: hungry", "loops/hungry.py:fit wants depth, which has no default; harness gives network, dataset"),
    ],
)  # fmt: skip
def test_what_a_training_loop_does_not_read_is_told_in_one_line(project: Path, train: str, said: str) -> None:
    write(project, "loops/mine.py", LOOP)
    write(project, "loops/alone.py", ALONE)
    write(project, "loops/hungry.py", "def fit(network, depth): ...")
    write(project, "losses/focal.py", FOCAL)
    found = problems(train)
    assert said in found and len(found.splitlines()) <= 2, found


def test_none_is_no_model_of_a_loop_that_trains_a_network(project: Path) -> None:
    text = "data: {name: digits}\nmodel: {name: none}\ntrain: {epochs: 1}\n"
    with pytest.raises(StudyError, match="none is for a training loop of your own that takes no network"):
        parse_study_file(text.encode(), [], name="own", source="own.yaml")


def test_an_option_is_read_with_the_own_code_that_takes_it(project: Path) -> None:
    write(project, "losses/smooth.py", "def loss(logits, targets, label_smoothing): ...")
    write(project, "losses/hard.py", "def loss(logits, targets): ...")
    search_space.require_read(study("loss: smooth, label_smoothing: [0.0, 0.1]"))
    for train in ("loss: hard, label_smoothing: [0.0, 0.1]", "loss: hard, class_weights: [none, balanced]"):
        with pytest.raises(StudyError, match=r"read only where train\.loss is cross_entropy or focal;"):
            search_space.require_read(study(train))
