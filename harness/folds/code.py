"""What identifies the code that trains a fold: the part of a fold's key that changes when somebody edits it.

Three parts: `training` (all that this package does with a task but the next two), `scoring` (the metrics), and `model`
(what model.name means, with what it imports); and one for every other name in the values that means code of a project
or an installed package, like `train.loss`. Of such code it is the file and what that imports from the project or the
same package, but for the libraries of BY_VERSION; what it imports from harness counts too, and versions of all else are
in the fingerprint.

A part's sources are read as text, never imported, and hashed without comments, docstrings and layout.
`known_sources.json` beside this file says which hashes give the bits of which recipe; sources of the recipe RECIPE
leave no trace in a key, so folds of earlier releases are found. How a hash gets into that table:
`python -m tests.sources` proves that the bits are equal and enters it, or says which are not.

A process reads its sources once: what it has imported does not change either when a file is edited.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.config import catalog, plugins
from harness.config.kinds import KINDS
from harness.config.plugins import Plugin
from harness.errors import CheckFailed, UsageError
from harness.provenance import COMPUTING

PACKAGE = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("known_sources.json")
RECIPE = 2  # of the sources that keys say nothing of; later ones are named by the table, and this stays
TRAINING = "folds/fold.py"  # the pure function; what it imports is the code of a training
SCORING = ("scoring/__init__.py", "scoring/metrics.py", "scoring/ranking.py")

BY_VERSION = ("torch", *COMPUTING)  # packages that a fingerprint has the versions of, and a key no sources
Others = tuple[tuple[str, str], ...]  # (kind, name)
_read: dict[Path, ast.Module] = {}
_hashed: dict[Path, str] = {}
_functions: dict[Path, dict[str, str]] = {}

# Loaded by a training, and yet not part of its identity: nothing here can change what comes out.
IRRELEVANT = {
    "__init__.py": "names that are looked up when asked for",
    "config/__init__.py": "a docstring",
    "config/binding.py": "reads study files; what they set is in the task",
    "config/catalog.py": "finds names and options, of which those that are not known are refused",
    "config/kinds.py": "names what there is to find",
    "config/own_code.py": "reads options, whose values are in the task",
    "config/objectives.py": "reads study files: by what trials are judged",
    "config/plugins.py": "finds and loads code, which is in the key by its sources",
    "config/running.py": "reads options, whose values are in the task",
    "config/sections.py": "reads study files: cv and search, which decide what is trained but not how",
    "config/settings.py": "reads study files; where a user's folder is",
    "config/space.py": "from ranges to a trial's values, which are in the task",
    "config/signatures.py": "the marks of options, and what records leave out, which has its default",
    "config/study_file.py": "reads study files; what the split takes from there is in the task by its hash",
    "config/yaml.py": "reads study files",
    "data/__init__.py": "loads images, which are in the task by their hash",
    "data/conversion.py": "makes images",
    "data/decoding.py": "makes images",
    "data/file_facts.py": "makes images",
    "data/fold_table.py": "makes the split",
    "data/group_table.py": "makes groups, which are in the split",
    "data/file_notes.py": "words",
    "data/foreign_folders.py": "makes images",
    "data/formats.py": "makes images",
    "data/holdout.py": "makes the test part",
    "data/image_files.py": "makes images",
    "data/image_similarity.py": "makes the split, which is in the task by its hash",
    "data/limited.py": "makes images",
    "data/looks.py": "makes the split",
    "data/near_duplicates.py": "makes the split",
    "data/neighbours.py": "makes the split",
    "data/registration.py": "makes the split",
    "data/scenes.py": "makes the split",
    "data/snapshot.py": "what files there were; names the parts that images are in",
    "data/policy.py": "makes images",
    "data/soft_labels.py": "makes images, which are in the task by their hash",
    "data/split_makers.py": "makes the split",
    "errors.py": "words",
    "files.py": "how bytes reach the disk",
    "folds/__init__.py": "a docstring",
    "folds/code.py": "this file: it names the code",
    "folds/guards.py": "checks that end the study, or change nothing",
    "invocation.py": "words",
    "messages.py": "words",
    "os_errors.py": "words",
    "profiler.py": "measures time",
    "provenance.py": "names what a study was begun with",
    "records.py": "the shape of what is written down",
    "redaction.py": "words",
    "scoring/standard_errors.py": "computed from the scores of folds, after them",
    "standalone/__init__.py": "names of files that are exported",
    "standalone/image_pixels.py": "makes images",
    "synonyms.py": "words",
    "training/environment.py": "names what a fold was computed with",
}


def use_project(folder: Path, objects: Path | None = None) -> None:
    """Find a project's code in this folder from now on, in this process.   objects: see `plugins.objects`."""
    if (folder, objects) != (plugins.project(), plugins.objects()):
        plugins.use_project(folder, objects)
        forget()


