"""What `harness.tune` is given in Python becomes the words of a study file, or one clear line."""

import json
import re
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import GroupKFold
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from harness.config import catalog, plugins
from harness.data import load_part
from harness.data.images import Images
from harness.errors import DataError, UsageError
from harness.folds import code
from harness.folds.project import packed, use_packed
from harness.from_python import as_document, plain
from harness.store.store import Store
from tests.config.test_main_source import main
from tests.config.test_plugins import project, write

__all__ = ["main", "project"]  # fixtures
NET = (
    "class Net:\n    def __init__(self, num_classes, width: int = 3): ...\n\n\n"
    "def f(labels, predictions):\n    return 1.0\n"
)


class Width(int, Enum):
    SMALL = 4


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, np.int64(2)), "b": np.float32(0.1)}, {"a": [1, 2], "b": 0.1}),
        (Path("x") / "y", "x/y"),
        (np.array([1, 2]), [1, 2]),
        (np.array([0.1], np.float32), [0.1]),
        (np.bool_(True), True),
        (np.float64(0.5), 0.5),
        (torch.tensor(3), 3),
        (range(2), [0, 1]),
        (Width.SMALL, 4),
        (np.str_("a"), "a"),
        (None, None),
    ],
)
def test_values_of_python_are_those_of_a_study_file(value: Any, expected: Any) -> None:
    found = plain(value, "model.width", {})
    assert json.loads(json.dumps(found)) == expected and type(found) is type(expected)


def test_what_no_study_file_can_have_is_told_with_its_place() -> None:
    with pytest.raises(
        UsageError, match=r"^model\.width: a study has numbers, .* no Linear; give .* as model=…$"
    ):
        plain({"model": {"width": torch.nn.Linear}}, "", {})
    with pytest.raises(UsageError, match=r"^train\.lr: a study has .*, no set$"):
        plain({"train": {"lr": {1, 2}}}, "", {})


def named(model: Any = None, metric: Any = None, /, **study: Any) -> tuple[dict[str, Any], Path | None]:
    return as_document(study, Store(Path("home")), model=model, metric=metric)


def test_what_is_in_a_file_is_named_by_its_module(project: Path) -> None:
    write(project, "some_nets/mine.py", NET)
    sys.path.insert(0, str(project))
    from some_nets.mine import Net, f  # type: ignore[import-not-found]

    document, objects = named(Net, f, model={"width": [2, 3]})
    assert document == {
        "model": {"name": "some_nets.mine:Net", "width": [2, 3]},
        "objective": "some_nets.mine:f",
    }
    assert objects is None
    code.import_anew([("model", "some_nets.mine:Net")])
    assert "some_nets.mine" not in sys.modules
    assert named(Net)[0] == {"model": {"name": "some_nets.mine:Net"}}, (
        "the class of before still has its name"
    )
    assert named(torch.nn.Linear)[0] == {"model": {"name": "torch.nn.modules.linear:Linear"}}


def test_a_study_has_classes_and_functions_where_a_file_names_code(project: Path, main: Any) -> None:
    module = main(
        "def soft(logits, labels, temperature: float = 1.0):\n    return logits.sum() / temperature\n"
    )
    study = {"train": {"temperature": 2, "loss": module.soft, "optimizer": [torch.optim.RMSprop, "sgd"]}}
    study |= {"cv": {"split": GroupKFold, "shuffle": False}}
    document, objects = as_document(study, Store(Path("home")))
    assert document == {
        "train": {
            "temperature": 2, "loss": "main/soft.py:soft", "optimizer": ["torch.optim.rmsprop:RMSprop", "sgd"],
        },
        "cv": {"split": "sklearn.model_selection._split:GroupKFold", "shuffle": False},
    }  # fmt: skip
    assert objects is not None
    with pytest.raises(UsageError, match=r"^train\.loss: a lambda has no name"):
        as_document({"train": {"loss": lambda logits, labels: 0}}, Store(Path("home")))
    with pytest.raises(
        UsageError, match=r"^cv\.split: .*, no GroupKFold; give the class GroupKFold, or a function, and"
    ):
        as_document({"cv": {"split": GroupKFold(5)}}, Store(Path("home")))


