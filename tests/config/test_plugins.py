"""Names that mean code of a project, a module or an installed package: found, read, refused in one clear line."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli import run
from harness.config import catalog, plugins, running
from harness.errors import UsageError

NET = '''"""A linear classifier."""
from torch import nn


def build(in_channels, image_size, num_classes, *, width: int = 4):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, num_classes))
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty project's folder, which is the current one."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(plugins, "_folder", None)
    monkeypatch.setattr(plugins, "_wary", False)
    plugins.forget()
    yield folder
    plugins.forget()


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("models/mine.py", "mine"),
        ("models/mine.py", "models.mine:build"),
        ("models/mine.py", "./models/mine.py"),
        ("models/mine.py", "./models/mine.py:build"),
        ("nets.py", "nets:build"),
        ("a/b/__init__.py", "a.b:build"),
        ("a/b/c.py", "a.b.c:build"),
    ],
)
def test_a_name_means_the_code_of_the_project(project: Path, file: str, name: str) -> None:
    path = write(project, file, NET)
    found = plugins.find("model", name)
    assert found is not None and (found.file, found.attribute, found.root) == (path, "build", project)
    entry = catalog.entry("model", name)
    assert entry is not None and (entry.problem, entry.summary) == ("", "A linear classifier.")
    assert [(option.name, option.kind, option.default) for option in entry.options] == [("width", "int", 4)]
    assert plugins.load(found)(1, 2, 3).__class__.__name__ == "Sequential"


def test_a_project_comes_before_what_harness_has_and_that_before_other_packages(
    project: Path, installed: Callable[[str, str], None]
) -> None:
    installed("harness.models", "resnet = other:build\nelsewhere = other:build")
    assert plugins.find("model", "resnet") is None  # harness's own
    found = plugins.find("model", "elsewhere")
    assert found is not None and found.file.name == "other.py"
    plugins.forget()
    write(project, "models/resnet.py", NET)
    found = plugins.find("model", "resnet")
    assert found is not None and found.label == "models/resnet.py"
    assert {"resnet", "elsewhere"} <= set(plugins.names("model"))


def test_two_packages_with_one_name_are_told_apart(
    project: Path, installed: Callable[[str, str], None]
) -> None:
    installed("harness.models", "twice = other:build")
    installed("harness.models", "twice = another:build")
    with pytest.raises(UsageError, match="in several packages: write one of another:build, other:build"):
        plugins.find("model", "twice")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A function that installs a distribution with these entry points, and the modules that they name."""
    count = iter(range(10))

    def install(group: str, points: str) -> None:
        folder = tmp_path / f"site{next(count)}"
        write(
            folder,
            f"some_{folder.name}-1.0.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: some{folder.name}\nVersion: 1.0\n",
        )
        write(folder, f"some_{folder.name}-1.0.dist-info/entry_points.txt", f"[{group}]\n{points}\n")
        for line in points.splitlines():
            write(folder, line.partition("= ")[2].partition(":")[0] + ".py", NET)
        monkeypatch.syspath_prepend(folder)

    return install


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "def build(num_classes, *, a: int = 1 + 1, b=0.5, c='x', d=True): ...",
            {"a": ("int", 2), "b": ("float", 0.5), "c": ("str", "x"), "d": ("bool", True)},
        ),
        ("WIDTH = 3\ndef build(num_classes, width: int = WIDTH): ...", {"width": ("int", 3)}),
        ("def build(num_classes, rate: float = 0): ...", {"rate": ("float", 0.0)}),
        ("def build(num_classes, *sizes, act=print, widths: tuple[int, ...] = (1, 2), **more): ...", {}),
        (
            "from typing import Optional\ndef build(num_classes, size: Optional[int] = None): ...",
            {"size": ("int", None)},
        ),
        ("class build:\n def __init__(self, num_classes, depth: int = 2): ...", {"depth": ("int", 2)}),
        (
            "class Base:\n def __init__(self, num_classes, depth: int = 2): ...\nclass build(Base): ...",
            {"depth": ("int", 2)},
        ),
        (
            "from dataclasses import dataclass\n@dataclass\nclass build:\n num_classes: int\n depth: int = 2",
            {"depth": ("int", 2)},
        ),
        (
            "from functools import partial\n"
            "def make(num_classes, depth: int = 2): ...\n"
            "build = partial(make, depth=5)",
            {"depth": ("int", 5)},
        ),
    ],
)
def test_options_are_read_whatever_a_signature_looks_like(
    project: Path, text: str, expected: dict[str, Any]
) -> None:
    write(project, "models/mine.py", text)
    entry = catalog.entry("model", "mine")
    assert entry is not None and entry.problem == ""
    assert {option.name: (option.kind, option.default) for option in entry.options} == expected


