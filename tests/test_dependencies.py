"""What is imported is declared, what is declared is imported, and every line says what it is for."""

import ast
import re
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
LOCK = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
LOCKED = {package["name"] for package in LOCK["package"]} - {"harness-cv"}

COMES_WITH = {
    "sqlalchemy": {"mlflow", "optuna"},
    "huggingface-hub": {"timm", "open-clip-torch"},
    "threadpoolctl": {"scikit-learn"},
}  # imported, too
LOADED_BY_OTHERS = {
    "psycopg2-binary": "SQLAlchemy's driver for PostgreSQL",
    "optuna-dashboard": "a process of its own, see tracking/ui.py",
    "python-multipart": "Starlette, for forms",
    "onnx": "torch.onnx",
    "onnxscript": "torch.onnx",
}


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", name)[0]).lower()


def declared() -> set[str]:
    project = tomllib.loads(PROJECT)["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return {normal(line) for line in [*project["dependencies"], *extras]}


def imported() -> dict[str, set[str]]:
    """Distribution -> files of harness that import it, at any level of them."""
    found: dict[str, set[str]] = {}
    homes = packages_distributions()
    for path in sorted((ROOT / "harness").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in (
                {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"harness"}
            ):
                candidates = {normal(name) for name in homes.get(module, [module])}
                name = min(candidates & (declared() | set(COMES_WITH)) or candidates)
                found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def test_what_is_installed_is_what_the_repository_names() -> None:
    """docker/requirements.txt, from which the image and CI install, is of this pyproject.toml."""
    text = (ROOT / "docker" / "requirements.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)==([^\s;]+)(.*(?:\n    --hash.*)+)", text, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[\w.-]+==", text, re.MULTILINE))  # each with hashes
    assert "://" not in text
    named = {(normal(name), version) for name, version, _ in entries}  # some have a version for each Python
    again = (
        "python3 -m uv export --frozen --no-emit-project --all-extras --all-groups --no-header --no-annotate"
    )
    installed = {
        normal(one.metadata["Name"]): one.version.partition("+")[0]
        for one in distributions()
        if normal(one.metadata["Name"]) in LOCKED
    }
    other = set(installed.items()) - named
    assert not other, f"write it again: {again} -o docker/requirements.txt"


@pytest.mark.slow
def test_every_import_is_declared_or_comes_with_what_is() -> None:
    strangers = {
        name: files for name, files in imported().items() if name not in declared() | set(COMES_WITH)
    }
    assert not strangers


def test_what_comes_with_another_does() -> None:
    locked = {package["name"]: package for package in LOCK["package"]}
    for name, owners in COMES_WITH.items():
        for owner in owners:
            assert name in {needed["name"] for needed in locked[owner].get("dependencies", [])}, owner
            assert owner in declared()


@pytest.mark.slow
def test_everything_declared_is_imported() -> None:
    assert declared() - set(imported()) <= set(LOADED_BY_OTHERS)


def test_every_dependency_says_what_it_is_for() -> None:
    """And for what is run: a file or folder of harness, or docker's, which exists."""
    part = PROJECT[PROJECT.index("\ndependencies = [") : PROJECT.index("[project.scripts]")]
    lines = [line for line in part.splitlines() if re.search(r'"[A-Za-z][\w.-]*(\[\w+\])?[<>=]', line)]
    assert len(lines) == len(declared()) + 1  # mlflow is there once more, with what its server needs
    for line in lines:
        reason = line.partition("#")[2]
        assert reason, line
        named = re.findall(r"[\w/]+\.py\b|\b[a-z]+/(?=[:,; ])", reason)
        assert named, line
        for name in named:
            folder = next(iter(re.findall(r"(\w+/)[\w]+\.py", reason)), "")
            places = [ROOT / "harness" / name, ROOT / name, ROOT / "harness" / folder / name]
            assert any(place.exists() for place in places), f"{line.strip()}: there is no {name}"


@pytest.mark.parametrize("package", LOCK["package"], ids=lambda package: package["name"])
def test_every_locked_file_has_its_hash_and_comes_from_the_index(package: dict) -> None:  # type: ignore[type-arg]
    source = package["source"]
    if source == {"editable": "."}:
        return
    assert set(source) == {"registry"} and source["registry"].startswith("https://")
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    assert files and all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files)
