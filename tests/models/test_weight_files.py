"""Weights of one's own: what training scripts write is understood, whatever does not fit is one line, no code runs."""

import argparse
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import harness
from harness import models
from harness.errors import UsageError
from harness.models import transfer
from harness.models.frozen import FrozenModel
from harness.models.weight_files import fitted, load_weights, read

timm = pytest.importorskip("timm")
NAME, VIT = "tinynet_e", "test_vit"
RESNET = "resnet18"
State = dict[str, torch.Tensor]


def state_of(architecture: str = NAME, **options: Any) -> State:
    torch.manual_seed(1)
    state: State = timm.create_model(architecture, **options).state_dict()
    return state


def built(library: str = "timm_net", channels: int = 3, size: int = 32, **options: Any) -> Any:
    torch.manual_seed(0)
    return models.build(library, channels, size, 10, {"input_size": 32, **options})


def begun(file: Path, **options: Any) -> Any:
    """A network of NAME in which the file has been loaded, as when its training begins."""
    model = built(architecture=NAME, pretrained=str(file), **options)
    model.initialise_from(torch.empty(0))
    return model


def has(model: Any, state: State) -> bool:
    return all(torch.equal(value, state[name]) for name, value in model.backbone.network.state_dict().items())


def as_safetensors(state: State, path: Path) -> None:
    save_file(state, path)


def legacy(state: State, path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def below(*names: str) -> Callable[[State, Path], None]:
    def save(state: State, path: Path) -> None:
        content: Any = state
        for name in reversed(names):
            content = {"epoch": 3, "optimizer": {"state": {}}, name: content}
        torch.save(content, path)

    return save


def with_arguments(state: State, path: Path) -> None:
    torch.save({"state_dict": state, "arch": NAME, "args": argparse.Namespace(model=NAME, lr=0.1)}, path)


def averaged(state: State, path: Path) -> None:
    last = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save({"model": last, "model_ema": state}, path)


def prefixed(*prefixes: str) -> Callable[[State, Path], None]:
    def save(state: State, path: Path) -> None:
        found = {prefix + name: value for prefix in prefixes for name, value in state.items()}
        torch.save({"state_dict": {**found, "criterion.weight": torch.ones(1)}}, path)

    return save


@pytest.mark.slow
@pytest.mark.parametrize(
    "save",
    [
        as_safetensors, torch.save, legacy, below("state_dict"), below("model"), below("model", "state_dict"),
        with_arguments, averaged, prefixed("module."), prefixed("model."), prefixed("module.backbone.network."),
        prefixed("net.encoder._orig_mod."), prefixed("model.", "model_ema."),
    ],
)  # fmt: skip
def test_whatever_a_training_script_wrote_is_loaded(
    save: Callable[[State, Path], None], tmp_path: Path
) -> None:
    state, file = state_of(), tmp_path / "own.pt"
    save(state, file)
    model = begun(file)
    assert has(model, state)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_nothing_is_read_before_the_training_and_nothing_random_is_left_after_it(tmp_path: Path) -> None:
    model = built(architecture=NAME, pretrained=str(tmp_path / "gone.pt"))
    assert model.initialise_from is not None
    with pytest.raises(UsageError, match="there is no file"):
        model.initialise_from(torch.empty(0))


def test_half_precision_and_a_last_layer_of_other_classes_or_none(tmp_path: Path) -> None:
    for number, state in enumerate(
        [
            {
                name: value.half() if value.is_floating_point() else value
                for name, value in state_of().items()
            },
            state_of(num_classes=7),
            state_of(num_classes=0),
            {name: value for name, value in state_of().items() if not name.endswith("num_batches_tracked")},
        ]
    ):
        file = tmp_path / f"{number}.safetensors"
        save_file(state, file)
        model = begun(file)
        own = model.backbone.network.state_dict()
        assert own["conv_stem.weight"].dtype == torch.float32
        assert torch.equal(own["conv_stem.weight"], state["conv_stem.weight"].float())


def test_a_home_folder_and_a_relative_path_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(state_of(), tmp_path / "own.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for path in ("~/own.safetensors", "own.safetensors", "./own.safetensors"):
        assert has(begun(Path(path)), state_of())


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


def cut(path: Path, state: State) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-500])


def cut_safetensors(path: Path, state: State) -> None:
    save_file(state, path)
    path.write_bytes(path.read_bytes()[:-500])


