"""An exported file computes what the network does, at any batch size; one that does not is not kept."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness import models
from harness.cli import run
from harness.errors import CheckFailed, HarnessError, UsageError
from harness.inference import export as exporting
from harness.inference import export_onnx
from harness.inference.export import check_images, export
from harness.inference.export_state_dict import export_state_dict
from harness.inference.model import FoldModel, TrialModel, load_trial_model
from harness.inference.portable import Portable
from harness.models.block_mixture import Mixture
from harness.store.store import Store
from harness.training import Compute, Statistics

TINY_CLIP = str(Path(__file__).parents[1] / "models" / "tiny_clip.json")
CLASSES = ("cat", "dog", "sea lion")
FP32 = Compute("cpu", "fp32", channels_last=True, threads=1)
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 2, "width": 4},
    "simple_cnn": {"width": 4, "dense": 8},
    "staged_cnn": {"width": 4, "attention": "cbam", "norm": "batch", "residual": True},
    "block_mixture": {"width": 4, "blocks": 3},
    "speednet": {"width": 4},
}
OTHERS: dict[str, dict[str, Any]] = {
    "torchvision_net": {"architecture": "squeezenet1_1", "tune": "head", "input_size": 48},
    "clip_fusion": {"architecture": TINY_CLIP},
}


def made(name: str, num_networks: int = 2, size: int = 16, **options: Any) -> TrialModel:
    """A model of random weights whose probabilities are far from equal."""
    torch.manual_seed(0)
    chosen = {**NETWORKS, **OTHERS}[name] | options
    folds = []
    for fold in range(num_networks):
        network = models.build(name, 3, size, CLASSES, chosen)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
        statistics = Statistics((0.4, 0.5, 0.3 + fold / 9), (0.25, 0.2, 0.3))
        folds.append(FoldModel(network.eval(), statistics))
    return TrialModel(tuple(folds), (3, size, size), CLASSES, FP32, {"name": name, **chosen}, 0.25)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_module_computes_what_the_model_does(name: str) -> None:
    model = made(name)
    images = check_images(model.image_shape, 5)
    expected = model.predict(images)
    with torch.no_grad():
        found = Portable(model).eval()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - model.predict(images, raw=True)).max() > 1e-3  # so that the temperature counts
    assert np.abs(found - replace(model, folds=model.folds[:1]).predict(images)).max() > 1e-3


@pytest.mark.parametrize("mixing", ["softmax", "linear"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_mixture_that_is_exported_is_the_same_sum(mixing: str, bias: bool) -> None:
    torch.manual_seed(0)
    mixture = Mixture(5, 6, 4, 3, mixing, bias=bias).double()
    if bias:
        torch.nn.init.normal_(mixture.convolutions.bias)  # type: ignore[arg-type]
    images = torch.randn(3, 5, 7, 7, dtype=torch.float64)
    found = mixture._branch_by_branch(images, mixture.weights(images))
    np.testing.assert_allclose(found.detach().numpy(), mixture(images).detach().numpy(), atol=1e-12)


def test_the_test_images_are_of_several_kinds() -> None:
    images = check_images((3, 16, 16))
    assert images.shape == (64, 3, 16, 16) and images.dtype == np.uint8
    assert images[0].max() == 0 and images[1].min() == 255
    steps = np.abs(np.diff(images.astype(int), axis=3)).mean((1, 2, 3))
    assert steps[2::2].min() > 70 and steps[3::2].max() < 20


def test_a_folder_keeps_precision_and_temperature(tmp_path: Path) -> None:
    model = replace(made("resnet"), compute=replace(FP32, channels_last=False, threads=2))
    document = export(model, tmp_path / "out", "safetensors", study="x", trial=3)
    read = load_trial_model(tmp_path / "out")
    assert document["difference"] < 1e-6 and read.compute == model.compute and read.temperature == 0.25
    assert read.architecture == model.architecture and read.classes == CLASSES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_computes_something_else_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warmer(folder: Path) -> TrialModel:
        return replace(load_trial_model(folder), temperature=0.3)

    monkeypatch.setattr(exporting, "load_trial_model", warmer)
    with pytest.raises(CheckFailed, match=r"safetensors file differs from the network by .*e-0"):
        export(made("resnet"), tmp_path / "out", "safetensors", study="x", trial=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pt2", "state_dict"])
def test_a_study_in_less_precision_is_told_how_far_predict_is_from_the_file(
    kind: str, tmp_path: Path
) -> None:
    model = made("resnet", num_networks=1)
    half = replace(model, compute=replace(FP32, precision="bf16"))
    images = check_images(model.image_shape)
    expected = float(np.abs(half.predict(images) - model.predict(images)).max())
    assert expected > 1e-4

    def written(chosen: TrialModel, name: str) -> dict[str, Any]:
        if kind == "pt2":
            return export(chosen, tmp_path / name, "pt2", study="small", trial=0)
        return export_state_dict(chosen, tmp_path / name, study="small", trial=0)

    found = written(half, "half")
    assert found["predict_precision"] == "bf16" and found["difference"] < 1e-5
    assert found["predict_difference"] == pytest.approx(expected, rel=0.05)
    assert "predict_difference" not in written(model, "full")


def test_numbers_that_are_none_do_not_agree() -> None:
    nothing = np.full((2, 3), np.nan, dtype=np.float32)
    images = np.zeros((2, 3, 4, 4), dtype=np.uint8)
    with pytest.raises(CheckFailed):
        exporting.compared(lambda images: nothing[: len(images)], images, nothing, "onnx", 1e-4)


def test_packages_that_are_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_onnx, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(UsageError, match=r"needs onnxscript; .*'harness-cv\[export\]'"):
        export(made("resnet"), tmp_path / "x.onnx", "onnx", study="x", trial=0)


def test_a_network_that_cannot_be_exported_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(model: TrialModel) -> None:
        raise NotImplementedError("no operator\nand much more")

    monkeypatch.setattr(exporting, "_program", fails)
    with pytest.raises(
        HarnessError, match=r"^resnet cannot be exported to pt2: NotImplementedError: no operator$"
    ):
        export(made("resnet"), tmp_path / "x.pt2", "pt2", study="x", trial=0)
    assert list(tmp_path.iterdir()) == []


class Fickle(torch.nn.Module):
    """What it computes depends on what it sees."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return means if means.sum() > 0 else -means