@pytest.mark.slow
def test_code_of_the_main_module_is_known_by_its_text_wherever_it_lies(project: Path, main: Any) -> None:
    write(project, "some_sizes.py", "SIZE = 1\n")
    sys.path.insert(0, str(project))
    module = main(
        "from some_sizes import SIZE\nfrom torch import nn\nclass Base(nn.Module):\n"
        "    def __init__(self, num_classes, width: int = SIZE):\n        super().__init__()\n"
        "class Net(Base):\n    pass\n"
    )
    _, objects = named(module.Net)
    code.use_current_folder(objects)
    entry = catalog.entry("model", "main/Net.py:Net")
    assert entry is not None and [(option.name, option.default) for option in entry.options] == [("width", 1)]
    before, files = code.identity("main/Net.py:Net"), packed({"model.name": "main/Net.py:Net"})
    assert set(files) == {"main/Net.py", "some_sizes.py"}
    use_packed(files, project / "node")
    assert code.identity("main/Net.py:Net") == before
    write(project, "some_sizes.py", "SIZE = 2\n")
    code.use_current_folder(objects)
    code.import_anew([("model", "main/Net.py:Net")])
    assert "some_sizes" not in sys.modules
    assert named(module.Net)[1] == objects, "its own text is what it was"
    assert code.identity("main/Net.py:Net") != before
    entry = catalog.entry("model", "main/Net.py:Net")
    assert entry is not None and entry.options[0].default == 2


def test_what_the_main_module_defines_is_named_by_a_file_in_the_store(project: Path, main: Any) -> None:
    module = main(NET + "f.higher_is_better = False\n")
    document, objects = named(module.Net, module.f)
    assert (
        document == {"model": {"name": "main/Net.py:Net"}, "objective": "main/f.py:f"} and objects is not None
    )
    assert objects.parent == Path("home/objects").absolute()
    code.use_current_folder(objects)
    net, metric = plugins.find("model", "main/Net.py:Net"), plugins.find("objective", "main/f.py:f")
    assert net is not None and (net.label, net.root) == ("main/Net.py", project)
    assert plugins.load(net).__name__ == "Net"
    assert metric is not None and not plugins.higher_is_better(metric, plugins.load(metric))
    edited = main(NET.replace("width: int = 3", "width: int = 4"))
    assert named(edited.Net, edited.f)[1] != objects
    code.use_current_folder()
    with pytest.raises(UsageError, match="there is no file"):
        plugins.find("model", "main/Net.py:Net")


def outer() -> Any:
    def inner(labels: Any) -> float:
        return 1.0

    return inner


class Outer:
    class Net: ...


def test_what_has_no_name_that_a_worker_could_import_is_told_in_one_line(main: Any) -> None:
    from functools import partial

    module = main(NET)
    for thing, why in [
        (
            torch.nn.Linear(1, 1),
            r"^model: this is an instance of Linear, .*: give the class, model=Linear, or a function",
        ),
        (lambda num_classes: None, r"^model: a lambda has no name"),
        (
            outer(),
            r"^model: inner is defined inside of outer, where no worker can import it; define the model at",
        ),
        (Outer.Net, r"^model: Net is defined inside of Outer"),
        (partial(module.Net, 3), r"^model: a partial has no name"),
        (len, r"^model: a builtin_function_or_method has no name"),
    ]:
        with pytest.raises(UsageError) as refused:
            named(thing)
        assert re.search(why, str(refused.value)) and "\n" not in str(refused.value)
    with pytest.raises(UsageError, match=r"^metric: a lambda"):
        named(None, lambda labels: 1.0)
    with pytest.raises(UsageError, match=r"^model\.name: the study names one and model is given"):
        named(module.Net, model={"name": "resnet"})
    with pytest.raises(UsageError, match=r"^the study has an objective and metric is given"):
        named(None, module.f, objective="accuracy")
    with pytest.raises(UsageError, match=r"^model: with model=… it is a map of options"):
        named(module.Net, model=[{"width": 3}])


def some_images(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8), np.arange(count) % 2


def kept(data: Any, tmp_path: Path, /, **study: Any) -> tuple[dict[str, Any], Images, Images]:
    document, _ = as_document(study, Store(tmp_path), data=data)
    section = document["data"]
    return section, load_part(tmp_path, section, "train"), load_part(tmp_path, section, "test")


class Pairs(Dataset):  # type: ignore[type-arg]
    classes = ("cat", "dog")

    def __init__(self) -> None:
        self.images, self.labels = some_images()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.images[index]) / 255, int(self.labels[index])


