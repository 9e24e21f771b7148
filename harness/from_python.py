"""A study as Python has it, in the words of a study file: plain values, and names for classes, functions and images.

A class or function of a module that is a file is `module:NAME`. One of the main module (a notebook, a script that is
run) is written into a file below `objects` of the store and is named by it, `main/NAME.py:NAME`, wherever the store is.
Images that are in memory are kept in the store, and are named by their hash: see data/stored.py.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, get_args

import numpy as np

from harness.config import plugins
from harness.config.kinds import KINDS
from harness.config.main_source import source_of
from harness.data import TEST_FRACTION, data_home
from harness.data.conversion import FORMS, as_images
from harness.data.holdout import parts_of
from harness.data.images import Images
from harness.data.near_duplicates import Kind
from harness.errors import DataError, HarnessError, UsageError
from harness.files import digest, write_file
from harness.store.store import Store

MAIN = "main"  # the folder that files of the main module's code are named in
ARGUMENTS = {"model": "model", "data": "data", "objective": "metric"}  # of tune, by the kind of name
CODE = {"model.name": "model"} | {
    kind: kind for kind in KINDS if kind not in ("model", "data")
}  # by place in a study
GIVEN = "leave one of the two out"


def as_document(
    study: Mapping[str, Any], store: Store, *, model: Any = None, data: Any = None, metric: Any = None
) -> tuple[dict[str, Any], Path | None]:
    """The sections of a study file, and the folder of the code that was written for it, or None.

    study: it may have classes and functions where a study file names code, as in `train.loss`.
    model, metric: a class or a function, or a name; of metrics also a list.   data: one of these, a Path of a folder of
    images, or images in one of conversion.FORMS.
    Raises UsageError for what none of them can be.
    """
    files: dict[str, str] = {}
    document: dict[str, Any] = plain(study, "", files)
    if model is not None:
        options = _options(document, "model")
        document["model"] = {"name": _name("model", model, files), **options}
    if metric is not None:
        if "objective" in document:
            raise UsageError(f"the study has an objective and metric is given: {GIVEN}")
        several = metric if isinstance(metric, list | tuple) else None
        document["objective"] = (
            _name("objective", metric, files)
            if several is None
            else [_name("objective", one, files) for one in several]
        )
    if data is not None:
        document["data"] = _data(data, _options(document, "data"), store)
    if not files:
        return document, None
    folder = store.home / "objects" / digest(json.dumps(files, sort_keys=True).encode())[:16]
    for place, text in files.items():
        if not (folder / place).is_file():
            write_file(folder / place, text.encode())
    return document, folder


def plain(value: Any, path: str, files: dict[str, str]) -> Any:
    """A value of a study's map as a study file has it.   path: where it stands, dotted.

    Paths, NumPy's numbers and tuples become text, numbers and lists; classes and functions their names, and what has
    to be written for these is added to `files`. Raises UsageError for what has no such form.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{path}.{key}".lstrip("."), files) for key, item in value.items()}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, FunctionType | type) and path in CODE:
        return _name(CODE[path], value, files)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # of NumPy or PyTorch
        number = value.item()
        text = str(value)  # float32(0.1) is 0.1 for whoever wrote it, and 0.10000000149 as a float
        return float(text) if isinstance(number, float) and _is_number(text) else plain(number, path, files)
    if isinstance(value, list | tuple | range) or getattr(value, "ndim", None) == 1:
        return [plain(item, path, files) for item in value]
    if isinstance(value, str | int | float):  # of a class that inherits: an Enum, say
        kind = str if isinstance(value, str) else int if isinstance(value, int) else float
        return kind(getattr(value, "value", value))
    argument = ARGUMENTS.get(path.partition(".")[0])
    hint = f"; give classes, functions and images as {argument}=…" if argument else ""
    if path in CODE:
        hint = f"; give the class {_kind(value)}, or a function, and its options beside it"
    raise UsageError(
        f"{path}: a study has numbers, text, true, false, lists and maps, no {_kind(value)}{hint}"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _options(document: Mapping[str, Any], section: str) -> dict[str, Any]:
    """The options in a section whose name is given by an argument."""
    options = document.get(section) or {}
    if not isinstance(options, dict):
        raise UsageError(f"{section}: with {section}=… it is a map of options (got {options!r})")
    if "name" in options:
        raise UsageError(f"{section}.name: the study names one and {section} is given: {GIVEN}")
    return options


def _name(kind: str, thing: Any, files: dict[str, str]) -> str:
    """The name of a class or function; of one of the main module the text of its file is added to `files`."""
    if isinstance(thing, str):
        return thing
    word, argument = KINDS[kind].word, ARGUMENTS.get(kind, kind)
    _require_named(thing, word, argument)
    if _is_in_a_file(thing):
        return f"{thing.__module__}:{thing.__name__}"
    if thing.__module__ not in sys.modules:
        raise UsageError(
            f"{word} {thing.__name__}: its module {thing.__module__} cannot be imported; move it into a file"
        )
    text = source_of(thing, word, beside="restore" if kind == "train.loop" else "")
    if kind == "objective":
        better = getattr(
            thing, "higher_is_better", vars(sys.modules[thing.__module__]).get("higher_is_better")
        )
        text += f"\n\n{thing.__name__}.higher_is_better = {bool(better)}\n" if better is not None else ""
    file = f"{MAIN}/{thing.__name__}.py"
    files[file] = text
    return f"{file}:{thing.__name__}"


def _require_named(thing: Any, word: str, argument: str) -> None:
    if not isinstance(thing, FunctionType | type):
        kind = type(thing).__name__
        if inspect.isroutine(thing) or type(thing).__module__ == "functools":
            raise UsageError(
                f"{argument}: a {kind} has no name that a worker could import; write a function with def"
            )
        raise UsageError(
            f"{argument}: this is an instance of {kind}, and each fold needs one of its own: give the class, "
            f"{argument}={kind}, or a function that returns one"
        )
    if thing.__name__ == "<lambda>":
        raise UsageError(
            f"{argument}: a lambda has no name that a worker could import; write a function with def"
        )
    if "." in thing.__qualname__:
        outer = thing.__qualname__.replace(".<locals>", "").rpartition(".")[0]
        raise UsageError(
            f"{argument}: {thing.__name__} is defined inside of {outer}, where no worker can import it; define the "
            f"{word} at the top level, and give it what it needs as options"
        )


def _is_in_a_file(thing: Any) -> bool:
    """Whether a class or function can be imported by its name from a file, of the project or installed."""
    if thing.__module__ == "__main__" or plugins.module_file(thing.__module__) is None:
        return False
    found = getattr(sys.modules.get(thing.__module__), thing.__name__, thing)
    return bool(found.__qualname__ == thing.__qualname__)  # another one where it has been imported anew


def _data(data: Any, options: dict[str, Any], store: Store) -> dict[str, Any]:
    """The section `data`."""
    if isinstance(data, str):
        return {"name": data, **options}
    if isinstance(data, Path):
        return {"name": "folder", "root": str(data), **options}
    if isinstance(data, FunctionType | type):
        if "<" not in data.__qualname__ and "." not in data.__qualname__ and _is_in_a_file(data):
            return {"name": f"{data.__module__}:{data.__name__}", **options}
        key = _keep_what_is_loaded(data, options, store)
        return _stored(key, store)
    duplicates = _kind_of_duplicates(options)
    if set(options) > {"duplicates"} or (options and "duplicates" not in options):
        first = next(name for name in options if name != "duplicates")
        raise UsageError(
            f"data.{first}: options are for a folder or a function; images that are given have duplicates only"
        )
    _require_images(data)
    return _stored(_keep(_images(data, "data"), store, duplicates), store, duplicates)


def _stored(key: str, store: Store, duplicates: Kind = "near") -> dict[str, Any]:
    kept = {"name": "stored", "root": str(store.home / "data"), "images": key}
    return kept if duplicates == "near" else {**kept, "duplicates": duplicates}


def _kind_of_duplicates(options: Mapping[str, Any]) -> Kind:
    kind: Kind = options.get("duplicates", "near")
    if kind not in get_args(Kind):
        raise UsageError(f"data.duplicates: must be one of {', '.join(get_args(Kind))} (got {kind!r})")
    return kind


def _keep_what_is_loaded(function: Any, options: Mapping[str, Any], store: Store) -> str:
    """Call a function of the main module, which no other process can, and keep its images in the store."""
    taken = inspect.signature(function).parameters

    def load(part: str) -> Images:
        try:
            found = plugins.call(function, {"home": data_home(), "part": part}, options)
        except HarnessError:
            raise
        except Exception as error:  # whatever it may raise
            raise DataError(f"data: {function.__name__}: {type(error).__name__}: {error}") from error
        return _images(found, f"data: {function.__name__}")

    if unknown := [name for name in options if name not in taken]:
        raise UsageError(f"data.{unknown[0]}: {function.__name__} has no such argument ({', '.join(taken)})")
    if "part" not in taken:
        return _keep(load("train"), store)
    train, test = load("train"), load("test").hard
    key = hashlib.sha256(f"{train.content_hash} {test.content_hash}".encode()).hexdigest()
    store.keep_parts(key, train, test)
    return key


def _keep(images: Images, store: Store, duplicates: Kind = "near") -> str:
    """Keep images in the store with a fifth of them held out; their key there."""
    key = images.content_hash
    if duplicates != "near":
        key = hashlib.sha256(f"{key} {duplicates}".encode()).hexdigest()
    if not store.has_parts(key):
        divided = parts_of(images, fraction=TEST_FRACTION, duplicates=duplicates)
        train, test = (images.take(np.flatnonzero(divided == part)) for part in ("train", "test"))
        store.keep_parts(key, train, test.hard)
    return key


def _require_images(data: Any) -> None:
    kind = _kind(data)
    if isinstance(data, Images | tuple):
        return
    if hasattr(data, "ndim"):
        raise UsageError(f"data: labels are missing, for this is one {kind}: give data=(images, labels)")
    if hasattr(data, "dataset") and hasattr(data, "batch_size"):
        raise UsageError(f"data: a {kind} gives batches: give its data set, data=loader.dataset")
    if isinstance(data, Mapping):
        splits = ", ".join(map(str, data))
        raise UsageError(
            f"data: a {kind} has several parts ({splits}): give the one to train on, data=….['train']"
        )
    if not hasattr(data, "__len__") and (hasattr(data, "__getitem__") or hasattr(data, "__iter__")):
        raise UsageError(
            f"data: a {kind} without a length cannot be divided into folds; give it __len__, or arrays"
        )
    if not hasattr(data, "__getitem__"):
        raise UsageError(
            f"data: a {kind} is no images; give a Path of a folder, a function, or one of: {FORMS}"
        )


def _images(found: Any, name: str) -> Images:
    try:
        return as_images(found, name)
    except DataError as error:
        raise UsageError(str(error)) from None


def _kind(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__
