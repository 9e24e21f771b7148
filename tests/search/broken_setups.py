"""Set-ups that cannot be trained, of all kinds, with what must be said of each: a table for tests."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from harness.search.room import Room

Patch = Callable[[pytest.MonkeyPatch], None]


def images(counts: Mapping[str, int], *, size: int = 8, same: str = "", root: str = "images") -> None:
    """A folder of noise: so many files of each class.   same: a class whose files are all one picture."""
    random = np.random.default_rng(0)
    for name, count in counts.items():
        Path(root, name).mkdir(parents=True, exist_ok=True)
        picture = random.integers(0, 256, (size, size), dtype=np.uint8)
        for number in range(count):
            if name != same:
                picture = random.integers(0, 256, (size, size), dtype=np.uint8)
            Image.fromarray(picture).save(Path(root, name, f"{number}.png"))


def two_classes() -> None:
    images({"cat": 10, "dog": 10})


@dataclass(frozen=True)
class Broken:
    """A set-up in the current folder.

    said: a part of each line that has to be told, in their order, and no other.   make: the images.
    data, …: what stands in the sections of its study.   files: texts of a project, by path.
    patch: what the machine lacks.
    """

    said: tuple[str, ...]
    make: Callable[[], object] = two_classes
    data: str = "name: folder, root: images, image_size: 8, channels: 1"
    model: str = "{name: resnet, depth: 1, blocks: 1, width: 2}"
    train: str = "epochs: 1, batch_size: 8, augment: none"
    cv: str = "folds: 2"
    search: str = "trials: 1"
    objective: str = "accuracy"
    compute: str = "threads: 1"
    files: Mapping[str, str] = field(default_factory=dict)
    patch: Patch | None = None

    def prepare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Write it all, the study as `broken.yaml`."""
        self.make()
        for path, text in self.files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text, encoding="utf-8")
        Path("broken.yaml").write_text(
            f"data: {{{self.data}}}\nmodel: {self.model}\ntrain: {{{self.train}}}\ncv: {{{self.cv}}}\n"
            f"search: {{{self.search}}}\nobjective: {self.objective}\ncompute: {{{self.compute}}}\n",
            encoding="utf-8",
        )
        if self.patch is not None:
            self.patch(monkeypatch)


FOLDER = "name: folder, root: images, image_size: 8, channels: 1"
OWN = "{name: mine}"
HEAD = "from torch import nn\nimport torch\ndef build(in_channels, image_size, num_classes):\n    "
LINEAR = "nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))"


def own_model(body: str) -> dict[str, str]:
    return {"models/mine.py": HEAD + body}


def nothing() -> None:
    """No images at all."""


def damaged(name: str, content: bytes) -> Callable[[], None]:
    def make() -> None:
        two_classes()
        Path("images", name).write_bytes(content)

    return make


def one_way_in_a_test_folder(name: str) -> Callable[[], None]:
    def make() -> None:
        images({"cat": 6, "dog": 6}, root="images/train", same=name)
        images({"cat": 2, "dog": 2}, root="images/test")

    return make


