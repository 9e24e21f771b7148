"""Names that people know from elsewhere are answered with harness's own."""

from pathlib import Path

import pytest

from harness.config import catalog
from harness.config.sections import COSTS, Cv, Search
from harness.config.study_file import SECTIONS, load_study_file
from harness.errors import StudyError
from harness.synonyms import SYNONYMS


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("model.name=resnet50", "did you mean 'name: torchvision_net' with 'architecture: resnet50'?"),
        ("model.name=vit_b_16", "did you mean 'name: torchvision_net' with 'architecture: vit_b_16'?"),
        (
            "model.name=vit_tiny_patch16_224",
            "did you mean 'name: timm_net' with 'architecture: vit_tiny_patch16_224'?",
        ),
        ("model.name=resnt", "did you mean 'resnet'?"),
        ("train.learning_rate=0.1", "did you mean 'lr'?"),
        ("train.wd=0", "did you mean 'weight_decay'?"),
        ("train.early_stopping=3", "did you mean 'patience'?"),
        ("train.optimizer=AdamW", "did you mean 'adamw'?"),
        ("compute.device=gpu", "did you mean 'cuda'?"),
        ("objective=f1", "did you mean 'macro_f1'?"),
        ("train.seed=3", "did you mean 'search.seed'?"),
        ("cv.n_splits=5", "did you mean 'folds'?"),
        ("search.n_splits=5", "did you mean 'cv.folds'?"),
        ("search.pruner=median", "did you mean 'racing'?"),
        ("model.lr=0.1", "did you mean 'train.lr'?"),
        ("lr=0.1", "did you mean 'train.lr'?"),
        ("optmizer=sgd", "did you mean 'train.optimizer'?"),
        ("train.lr=(0.01, 0.1)", "a range is {low: 0.01, high: 0.1}"),
        ("train.lr={min: 0.01, high: 0.1}", "did you mean 'low'?"),
        ("train.lr={choices: [0.1, 0.2]}", "a choice is a list and no more: [0.1, 0.2]"),
    ],
)
def test_a_name_from_elsewhere_is_answered_with_ours(study_file: Path, override: str, answer: str) -> None:
    with pytest.raises(StudyError) as told:
        load_study_file(str(study_file), [override])
    assert len(told.value.problems) == 1 and answer in told.value.problems[0].message


def test_every_answer_is_a_name_that_there_is() -> None:
    options = {**catalog.train_options(), **catalog.compute_options()}
    models, datasets = catalog.models().values(), catalog.datasets().values()
    known = {*options, *SECTIONS, *Cv.model_fields, *Search.model_fields, "low", "high", "log", "step"}
    known |= {choice for option in options.values() for choice in option.choices}
    known |= {option.name for entry in (*models, *datasets) for option in entry.options}
    known |= {*COSTS, *catalog.metrics(), *catalog.datasets(), *catalog.racing_rules(), *catalog.samplers()}
    assert {*SYNONYMS.values()} <= known
