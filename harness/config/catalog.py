"""Finds models, data sets, options, metrics, racing rules, samplers, probes and studies, without importing any of them.

So `harness list` and `harness check` know every name, type, default and limit and never load torch; `signatures.py`
has how an option is written. A file that cannot be read breaks itself alone: its entry says why.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from harness.config import plugins, running, signatures
from harness.config.kinds import KINDS, NO_NETWORK, STRATIFIED
from harness.config.plugins import Plugin
from harness.config.signatures import Option, SourceProblem
from harness.errors import HarnessError, UsageError

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Entry:
    """One name of the catalog: the file of a model or data set, the class of a racing rule, sampler or probe.

    summary: the first line of its docstring.
    source, parameters: what its lines `Source: …` and `Parameters: …` say; parameters are those of the default
    model, for 3×32×32 images of 10 classes.
    problem: why its file cannot be used, with the file and the line, or "".
    place: where code that is not harness's own is, like "models/NAME.py:build".   takes: what harness gives it by name.
    """

    name: str
    summary: str
    source: str
    parameters: str
    options: tuple[Option, ...]
    problem: str = ""
    place: str = ""
    takes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MetricEntry:
    name: str
    summary: str
    higher_is_better: bool


def entry(kind: str, name: str) -> Entry | None:
    """What a name of this kind means: code of the project, harness's own, or of an installed package; None: nothing.

    kind: one of kinds.KINDS.
    """
    if (kind, name) == ("model", NO_NETWORK):
        return Entry(name, "No network: the training loop has what it trains itself.", "", "", ())
    try:
        plugin = plugins.find(kind, name)
        return shipped(kind).get(name) if plugin is None else _entry_of(plugin)
    except UsageError as error:
        return Entry(name, "", "", "", (), str(error))


def options(kind: str, name: str) -> tuple[Option, ...]:
    """Of a name; of one that means nothing, or nothing any more, none."""
    found = entry(kind, name)
    return found.options if found else ()


def known(kind: str) -> dict[str, Entry]:
    """All names that can be listed: harness's own first, then those of the project and of installed packages."""
    found = dict(shipped(kind))
    for name in plugins.names(kind):
        if mine := entry(kind, name):
            found |= _by_attribute(kind, name) if mine.problem else {}
            if not mine.problem or not any(one.startswith(f"{KINDS[kind].folder}.{name}:") for one in found):
                found[name] = mine
    return found


