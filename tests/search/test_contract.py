"""What a study's network must do before trial 0, and what is said of one that does not."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness.cli import run
from harness.config import catalog, plugins
from harness.config.study_file import load_study_file
from harness.data.images import Images
from harness.errors import UsageError
from harness.search.contract import require_network
from harness.store.store import Store
from tests.models.test_models import OPTION_CHOICES, SMALL
from tests.own_models import HEAD, SIGNATURE

OwnModel = Callable[[str, str], Path]
LINEAR = "    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))\n"


@dataclass(frozen=True)
class Wrong:
    """The body of a `build` that is wrong, and what is said of it.   line: of the file, that is named."""

    body: str
    said: str
    line: int = 6
    signature: str = SIGNATURE


def net(forward: str, init: str = "") -> str:
    """The body of a `build` that returns a linear layer with such a forward.   init: further lines of __init__."""
    return (
        "    class Net(nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.fc = nn.Linear(in_channels * image_size**2, num_classes)\n"
        f"{init}"
        "        def forward(self, x):\n"
        f"            {forward}\n"
        "    return Net()\n"
    )


def layer(text: str) -> str:
    return f"            self.more = {text}\n"


FORWARD = "return self.fc(x.flatten(1))"
WRONG = {
    "too many outputs": Wrong(
        LINEAR.replace("num_classes)", "num_classes + 1)"),
        "for 2 images of 10 classes its output has the shape (2, 11), not (2, 10)",
    ),
    "another shape": Wrong(
        LINEAR.replace("classes))", "classes), nn.Unflatten(1, (1, -1)))"),
        "its output has the shape (2, 1, 10)",
    ),
    "a tuple": Wrong(net("return (self.fc(x.flatten(1)),)"), "it gives a tuple for images, not a tensor"),
    "numpy": Wrong(
        net("return self.fc(x.flatten(1)).detach().numpy()"), "it gives a ndarray for images, not a tensor"
    ),
    "integers": Wrong(
        net("return self.fc(x.flatten(1)).long()"), "its logits are torch.int64, not floating-point numbers"
    ),
    "complex numbers": Wrong(
        net("return self.fc(x.flatten(1)) * 1j"), "its logits are torch.complex64, not floating-point numbers"
    ),
    "not a number": Wrong(
        net("return self.fc(x.flatten(1)).sub(9).log()"), "its logits for 2 images of noise are not finite"
    ),
    "an endless gradient": Wrong(
        net(
            "return self.fc(x.flatten(1)) + (x * 0).flatten(1).sum(1, keepdim=True) + (self.fc.bias * 0).sum().sqrt()"
        ),
        "the gradient of fc.bias is not finite",
    ),
    "frozen": Wrong(
        LINEAR.replace("classes))", "classes)).requires_grad_(False)"),
        "no gradient reaches any of its parameters, so nothing can be trained",
    ),
    "detached": Wrong(
        net("return self.fc(x.flatten(1)).detach()"), "no gradient reaches any of its parameters"
    ),
    "an unused layer": Wrong(
        net(FORWARD, layer("nn.Linear(3, 3)")),
        "parameters more.weight, more.bias got no gradient: freeze them with requires_grad_(False) or use them",
    ),
    "an unused parameter": Wrong(
        net(FORWARD, layer("nn.Parameter(torch.zeros(3))")),
        "parameter more got no gradient: freeze it with requires_grad_(False) or use it in forward",
    ),
    "many unused layers": Wrong(
        net(FORWARD, layer("nn.ModuleList(nn.Linear(3, 3) for _ in range(4))")),
        "parameters more.0.weight, more.0.bias, more.1.weight and 5 more got no gradient",
    ),
    "random in evaluation": Wrong(
        net("return self.fc(nn.functional.dropout(x.flatten(1), 0.5, training=True))"),
        "its output differs between two evaluations of the same images",
    ),
    "a counter in evaluation": Wrong(
        net("self.n = getattr(self, 'n', 0) + 1; return self.fc(x.flatten(1)) * self.n"),
        "its output differs between two evaluations of the same images",
    ),
    "norms of the batch": Wrong(
        net(
            "return self.fc(self.more(x).flatten(1))",
            layer("nn.BatchNorm2d(in_channels, track_running_stats=False)"),
        ),
        "the output for an image depends on the other images of the batch, in evaluation too",
    ),
    "squeezed": Wrong(
        net("return self.fc(x.flatten(1)).squeeze()"),
        "for 1 image of 10 classes its output has the shape (10,), not (1, 10)",
    ),
    "three images at least": Wrong(
        net("assert len(x) > 2, 'too few'; return self.fc(x.flatten(1))"), "AssertionError: too few", line=12
    ),
    "two images only": Wrong(
        net("return self.fc(x.reshape(2, -1))"),
        "mat1 and mat2 shapes cannot be multiplied",
        line=12,
    ),
    "one layout only": Wrong(
        net(
            "return self.fc(self.more(x).view(len(x), -1))",
            "            self.fc = nn.Linear(2 * image_size**2, num_classes)\n"
            + layer("nn.Conv2d(in_channels, 2, 1)"),
        ),
        "RuntimeError: view size is not compatible with input tensor's size and stride",
        line=14,
    ),
    "images changed in place": Wrong(
        net("return self.fc(x.mul_(2).flatten(1))"), "it changes the images that it is given, in place"
    ),
    "a plain list of layers": Wrong(
        net(
            "return self.fc(self.more[0](x.flatten(1)))",
            layer("[nn.Linear(in_channels * image_size**2,) * 2)]"),
        ).replace(",) * 2)", ", in_channels * image_size**2)"),
        "weights lie outside of its parameters and buffers; use nn.ModuleList for a list of layers",
    ),
    "a buffer that is not kept": Wrong(
        net(
            "return self.fc(x.flatten(1) * self.more)",
            "            self.register_buffer('more', torch.rand(1), persistent=False)\n",
        ),
        "its output differs in a second network with its state dict",
    ),
    "a state that is no tensor": Wrong(
        net(FORWARD, "        def get_extra_state(self): return {'a': 1}\n"),
        "_extra_state of its state dict is a dict, not a tensor, and cannot be kept",
    ),
    "numpy's random numbers": Wrong(
        net(
            FORWARD,
            "            import numpy as np\n            self.fc.bias.data += float(np.random.rand())\n",
        ),
        "fc.bias differs between two builds after the same seed",
    ),
    "a seed in build": Wrong(
        "    torch.manual_seed(0)\n" + LINEAR,
        "build seeds torch's random generator, so that all folds would begin",
    ),
    "a seed in forward": Wrong(
        net("torch.manual_seed(0); return self.fc(x.flatten(1))"),
        "its forward seeds torch's random generator",
    ),
    "another default type": Wrong(
        "    torch.set_default_dtype(torch.float64)\n" + LINEAR,
        "it changes torch.get_default_dtype() for the whole process, from torch.float32 to torch.float64",
    ),
    "other threads": Wrong(
        net("torch.set_num_threads(3); return self.fc(x.flatten(1))"),
        "it changes torch.get_num_threads() for the whole process, from 1 to 3",
    ),
    "double precision": Wrong(
        net(FORWARD, "            self.double()\n"),
        "RuntimeError: mat1 and mat2 must have the same dtype",
        line=13,
    ),
    "no network": Wrong("    pass\n", "build gives a NoneType, not a torch.nn.Module"),
    "an unknown name": Wrong("    return oops\n", "NameError: name 'oops' is not defined", line=7),
    "another size": Wrong(
        LINEAR.replace("image_size**2", "image_size"), "mat1 and mat2 shapes cannot be multiplied"
    ),
    "a missing argument": Wrong(
        LINEAR,
        "NameError: name 'num_classes' is not defined",
        line=7,
        signature=SIGNATURE.replace(", num_classes", ""),
    ),
    "an argument that nobody gives": Wrong(
        LINEAR,
        "TypeError: build() missing 1 required positional argument: 'size'",
        signature=SIGNATURE.replace("classes,", "classes, size,"),
    ),
    "huge": Wrong(
        net("return self.fc(x.flatten(1)) + torch.zeros(10**15)"),
        "three images need more memory than this machine has",
        line=12,
    ),
}


def study_of(folder: Path, more: str = "") -> Path:
    path = folder / "mine.yaml"
    text = "data: {name: digits, test_fraction: 0.8}\nmodel: {name: mine}\n"
    text += "search: {trials: 1}\ncompute: {precision: fp32}\n"
    path.write_text(text + more, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", WRONG)
def test_a_network_that_cannot_be_trained_is_refused_before_trial_0(
    own_model: OwnModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    wrong = WRONG[name]
    path = own_model("mine", HEAD + wrong.signature + wrong.body)
    home = tmp_path / "home"
    random, threads, kind = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    assert run(["tune", "--study", str(study_of(tmp_path)), "--home", str(home), "--workers", "1"]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "model.name" in line]
    assert len(told) == 1 and f"model.name   mine: {path}:{wrong.line}: " in told[0] and wrong.said in told[0]
    assert len(told[0]) < 700 and Store(home).studies() == []
    assert torch.equal(torch.get_rng_state(), random)
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, kind)


def test_check_refuses_what_tune_would_refuse(
    own_model: OwnModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], check_here: None
) -> None:
    wrong = WRONG["too many outputs"]
    own_model("mine", HEAD + SIGNATURE + wrong.body)
    study = str(study_of(tmp_path))
    for more in ([], ["--json"]):
        assert run(["check", study, *more]) == 2
        assert wrong.said in capsys.readouterr().err
    own_model("mine", HEAD + SIGNATURE + LINEAR)
    assert run(["check", study]) == 0


SOFTMAX = LINEAR.replace("classes))", "classes), nn.Softmax(1))")
LIBRARY = (
    "    from torchvision.models import squeezenet1_1\n"
    "    net = squeezenet1_1(num_classes=num_classes)\n"
    "    net.features[0] = nn.Conv2d(in_channels, 64, 3, padding=1)\n"
    "    net.features[2] = net.features[5] = net.features[8] = nn.Identity()\n"
    "    net.extra = nn.Parameter(torch.zeros(3))\n"
    "    return net\n"
)
WARNED = {
    LIBRARY: "parameter extra got no gradient, and will stay as the library made it",
    SOFTMAX: "its outputs are probabilities, which the loss takes for logits and puts through another softmax",
}


@pytest.mark.parametrize("body", WARNED)
def test_what_may_be_meant_is_warned_of(
    own_model: OwnModel,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    check_here: None,
    body: str,
) -> None:
    own_model("mine", HEAD + SIGNATURE + body)
    study = study_of(tmp_path, "train: {epochs: 1}\n")
    assert run(["check", str(study)]) == 0
    assert WARNED[body] in caplog.text
    random = np.random.default_rng(0)
    images = Images(random.integers(0, 256, (4, 1, 8, 8), dtype=np.uint8), np.arange(4) % 2, ("a", "b"))
    (warning,) = require_network(load_study_file(str(study)), images)
    assert WARNED[body] in warning


RIGHT = {
    "a layer that is mostly left out": net(
        "y = self.fc(x.flatten(1)); return y + self.more(y) if not self.training or torch.rand(()) < 0.2 else y",
        layer("nn.Linear(num_classes, num_classes)"),
    ),
    "a branch that begins as nothing": net(
        "y = self.fc(x.flatten(1)); return y + self.zero * self.more(y)",
        layer("nn.Linear(num_classes, num_classes)")
        + "            self.zero = nn.Parameter(torch.zeros(num_classes))\n",
    ),
    "frozen layers": net(
        "return self.fc(self.more(x).flatten(1))",
        layer("nn.Conv2d(in_channels, in_channels, 1).requires_grad_(False)"),
    ),
    "tied weights": net(
        "return self.more(self.fc(x.flatten(1)))",
        layer("nn.Linear(num_classes, num_classes)")
        + "            self.same = nn.Linear(num_classes, num_classes)\n"
        + "            self.same.weight = self.more.weight\n            self.same.bias = self.more.bias\n",
    ),
    "logarithms of probabilities": LINEAR.replace("classes))", "classes), nn.LogSoftmax(1))"),
    "constant first weights": net(FORWARD, "            nn.init.zeros_(self.fc.weight)\n"),
    "a random projection that is kept": net(
        "return self.fc(x.flatten(1) * self.more)",
        "            self.register_buffer('more', torch.rand(1))\n",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_unusual_networks_that_can_be_trained_are_not_refused(
    own_model: OwnModel, study_file: Path, name: str
) -> None:
    own_model("mine", HEAD + SIGNATURE + RIGHT[name])
    study = load_study_file(str(study_file))
    study = study.model_copy(update={"model": {"name": "mine", "width": 4}})
    assert (
        require_network(study, Images(np.zeros((4, 1, 8, 8), np.uint8), np.arange(4) % 2, ("a", "b"))) == []
    )


@pytest.mark.parametrize("name", sorted(catalog.models()))
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_every_model_of_harness_keeps_the_contract(
    study_file: Path, name: str, channels: int, size: int
) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (4, channels, size, size), dtype=np.uint8)
    images = Images(pixels, np.arange(4) % 2, ("a", "b"))
    study = load_study_file(str(study_file))
    options = {option.name: option.default for option in catalog.models()[name].options}
    study = study.model_copy(update={"model": {"name": name, **options, **SMALL.get(name, {})}})
    before = torch.random.get_rng_state()
    assert require_network(study, images) == []
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(("name", "options"), OPTION_CHOICES, ids=str)
def test_every_choice_and_lowest_value_keeps_the_contract(name: str, options: dict[str, Any]) -> None:
    build = import_module(f"harness.models.{name}").build
    harness.check_network(build, 3, 8, **SMALL.get(name, {}) | options)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("torchvision_net", {"architecture": "mobilenet_v3_small", "tune": "last_block"}),
        ("torchvision_net", {"architecture": "squeezenet1_1", "weights": "DEFAULT", "tune": "last_block"}),
        ("torchvision_net", {"architecture": "shufflenet_v2_x0_5", "dropout": 0.5, "stem": "small"}),
        ("timm_net", {"tune": "last_block", "dropout": 0.5}),
        ("clip_fusion", {"head": "fusion", "layers": 0, "dropout": 0.5}),
        ("clip_fusion", {"head": "fusion", "text": "label_prompt"}),
        ("staged_cnn", {"attention": "cbam", "norm": "batch", "residual": True, "dropout": 0.5, "convs": 2}),
        ("block_mixture", {"mixing": "linear", "norm": "none", "activation": "gelu", "dropout": 0.5}),
        ("resnet", {"norm": "group", "depth": 6, "width": 2, "dropout": 0.5}),
    ],
    ids=str,
)
def test_what_is_transferred_frozen_or_dropped_keeps_the_contract(name: str, options: dict[str, Any]) -> None:
    if name == "timm_net":
        pytest.importorskip("timm")
    build = import_module(f"harness.models.{name}").build
    for channels in (1, 3):
        harness.check_network(build, channels, 16, **SMALL.get(name, {}) | options)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gone.pt", "model.weights   there is no file gone.pt"),
        ("[null, other.pt]", "model.weights   other.pt does not fit the network: none of its names is"),
        ("{values: [gone.pt], when: {architecture: resnet18}}", "model.weights   there is no file gone.pt"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_trial_0(
    written: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a.weight": torch.ones(2)}, "other.pt")
    Path("small.yaml").write_text(
        f"data: {{name: digits, test_fraction: 0.8}}\n"
        f"model: {{name: torchvision_net, weights: {written}, tune: head, input_size: 32, "
        "architecture: [squeezenet1_1, resnet18]}\nsearch: {trials: 4}\ncompute: {precision: fp32}\n"
    )
    assert run(["tune", "--study", "small.yaml", "--home", "home", "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told and Store(Path("home")).studies() == []


def test_a_network_of_one_s_own_is_tried_without_a_study(own_model: OwnModel) -> None:
    path = own_model("mine", HEAD + SIGNATURE + net(FORWARD, layer("nn.Linear(3, 3)")))
    space: dict[str, Any] = {}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    with pytest.raises(
        UsageError, match=rf"^{re.escape(str(path))}:6: parameters more.weight, more.bias got no"
    ):
        harness.check_network(space["build"])
    own_model("mine", HEAD + SIGNATURE + SOFTMAX)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    with pytest.warns(UserWarning, match="its outputs are probabilities"):
        harness.check_network(space["build"], 1, 8, 5)


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


def test_looking_at_a_network_does_not_import_the_compiler(
    study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch.use_deterministic_algorithms does, which takes seconds."""

    def refuse(_: bool) -> None:
        raise AssertionError("it imports torch.compile's modules")

    monkeypatch.setattr(torch, "use_deterministic_algorithms", refuse)
    images = Images(np.zeros((4, 3, 8, 8), np.uint8), np.arange(4) % 2, ("a", "b"))
    assert require_network(load_study_file(str(study_file)), images) == []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project's folder, which is the current one."""
    (tmp_path / "project" / "models").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugins.forget()
    yield tmp_path / "project"
    plugins.forget()


CLASS = (
    "class Net(nn.Module):\n    def __init__(self, in_channels, num_classes):\n        super().__init__()\n"
)
IN_PROJECT = {
    "a wrong shape": (
        "build",
        SIGNATURE + LINEAR.replace("num_classes)", "num_classes + 1)"),
        ":6: for 2 images",
    ),
    "an import that fails": ("build", "import nowhere_at_all\n", ":6: ModuleNotFoundError: No module named"),
    "a class": (
        "Net",
        CLASS + "    def forward(self, x): return x.flatten(1)[:, :10]\n",
        ":6: no gradient reaches",
    ),
}


@pytest.mark.parametrize("case", IN_PROJECT)
def test_a_wrong_network_of_a_project_is_refused_with_its_file_and_line(
    project: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    function, text, said = IN_PROJECT[case]
    (project / "models" / "mine.py").write_text(HEAD + text, encoding="utf-8")
    path = study_of(project)
    path.write_text(
        path.read_text(encoding="utf-8").replace("mine", f"models.mine:{function}"), encoding="utf-8"
    )
    assert run(["tune", "--study", str(path), "--home", str(project / "home"), "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert f"models/mine.py{said}" in told and "Traceback" not in told
