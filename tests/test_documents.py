"""The documents: links lead somewhere, files that are named exist, commands can be run, versions agree."""

import ast
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

import harness
from harness.cli import app

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHANGELOG = (GITHUB / "CHANGELOG.md").read_text(encoding="utf-8")
FOLDERS = (".github", "docker", "harness", "studies", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))])
OF_READERS = (
    "own_code",
    "loops",
    "own_images",
    "study_file",
    "using_models",
)  # name files of a reader's own project

LINK = re.compile(r"\]\(([^)\s]+)\)|\b(?:src|srcset|href)=\"([^\"]+)\"")
NAMED = re.compile(r"`([\w./-]+(?:\.(?:py|md|yaml|yml|toml|js|css|cff|gz|xz)|/))`")
UV = ("build", "lock", "run", "sync", "tool")  # the commands of uv that the documents use
COMES_FROM_ELSEWHERE = {"curl", "git", "pre-commit"}


FOR_CONTRIBUTORS = [
    page
    for page in (GITHUB / "CONTRIBUTING.md", *sorted((ROOT / "harness" / "docs").glob("*.md")))
    if page.stem not in OF_READERS and NAMED.search(page.read_text(encoding="utf-8"))
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The headings of a document as GitHub names them in a link."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(path.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_within_the_project_leads_somewhere(document: Path) -> None:
    for link in filter(None, (a or b for a, b in LINK.findall(prose(document.read_text(encoding="utf-8"))))):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        assert target.exists() and target.is_relative_to(ROOT), f"{link}: there is no such file"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("document", FOR_CONTRIBUTORS, ids=name_of)
def test_every_file_that_is_named_exists(document: Path) -> None:
    """As it stands, or below harness/; NAME stands for a name of one's own."""
    named = [name for name in NAMED.findall(document.read_text(encoding="utf-8")) if "NAME" not in name]
    missing = [
        name
        for name in named
        if not any((folder / name).exists() for folder in (ROOT, ROOT / "harness", document.parent))
    ]
    assert not missing


def test_every_source_file_that_a_docstring_names_exists() -> None:
    files = [name_of(path) for name in ("harness", "tests") for path in (ROOT / name).rglob("*.py")]
    named = [
        (name_of(path), name)
        for path in (ROOT / "harness").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for name in re.findall(r"[\w/]+\.py\b", ast.get_docstring(node) or "")
        if "NAME" not in name
    ]
    assert len(named) > 10
    assert [
        (path, name) for path, name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)
    ] == []