def test_choices_and_limits_are_read_from_signatures_that_have_to_be_run(project: Path) -> None:
    text = """
from typing import Annotated, Literal
from harness import Between
WIDTH = 3
def build(num_classes, *, width: Annotated[int, Between(1, 8)] = WIDTH, kind: Literal["a", "b"] = "ab"[0]): ...
"""
    write(project, "models/mine.py", text)
    entry = catalog.entry("model", "mine")
    assert entry is not None and entry.problem == ""
    width, kind = entry.options
    assert (width.limits.low, width.limits.high, kind.choices) == (1, 8, ("a", "b"))


def test_what_was_read_by_running_is_kept_until_the_file_or_what_it_imports_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        project, "models/mine.py", "from sizes import WIDTH\ndef build(num_classes, width: int = WIDTH): ..."
    )
    sizes = write(project, "sizes.py", "WIDTH = 3\n")
    asked = []
    ask = running._asked
    monkeypatch.setattr(running, "_asked", lambda plugin: asked.append(plugin) or ask(plugin))
    plugin = plugins.find("model", "mine")
    assert plugin is not None
    assert [running.options_of(plugin)[1][0].default for _ in range(2)] == [3, 3] and len(asked) == 1
    sizes.write_text("WIDTH = 4\n", encoding="utf-8")
    assert running.options_of(plugin)[1][0].default == 4 and len(asked) == 2


def test_a_file_that_has_classes_and_no_build_is_listed_by_them(project: Path) -> None:
    net = "class Net:\n    def __init__(self, num_classes, width: int = 3): ...\nclass _Part: ...\n"
    write(project, "models/mine.py", net)
    write(project, "models/broken.py", "def build(num_classes, config): ...\nclass Net: ...\n")
    known = catalog.known("model")
    assert [name for name in known if "mine" in name] == ["models.mine:Net"]
    found = known["models.mine:Net"]
    assert not found.problem and [option.name for option in found.options] == ["width"]
    assert "wants config" in known["broken"].problem and "models.broken:Net" not in known


