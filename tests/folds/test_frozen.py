"""Studies of heads on frozen encoders, whole: embeddings made once, the leak at 100 %, the honest one far from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from harness.config.study_file import load_study_file
from harness.data.digits import load
from harness.inference.find_model import find_model
from harness.store.store import Store
from harness.tuning import Settings, StudyEnded, tune

TINY = Path(__file__).parents[1] / "models" / "tiny_clip.json"
CLIP = """\
data: {name: digits}
model: {name: clip_fusion, architecture: ARCHITECTURE, text: TEXT, head: HEAD}
train: {epochs: 5, batch_size: 32, optimizer: adam, lr: 1e-3, augment: none}
cv: {folds: 2}
search: {trials: 1}
"""
HEADS = """\
data: {name: digits}
model: {name: torchvision_net, architecture: squeezenet1_1, tune: head, input_size: 32}
train: {epochs: 2, batch_size: 256, lr: [0.01, 0.1], augment: none}
cv: {folds: 2}
search: {trials: 2, sampler: grid, racing: none}
"""

FROM_FILE = """\
data: {name: digits}
model: {name: timm_net, architecture: tinynet_e, pretrained: FILE, tune: head, input_size: 32}
train: {epochs: 1, batch_size: 256, lr: 0.1, augment: none}
cv: {folds: 2}
search: {trials: 1}
"""


def ended(tmp_path: Path, text: str, **settings: Any) -> StudyEnded:
    path = tmp_path / "frozen.yaml"
    path.write_text(text, encoding="utf-8")
    events = list(
        tune(load_study_file(str(path)), Settings(tmp_path / "home", workers=1, offline=True, **settings))
    )
    assert isinstance(events[-1], StudyEnded)
    return events[-1]


@pytest.mark.parametrize(
    ("text", "head", "low", "high"),
    [
        ("label_prompt", "fusion", 0.999, 1.0),
        ("class_prompts", "fusion", 0.15, 0.9),
        ("class_prompts", "zero_shot", 0.0, 0.3),
    ],
)
@pytest.mark.slow
def test_a_text_made_from_the_label_scores_100_percent_and_the_same_texts_for_all_do_not(
    tmp_path: Path, text: str, head: str, low: float, high: float
) -> None:
    study = CLIP.replace("ARCHITECTURE", str(TINY)).replace("TEXT", text).replace("HEAD", head)
    best = ended(tmp_path, study).best
    assert best is not None and best.mean is not None
    assert low <= best.mean <= high


@pytest.mark.slow
def test_the_trials_of_a_study_share_one_set_of_embeddings(tmp_path: Path) -> None:
    done = ended(tmp_path, HEADS)
    assert [trial.state for trial in done.trials] == ["complete", "complete"]
    assert len(list((tmp_path / "home" / "features").glob("*.npy"))) == 1


@pytest.mark.slow
def test_a_head_on_weights_of_a_file_predicts_without_the_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    file = tmp_path / "own.safetensors"
    save_file(timm.create_model("tinynet_e").state_dict(), file)
    done = ended(tmp_path, FROM_FILE.replace("FILE", str(file)))
    assert [trial.state for trial in done.trials] == ["complete"]
    store = Store(tmp_path / "home")
    record = store.read_study("frozen")
    assert record is not None and set(record.provenance["files"]) == {"model.pretrained"}
    images = load(Path(), "train").pixels[:8]
    before = find_model(store, "frozen", "").model.predict(images)
    file.unlink()
    np.testing.assert_array_equal(find_model(store, "frozen", "").model.predict(images), before)