def commands(document: Path) -> Iterator[list[str]]:
    """The lines of a document's blocks of code that are marked as a shell's, as words."""
    for block in re.findall(r"^```sh\n(.*?)^```", document.read_text(encoding="utf-8"), re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                del words[0]
            if words:
                yield words


def problem(words: list[str]) -> str:
    """What of a command does not exist, or ""."""
    program, *rest = words
    if words[:3] == ["python3", "-m", "uv"]:
        return problem(words[2:])
    if program == "uv":
        if rest[0] != "run":
            return "" if rest[0] in UV else f"uv {rest[0]}"
        return problem(rest[3:] if rest[1] == "--directory" else rest[1:])
    if program in ("python", "python3") and rest[0] == "-m":
        module = ROOT / Path(*rest[1].split("."))
        benchmark = rest[1] == "tests.benchmarks" and not (module / f"{rest[2]}.py").exists()
        runnable = (module / "__main__.py").exists() or module.with_suffix(".py").exists()
        here = runnable and not benchmark
        return "" if here or rest[1] == "pip" else " ".join(rest)
    if program == "bash":
        return "" if (ROOT / rest[0]).is_file() else rest[0]
    if program == "harness":
        return harness_problem(rest)
    if program == "pytest":
        return pytest_problem(rest)
    there = shutil.which(program, path=str(Path(sys.executable).parent)) or program in COMES_FROM_ELSEWHERE
    return "" if there else program


def harness_problem(words: list[str]) -> str:
    known: Any = get_command(app)
    if words[0] not in known.commands:
        return words[0]
    options = {option for parameter in known.commands[words[0]].params for option in parameter.opts}
    return next((word for word in words if word.startswith("--") and word not in options), "")


def pytest_problem(words: list[str]) -> str:
    markers = {line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    for option, value in zip(words, [*words[1:], ""], strict=True):
        if option == "-m" and not set(re.findall(r"\w+", value)) <= markers | {"not", "and", "or"}:
            return f"-m {value}"
        if option.startswith("tests") and not (ROOT / option.partition("::")[0]).exists():
            return option
    return ""


@pytest.mark.parametrize("document", FOR_CONTRIBUTORS, ids=name_of)
def test_every_command_exists(document: Path) -> None:
    assert not [found for found in map(problem, commands(document)) if found]


def test_contributing_has_commands_to_look_at() -> None:
    assert len(list(commands(GITHUB / "CONTRIBUTING.md"))) > 10


@pytest.mark.parametrize(
    "line",
    [
        "python3 -m uv run pytest -m slwo",
        "pytest tests/nowhere",
        "harness tnue",
        "harness tune --stduy quickstart",
        "python -m tests.benchmarks nothing",
        "bash .ci/walk",
        "rufff check",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    assert problem(shlex.split(line))


def releases() -> list[tuple[str, str]]:
    """The versions of the changelog with their dates, newest first."""
    return re.findall(r"^## (\d+\.\d+\.\d+), (\d{4}-\d{2}-\d{2})$", CHANGELOG, flags=re.MULTILINE)


def test_the_newest_version_of_the_changelog_is_the_package_s() -> None:
    assert releases()[0][0] == harness.__version__
    first = re.findall(r"^## (.*)$", CHANGELOG, flags=re.MULTILINE)[0]
    assert first == "Unreleased"


def test_versions_and_dates_of_the_changelog_descend() -> None:
    versions = [tuple(map(int, version.split("."))) for version, _ in releases()]
    dates = [date for _, date in releases()]
    assert versions == sorted(set(versions), reverse=True) and dates == sorted(dates, reverse=True)


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def test_the_citation_is_of_the_newest_version() -> None:
    """The keys are those that the format's version 1.2.0 requires."""
    citation = read_yaml(GITHUB / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert all("name" in author for author in citation["authors"])
    assert (citation["version"], str(citation["date-released"])) == releases()[0]
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["abstract"] == PROJECT["project"]["description"]


def test_hooks_are_local_and_name_what_there_is() -> None:
    repositories = read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {"ruff-format", "ruff-check", "mypy"} <= {hook["id"] for hook in hooks}
    assert not [found for hook in hooks if (found := problem(shlex.split(hook["entry"])))]


@pytest.mark.parametrize("form", sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=name_of)
def test_issue_forms_have_what_github_asks_for(form: Path) -> None:
    document = read_yaml(form)
    assert {"name", "description", "body"} <= set(document)
    names = [part["id"] for part in document["body"]]
    assert len(set(names)) == len(names) > 0
    for part in document["body"]:
        assert part["type"] in ("textarea", "input", "dropdown", "checkboxes") and part["attributes"]["label"]


def test_ci_runs_on_every_python_that_the_package_names() -> None:
    job = read_yaml(GITHUB / "workflows" / "ci.yml")["jobs"]["run"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert job["strategy"]["matrix"]["python-version"] == named
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_the_package_says_that_it_has_types() -> None:
    assert files("harness").joinpath("py.typed").is_file()


def test_nobody_is_told_to_install_the_project_of_another() -> None:
    """The distribution `harness` of the package index is somebody else's."""
    texts = [path.read_text(encoding="utf-8") for path in [*DOCUMENTS, *(ROOT / "harness").rglob("*.py")]]
    told = [
        name for text in texts for name in re.findall(r"pip install (?:-\S+ )*'?(harness[\w-]*)\b(?!/)", text)
    ]
    assert told and set(told) == {"harness-cv"}