WRONG = [
    ("def build(:", r"models/mine\.py:1: invalid syntax"),
    ("def make(): ...", r"defines no build; .* write models\.mine:NAME"),
    ("build = 3", r"build is a int, not a function or class"),
    ("raise RuntimeError('no licence')\nbuild = None", r"models/mine\.py:1: RuntimeError: no licence"),
    (
        "import nothing_there\nbuild = nothing_there.f",
        r"models/mine\.py:1: ModuleNotFoundError: No module named",
    ),
    ("import sys\nsys.exit(3)\nbuild = 1", r"models/mine\.py:2: SystemExit: 3"),
    ("import os\nos._exit(7)\nbuild = 1", r"ended the process that imported it: exit code 7"),
    (
        "def build(num_clases): ...",
        r"wants num_clases, which has no default; harness gives in_channels, .*num_classes",
    ),
    ("def build(num_classes, config): ...", r"wants config, which has no default"),
    ("from models.other import x\nbuild = x", r"models/mine\.py:1: .*circular import"),
    ("print('loud')\ndef build(n): ...", r"wants n, which has no default"),
]


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_code_that_cannot_be_used_is_told_in_one_line_and_breaks_nothing_else(
    project: Path, text: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write(project, "models/mine.py", text)
    write(project, "models/other.py", "import models.mine\nx = models.mine.build\n")
    write(project, "models/good.py", NET)
    entry = catalog.entry("model", "mine")
    assert entry is not None
    assert "\n" not in entry.problem and entry.problem.startswith("model mine: ")
    assert re.search(why, entry.problem), entry.problem
    good = catalog.entry("model", "good")
    assert good is not None and not good.problem
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere:build", r"no module nowhere in the project's folder"),
        ("./nowhere.py", r"there is no file"),
        ("random:build", r"no module random"),
        ("inside:Net", r"no module inside .*; did you mean 'models\.inside:Net'\?$"),
        ("nets:", r"after the colon there must be a name in nets\.py"),
    ],
)
def test_names_of_nothing(project: Path, name: str, why: str) -> None:
    write(project, "models/inside.py", NET)
    write(project, "nets.py", NET)
    write(project, "random.py", NET)
    entry = catalog.entry("model", name)
    assert entry is not None and re.search(why, entry.problem), entry


def test_a_file_of_the_project_does_not_take_the_place_of_a_module_that_others_import(project: Path) -> None:
    write(project, "models/mine.py", "import queue\nQ = queue.Queue\n" + NET)
    write(project, "tomllib.py", "raise RuntimeError('not this one')\n")
    plugin = plugins.find("model", "mine")
    assert plugin is not None
    plugins.load(plugin)
    assert sys.path.index(str(project)) == len(sys.path) - 1
    import tomllib

    assert tomllib.loads("a = 1") == {"a": 1}


def test_files_of_a_folder_import_each_other_whatever_is_installed_by_the_folders_name(project: Path) -> None:
    write(
        project, "models/mine.py", "from .layers import SIZE\nfrom models.layers import SIZE as again\n" + NET
    )
    write(project, "models/layers.py", "SIZE = 1\n")
    plugin = plugins.find("model", "mine")
    assert plugin is not None and callable(plugins.load(plugin))


def test_an_edited_file_is_imported_anew_when_it_is_said_to_be_forgotten(project: Path) -> None:
    path = write(project, "models/mine.py", "from sizes import SIZE\ndef build(): return SIZE")
    sizes = write(project, "sizes.py", "SIZE = 1\n")
    plugin = plugins.find("model", "mine")
    assert plugin is not None and plugins.load(plugin)() == 1
    sizes.write_text("SIZE = 22\n", encoding="utf-8")
    assert plugins.load(plugin)() == 1
    plugins.forget()
    assert plugins.load(plugin)() == 22 and path.is_file()


LISTED = {
    "losses": ("cross_entropy", "def loss(logits, targets, power: float = 2.0): ..."),
    "optimizers": ("sgd", "def optimizer(params, lr, rho: float = 0.5): ..."),
    "schedules": ("cosine", "def schedule(progress, low: float = 0.5): ..."),
    "augmentations": ("standard", "def augment(images, by: int = 3): ..."),
    "splits": ("stratified", "def split(groups, num_folds, digits: int = 3): ..."),
}


@pytest.mark.parametrize("kind", LISTED)
def test_own_code_is_listed_beside_harness_s(
    project: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped, text = LISTED[kind]
    write(project, f"{kind}/mine.py", f'"""What is mine."""\n{text}')
    assert run(["list", kind, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)[kind]}
    option = text.rpartition(", ")[2].partition(":")[0]
    assert rows["mine"]["what it is"] == "What is mine." and rows["mine"]["options"] == option
    assert rows["mine"]["source"].startswith(f"{kind}/mine.py:") and shipped in rows
    assert run(["list", kind, "mine"]) == 0
    assert option in capsys.readouterr().out
