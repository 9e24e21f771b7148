"""Finds models, data sets, options, metrics, racing rules, samplers, probes and studies, without importing any of them.

So `harness list` and `harness check` know every name, type, default and limit and never load torch; `signatures.py`
has how an option is written. A file that cannot be read breaks itself alone: its entry says why.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.config import signatures
from harness.config.signatures import Option, SourceProblem
from harness.errors import HarnessError

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Entry:
    """One name of the catalog: the file of a model or data set, the class of a racing rule, sampler or probe.

    summary: the first line of its docstring.
    source, parameters: what its lines `Source: …` and `Parameters: …` say; parameters are those of the default
    model, for 3×32×32 images of 10 classes.
    problem: why its file cannot be used, with the file and the line, or "".
    """

    name: str
    summary: str
    source: str
    parameters: str
    options: tuple[Option, ...]
    problem: str = ""


@dataclass(frozen=True)
class MetricEntry:
    name: str
    summary: str
    higher_is_better: bool


@cache
def models() -> dict[str, Entry]:
    """Every `models/NAME.py` with a `build` function."""
    return dict(_entries("models", "build"))


@cache
def datasets() -> dict[str, Entry]:
    """Every `data/NAME.py` with a `load` function."""
    return dict(_entries("data", "load"))


@cache
def train_options() -> dict[str, Option]:
    """The fields of every `…Options` dataclass in `training/`, but for compute's."""
    files = [path for path in sorted((PACKAGE / "training").glob("*.py")) if path.stem != "compute"]
    return {option.name: option for path in files for option in _dataclass_options(path)}


@cache
def compute_options() -> dict[str, Option]:
    return {option.name: option for option in _dataclass_options(PACKAGE / "training" / "compute.py")}


@cache
def racing_rules() -> dict[str, Entry]:
    """The table RULES of `search/racing.py`: name -> class; the fields of the class are its options."""
    return _classes(PACKAGE / "search" / "racing.py", "RULES")


@cache
def samplers() -> dict[str, Entry]:
    """The table SAMPLERS of `search/sampling.py`: name -> class; the fields of the class are its options."""
    return _classes(PACKAGE / "search" / "sampling.py", "SAMPLERS")


@cache
def probes() -> dict[str, Entry]:
    """The table PROBES of `analysis/leak_probes.py`: name -> class; the fields of the class are its options."""
    return _classes(PACKAGE / "analysis" / "leak_probes.py", "PROBES")


@cache
def metrics() -> dict[str, MetricEntry]:
    """The table METRICS of `scoring/metrics.py`: name -> Metric(function, higher_is_better=…)."""
    module = _parsed(PACKAGE / "scoring" / "metrics.py")
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    found = {}
    for name, value in signatures.table(module, "METRICS"):
        assert isinstance(value, ast.Call)
        better = next(word.value for word in value.keywords if word.arg == "higher_is_better")
        summary = signatures.first_line(functions[ast.unparse(value.args[0])])
        found[name] = MetricEntry(name, summary, bool(ast.literal_eval(better)))
    return found


def study_folders() -> list[Path]:
    """Where a study's name is looked for: `studies/` here, then the ones that came with harness."""
    shipped = PACKAGE / "studies"
    beside = PACKAGE.parent / "studies"
    return [Path("studies"), shipped if shipped.is_dir() else beside]


def studies() -> dict[str, Path]:
    """Study files by name; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for folder in study_folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def _entries(folder: str, function: str) -> Iterator[tuple[str, Entry]]:
    for path in sorted((PACKAGE / folder).glob("*.py")):
        if path.stem.startswith("_"):
            continue
        try:
            module = _parsed(path)
            builders = [
                node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == function
            ]
            if builders:
                yield path.stem, _entry(path.stem, module, signatures.arguments(builders[-1]))
        except HarnessError as error:
            yield path.stem, Entry(path.stem, "", "", "", (), str(error))
        except SourceProblem as error:
            yield path.stem, Entry(path.stem, "", "", "", (), f"{path}:{error.line}: {error.message}")


def _entry(name: str, node: ast.Module | ast.ClassDef, options: tuple[Option, ...]) -> Entry:
    source, parameters = (signatures.line(node, word) for word in ("Source", "Parameters"))
    return Entry(name, signatures.first_line(node), source, parameters, options)


def _classes(path: Path, table: str) -> dict[str, Entry]:
    module = _parsed(path)
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    named = {name: classes[ast.unparse(value)] for name, value in signatures.table(module, table)}
    return {name: _entry(name, node, tuple(signatures.fields(node))) for name, node in named.items()}


def _dataclass_options(path: Path) -> Iterator[Option]:
    for node in _parsed(path).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Options"):
            yield from signatures.fields(node)


def _parsed(path: Path) -> ast.Module:
    """Raises HarnessError that names file and line."""
    try:
        return signatures.parse(path)
    except SyntaxError as error:
        raise HarnessError(f"{path}:{error.lineno or 0}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise HarnessError(f"{path}: cannot be read: {why}") from None