def use_current_folder(objects: Path | None = None) -> None:
    """For a study of the user's own: find code in the current folder as it is now, whatever this process did before."""
    plugins.be_wary(False)
    plugins.use_project(None, objects)
    forget()


def forget() -> None:
    """Read sources of plug-ins anew, and import them anew: a process that lives long sees them edited."""
    catalog.forget()
    for path in [path for path in _read if not path.is_relative_to(PACKAGE)]:
        del _read[path]
        _hashed.pop(path, None)
        _functions.pop(path, None)
    hashes.cache_clear()
    sources.cache_clear()


def import_anew(names: Iterable[tuple[str, str]]) -> None:
    """Have the project's files of this code be imported as they are now, whoever has imported them before."""
    paths = [path for kind, name in names for path in sources("", ((kind, name),)).get(kind, {}).values()]
    plugins.drop_modules({str(path) for path in paths})


def identity(model: str, others: Others = (), *, package: Path = PACKAGE) -> dict[str, str]:
    """The code that a fold of this model is trained by: name by part, of those parts that are not of RECIPE.

    A name is a recipe's number in the table, or for sources that are not in it their hash.
    others: further names in the fold's values that mean code, see `others_in`.
    """
    found = hashes(model, others, package)
    names = {part: canonical_name(part, model, hashed) for part, hashed in found.items()}
    return {part: name for part, name in names.items() if name != str(RECIPE)}


def canonical(code: Mapping[str, str], model: str) -> dict[str, str]:
    """An identity as it would be made today: what was no known source when it was made may be one by now."""
    names = {part: canonical_name(part, model, name) for part, name in code.items()}
    return {part: name for part, name in names.items() if name != str(RECIPE)}


def canonical_name(part: str, model: str, hashed: str) -> str:
    """The recipe that the table has for a hash, else the hash."""
    return str(known_sources().get(entry(part, model), {}).get(hashed, hashed))


def entry(part: str, model: str) -> str:
    """What a part is called in the table: each model has its own."""
    return f"models/{model}" if part == "model" else part


def require(code: Mapping[str, str], model: str, others: Others = ()) -> None:
    """Raises CheckFailed where this process has other code than the task that it is to train."""
    here = identity(model, others)
    if canonical(code, model) != here:
        parts = sorted({*canonical(code, model).items()} ^ {*here.items()})
        raise CheckFailed(
            "this process has other code than the fold is to be trained by "
            f"({describe([parts[0][0]], model, others)}): it was edited meanwhile, or differs between machines; run "
            "the same command again"
        )


def describe(parts: list[str], model: str, others: Others = ()) -> str:
    """Parts of an identity in words."""
    words = {"training": "harness/training", "scoring": "harness/scoring"}
    for part, name in (("model", model), *others):
        plugin = plugins.find(part, name)
        words[part] = f"harness/models/{name}.py" if plugin is None else plugin.label
    return ", ".join(words.get(part, part) for part in parts)


def others_in(values: Mapping[str, Any]) -> Others:
    """The names in a trial's values, beside the model's, that mean code of a project or an installed package."""
    return tuple(
        (kind, str(values[kind]))
        for kind in KINDS
        if isinstance(values.get(kind), str) and plugins.find(kind, str(values[kind])) is not None
    )


@cache
def hashes(model: str, others: Others = (), package: Path = PACKAGE) -> dict[str, str]:
    """Hash by part of all sources of that part, which have to be there; without `model` where there is no such file."""
    return {
        part: hashlib.sha256(
            "\n".join(f"{name} {source_hash(path)}" for name, path in files.items()).encode()
        ).hexdigest()[:40]
        for part, files in sources(model, others, package).items()
    }


