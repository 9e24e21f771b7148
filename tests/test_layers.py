"""The architecture: imports go downwards, heavy modules load late, one file talks to MLflow."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "harness"

TABLE = (PACKAGE / "README.md").read_text(encoding="utf-8")
TABLE = TABLE.partition("<!-- layers -->")[2].partition("<!-- /layers -->")[0]


def layers() -> list[set[str]]:
    """The rooms of each line of the table in harness/README.md, from the bottom up.

    A line names its rooms before what it says of them, which begins after three spaces.
    """
    lines = [line for line in TABLE.strip().splitlines() if not line.startswith("```")]
    return [set(re.split(r"\s{3,}", line)[0].split()) for line in reversed(lines)]


LAYERS = layers()
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer}


def part_of(module: str) -> str:
    """The part that `harness.folds.fold` belongs to: `folds`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "__init__"


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module of harness that a file imports, at any level of it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "harness")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            if node.module == "harness":
                yield from (f"harness.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (name for name in [begin_of(node.args[0])] if name.split(".")[0] == "harness")


def begin_of(text: ast.expr) -> str:
    """What is known of a text before the program runs, from its beginning on: of `f"harness.data.{name}"` the room."""
    if isinstance(text, ast.JoinedStr):
        text = text.values[0]
    return str(text.value).rstrip(".") if isinstance(text, ast.Constant) else ""


def own_part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FACADE = PACKAGE / "__init__.py"  # offers what `api` has and the version, and imports them when asked for


def test_the_package_itself_offers_one_file_the_version_and_what_code_of_users_needs() -> None:
    assert set(imports(FACADE)) <= {
        "harness.api",
        "harness.api.load_study",
        "harness.api.tune",
        "harness.config.signatures",
        "harness.config.signatures.Between",
        "harness.config.signatures.NamesFile",
        "harness.data.images",
        "harness.data.images.Images",
        "harness.models.weight_files",
        "harness.models.weight_files.load_weights",
        "harness.search.contract",
        "harness.search.contract.check_network",
        "harness.version",
        "harness.version.__version__",
    }


@pytest.mark.parametrize(
    "path", [path for path in sources() if path != FACADE], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_downwards(path: Path) -> None:
    here = own_part(path)
    upwards = [
        module
        for module in imports(path)
        if part_of(module) != here and HEIGHT[part_of(module)] >= HEIGHT[here]
    ]
    assert not upwards


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('import_module("harness.search.racing")', ["harness.search.racing"]),
        ('importlib.import_module(f"harness.data.{name}").load()', ["harness.data"]),
        ('import_module(f"{__name__}.{file}")', []),
        ('import_module("torch")', []),
    ],
)
def test_an_import_by_name_counts(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "late.py").write_text(text, encoding="utf-8")
    assert list(imports(tmp_path / "late.py")) == expected


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def first_imports(path: Path) -> set[str]:
    """The modules of harness that a file imports when it is imported itself, or for its types."""
    modules = {module_of(source) for source in sources()}
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ImportFrom):
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else str(node.module) for name in inside}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return found & modules


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module_of(path): first_imports(path) for path in sources()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_every_room_has_its_layer_and_every_layer_its_rooms() -> None:
    assert {own_part(path) for path in sources()} == set(HEIGHT)


def test_only_the_files_named_for_it_import_mlflow() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (
            isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "mlflow" for alias in node.names)
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlflow")
    }
    assert users and all(user.startswith("tracking/mlflow_") for user in users)


def test_nothing_that_tunes_or_reproduces_can_reach_the_test_split() -> None:
    users = {own_part(path) for path in sources() if "harness.data.test_set" in set(imports(path))}
    assert users == {"analysis"}
    within = {path.stem for path in sources() if "harness.data.test_set" in set(imports(path))}
    assert within == {"final", "duplicate_leakage"}  # the latter reads pixels only, to look for duplicates


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "models"], ["list", "studies"], ["check", "smoke"]]
)
def test_light_commands_load_neither_torch_nor_mlflow(arguments: list[str]) -> None:
    code = (
        "import sys; from harness.cli import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'torchvision', 'mlflow', 'optuna', 'sklearn', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
