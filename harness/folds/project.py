"""The user's own code that a study names: what it was when the study began, kept beside the study's records.

A study's record has, under `project` of its provenance, the folder that the code was found in, the hash of each piece
of code by what names it ("train.loss focal"), of each function, and of each file's text. The files themselves are in
the study's folder under `sources`, as they would lie in a project: so they can be read, compared and, where the project
has gone on, trained from again.
"""

import difflib
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.config import plugins
from harness.config.kinds import KINDS, NO_NETWORK
from harness.errors import CheckFailed, RecordError, UsageError
from harness.files import digest, write_file
from harness.folds import code
from harness.records import StudyRecord, Values
from harness.store.model_files import SOURCES
from harness.store.store import Store

logger = logging.getLogger(__name__)
UNTRUSTED = f"{SOURCES}.{plugins.UNTRUSTED}"  # beside it, for a study that came with a bundle
LONGEST_DIFF = 60  # lines
Names = tuple[tuple[str, str], ...]  # (kind, name)
SPLIT = "cv.split"  # the kind whose code no training needs: its folds are in the study's split
OF_TRAINING = tuple(kind for kind in KINDS if kind != SPLIT)


def names_in(definition: Mapping[str, Any], kinds: Collection[str] = tuple(KINDS)) -> Names:
    """What a study's definition names that is code of the user's own: (kind, name), of several models each."""
    found = []
    for kind in kinds:
        section, _, option = kind.partition(".")
        value = definition.get(section)
        if kind in ("model", "data"):
            option = "name"
        if option:
            value = value.get(option) if isinstance(value, Mapping) else None
        value = value.get("values", value) if isinstance(value, Mapping) else value
        names = value if isinstance(value, list) else [value]
        found += [(kind, name) for name in names if isinstance(name, str) and plugins.find(kind, name)]
    return tuple(found)


def described(names: Names) -> dict[str, Any]:
    """The entry of a study's provenance; empty where a study names no code of the user's own."""
    if not names:
        return {}
    files = code.files_of(names)
    return {
        "root": str(plugins.project()),
        "hashes": _hashes(names),
        "functions": code.functions_in(files),
        "sources": {label: digest(path.read_bytes()) for label, path in files.items()},
    }


def keep_sources(folder: Path, names: Names) -> None:
    """Write the files of a study's own code into its folder."""
    for label, path in code.files_of(names).items():
        write_file(folder / SOURCES / label, path.read_bytes())


def parts_of(provenance: Mapping[str, Any], values: Values) -> dict[str, str]:
    """The hashes of what a trial's values name beside its model, by kind, as the study began with them."""
    hashes = provenance.get("project", {}).get("hashes", {})
    named = {kind: _entry(kind, str(values.get(kind))) for kind in KINDS if kind != "model"}
    return {kind: hashes[entry] for kind, entry in named.items() if entry in hashes}


def edits(folder: Path, record: StudyRecord, kinds: Collection[str] = OF_TRAINING) -> Iterator[str]:
    """What of a study's own code is not what it was when the study began, a line each, and then how it differs.

    folder: the study's, with the sources that it began with.   kinds: of code; nothing where none of these was edited.
    """
    known = record.provenance.get("project", {})
    now = _hashes(names_in(record.definition, kinds))
    if all(now.get(entry, hashed) == hashed for entry, hashed in known.get("hashes", {}).items()):
        return
    files = code.files_of(names_in(record.definition))
    yield from code.edits(known["functions"], code.functions_in(files))
    lines = list(_diff(folder / SOURCES, files))
    yield from (f"    {line}" for line in lines[:LONGEST_DIFF])
    if len(lines) > LONGEST_DIFF:
        yield f"    … and {len(lines) - LONGEST_DIFF} lines more; the study began with {folder / SOURCES}"


def beware_of(folder: Path) -> bool:
    """Whether a study's records are somebody else's and not trusted; this process then runs no code they choose."""
    untrusted = (folder / UNTRUSTED).exists()
    if untrusted:
        plugins.be_wary()
    return untrusted


def use_code_of(store: Store, record: StudyRecord, *, to_split: bool = False) -> None:
    """Have this process find a study's own code as it was when the study began: in its project, or else as it was kept.

    to_split: with its split maker, which no training needs.
    Raises UsageError where neither is there, or where it came with a bundle and has not been trusted.
    """
    folder = store.study_folder(record.name)
    untrusted = beware_of(folder)
    known = record.provenance.get("project")
    if not known:
        return
    hashes = {
        entry: found for entry, found in known["hashes"].items() if to_split or not _is_of(SPLIT, entry)
    }
    here = plugins.project(), plugins.objects()
    # The folder that somebody else's study names is theirs to choose.
    for place in dict.fromkeys([here] if untrusted else [here, (Path(known["root"]), None)]):
        if place[0].is_dir() and _is_same(*place, hashes):
            return
    if all(_is_kept(folder, label, hashed) for label, hashed in known["sources"].items()):
        if untrusted:
            code.use_project(*here)
            raise UsageError(
                f"study {record.name} came with code of somebody else's: look at {folder / SOURCES}, then import it "
                "again with --trust-code to have it run"
            )
        if _is_same(folder / SOURCES, None, hashes):
            logger.info(
                "study %s is used with the code that it began with: %s", record.name, folder / SOURCES
            )
            return
    code.use_project(*here)
    raise UsageError(
        f"the code that study {record.name} began with is neither in {here[0]} nor in {known['root']} any more, and "
        f"what was kept of it in {folder / SOURCES} is not whole"
    )


