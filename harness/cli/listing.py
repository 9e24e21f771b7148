"""What `harness list` shows, read from source text."""

from collections.abc import Iterable

from harness.config import catalog
from harness.config.catalog import Entry
from harness.config.signatures import Option
from harness.errors import UsageError, did_you_mean

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def table(kind: str, name: str | None) -> Table:
    """Columns and rows of one kind of thing, or of one entry's options."""
    if name is not None:
        entries = {"models": catalog.models(), "datasets": catalog.datasets()}.get(kind)
        if entries is None:
            raise UsageError(f"harness list {kind} takes no name; models and datasets do")
        if name not in entries:
            raise UsageError(f"no {kind.rstrip('s')} {name!r}{did_you_mean(name, list(entries))}")
        if problem := entries[name].problem:
            raise UsageError(problem)
        return _options(entries[name].options)
    if kind == "studies":
        found = catalog.studies().items()
        return ("study", "question", "file"), [(study, _question(study), str(path)) for study, path in found]
    if kind == "metrics":
        return ("metric", "what it is", "better"), [
            (metric.name, metric.summary, "higher" if metric.higher_is_better else "lower")
            for metric in catalog.metrics().values()
        ]
    if kind in ("train", "compute"):
        return _options((catalog.train_options() if kind == "train" else catalog.compute_options()).values())
    if kind == "models":
        return ("name", "what it is", "parameters", "source", "options"), [
            (entry.name, _what(entry), entry.parameters, entry.source, _names(entry))
            for entry in catalog.models().values()
        ]
    return ("name", "what it is", "source", "options"), [
        (entry.name, _what(entry), entry.source, _names(entry)) for entry in catalog.datasets().values()
    ]


def _what(entry: Entry) -> str:
    return f"broken: {entry.problem}" if entry.problem else entry.summary


def _names(entry: Entry) -> str:
    return ", ".join(option.name for option in entry.options)


def _options(options: Iterable[Option]) -> Table:
    return ("option", "takes", "default"), [
        (option.name, option.allowed(), "required" if option.required else _text(option.default))
        for option in options
    ]


def _text(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _question(name: str) -> str:
    """The first line of a study file, without its mark."""
    with catalog.studies()[name].open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return first.lstrip("#").strip() if first.startswith("#") else ""