@cache
def sources(model: str, others: Others = (), package: Path = PACKAGE) -> dict[str, dict[str, Path]]:
    """The files of each part: path by name, relative to the package; for other code `./` and relative to its root."""
    training = reached(TRAINING, package) - set(SCORING)
    scoring = [name for name in SCORING if (package / name).is_file()]
    parts = {"training": _below(package, training), "scoring": _below(package, scoring)}
    for part, name in (("model", model), *others):
        if plugin := plugins.find(part, name):
            own, harness = _reached_by(plugin, package)
            parts[part] = _below(package, harness - training) | {
                f"./{label}": own[label] for label in sorted(own)
            }
    if "model" not in parts and model.isidentifier() and (package / "models" / f"{model}.py").is_file():
        parts["model"] = _below(package, reached(f"models/{model}.py", package) - training)
    return parts


def functions(model: str, others: Others = (), package: Path = PACKAGE) -> dict[str, dict[str, str]]:
    """Hash of every top-level function and class by file; what stands outside of them is called `<module>`."""
    return functions_in(files(model, others, package))


def functions_in(files: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """As `functions`, of these files by name."""
    return {name: _function_hashes(path) for name, path in files.items()}


def _function_hashes(path: Path) -> dict[str, str]:
    if path not in _functions:
        rest = ast.Module([], [])
        parts: dict[str, ast.AST] = {}
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                parts[node.name] = node
            else:
                rest.body.append(node)
        parts["<module>"] = rest
        _functions[path] = {part: _hash(node)[:12] for part, node in parts.items()}
    return _functions[path]


def files(model: str, others: Others = (), package: Path = PACKAGE) -> dict[str, Path]:
    """All sources by the name that people see: harness/models/resnet.py, or relative to the project's folder."""
    every = {name: path for part in sources(model, others, package).values() for name, path in part.items()}
    return {
        name.removeprefix("./") if name.startswith("./") else f"harness/{name}": every[name]
        for name in sorted(every)
    }


def hash_of(kind: str, name: str) -> str:
    """Of the code that a name means which is no model of harness. Raises UsageError where it means none."""
    plugin = plugins.find(kind, name)
    if plugin is None:
        raise UsageError(f"{KINDS[kind].word} {name} is gone")
    return hashes("", ((kind, name),))[kind]


def files_of(names: Others) -> dict[str, Path]:
    """The files of code that is not harness's own, by their place in its root."""
    found: dict[str, Path] = {}
    for kind, name in names:
        part = sources("", ((kind, name),))[kind]
        found |= {label.removeprefix("./"): path for label, path in part.items() if label.startswith("./")}
    return found


def edits(before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What differs between two results of `functions`, like "harness/models/resnet.py: function build changed"."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, {}), after.get(name, {})
        for part in sorted({*old, *new}):
            if old.get(part) != new.get(part):
                verb = "was added" if part not in old else "was removed" if part not in new else "changed"
                what = "what stands outside of functions" if part == "<module>" else f"function {part}"
                found.append(f"{name}: {what} {verb}")
    return found


def third_party(model: str, others: Others = (), package: Path = PACKAGE) -> set[str]:
    """Names of the modules that a fold of this model imports from elsewhere, like "timm"."""
    paths = [path for part in sources(model, others, package).values() for path in part.values()]
    modules = [module for path in paths for module in _imports(path)]
    modules += [name.partition(":")[0] for _, name in (("model", model), *others) if ":" in name]
    return {module.partition(".")[0] for module in modules}


def reached(start: str, package: Path = PACKAGE) -> set[str]:
    """`start` and every file of the package that it imports, at any level and in any function, but for IRRELEVANT."""
    found, waiting = {start}, [start]
    while waiting:
        for module in _imports(package / waiting.pop()):
            for name in _files(module, package):
                if name not in found and not is_irrelevant(name):
                    found.add(name)
                    waiting.append(name)
    return found


def _reached_by(plugin: Plugin, package: Path) -> tuple[dict[str, Path], set[str]]:
    """The files of a plug-in and of what it imports from its project or package, by label; and those of harness."""
    in_project = plugin.root == plugins.project()
    head = plugin.module.partition(".")[0]
    if not in_project and head in BY_VERSION:
        return {}, set()
    own, harness = {plugin.label: plugin.file}, set[str]()
    waiting = [plugin.file]
    while waiting:
        path = waiting.pop()
        for module in _imports(path, plugin.root):
            for name in _files(module, package):
                if not is_irrelevant(name):
                    harness |= reached(name, package)
            first = module.partition(".")[0]
            if first == "harness" or not (in_project or first == head):
                continue
            for file in _own_files(module, plugin.root):
                label = plugins.labelled(file, plugin.root)
                if label not in own:
                    own[label] = file
                    waiting.append(file)
    return own, harness


def _own_files(module: str, root: Path) -> Iterator[Path]:
    """The files below a root that `import a.b.c` executes."""
    names = module.split(".")
    for depth in range(1, len(names) + 1):
        if found := plugins.module_file(".".join(names[:depth]), root):
            yield found[0]


def _below(package: Path, names: Iterable[str]) -> dict[str, Path]:
    return {name: package / name for name in sorted(names)}


def is_irrelevant(name: str) -> bool:
    return name in IRRELEVANT


def _files(module: str, package: Path) -> Iterator[str]:
    """The files that `import harness.a.b` executes: those of the packages above it too."""
    head, *names = module.split(".")
    for depth in range(1, len(names) + 1 if head == "harness" else 0):
        path = Path(*names[:depth])
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if (package / candidate).is_file():
                yield candidate.as_posix()


def _imports(path: Path, root: Path | None = None) -> Iterator[str]:
    """Every module that the file may import, outside of what only a type checker reads.

    In the face of a package that is what it loads when it is asked for it.
    root: what the names of the file's own packages begin in, for imports that are relative.
    """
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, path, root)
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif (
            path.name == "__init__.py"
            or not isinstance(node, ast.If)
            or ast.unparse(node.test) != "TYPE_CHECKING"
        ):
            waiting += ast.iter_child_nodes(node)


def _absolute(node: ast.ImportFrom, path: Path, root: Path | None) -> str:
    """The module that `from … import` names, as seen from the root."""
    if not node.level or root is None or not path.is_relative_to(root):
        return str(node.module)
    parents = path.relative_to(root).parts[: -node.level]
    return ".".join([*parents, *([node.module] if node.module else [])])


def parsed(path: Path) -> ast.Module:
    """The file's syntax tree. Raises UsageError for one that has none."""
    if path not in _read:
        try:
            _read[path] = ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            raise UsageError(f"{path}:{error.lineno or 0}: {error.msg}") from None
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            raise UsageError(f"{path}: cannot be read: {error}") from None
    return _read[path]


def source_hash(path: Path) -> str:
    """Of the file without comments, docstrings and layout, the same on every version of Python."""
    if path not in _hashed:
        _hashed[path] = _hash(parsed(path))
    return _hashed[path]


@cache
def known_sources() -> dict[str, dict[str, int]]:
    """The table: recipe by hash, for `training`, `scoring` and `models/NAME`."""
    table: dict[str, dict[str, int]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def _hash(node: ast.AST) -> str:
    return hashlib.sha256(json.dumps(_plain(node)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A syntax tree as JSON: no positions, no docstrings, and no empty fields, which differ between Pythons."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if not isinstance(value, ast.AST):
        return value if isinstance(value, str | bool | int | None) else repr(value)
    fields = dict(ast.iter_fields(value))
    body = fields.get("body")
    if isinstance(body, list) and body and isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef):
        first = body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            fields["body"] = body[1:]
    kept = {name: part for name, part in fields.items() if part not in (None, []) and name != "kind"}
    if isinstance(value, ast.Constant):
        kept["value"] = repr(value.value)
    if isinstance(value, ast.JoinedStr):  # Python 3.12 ends some with an empty text
        kept["values"] = [part for part in value.values if getattr(part, "value", None) != ""]
    return [type(value).__name__, {name: _plain(part) for name, part in sorted(kept.items())}]
