"""Finds and loads the code that a name in a study file means, where it is not harness's own.

A name is looked up in this order:
    package.module:attribute   importable from the project's folder, or installed
    ./NAME.py                  a file, which defines what a file of its kind defines; ./NAME.py:attribute for another
    main/NAME.py:NAME          a file that was written from what a notebook defines, see main_source.py
    NAME                       FOLDER/NAME.py of the project; else harness's own; else an entry point of a package
The project's folder is the one that a command is run in, beside `studies/`. Its code is imported from there without
being installed; the folder comes first in `sys.path` while that happens, and last afterwards.
"""

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.config.kinds import KINDS, NO_NETWORK, STRATIFIED
from harness.config.signatures import train_options
from harness.errors import UsageError
from harness.files import digest

PACKAGE = Path(__file__).parents[1]
PROJECT = "harness_project"  # the package that files of a project's folders are imported in
UNTRUSTED = "untrusted"  # a file FOLDER.untrusted says that nothing in FOLDER is to be run
TRUST = "HARNESS_TRUST_CODE"  # set, models of somebody else's may name any code


@dataclass(frozen=True)
class Plugin:
    """Code that a name means.

    file: where it is looked for.   attribute: its name there.   module: what it is imported as.
    root: the folder that the module's name begins in: the project's, or that of an installed package.
    """

    kind: str
    name: str
    file: Path
    attribute: str
    module: str
    root: Path

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.label}:{self.attribute}"

    @property
    def label(self) -> str:
        """The file, relative to its root where it is below it."""
        return labelled(self.file, self.root)


_folder: Path | None = None
_wary = False
_objects: Path | None = None
_imported: set[str] = set()  # modules below a plug-in's root that came with it


def project() -> Path:
    """The project's folder."""
    return _folder or Path.cwd()


def objects() -> Path | None:
    """The folder of files that were written from what a notebook defines; they are found before the project's."""
    return _objects


def use_project(folder: Path | None, objects: Path | None = None) -> None:
    """Find a project's code in this folder from now on, in this process.

    folder: None for the current one, whatever that will be.   objects: see `objects`.
    """
    global _folder, _objects
    forget()
    _folder, _objects = folder, objects


def forget() -> None:
    """Have the code of plug-ins be found and imported anew: it may have been edited."""
    _find.cache_clear()
    for name in _imported:
        sys.modules.pop(name, None)
    _imported.clear()
    importlib.invalidate_caches()


def given(kind: str) -> tuple[str, ...]:
    """The arguments that harness gives code of this kind by name, where it takes them; the others are its options.

    For a part of the training they are also all train options but those that are read with some values of others only.
    """
    own = KINDS[kind].given
    if not kind.startswith("train."):
        return own
    return own + tuple(name for name, option in train_options().items() if not option.read_with)


def drop_modules(files: Collection[str]) -> None:
    """Have those of these files that are the project's own be imported anew when they are needed next."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and file and file in files and _is_own(Path(file)):
            del sys.modules[name]


def find(kind: str, name: str) -> Plugin | None:
    """What a name means; None where harness's own is meant, or nothing.

    Raises UsageError for what is there but cannot be used or is not to be trusted, or is there twice.
    """
    if _wary and name and not name.isidentifier():
        raise UsageError(
            f"{KINDS[kind].word} {name}: somebody else's records name this code, and nobody has said that it may be "
            f"run (--trust-code where a bundle is imported, {TRUST}=1 for a model)"
        )
    return _find(kind, name)


@contextmanager
def wary() -> Iterator[None]:
    """For records of somebody else's: only code that lies in the project under its plain name is found."""
    global _wary
    before, _wary = _wary, True
    try:
        yield
    finally:
        _wary = before


def be_wary(is_wary: bool = True) -> None:
    """As `wary`, from now on in this process, or no more: for what the user names themselves."""
    global _wary
    _wary = is_wary


@cache
def _find(kind: str, name: str) -> Plugin | None:
    found = _found(kind, name)
    for folder in found.file.resolve().parents if found else ():
        if folder.name and folder.with_name(f"{folder.name}.{UNTRUSTED}").exists():
            raise UsageError(
                f"{KINDS[kind].word} {name}: {folder} came from somebody else and has not been trusted"
            )
    return found


