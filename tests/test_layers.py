"""The architecture: imports go downwards, heavy modules load late, one file talks to MLflow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "harness"

# From the bottom up. A part may import from its own layer only within the same folder, and from every lower one.
LAYERS: list[set[str]] = [
    {"redaction"},
    {"errors", "messages", "seeds", "shares", "__init__"},
    {"records", "files"},
    {"catalog", "phases"},
    {"study_yaml", "settings"},
    {"sections"},
    {"config"},
    {"space"},
    {"models", "datasets"},
    {"splits"},
    {"training", "scoring"},
    {"serving"},
    {"tracking"},
    {"study"},
    {"results"},
    {"cli"},
    {"__main__"},
]
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer}


def part_of(module: str) -> str:
    """The part that `harness.study.fold` belongs to: `study`."""
    names = module.split(".")
    return names[1] if len(names) > 1 and names[1] != "__version__" else "__init__"


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


def own_part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FACADE = PACKAGE / "__init__.py"  # offers what `results.notebook` has, and imports it when it is asked for


def test_the_package_itself_offers_one_file() -> None:
    assert set(imports(FACADE)) <= {
        f"harness.results{rest}" for rest in ("", ".notebook", ".notebook.load_study", ".notebook.tune")
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


def test_every_part_has_its_layer() -> None:
    assert {own_part(path) for path in sources()} <= set(HEIGHT)


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
    users = {own_part(path) for path in sources() if "harness.datasets.sealed" in set(imports(path))}
    assert users == {"results"}
    within = {path.stem for path in sources() if "harness.datasets.sealed" in set(imports(path))}
    assert within == {"final", "twins"}  # twins reads pixels only, to look for duplicates


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