def packed(values: Values) -> dict[str, bytes]:
    """The files of the user's own code that trains a trial of these values, by their place in a project."""
    model = ("model", str(values.get("model.name")))
    names = code.others_in(values) + ((model,) if plugins.find(*model) else ())
    return {label: path.read_bytes() for label, path in code.files_of(names).items()}


def sources_of(store: Store, record: StudyRecord, values: Values) -> dict[str, str]:
    """The text of the user's own code that a trial of these values has, as the study began with it, by its place.

    Raises UsageError where it was not kept whole.
    """
    before = plugins.project(), plugins.objects()
    if not record.provenance.get("project"):
        return {}
    code.use_project(store.study_folder(record.name) / SOURCES)
    try:
        return {label: text.decode(errors="replace") for label, text in sorted(packed(values).items())}
    finally:
        code.use_project(*before)


def kept_sources(store: Store, record: StudyRecord) -> dict[str, bytes]:
    """The files of a study's own code as they were kept when it began, by their place; those that are whole."""
    folder = store.study_folder(record.name)
    known = record.provenance.get("project", {}).get("sources", {})
    return {
        label: (folder / SOURCES / label).read_bytes()
        for label, hashed in known.items()
        if _is_kept(folder, label, hashed)
    }


@contextmanager
def code_of_model(
    folder: Path, architecture: Mapping[str, Any], sources: Mapping[str, str], *, is_trusted: bool
) -> Iterator[None]:
    """Have this process find the code that a model is to be built by: the project's, or else what its folder brings.

    architecture: see models.architecture.   sources: what model.json says of them.   is_trusted: what the folder
    brings may be run. Raises UsageError where it may not, and the project has no such code; RecordError for sources
    that are not whole.
    """
    name = str(architecture["name"])
    kind, name = ("train.loop", str(architecture["loop"])) if name == NO_NETWORK else ("model", name)
    brought, here = folder / SOURCES, (plugins.project(), plugins.objects())
    untrusted = UsageError(
        f"the code of this model is its maker's own: look at {brought}, then set {plugins.TRUST}=1 to have it run"
    )
    if not sources:
        yield
        return
    for label, hashed in sources.items():
        if not _is_kept(folder, label, hashed):
            raise RecordError(f"{brought / label}: damaged: its content does not match its hash")
    if not is_trusted and not name.isidentifier():
        raise untrusted
    try:
        code.use_project(brought)
        is_own = plugins.find(kind, name) is not None  # else harness's, whatever the project calls so
        if is_own and not _is_same(*here, {_entry(kind, name): code.hash_of(kind, name)}):
            if not is_trusted:
                raise untrusted
            code.use_project(brought)
        yield
    finally:
        code.use_project(*here)


def use_packed(files: Mapping[str, bytes], folder: Path) -> None:
    """Have this process find code in a folder that has these files; they are written there."""
    if files:
        place = folder / digest(repr(sorted(files.items())).encode())[:16]
        for label, content in files.items():
            if not (place / label).exists():
                write_file(place / label, content)
        code.use_project(place)


def _hashes(names: Names) -> dict[str, str]:
    """By entry; not of a data set, for what it gives is judged by its images."""
    return {_entry(kind, name): code.hash_of(kind, name) for kind, name in names if kind != "data"}


def _is_same(place: Path, objects: Path | None, hashes: Mapping[str, str]) -> bool:
    """Whether the code there is a study's. Where it is, it is what this process uses from now on."""
    code.use_project(place, objects)
    try:
        return all(code.hash_of(*entry.split(" ", 1)) == hashed for entry, hashed in hashes.items())
    except (UsageError, CheckFailed):
        return False


def _is_kept(folder: Path, label: str, hashed: str) -> bool:
    """Whether a file was kept whole, below the folder's sources: somebody else's label may lead elsewhere."""
    path = folder / SOURCES / label
    inside = path.resolve().is_relative_to((folder / SOURCES).resolve())
    return inside and path.is_file() and digest(path.read_bytes()) == hashed


def _diff(kept: Path, files: Mapping[str, Path]) -> Iterator[str]:
    labels = {path.relative_to(kept).as_posix() for path in kept.rglob("*.py")} if kept.is_dir() else set()
    for label in sorted(labels | set(files)):
        before, after = (_lines(kept / label), _lines(files[label]) if label in files else [])
        yield from difflib.unified_diff(before, after, f"{label} as the study began", label, n=1, lineterm="")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _entry(kind: str, name: str) -> str:
    return f"{kind} {name}"


def _is_of(kind: str, entry: str) -> bool:
    return entry.startswith(f"{kind} ")