def folder(path: Path, state: State) -> None:
    path.mkdir()
    save_file(state, path / "model.safetensors")


def without(name: str) -> Callable[[Path, State], None]:
    return lambda path, state: save_file({key: value for key, value in state.items() if key != name}, path)


WRONG: list[tuple[str, Callable[[Path, State], Any], str]] = [
    ("gone", lambda path, state: None, "there is no file"),
    ("folder", folder, "is a folder; name the file: .*model.safetensors"),
    ("empty folder", lambda path, state: path.mkdir(), "is a folder; name the file in it"),
    ("empty", lambda path, state: path.write_bytes(b""), "is empty"),
    ("text", lambda path, state: path.write_text("weights of mine, in words"), "is neither safetensors nor"),
    ("lfs", lambda path, state: path.write_text("version https://git-lfs.github.com/spec/v1\noid 1"), "git lfs pull"),
    ("cut", cut, "is damaged or cut off"),
    ("cut safetensors", cut_safetensors, "is damaged or cut off"),
    ("pickle", lambda path, state: path.write_bytes(pickle.dumps(Evil())), "is damaged|Python's objects"),
    ("code", lambda path, state: torch.save({"state_dict": Evil()}, path), "could run code and are not loaded"),
    ("module", lambda path, state: torch.save(nn.Linear(2, 2), path), r"torch.nn.modules.linear.Linear\), which could"),
    ("list", lambda path, state: torch.save([1, 2], path), "is not a state dict: it holds a list"),
    ("tensor", lambda path, state: torch.save(torch.ones(2), path), "is not a state dict: it holds a Tensor"),
    ("nothing", lambda path, state: torch.save({}, path), "is not a state dict: it has nothing in it"),
    ("no tensors", lambda path, state: torch.save({"epoch": 3}, path), "it has epoch and no tensors"),
    ("nan", lambda path, state: save_file({**state, "conv_stem.weight": state["conv_stem.weight"] * torch.nan}, path),
     "not finite, in conv_stem.weight"),
    ("missing", without("conv_stem.weight"), r"1 of the network's \d+ tensors are missing \(conv_stem.weight\)"),
    ("unexpected", lambda path, state: save_file({**state, "extra.a": torch.ones(1)}, path),
     r"1 are none of the network's \(extra.a\)"),
    ("shape", lambda path, state: save_file({**state, "bn1.weight": torch.ones(3)}, path),
     r"1 have another shape \(bn1.weight 3 for \d+\)$"),
    ("grey", lambda path, state: save_file(state_of(in_chans=1), path), "for images of 1 channels, and must be for 3"),
    ("quantised", lambda path, state: save_file({**state, "bn1.weight": state["bn1.weight"].to(torch.int8)}, path),
     r"1 are no floating-point numbers \(bn1.weight\)"),
    ("another", lambda path, state: save_file(state_of("test_vit"), path), "none of its names is one of the network's"),
    ("says", lambda path, state: torch.save({"state_dict": state_of("test_vit"), "arch": "test_vit"}, path),
     r"\(it says that it is of test_vit\)"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_file_is_one_line_and_no_code_of_it_runs(
    make: Callable[[Path, State], Any],
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "RELATIVES", 0)  # takes a second
    file = tmp_path / "own.pt"
    make(file, state_of())
    for tune in ("all", "head"):
        model = built(architecture=NAME, pretrained=str(file), tune=tune)
        with pytest.raises(UsageError, match=message) as error:
            model.require_file()
        assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    assert "run" not in capfd.readouterr().out


def test_torchvision_takes_a_file_as_well(tmp_path: Path) -> None:
    from torchvision import models as known

    torch.manual_seed(1)
    own = known.resnet18(num_classes=3).eval()
    torch.save({"model": own.state_dict(), "args": argparse.Namespace(model=RESNET)}, tmp_path / "own.pth")
    model = built("torchvision_net", architecture=RESNET, weights=str(tmp_path / "own.pth")).eval()
    model.require_file()
    model.initialise_from(torch.empty(0))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(own.fc(model.backbone(images)), own(images))
    wrong = built("torchvision_net", architecture="resnet34", weights=str(tmp_path / "own.pth"))
    with pytest.raises(
        UsageError,
        match=r"it says that it is of resnet18.*80 of the network's \d+ tensors are missing.*; it fits resnet18$",
    ):
        wrong.require_file()


@pytest.mark.parametrize("name", ["squeezenet1_1", pytest.param("googlenet", marks=pytest.mark.slow)])
def test_torchvisions_other_last_layers_are_left_out(name: str, tmp_path: Path) -> None:
    from torchvision import models as known

    options = {"init_weights": False} if name == "googlenet" else {}
    torch.save(known.get_model(name, weights=None, **options).state_dict(), tmp_path / "own.pth")
    built("torchvision_net", architecture=name, weights=str(tmp_path / "own.pth")).require_file()


def test_a_vision_transformers_file_serves_another_size(tmp_path: Path) -> None:
    save_file(state_of(VIT), tmp_path / "own.safetensors")
    model = built(architecture=VIT, pretrained=str(tmp_path / "own.safetensors"), input_size=64)
    model.initialise_from(torch.empty(0))
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_images_are_normalised_as_the_study_says_or_as_the_architectures_weights_want(tmp_path: Path) -> None:
    def normalisation(**options: Any) -> Any:
        return built(architecture="tf_efficientnet_lite0", **options).normalisation

    file = str(tmp_path / "own.pt")
    half = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert normalisation(pretrained=file) == normalisation(pretrained=file, constants="half") == half
    assert normalisation(pretrained=file, constants="imagenet")[0] == (0.485, 0.456, 0.406)
    assert normalisation() is None


def test_the_architecture_that_a_file_fits_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": state_of("tinynet_d")}, tmp_path / "own.pt")
    with pytest.raises(UsageError, match=r"; it fits tinynet_d$"):
        built(architecture=NAME, pretrained=str(tmp_path / "own.pt")).require_file()


def test_an_encoders_key_has_what_is_in_the_file_and_not_its_name(tmp_path: Path) -> None:
    def key(name: str, **options: Any) -> str:
        return str(
            built(architecture=NAME, pretrained=str(tmp_path / name), tune="head", **options).encoder.key
        )

    save_file(state_of(), tmp_path / "a.safetensors")
    save_file(state_of(), tmp_path / "b.safetensors")
    save_file(state_of(num_classes=3), tmp_path / "c.safetensors")
    assert key("a.safetensors") == key("b.safetensors") != key("c.safetensors")
    assert key("a.safetensors", constants="half") != key("a.safetensors")


def test_a_head_keeps_the_weights_of_its_encoder_and_needs_no_file_later(tmp_path: Path) -> None:
    file = tmp_path / "own.safetensors"
    save_file(state_of(), file)
    model = built(architecture=NAME, pretrained=str(file), tune="head")
    assert isinstance(model, FrozenModel)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
    kept = {name: value.clone() for name, value in model.kept_state().items()}
    assert kept.keys() > model.state_dict().keys()
    save_file(state_of(num_classes=3), file)  # what lies there now is not looked at
    for gone in (False, True):
        if gone:
            file.unlink()
        again: Any = built(architecture=NAME, pretrained=str(file), tune="head")
        again.load_kept_state(kept)
        with torch.no_grad():
            torch.testing.assert_close(again(images), expected, rtol=0, atol=0)
    published: Any = built(architecture=NAME, tune="head")
    with pytest.raises(RuntimeError):
        published.load_kept_state(kept)


class Own(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 3), nn.Linear(3, classes)


def test_a_network_of_ones_own_is_given_a_file_by_one_call(tmp_path: Path) -> None:
    trained, network = Own(5), Own(2)
    torch.save(trained.state_dict(), tmp_path / "own.pt")
    head = network.head.weight.clone()
    harness.load_weights(network, tmp_path / "own.pt", ignore=["head"])
    assert torch.equal(network.body.weight, trained.body.weight) and torch.equal(network.head.weight, head)
    with pytest.raises(
        UsageError, match=r"2 have another shape \(head.weight 5×3 for 2×3, head.bias 5 for 2\)"
    ):
        load_weights(network, tmp_path / "own.pt")


def test_a_file_says_its_architecture_and_its_tensors(tmp_path: Path) -> None:
    with_arguments(state_of(), tmp_path / "own.pt")
    tensors, said = read(tmp_path / "own.pt")
    assert said == NAME and tensors.keys() == state_of().keys()
    assert fitted(tmp_path / "own.pt", state_of()).keys() == state_of().keys()
