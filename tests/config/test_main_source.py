"""What a notebook or a script defines, written as a module: complete, in an order that runs, or refused."""

import linecache
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.config.main_source import source_of
from harness.errors import UsageError
from tests.config.test_plugins import project, write

__all__ = ["project"]  # the fixture

Main = Callable[[str], ModuleType]


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Main:
    """A function that runs a text as the script that this process is running."""

    def run(text: str) -> ModuleType:
        path = tmp_path / "script.py"
        path.write_text(text, encoding="utf-8")
        linecache.checkcache(str(path))
        module = ModuleType("__main__")
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, "__main__", module)
        exec(compile(text, str(path), "exec"), vars(module))
        return module

    return run


def executed(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "written"}
    exec(compile(text, "<written>", "exec"), names)
    return names


def test_a_function_is_written_with_all_that_it_uses_and_nothing_else(main: Main) -> None:
    module = main(
        "import math as m\nimport os.path\nfrom collections import OrderedDict as Ordered\nimport json\n"
        "SCALE, NAMES, SET, UNUSED = 2, {'a': (1, None)}, {'x', 'y', 'z'}, object()\n"
        "def double(x):\n    return SCALE * x\n"
        "def thing(x):\n"
        "    SCALE = 5  # its own\n"
        "    return [double(x), m.sqrt(4), os.path.basename('a/b'), Ordered, NAMES, sorted(SET), len(NAMES)]\n"
    )
    text = source_of(module.thing, "metric")
    assert "json" not in text and "UNUSED" not in text and "SET = {'x', 'y', 'z'}" in text
    assert executed(text)["thing"](4) == module.thing(4)


def test_what_is_to_stand_beside_it_is_written_with_what_that_uses(main: Main) -> None:
    module = main(
        "FACTOR = 2\n\n\ndef fit(images): ...\n\n\ndef restore(state):\n    return state['x'] * FACTOR\n"
    )
    assert executed(source_of(module.fit, "training loop", beside="restore"))["restore"]({"x": 3}) == 6
    assert "restore" not in executed(source_of(module.fit, "training loop"))


def test_definitions_come_after_what_they_use_when_they_are_executed(main: Main) -> None:
    module = main(
        "def width():\n    return other()\n"
        "def other():\n    return 3\n"
        "class Zero:\n    def make(self):\n        return Net()\n"
        "Alias = Zero\n"
        "def marked(kind):\n    kind.mark = [width() for _ in range(2)]\n    return kind\n"
        "@marked\nclass Net(Alias):\n    SIZE = width()\n"
        "    def __init__(self, more=other()):\n        self.more = more\n"
    )
    net = executed(source_of(module.Net, "model"))["Net"]
    assert (net.SIZE, net.mark, net().more) == (3, [3, 3], 3) and type(net().make()) is net


def test_the_last_of_several_definitions_and_a_class_without_methods_are_found(main: Main) -> None:
    module = main(
        "class Base:\n    A = 1\nif True:\n    class Base:\n        A = 2\nclass Net(Base):\n    pass\n"
        "def f():\n    return 1\ndef f():\n    return Net.A\n"
    )
    assert executed(source_of(module.f, "metric"))["f"]() == 2


def test_annotations_are_kept_as_a_study_reads_them(main: Main) -> None:
    module = main(
        "from typing import Annotated, Literal\nfrom harness import Between\nWidth = Annotated[int, Between(1, 8)]\n"
        "def build(num_classes, *, width: Width = 4, kind: Literal['a', 'b'] = 'a'):\n    return width\n"
    )
    text = source_of(module.build, "model")
    assert "Width = Annotated[int, Between(1, 8)]\n" in text and "from harness import Between\n" in text
    assert executed(text)["build"](10) == 4


def test_what_a_star_imports_is_imported_by_its_name_also_when_its_module_is_to_be_imported_anew(
    main: Main, project: Path
) -> None:
    write(project, "some_layers.py", "class Head:\n    A = 1\n")
    sys.path.insert(0, str(project))
    module = main("from some_layers import *\nfrom math import *\ndef f():\n    return Head.A + sqrt(4)\n")
    for _ in range(2):
        text = source_of(module.f, "metric")
        assert "from some_layers import Head\n" in text and "from math import sqrt\n" in text
        assert executed(text)["f"]() == 3
        del sys.modules["some_layers"]


WRONG = [
    (
        "from pathlib import Path\nX = Path('a')\ndef f():\n    return X\n",
        r"metric f: f uses X, a P\w*Path, which cannot",
    ),
    (
        "X = object()\ndef g():\n    return X\ndef f():\n    return g()\n",
        r"metric f: g uses X, a object, which cannot be w",
    ),
    ("g = lambda: 1\ndef f():\n    return g()\n", r"metric f: f uses g, a lambda; write it with def"),
    (
        "def deco(h):\n    def inner():\n        return h()\n    return inner\n"
        "@deco\ndef g(): ...\ndef f():\n    return g()\n",
        r"f uses g, a function that is defined in another; write it with def",
    ),
]


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_what_cannot_be_written_down_is_named_in_one_line(main: Main, text: str, why: str) -> None:
    module = main(text)
    with pytest.raises(UsageError) as refused:
        source_of(module.f, "metric")
    assert re.search(why, str(refused.value)) and "\n" not in str(refused.value)


def test_a_function_without_a_source_is_refused(main: Main) -> None:
    module = main("")
    exec("def f(): ...", vars(module))
    with pytest.raises(UsageError, match=r"metric f: the source of f is not known; move it into a file"):
        source_of(module.f, "metric")
