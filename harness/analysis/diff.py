"""Two studies side by side: in what they differ, from their values to their code, and what came of it."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis.bundle import sources
from harness.folds.tasks import functions_of
from harness.prepare import differences
from harness.provenance import COMPUTING
from harness.store.loaded_study import LoadedStudy

Section = Literal["values", "data", "code", "environment", "score"]
PACKAGES = ("torch", *COMPUTING.values())


@dataclass(frozen=True)
class Differing:
    """One thing that two studies do not have alike, as text; "-" for what one of them lacks."""

    section: Section
    what: str
    first: str
    second: str


@dataclass(frozen=True)
class StudyDiff:
    """found: in the order of the sections.   sources: how their own code differs, the lines of a unified diff."""

    first: str
    second: str
    found: tuple[Differing, ...]
    sources: tuple[str, ...]


def diff(first: LoadedStudy, second: LoadedStudy) -> StudyDiff:
    """In what two studies differ: values, data, code, environment, scores. Nothing is run or loaded for it."""
    return StudyDiff(
        first=first.name,
        second=second.name,
        found=tuple(_found(first, second)),
        sources=tuple(_sources(first, second)),
    )


def _found(first: LoadedStudy, second: LoadedStudy) -> Iterator[Differing]:
    for path, old, new in differences(first.record.definition, second.record.definition):
        yield Differing("values", path, _text(old), _text(new))
    sides: dict[Section, tuple[dict[str, str], dict[str, str]]] = {
        "data": (_data(first), _data(second)),
        "code": (_code(first), _code(second)),
        "environment": (_environment(first), _environment(second)),
        "score": (_score(first), _score(second)),
    }
    for section, (old, new) in sides.items():
        for what in dict.fromkeys([*old, *new]):
            if old.get(what) != new.get(what):
                yield Differing(section, what, old.get(what, "-"), new.get(what, "-"))


def _data(study: LoadedStudy) -> dict[str, str]:
    data = study.record.data
    return {
        "images": f"{data['num_images']:,} ({data['hash'][:12]})",
        "classes": str(len(data["classes"])),
        "image shape": "×".join(map(str, data["image_shape"])),
        "split": study.record.split_hash[:12],
    }


def _code(study: LoadedStudy) -> dict[str, str]:
    """Hash of every function that trained it, as far as the record says."""
    provenance = study.record.provenance
    files: dict[str, Mapping[str, str]] = {}
    for model in study.record.models:
        files |= functions_of(provenance, model) or {}
    files |= provenance.get("project", {}).get("functions", {})
    return {f"{file}: {name}": hashed for file, parts in files.items() for name, hashed in parts.items()}


def _environment(study: LoadedStudy) -> dict[str, str]:
    provenance, packages = study.record.provenance, study.record.provenance.get("packages", {})
    named = {name: provenance.get(name) for name in ("harness", "commit", "python")}
    named |= {name: packages.get(name) for name in PACKAGES}
    named |= dict(study.record.compute) | dict(provenance.get("hardware", {}))
    return {name: str(value) for name, value in named.items() if value not in (None, "")}


def _score(study: LoadedStudy) -> dict[str, str]:
    """What came of it: of the best trial the mean and its 95 % interval, the values that won, how much was trained."""
    found = {"trials": str(len(study.ended)), "folds": str(sum(len(trial.folds) for trial in study.trials))}
    best = study.best
    if best is not None and best.mean is not None:
        error = "" if best.half_width is None else f" ± {best.half_width:.4f}"
        found[f"best {study.record.objective}"] = f"{best.mean:.4f}{error} (trial {best.number})"
        found |= {f"best {path}": _text(value) for path, value in best.params.items()}
    return found


def _sources(first: LoadedStudy, second: LoadedStudy) -> Iterator[str]:
    before, after = (sources(study.store, study.name) for study in (first, second))
    for name in sorted({*before, *after}):
        yield from difflib.unified_diff(
            before.get(name, "").splitlines(),
            after.get(name, "").splitlines(),
            f"{first.name}/{name}",
            f"{second.name}/{name}",
            n=1,
            lineterm="",
        )


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