def _found(kind: str, name: str) -> Plugin | None:
    known = KINDS[kind]
    if (kind, name) == ("model", NO_NETWORK):
        return None
    if name.partition(":")[0].endswith(".py"):
        return _in_file(kind, name)
    if ":" in name:
        return _dotted(kind, name)
    if not name.isidentifier():
        return None
    path = project() / known.folder / f"{name}.py"
    if path.is_file():
        return Plugin(kind, name, path, known.function, f"{PROJECT}.{known.folder}.{name}", project())
    if _is_shipped(kind, name):
        return None
    found = {point.value: point for point in _entry_points(kind) if point.name == name}
    if len(found) > 1:
        raise UsageError(
            f"{known.word} {name!r} is in several packages: write one of {', '.join(sorted(found))}"
        )
    return _dotted(kind, next(iter(found))) if found else None


def require_unclaimed(kind: str, name: str) -> None:
    """Raise UsageError where the project has a file of the name of harness's own: nobody could say which is meant."""
    path = project() / KINDS[kind].folder / f"{name}.py"
    if path.is_file():
        word, label = KINDS[kind].word, labelled(path, project())
        raise UsageError(
            f"{word} {name}: {label} has the name of harness's own {word}; give it another name, or write ./{label}"
        )


def names(kind: str) -> Iterator[str]:
    """The names of a kind that the project and installed packages add, sorted."""
    folder = project() / KINDS[kind].folder
    files = folder.glob("*.py") if folder.is_dir() else ()
    in_project = {path.stem for path in files if path.stem.isidentifier() and not path.stem.startswith("_")}
    installed = {point.name for point in _entry_points(kind)}
    yield from sorted(in_project | installed)


def load(plugin: Plugin) -> Any:
    """The class or function. Raises UsageError that names file and line where its module cannot be imported."""
    with importing(plugin.root):
        try:
            module = _module(plugin)
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"{KINDS[plugin.kind].word} {plugin.name}: {where(error, plugin.root)}"
            ) from error
    found = getattr(module, plugin.attribute, None)
    if found is None:
        raise missing(plugin)
    if not callable(found):
        what = f"{plugin.attribute} is a {type(found).__name__}, not a function or class"
        raise UsageError(f"{KINDS[plugin.kind].word} {plugin.name}: {plugin.label}: {what}")
    return found


def missing(plugin: Plugin) -> UsageError:
    """That the file does not define what it should."""
    file = plugin.name.partition(":")[0]
    another = f"{file if file.endswith('.py') else plugin.module.removeprefix(PROJECT + '.')}:NAME"
    return UsageError(
        f"{KINDS[plugin.kind].word} {plugin.name}: {plugin.label} defines no {plugin.attribute}; for what has another "
        f"name write {another}"
    )


def higher_is_better(plugin: Plugin, metric: Any) -> bool:
    """What a metric says of itself, or its module of it; else True."""
    module = sys.modules.get(plugin.module)
    return bool(getattr(metric, "higher_is_better", getattr(module, "higher_is_better", True)))


