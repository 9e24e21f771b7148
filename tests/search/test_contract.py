"""What a study's network must do before trial 0, and what is said of one that does not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.cli import run
from harness.config import catalog
from harness.config.study_file import load_study_file
from harness.data.images import Images
from harness.errors import StudyError
from harness.search.contract import require_network
from harness.store.store import Store
from tests.models.test_models import SMALL
from tests.own_models import HEAD, SIGNATURE

OwnModel = Callable[[str, str], Path]
LINEAR = "    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))\n"
WRONG = {
    "for 2 images of 10 classes its output has the shape (2, 11), not (2, 10)": LINEAR.replace(
        "num_classes)", "num_classes + 1)"
    ),
    "its output has the shape (2, 1, 10)": LINEAR.replace("classes))", "classes), nn.Unflatten(1, (1, -1)))"),
    "a tuple for images, not a tensor": "    class Net(nn.Linear):\n"
    "        def forward(self, x): return (super().forward(x.flatten(1)),)\n"
    "    return Net(in_channels * image_size**2, num_classes)\n",
    "are torch.int64, not floating-point": "    class Net(nn.Linear):\n"
    "        def forward(self, x): return super().forward(x.flatten(1)).long()\n"
    "    return Net(in_channels * image_size**2, num_classes)\n",
    "are not finite": LINEAR.replace("classes))", "classes), nn.Threshold(1e9, float('nan')))"),
    "no gradient reaches any of its parameters": LINEAR.replace(
        "classes))", "classes)).requires_grad_(False)"
    ),
    "mine.py:7: NameError: name 'oops' is not defined": "    return oops\n",
    "mine: RuntimeError: ": LINEAR.replace("image_size**2", "image_size"),
}


@pytest.mark.parametrize("said", WRONG)
def test_a_network_that_cannot_be_trained_is_refused_before_trial_0(
    own_model: OwnModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    own_model("mine", HEAD + SIGNATURE + WRONG[said])
    path = tmp_path / "mine.yaml"
    path.write_text("data: {name: digits}\nmodel: {name: mine}\nsearch: {trials: 1}\n", encoding="utf-8")
    home = tmp_path / "home"
    assert run(["tune", "--study", str(path), "--home", str(home), "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert "model.name   mine: " in told and said in told and "Traceback" not in told
    assert Store(home).studies() == []


@pytest.mark.parametrize("name", sorted(catalog.models()))
def test_every_model_of_harness_keeps_the_contract(study_file: Path, name: str) -> None:
    random = np.random.default_rng(0)
    images = Images(random.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.arange(4) % 2, ("a", "b"))
    study = load_study_file(str(study_file))
    options = {option.name: option.default for option in catalog.models()[name].options}
    study = study.model_copy(update={"model": {"name": name, **options, **SMALL.get(name, {})}})
    before = torch.random.get_rng_state()
    require_network(study, images)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_a_model_refuses_itself_is_left_to_the_trial(own_model: OwnModel, study_file: Path) -> None:
    own_model(
        "mine",
        HEAD + "from harness.errors import UsageError\n" + SIGNATURE + "    raise UsageError('not so')\n",
    )
    study = load_study_file(str(study_file))
    study = study.model_copy(update={"model": {"name": "mine", "width": 4}})
    images = Images(np.zeros((4, 1, 8, 8), np.uint8), np.arange(4) % 2, ("a", "b"))
    require_network(study, images)


def test_a_network_of_too_many_outputs_is_named(own_model: OwnModel, study_file: Path) -> None:
    own_model("mine", HEAD + SIGNATURE + LINEAR.replace("num_classes)", "num_classes * 2)"))
    study = load_study_file(str(study_file))
    study = study.model_copy(update={"model": {"name": "mine", "width": 4}})
    images = Images(np.zeros((4, 1, 8, 8), np.uint8), np.arange(4) % 2, ("a", "b"))
    with pytest.raises(StudyError, match="mine: for 2 images of 2 classes") as told:
        require_network(study, images)
    assert told.value.exit_code == 2


def test_looking_at_a_network_seeds_no_gpu_and_moves_no_random_state(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    images = Images(random.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8), np.arange(4) % 2, ("a", "b"))
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.get_rng_state()
    require_network(load_study_file(str(study_file)), images)
    assert seeded == [] and torch.equal(torch.get_rng_state(), before)