@pytest.mark.slow
def test_a_network_that_torch_does_not_follow_is_told_in_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fold = FoldModel(Fickle(), Statistics((0.4, 0.5, 0.3), (0.25, 0.2, 0.3)))
    model = TrialModel((fold,), (3, 8, 8), CLASSES, FP32, {"name": "fickle"})
    with pytest.raises(HarnessError, match=r"^fickle cannot be exported to pt2: .*data-dependent") as told:
        export(model, tmp_path / "x.pt2", "pt2", study="x", trial=0)
    assert "\n" not in str(told.value) and capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_program_does_not_say_where_it_was_written(tmp_path: Path) -> None:
    export(made("resnet"), tmp_path / "x.pt2", "pt2", study="x", trial=0)
    here = str(Path(exporting.__file__).parents[1]).encode()
    with zipfile.ZipFile(tmp_path / "x.pt2") as archive:
        assert not [name for name in archive.namelist() if here in archive.read(name)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
def test_every_network_becomes_an_onnx_file(name: str, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    model = made(name, 2 if name in NETWORKS else 1, size=32)
    file = tmp_path / "x.onnx"
    document = export(model, file, "onnx", study="mine", trial=7)
    assert document["difference"] <= 1e-4
    onnx.checker.check_model(onnx.load(file))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 3, 32, 32]
    known = session.get_modelmeta().custom_metadata_map
    assert json.loads(known["classes"]) == list(CLASSES) and (known["study"], known["trial"]) == ("mine", "7")
    images = np.random.default_rng(5).integers(0, 256, (131, 3, 32, 32), dtype=np.uint8)
    for batch in (images[:1], images):
        (found,) = session.run(None, {"images": batch})
        np.testing.assert_allclose(found, model.predict(batch), atol=1e-4)
    beside = json.loads((tmp_path / "x.onnx.json").read_text(encoding="utf-8"))
    assert beside == document and beside["classes"] == list(CLASSES)
    assert str(Path(exporting.__file__).parent).encode() not in file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["block_mixture", "resnet"])
def test_a_pt2_file_needs_torch_alone(name: str, tmp_path: Path) -> None:
    model = made(name)
    export(model, tmp_path / "x.pt2", "pt2", study="mine", trial=7)
    files = {"harness.json": ""}
    program = torch.export.load(tmp_path / "x.pt2", extra_files=files)
    images = check_images(model.image_shape, 131)
    np.testing.assert_allclose(
        program.module()(torch.from_numpy(images)).detach().numpy(), model.predict(images), atol=1e-4
    )
    assert json.loads(files["harness.json"])["classes"] == list(CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_file_that_computes_something_else_ends_with_3_and_is_not_kept(
    kept: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    softmax: Callable[..., Any] = Portable.forward
    monkeypatch.setattr(Portable, "forward", lambda self, images: softmax(self, images) * 1.01)
    file = tmp_path / "out" / f"x.{kind}"
    file.parent.mkdir()
    assert run(["export", "small", "--format", kind, "-o", str(file), "--home", str(kept.home)]) == 3
    assert f"the {kind} file differs from the network by " in capsys.readouterr().err
    assert list(file.parent.iterdir()) == []