def test_images_in_memory_are_kept_in_two_parts_whatever_they_come_in(tmp_path: Path) -> None:
    pixels, labels = some_images()
    section, train, test = kept((pixels, labels, ["cat", "dog"]), tmp_path)
    assert (
        section["name"] == "stored" and (len(train), len(test)) == (32, 8) and train.classes == ("cat", "dog")
    )
    both = sorted(map(bytes, np.concatenate([train.pixels, test.pixels])))
    assert both == sorted(map(bytes, pixels)) and train.path is not None
    same: list[Any] = [
        Images(pixels, labels, ("cat", "dog")),
        (torch.from_numpy(pixels), torch.from_numpy(labels), ["cat", "dog"]),
        Pairs(),
        Subset(Pairs(), range(40)),
        lambda: (pixels, labels, ["cat", "dog"]),
    ]
    for data in same:
        assert kept(data, tmp_path)[0] == section
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert names == {train.content_hash, f"{train.content_hash}.{section['images']}"}


def test_a_function_that_knows_parts_is_called_for_both_with_its_options(tmp_path: Path) -> None:
    def load(part: str, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
        return some_images(count if part == "train" else 6)

    _, train, test = kept(load, tmp_path, data={"count": 20})
    assert (len(train), len(test)) == (20, 6)
    with pytest.raises(UsageError, match=r"^data\.size: load has no such argument \(part, count\)"):
        kept(load, tmp_path, data={"size": 20})


def test_a_folder_is_a_path(tmp_path: Path) -> None:
    document, _ = as_document({"data": {"image_size": 8}}, Store(tmp_path), data=tmp_path / "photos")
    assert document["data"] == {"name": "folder", "root": str(tmp_path / "photos"), "image_size": 8}


def test_images_that_are_gone_or_damaged_are_told(tmp_path: Path) -> None:
    section, train, _ = kept(some_images(), tmp_path)
    test = tmp_path / "data" / f"{train.content_hash}.{section['images']}"
    content = bytearray((test / "pixels.npy").read_bytes())
    content[-1] ^= 1
    (test / "pixels.npy").write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_part(tmp_path, section, "test")
    with pytest.raises(DataError, match=r"are not there; .* call harness.tune with the same data again"):
        load_part(tmp_path, {**section, "root": str(tmp_path / "moved")}, "train")
    with pytest.raises(DataError, match="is no hash"):
        load_part(tmp_path, {**section, "images": "../*"}, "train")


class Endless(IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        yield from Pairs()


class WithoutLength(Dataset):  # type: ignore[type-arg]
    def __getitem__(self, index: int) -> Any:
        return Pairs()[index]


PIXELS, LABELS = some_images()
WRONG_DATA = [
    (PIXELS, r"^data: labels are missing, for this is one ndarray: give data=\(images, labels\)$"),
    (torch.from_numpy(PIXELS), r"^data: labels are missing, for this is one Tensor"),
    (DataLoader(Pairs()), r"^data: a DataLoader gives batches: give its data set, data=loader\.dataset$"),
    (Endless(), r"^data: a Endless without a length cannot be divided into folds"),
    (WithoutLength(), r"^data: a WithoutLength without a length"),
    ({"train": Pairs(), "test": Pairs()}, r"^data: a dict has several parts \(train, test\): give the one to train on"),
    (3, r"^data: a int is no images; give a Path of a folder, a function, or one of"),
    ([(PIXELS[0], 0), (PIXELS[0, :, :4], 1)], r"^data: images have different shapes, \(1, 4, 6\) and \(1, 6, 6\)"),
    ((PIXELS, LABELS[:3]), r"^data: 40 images, and labels of the shape \(3,\)"),
    (TensorDataset(torch.from_numpy(PIXELS)), r"^data: gives a TensorDataset"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "why"), WRONG_DATA)
def test_what_is_no_data_set_is_told_in_one_line(tmp_path: Path, data: Any, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        kept(data, tmp_path)
    assert re.search(why, str(refused.value)) and "\n" not in str(refused.value)


def test_options_of_images_that_are_given_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^data\.image_size: options are for a folder or a function"):
        kept(some_images(), tmp_path, data={"image_size": 8})


def test_a_list_of_metrics_is_several_objectives(project: Path) -> None:
    write(project, "some_scores/mine.py", "def worst(labels, predictions):\n    return 0.5\n")
    sys.path.insert(0, str(project))
    from some_scores.mine import worst  # type: ignore[import-not-found]

    expected = ["accuracy", "some_scores.mine:worst", "parameters"]
    assert named(None, ["accuracy", worst, "parameters"])[0]["objective"] == expected
    assert named(objective=("accuracy", worst, "parameters"))[0]["objective"] == expected