def call(function: Callable[..., Any], given: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """What it makes of those of the given arguments that it takes, and of its options."""
    taken = inspect.signature(function).parameters
    return function(**{name: value for name, value in given.items() if name in taken}, **options)


@contextmanager
def importing(root: Path) -> Iterator[None]:
    """With the folder first in `sys.path`; afterwards it is last, for what is imported when it is needed."""
    folder, before = str(root), set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if name.partition(".")[0] == PROJECT or (file and root == project() and _is_own(Path(file))):
                _imported.add(name)


def where(error: BaseException, root: Path) -> str:
    """An error in a plug-in as `file:line: Type: message`, see `line_of`."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{line_of(error, root)}{type(error).__name__}: {' '.join(text.split())}".rstrip(": ")


def line_of(error: BaseException, root: Path) -> str:
    """The last line below `root` that an error came through, as "file:line: ", or ""."""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append((error.filename, error.lineno))
    bases = [root] if _objects is None else [root, _objects]
    own = [
        (labelled(Path(file), root), line)
        for file, line in lines
        if any(Path(file).is_relative_to(base) for base in bases)
        and (_is_own(Path(file)) or not Path(file).is_relative_to(project()))
    ]
    return f"{own[-1][0]}:{own[-1][1]}: " if own else ""


def labelled(file: Path, root: Path) -> str:
    """A file's name for people and keys: relative to its root, where it is below that."""
    base = _objects if _objects is not None and file.is_relative_to(_objects) else root
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name


def module_file(module: str, root: Path | None = None) -> tuple[Path, Path] | None:
    """The file of a module and the folder that its name begins in: of the project, else installed; nothing is imported.

    root: look only there. None for a module of the standard library, and where there is none.
    """
    head, *rest = module.split(".")
    if head in sys.stdlib_module_names or not all(part.isidentifier() for part in (head, *rest)):
        return None
    for folder in [root or project()] + ([] if root else _installed(head)):
        path = folder.joinpath(head, *rest)
        for candidate in (path / "__init__.py", path.with_name(path.name + ".py")):
            if candidate.is_file():
                return candidate, folder
    return None


def _installed(head: str) -> list[Path]:
    """The folders of installed code in which there is a package or module of this name."""
    own = str(project())
    folders = [Path(entry) for entry in sys.path if entry and entry != own]
    found = [folder for folder in folders if (folder / head).is_dir() or (folder / f"{head}.py").is_file()]
    if found or head in sys.modules:
        return found
    try:  # an editable install may find its packages by a hook
        spec = importlib.util.find_spec(head)
    except (ImportError, ValueError):
        return []
    return (
        [Path(spec.origin).parents[spec.submodule_search_locations is not None]]
        if spec and spec.origin
        else []
    )


def _dotted(kind: str, name: str) -> Plugin:
    module, _, attribute = name.partition(":")
    word = KINDS[kind].word
    found = module_file(module)
    if found is None:
        beside = project() / KINDS[kind].folder / f"{module}.py"
        guess = f"; did you mean '{KINDS[kind].folder}.{name}'?" if beside.is_file() else ""
        raise UsageError(
            f"{word} {name}: no module {module} in the project's folder {project()}, and none is installed{guess}"
        )
    if not attribute.isidentifier():
        raise UsageError(f"{word} {name}: after the colon there must be a name in {labelled(*found)}")
    return Plugin(kind, name, found[0], attribute, module, found[1])


def _in_file(kind: str, name: str) -> Plugin:
    text, _, attribute = name.partition(":")
    known, path = KINDS[kind], (project() / Path(text).expanduser()).resolve()
    if _objects is not None and (_objects / text).is_file():
        path, root = _objects / text, project()  # what it imports is of the project
    else:
        root = project() if path.is_relative_to(project()) else path.parent
    if not path.is_file():
        raise UsageError(f"{known.word} {name}: there is no file {path}")
    package = (
        f"{PROJECT}.of_{digest(str(path.parent).encode())[:12]}"  # one for each folder: two may have the name
    )
    return Plugin(kind, name, path, attribute or known.function, f"{package}.{path.stem}", root)


def _module(plugin: Plugin) -> ModuleType:
    """Imported; a file of a project's folder with that folder as its package, whatever is installed by its name."""
    if not plugin.module.startswith(PROJECT + "."):
        return importlib.import_module(plugin.module)
    if plugin.module in sys.modules:
        return sys.modules[plugin.module]
    package, folder = plugin.module.rpartition(".")[0], plugin.file.parent
    for name in dict.fromkeys([PROJECT, package]):
        if name not in sys.modules:
            parent = ModuleType(name)
            parent.__path__ = [str(folder)] if name == package else []
            sys.modules[name] = parent
    spec = importlib.util.spec_from_file_location(plugin.module, plugin.file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[plugin.module] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[plugin.module]
        raise
    return module


def _entry_points(kind: str) -> tuple[Any, ...]:
    from importlib.metadata import entry_points  # takes as long as all of harness --help

    return tuple(entry_points(group=KINDS[kind].group))


def _is_shipped(kind: str, name: str) -> bool:
    if kind.startswith("train."):
        return name in train_options()[kind.partition(".")[2]].choices
    if kind == "cv.split":
        return name == STRATIFIED
    return (
        kind in ("model", "data") and (PACKAGE / {"model": "models"}.get(kind, kind) / f"{name}.py").is_file()
    )


def _is_own(file: Path) -> bool:
    """Whether a file is a source of the project, not of harness or of an environment that lies in its folder."""
    if not file.is_relative_to(project()) or file.is_relative_to(PACKAGE):
        return False
    parts = file.relative_to(project()).parts
    return not any(part in ("site-packages", "dist-packages") or part.startswith(".") for part in parts)