def sealed_and_damaged() -> None:
    """Of ten files of a class, damage one that a study of the others would not see before `final`."""
    from harness.data import load_part

    two_classes()
    settings = {"name": "folder", "root": "images", "image_size": 8, "channels": 1}
    sealed = load_part(Path("looked-at"), settings, "test").names[0]
    content = Path("images", sealed).read_bytes()
    Path("images", sealed).write_bytes(content[: len(content) // 2])


def empty_in_test() -> None:
    images({"cat": 4, "dog": 4}, root="images/train")
    images({"cat": 2, "dog": 2}, root="images/test")
    Path("images/test/dog/9.png").touch()


def grouped(names: Mapping[str, list[str]], root: str = "images") -> Callable[[], None]:
    """Files of noise with these names."""

    def make() -> None:
        random = np.random.default_rng(0)
        for label, files in names.items():
            for file in files:
                path = Path(root, label, f"{file}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)

    return make


def without(package: str) -> Patch:
    """Where a package is not installed."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        def find(name: str, *more: Any) -> Any:
            return None if name == package else find_spec(name, *more)

        monkeypatch.setitem(__import__("sys").modules, package, None)
        monkeypatch.setattr("harness.models.clip_encoders.find_spec", find)

    return patch


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is cached and no server answers."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("harness.models.weights.urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "nothing-cached")


def damaged_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "squeezenet1_1-b8a52dc0.pth"
    Path("cache/checkpoints").mkdir(parents=True)
    Path("cache/checkpoints", name).write_bytes(b"other bytes")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "cache")


def room(disk: int, all_memory: int) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "harness.search.preflight.room_here", lambda _: Room(disk, all_memory, all_memory)
        )

    return patch


def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import_module("torchvision")  # which looks at what is patched, when it is first imported
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def other_weights() -> None:
    two_classes()
    torch.save({"a.weight": torch.ones(2)}, "other.pt")


def broken_weights() -> None:
    two_classes()
    Path("broken.pt").write_bytes(hashlib.sha256(b"").digest())


NO_FOLDER = "there is no such folder"
TORCHVISION = "name: torchvision_net, architecture: squeezenet1_1, input_size: 32"
UNKNOWN_ARCHITECTURE = (
    "model.name   torchvision_net cannot be made with its first values: unknown architecture of"
)
CUDA = "device cuda is not available on this machine"
LOSS = {"losses/mine.py": "def loss(logits, targets):\n    return logits.detach().sum()"}
METRIC = {"metrics/mine.py": "def score(labels, predictions):\n    raise ValueError('no way')"}
SPLIT = "def split(labels, num_folds):\n    import numpy as np\n    return "

DATA = {
    "no folder": Broken((NO_FOLDER,), make=nothing),
    "a file in place of the folder": Broken((NO_FOLDER,), make=lambda: Path("images").touch()),
    "an empty folder": Broken(
        ("must be at least 2 (none)",), make=lambda: Path("images").mkdir(parents=True)
    ),
    "one class": Broken(("must be at least 2 (only cat)",), make=lambda: images({"cat": 9})),
    "a class without images": Broken(
        ("images/dog: no image in this class folder",), make=lambda: images({"cat": 9, "dog": 0})
    ),
    "a class smaller than the folds": Broken(
        ("cv.folds   class dog has 2 training images, fewer than the 3 folds",),
        make=lambda: images({"cat": 9, "dog": 3}),
        cv="folds: 3",
    ),
    "two classes smaller than the folds": Broken(
        ("class cow has 2 training images, fewer than the 4", "class dog has 3 training images, fewer than"),
        make=lambda: images({"cat": 9, "cow": 3, "dog": 4}),
        cv="folds: 4",
    ),
    "a class that is one picture": Broken(
        ("class dog (200 images) cannot be in both the training and the test part",),
        make=lambda: images({"cat": 9, "dog": 200}, same="dog"),
    ),
    "a class that is one picture, beside a test folder": Broken(
        ("trains on no image of class dog",), make=one_way_in_a_test_folder("dog")
    ),
    "a file that is no image": Broken(
        ("images are unreadable: cat/0.png (not an image of a known format)",),
        make=damaged("cat/0.png", b"text"),
    ),
    "two classes of one picture each": Broken(
        ("classes cat (3 images), dog (5 images) cannot be in both the training and the test part",),
        make=lambda: (images({"cat": 3}, same="cat"), images({"dog": 5}, same="dog"), images({"owl": 9})),
    ),
    "a file of the sealed part that is no image": Broken(
        ("1 of 20 images are unreadable: ",), make=lambda: sealed_and_damaged()
    ),
    "an empty file in the test folder": Broken(
        ("1 of 13 images are unreadable: test/dog/9.png (empty)",), make=lambda: empty_in_test()
    ),
    "an empty file": Broken(("cat/0.png (empty)",), make=damaged("cat/0.png", b"")),
    "a test folder of an unknown class": Broken(
        ("class cow is not in the training folder",),
        make=lambda: (
            images({"cat": 4, "dog": 4}, root="images/train"),
            images({"cow": 2}, root="images/test"),
        ),
    ),
    "a validation folder alone": Broken(
        ("val/ is not used",),
        make=lambda: (
            images({"cat": 4, "dog": 4}, root="images/train"),
            images({"cat": 2, "dog": 2}, root="images/val"),
        ),
    ),
    "a class beside the parts": Broken(
        ("cow/ is neither a class nor a part",),
        make=lambda: (
            images({"cat": 4, "dog": 4}, root="images/train"),
            images({"cow": 3}),
            images({"cat": 2, "dog": 2}, root="images/test"),
        ),
    ),
    "a table of groups that is not there": Broken(
        ("gone.csv: cannot be read",), data=f"{FOLDER}, groups: {{csv: gone.csv}}"
    ),
    "a table of groups without an image": Broken(
        ("19 of 20 images have no group in",),
        data=f"{FOLDER}, groups: {{csv: groups.csv}}",
        files={"groups.csv": "name,group\ncat/0.png,a\n"},
    ),
    "a pattern of groups that no name has": Broken(
        ("do not match data.groups.regex 'patient(.)'",),
        data=f"{FOLDER}, groups: {{regex: 'patient(.)'}}",
    ),
    "a pattern that is none": Broken(
        ("'(' is no regular expression",), data=f"{FOLDER}, groups: {{regex: '('}}"
    ),
    "groups by folders that are not there": Broken(
        ("lie directly in the folder of their class",), data=f"{FOLDER}, groups: {{from: parent}}"
    ),
    "a group in both parts": Broken(
        ("group a has images in train/ and in test/",),
        make=lambda: (
            grouped({"cat": ["a_1", "b_1"], "dog": ["c_1", "d_1"]}, "images/train")(),
            grouped({"cat": ["a_2"], "dog": ["e_1"]}, "images/test")(),
        ),
        data=f"{FOLDER}, groups: {{regex: '^[a-z]'}}",
    ),
    "fewer groups than folds": Broken(
        ("cv.folds   there are 2 groups, fewer than the 3 folds",),
        make=lambda: (
            grouped({"cat": ["a_1", "a_2", "a_3"], "dog": ["b_1", "b_2", "b_3"]}, "images/train")(),
            grouped({"cat": ["c_1"], "dog": ["d_1"]}, "images/test")(),
        ),
        data=f"{FOLDER}, groups: {{regex: '^[a-z]'}}",
        cv="folds: 3",
    ),
    "a class of one group": Broken(
        ("class dog (9 images) cannot be in both the training and the test part",),
        make=grouped({"cat": [f"{n}_1" for n in range(9)], "dog": [f"10_{n}" for n in range(9)]}),
        data=f"{FOLDER}, groups: {{regex: '^[0-9]+'}}",
    ),
    "a data set of one's own that raises": Broken(
        ("data set mine: datasets/mine.py:2: ValueError: no way",),
        data="name: mine",
        files={"datasets/mine.py": "def load():\n    raise ValueError('no way')"},
    ),
    "a data set of one class": Broken(
        ("mine: a classifier needs at least 2 classes",),
        data="name: mine",
        files={
            "datasets/mine.py": "import numpy as np\ndef load(part):\n"
            "    return np.zeros((9, 8, 8), np.uint8), np.zeros(9, np.int64), ['a']"
        },
    ),
}  # fmt: skip
STUDY = {
    "early stopping with one image": Broken(
        ("train.patience   class dog has 1 training image; early stopping needs 2 of each class",),
        make=lambda: images({"cat": 9, "dog": 3}),
        train="epochs: 2, batch_size: 8, augment: none, patience: 1",
    ),
    "too few trials to race": Broken(
        ("search.trials ",),
        model="{name: resnet, depth: 1, blocks: 1, width: [2, 3]}",
        search="trials: 2, racing: paired",
    ),
    "what nothing reads": Broken(
        ("train.brightness   is searched, and read only where",),
        train="epochs: 1, augment: none, brightness: {low: 0.0, high: 0.5}",
        search="trials: 2, racing: none",
    ),
    "a split of other numbers": Broken(
        ("cv.split   split maker mine: splits/mine.py:split deals image",),
        cv="folds: 2, split: mine",
        files={"splits/mine.py": f"{SPLIT}np.arange(len(labels))"},
    ),
    "a split that raises": Broken(
        ("cv.split   split maker mine: splits/mine.py:3: NameError",),
        cv="folds: 2, split: mine",
        files={"splits/mine.py": f"{SPLIT}nowhere"},
    ),
    "a metric that raises": Broken(
        ("objective   ",),
        objective="mine",
        files=METRIC,
    ),
    "no GPU": Broken((f"compute.device   {CUDA}",), compute="device: cuda", patch=no_gpu),
    "no GPU of Apple's": Broken(
        ("compute.device   device mps is not available",), compute="device: mps", patch=no_gpu
    ),
    "too little memory": Broken(("model.name   resnet: ",), patch=room(2**40, 100)),
}
MODELS = {
    "an architecture that torchvision has not": Broken(
        (UNKNOWN_ARCHITECTURE,), model="{name: torchvision_net, architecture: resnet1000}"
    ),
    "an architecture that timm has not": Broken(
        ("unknown architecture of timm 'resnet1000'",), model="{name: timm_net, architecture: resnet1000}"
    ),
    "an architecture that open_clip has not": Broken(
        ("model.architecture: open_clip has no 'ViT-B-99'",),
        model="{name: clip_fusion, architecture: ViT-B-99}",
    ),
    "timm is missing": Broken(
        ("pip install 'harness-cv[timm]'",), model="{name: timm_net}", patch=without("timm")
    ),
    "open_clip is missing": Broken(
        ("pip install 'harness-cv[clip]'",), model="{name: clip_fusion}", patch=without("open_clip")
    ),
    "weights of another name": Broken(
        ("unknown weights 'IMAGENET1K_V9' of squeezenet1_1",), model=f"{{{TORCHVISION}, weights: IMAGENET1K_V9}}"
    ),
    "weights that cannot be fetched": Broken(
        ("no squeezenet1_1-b8a52dc0.pth in nothing-cached/checkpoints, and it cannot be fetched (no network)",),
        model=f"{{{TORCHVISION}, weights: DEFAULT}}",
        patch=offline,
    ),
    "weights of a head that cannot be fetched": Broken(
        ("and it cannot be fetched (no network)",),
        model=f"{{{TORCHVISION}, weights: DEFAULT, tune: head}}",
        patch=offline,
    ),
    "weights of timm that cannot be fetched": Broken(
        ("no model.safetensors of timm/tinynet_e.in1k in",),
        model="{name: timm_net, pretrained: true, input_size: 32}",
        patch=offline,
    ),
    "damaged weights in the cache": Broken(
        ("squeezenet1_1-b8a52dc0.pth is damaged: its SHA-256 does not begin with b8a52dc0; delete it",),
        model=f"{{{TORCHVISION}, weights: DEFAULT}}",
        patch=damaged_cache,
    ),
    "a file of weights that is not there": Broken(
        ("model.weights   there is no file gone.pt",), model=f"{{{TORCHVISION}, weights: gone.pt}}"
    ),
    "a file of other weights": Broken(
        ("model.weights   other.pt does not fit the network",),
        make=other_weights,
        model=f"{{{TORCHVISION}, weights: other.pt}}",
    ),
    "a file of no weights": Broken(
        ("model.weights   broken.pt",), make=broken_weights, model=f"{{{TORCHVISION}, weights: broken.pt}}"
    ),
    "two files, one gone and one other": Broken(
        ("model.weights   there is no file gone.pt", "model.weights   other.pt does not fit the network"),
        make=other_weights,
        model=f"{{{TORCHVISION}, weights: [gone.pt, other.pt]}}",
        search="trials: 2, racing: none",
    ),
    "an input size that cannot be": Broken(
        ("vit_b_16 cannot take images of input_size 33",),
        model="{name: torchvision_net, architecture: vit_b_16, input_size: 33}",
    ),
    "weights for other channels": Broken(
        ("weights of squeezenet1_1 are for images of 1 or 3 channels (got 2)",),
        data="name: mine",
        files={
            "datasets/mine.py": "import numpy as np\ndef load(part):\n"
            "    random = np.random.default_rng(0)\n"
            "    return random.integers(0, 256, (20, 2, 8, 8), dtype=np.uint8), np.arange(20) % 2, ['a', 'b']"
        },
        model=f"{{{TORCHVISION}, weights: DEFAULT}}",
    ),
    "a prompt without a place": Broken(
        ("model.prompt must hold {} where the name of a class belongs",),
        model="{name: clip_fusion, prompt: a photo}",
    ),
    "a model that raises": Broken(
        ("models/mine.py:4: ValueError: no way",),
        model=OWN,
        files=own_model("raise ValueError('no way')"),
    ),
    "a model of other outputs": Broken(
        ("its output has the shape (2, 7), not (2, 2)",),
        model=OWN,
        files=own_model("return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, 7))"),
    ),
    "a model that is none": Broken(
        ("build gives a int, not a torch.nn.Module",), model=OWN, files=own_model("return 3")
    ),
    "a model that lacks a module": Broken(
        ("models/mine.py:5: ModuleNotFoundError: No module named 'nowhere'",),
        model=OWN,
        files=own_model("import_it = 1\n    import nowhere\n    return nowhere"),
    ),
    "a model that cannot learn": Broken(
        ("no gradient reaches any of its parameters",),
        model=OWN,
        files=own_model(f"return {LINEAR}.requires_grad_(False)"),
    ),
    "a model that seeds": Broken(
        ("build seeds torch's random generator",),
        model=OWN,
        files=own_model(f"torch.manual_seed(0)\n    return {LINEAR}"),
    ),
    "two models that are wrong": Broken(
        (UNKNOWN_ARCHITECTURE, "models/mine.py:4: ValueError: no way"),
        model="[{name: torchvision_net, architecture: resnet1000}, {name: mine}]",
        files=own_model("raise ValueError('no way')"),
        search="trials: 2, racing: none",
    ),
}  # fmt: skip
TRAINING = {
    "a loss without a gradient": Broken(
        ("train.loss   loss mine: losses/mine.py:loss gives a loss without a gradient",),
        train="epochs: 1, augment: none, loss: mine",
        files=LOSS,
    ),
    "an optimiser that does nothing": Broken(
        ("train.optimizer   optimiser mine: ",),
        train="epochs: 1, augment: none, optimizer: mine",
        files={"optimizers/mine.py": "def optimizer(params, lr):\n    return 3"},
    ),
    "a schedule of nothing": Broken(
        ("train.schedule   schedule mine: ",),
        train="epochs: 1, augment: none, schedule: mine",
        files={"schedules/mine.py": "def schedule(progress):\n    return 0.0"},
    ),
    "an augmentation of another shape": Broken(
        ("train.augment   augmentation mine: ",),
        train="epochs: 1, augment: mine",
        files={"augmentations/mine.py": "def augment(images):\n    return images[:, :, :4]"},
    ),
    "a training loop that raises": Broken(
        ("train.loop   training loop mine: loops/mine.py:2: ValueError: no way",),
        train="loop: mine",
        files={"loops/mine.py": "def fit(network, images, labels):\n    raise ValueError('no way')"},
    ),
}
SEVERAL = {
    "no images, no GPU, no such architecture": Broken(
        (NO_FOLDER, CUDA, UNKNOWN_ARCHITECTURE),
        make=nothing,
        model="{name: torchvision_net, architecture: resnet1000}",
        compute="device: cuda",
        patch=no_gpu,
    ),
    "a small class, a wrong loss and a wrong metric": Broken(
        ("class dog has 2 training images, fewer than the 3", "train.loss   loss mine", "objective   "),
        make=lambda: images({"cat": 9, "dog": 3}),
        train="epochs: 1, augment: none, loss: mine",
        cv="folds: 3",
        objective="mine",
        files=LOSS | METRIC,
    ),
    "an unreadable image, too few trials, weights that cannot be fetched": Broken(
        ("search.trials ", "cat/0.png (empty)", "and it cannot be fetched (no network)"),
        make=damaged("cat/0.png", b""),
        model=f"{{{TORCHVISION}, weights: DEFAULT, dropout: [0.0, 0.2]}}",
        search="trials: 2, racing: paired",
        patch=offline,
    ),
    "all code of one's own": Broken(
        ("cv.split   split maker", "model.name   mine", "train.loss   loss", "train.augment   aug", "objective   "),
        model=OWN,
        train="epochs: 1, loss: mine, augment: mine",
        cv="folds: 2, split: mine",
        objective="mine",
        files={
            **LOSS, **METRIC, **own_model("return 3"), "splits/mine.py": f"{SPLIT}nowhere",
            "augmentations/mine.py": "def augment(images):\n    return images[:, :, :4]",
        },
    ),
    "no images, and code that cannot be imported": Broken(
        (NO_FOLDER, "model.name   model mine: models/mine.py:1: ModuleNotFoundError"),
        make=nothing,
        model=OWN,
        files={"models/mine.py": "import nowhere\ndef build(num_classes):\n    return None"},
    ),
}  # fmt: skip
ALL = DATA | STUDY | MODELS | TRAINING | SEVERAL


def clear(folder: Path) -> None:
    """Leave nothing of a set-up but the stores."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