def _by_attribute(kind: str, name: str) -> dict[str, Entry]:
    """The classes of a project's file that defines no attribute of the usual name, as a study can name them."""
    plugin = plugins.find(kind, name)
    if plugin is None:
        return {}
    try:
        nodes = signatures.parse(plugin.file).body
    except (SyntaxError, OSError, ValueError, RecursionError, MemoryError):
        return {}
    if any(getattr(node, "name", None) == plugin.attribute for node in nodes):
        return {}  # which is what is broken
    classes = [
        node.name for node in nodes if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    named = {f"{KINDS[kind].folder}.{name}:{one}": one for one in classes}
    entries = {text: entry(kind, text) for text in named}
    return {text: one for text, one in entries.items() if one and not one.problem}


def shipped(kind: str) -> dict[str, Entry]:
    """Harness's own names of a kind."""
    if kind.startswith("train."):
        option = train_options()[kind.partition(".")[2]]
        return {str(name): Entry(str(name), "", "", "", ()) for name in option.choices}
    return {"model": models, "data": datasets, "cv.split": split_makers}[kind]()


def forget() -> None:
    """Read code that is not harness's own anew: it may have been edited."""
    plugins.forget()
    _entry_of.cache_clear()


@cache
def models() -> dict[str, Entry]:
    """Every `models/NAME.py` with a `build` function."""
    return dict(_entries("models", "build"))


@cache
def datasets() -> dict[str, Entry]:
    """Every `data/NAME.py` with a `load` function."""
    return dict(_entries("data", "load"))


@cache
def split_makers() -> dict[str, Entry]:
    """What deals images to folds, where it is not the user's own."""
    return {STRATIFIED: Entry(STRATIFIED, "Each class is spread evenly over the folds.", "", "", ())}


@cache
def train_options() -> dict[str, Option]:
    """The fields of every `…Options` dataclass in `training/`, but for compute's."""
    return signatures.train_options()


@cache
def compute_options() -> dict[str, Option]:
    module = _parsed(PACKAGE / "training" / "compute.py")
    return {option.name: option for option in signatures.dataclass_options(module)}


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


def metric(name: str) -> MetricEntry | None:
    """One of `metrics`, or of the user's own; None: there is none. Raises UsageError for one that cannot be used."""
    if name in metrics():
        plugins.require_unclaimed("objective", name)
        return metrics()[name]
    plugin = plugins.find("objective", name)
    if plugin is None:
        return None
    text = plugin.file.read_text(encoding="utf-8", errors="replace")
    if "higher_is_better" in text or _entry_of(plugin).options:
        summary, options, better = running.metric_of(plugin)
        if options:
            raise UsageError(
                f"metric {name}: {plugin.place} has the argument {options[0].name}, which nobody sets; harness gives "
                f"{', '.join(KINDS['objective'].given)}"
            )
        return MetricEntry(name, summary, better)
    return MetricEntry(name, _entry_of(plugin).summary, higher_is_better=True)


def all_metrics() -> Iterator[MetricEntry]:
    """Harness's own, then those of the project and of installed packages; one that cannot be used says why."""
    yield from metrics().values()
    for name in plugins.names("objective"):
        try:
            if found := metric(name):
                yield found
        except UsageError as error:
            yield MetricEntry(name, str(error), higher_is_better=True)


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


@cache
def _entry_of(plugin: Plugin) -> Entry:
    """From its source text where that says all; else from its signature. Raises UsageError for what cannot be used."""
    node = None
    try:
        module = signatures.parse(plugin.file)
        node = next((node for node in module.body if getattr(node, "name", None) == plugin.attribute), None)
        options, takes = signatures.parameters(node, plugins.given(plugin.kind))
        options = _with_duplicates(plugin, options, takes)
        described = module if plugin.attribute == KINDS[plugin.kind].function else node
        assert isinstance(described, ast.Module | ast.ClassDef | ast.FunctionDef)
        return replace(_entry(plugin.name, described, options), place=plugin.place, takes=takes)
    except SyntaxError as error:
        word = KINDS[plugin.kind].word
        raise UsageError(f"{word} {plugin.name}: {plugin.label}:{error.lineno or 0}: {error.msg}") from None
    except (SourceProblem, OSError, ValueError, RecursionError):
        summary, options, takes = running.options_of(plugin)
        options = _with_duplicates(plugin, options, takes)
        return Entry(plugin.name, summary, "", "", options, place=plugin.place, takes=takes)


def _with_duplicates(
    plugin: Plugin, options: tuple[Option, ...], takes: tuple[str, ...]
) -> tuple[Option, ...]:
    """The option of folders that a data set has, too, whose test part harness holds out."""
    if plugin.kind != "data" or "part" in takes or any(option.name == "duplicates" for option in options):
        return options
    return (*options, next(one for one in datasets()["folder"].options if one.name == "duplicates"))


def _entry(
    name: str, node: ast.Module | ast.ClassDef | ast.FunctionDef, options: tuple[Option, ...]
) -> Entry:
    source, parameters = (signatures.line(node, word) for word in ("Source", "Parameters"))
    return Entry(name, signatures.first_line(node), source, parameters, options)


def _classes(path: Path, table: str) -> dict[str, Entry]:
    module = _parsed(path)
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    named = {name: classes[ast.unparse(value)] for name, value in signatures.table(module, table)}
    return {name: _entry(name, node, tuple(signatures.fields(node))) for name, node in named.items()}


def _parsed(path: Path) -> ast.Module:
    """Raises HarnessError that names file and line."""
    try:
        return signatures.parse(path)
    except SyntaxError as error:
        raise HarnessError(f"{path}:{error.lineno or 0}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise HarnessError(f"{path}: cannot be read: {why}") from None
