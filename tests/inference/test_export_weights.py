"""State dicts for a user's own copy of a class, and folders that timm loads: they compute what the network does."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from harness.cli import run
from harness.errors import CheckFailed, UsageError
from harness.inference import export_state_dict as writing
from harness.inference.export import check_images
from harness.inference.export_state_dict import export_state_dict
from harness.inference.export_timm import export_timm
from harness.inference.model import TrialModel
from harness.store.store import Store
from tests.inference.made_up_models import CLASSES, made


def built(document: dict[str, Any]) -> Any:
    """The network as whoever reads the JSON makes it."""
    module, _, name = document["build"]["function"].partition(":")
    return getattr(import_module(module), name)(**document["build"]["arguments"])


def prepared(images: np.ndarray, document: dict[str, Any]) -> torch.Tensor:
    told = document["preprocessing"]
    (mean,), (std,) = (np.array(told[name], np.float32)[..., None, None] for name in ("mean", "std"))
    return torch.from_numpy((images.astype(np.float32) / 255 - mean) / std)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_state_dict_is_loaded_as_its_json_says(tmp_path: Path, suffix: str) -> None:
    model, file = made("resnet"), tmp_path / f"net.{suffix}"
    assert export_state_dict(model, file, study="mine", trial=7)["difference"] < 1e-6
    document = json.loads((tmp_path / f"net.{suffix}.json").read_text(encoding="utf-8"))
    network = built(document)
    assert ("safetensors.torch" in document["load"]) == (suffix == "safetensors")
    state = load_file(file) if suffix == "safetensors" else torch.load(file, weights_only=True)
    network.load_state_dict(state)
    images = check_images(model.image_shape, 6)
    with torch.no_grad():
        logits = network.eval()(prepared(images, document))
    found = (logits / document["temperature"]).softmax(1).numpy()
    np.testing.assert_allclose(found, model.predict(images), atol=1e-5)
    assert document["build"]["function"] == "harness.models.resnet:build"
    assert document["classes"] == list(CLASSES) and (document["study"], document["trial"]) == ("mine", 7)


def test_a_file_of_safetensors_says_itself_what_it_is(tmp_path: Path) -> None:
    export_state_dict(made("simple_cnn"), tmp_path / "a.safetensors", study="mine", trial=7)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        told = file.metadata()
    assert told["format"] == "pt" and json.loads(told["classes"]) == list(CLASSES)
    assert json.loads(told["preprocessing"])["size"] == [16, 16]
    assert json.loads(told["build"])["arguments"]["num_classes"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchvision_net", "clip_fusion"])
def test_a_frozen_encoder_is_in_the_state_dict(tmp_path: Path, name: str) -> None:
    model = made(name)
    export_state_dict(model, tmp_path / "a.pt", study="mine", trial=7)
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    network: Any = model.folds[0].network
    encoder = network.encoder.network().state_dict()
    assert {key for key in state if key.startswith("encoder.")} == {f"encoder.{key}" for key in encoder}


def test_of_several_networks_one_is_asked_for(tmp_path: Path) -> None:
    for export in (export_state_dict, export_timm):
        model = made("timm_net", 3, 32) if export is export_timm else made("resnet", 3)
        with pytest.raises(UsageError, match=r"the mean of 3: choose with --fold \(0, 1, 2\)"):
            export(model, tmp_path / "a", study="mine", trial=7)
    assert list(tmp_path.iterdir()) == []


def test_a_state_dict_that_computes_something_else_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(model: TrialModel, *_: object) -> TrialModel:
        return replace(model, temperature=0.3)

    monkeypatch.setattr(writing, "_rebuilt", other)
    with pytest.raises(CheckFailed, match="state_dict file differs from the network"):
        export_state_dict(made("resnet"), tmp_path / "a.pt", study="mine", trial=7)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"tune": "all"},
        {"tune": "head"},
        {"architecture": "test_vit"},
        {"architecture": "test_mambaout"},
        {"architecture": "test_efficientnet", "input_size": 64},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_timm_loads_its_own_folder_with_the_same_logits(tmp_path: Path, options: dict[str, Any]) -> None:
    model = made("timm_net", size=32, **options)
    document = export_timm(model, tmp_path / "out", study="mine", trial=7)
    assert document["difference"] < 1e-4 and document["classes"] == list(CLASSES)
    network = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    told = network.pretrained_cfg
    assert config["label_names"] == list(CLASSES) and network.num_classes == told["num_classes"] == 3
    assert timm.data.resolve_model_data_config(network)["mean"] == list(model.folds[0].statistics.mean)
    images = check_images(model.image_shape, 4)
    size = told["input_size"][1:]
    pixels = torch.nn.functional.interpolate(
        prepared(images, document), size, mode=told["interpolation"], antialias=True
    )
    with torch.no_grad():
        found = (network(pixels) / 0.5).softmax(1).numpy()
    np.testing.assert_allclose(found, model.predict(images), atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json", "harness.json", "model.safetensors"
    ]  # fmt: skip


def test_what_is_not_of_timm_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"timm is for the model timm_net, and this is resnet; .*state_dict"):
        export_timm(made("resnet"), tmp_path / "out", study="mine", trial=7)


@pytest.mark.parametrize("export", [export_state_dict, export_timm])
def test_a_loop_that_makes_no_network_has_neither(tmp_path: Path, export: Any) -> None:
    model = replace(made("resnet"), architecture={"name": "none", "loop": "forest"})
    with pytest.raises(UsageError, match="the training loop forest makes no network, so there is no"):
        export(model, tmp_path / "out", study="mine", trial=7)


def test_the_command_takes_one_fold(
    kept: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    home = ["--home", str(kept.home)]
    assert run(["export", "small", "--format", "state_dict", *home]) == 2
    assert "the mean of 2: choose with --fold (0, 1)" in capsys.readouterr().err
    assert run(["export", "small", "--format", "state_dict", "--fold", "2", *home]) == 2
    assert "numbered from 0 on" in capsys.readouterr().err
    assert run(["export", "small", "--format", "state_dict", "--fold", "1", *home]) == 0
    assert capsys.readouterr().out.startswith("small.safetensors: ")
    assert run(["export", "small", "--format", "timm", "--fold", "1", *home]) == 2
    assert "--format state_dict is for any" in capsys.readouterr().err
