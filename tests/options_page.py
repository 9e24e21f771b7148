"""The page of all options, harness/docs/options.md, as the code has them.

python -m tests.options_page     writes it; `tests/test_options_page.py` fails while it is another
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.config import catalog
from harness.config.catalog import Entry
from harness.config.sections import Cv, Search, options_of
from harness.config.signatures import Option

PAGE = Path(__file__).parents[1] / "harness" / "docs" / "options.md"
OBJECTIVE = (
    "`objective: NAME`: the metric that trials are chosen by. Or a list, `[accuracy, parameters]`: that metric, then "
    "up to three more, or costs, which are minimised: `parameters`, `model_bytes`, `seconds_per_fold`; see "
    "[search.md](search.md#several-objectives)."
)
TRACKER = (
    "`tracker: NAME`, or a list of names: who is told what comes of the study, `mlflow` by default, and `none` for "
    "nobody; see [mlflow.md](mlflow.md#without-mlflow-and-beside-it). It may be another at every run."
)
PROVENANCE = (
    "`provenance: hashes` (the default) keeps the names and hashes of files with uncommitted changes; `diff` their "
    "text as well, without lines that may hold a secret (extra `diff`)."
)
HEAD = """# All options of a study file

Written by `python -m tests.options_page` from the signatures and docstrings that declare the options; edit those.
`harness list` says the same for the version that is installed: `harness list train`, `harness list models resnet`.

A study file has a map for each section. What is not named there has its default. In `model` and `train` a list
(`[16, 32, 64]`) or a range (`{low: 1e-3, high: 1.0, log: true}`, `{low: 2, high: 8, step: 2}`) in place of the value is
searched; whether a range is of integers follows from what the option takes.
"""
SECTIONS: dict[str, tuple[str, Mapping[str, Entry]]] = {
    "data": ("`data: {name: NAME, …}`: the images; one value each.", catalog.datasets()),
    "model": ("`model: {name: NAME, …}`: the network.", catalog.models()),
}
RULES: dict[str, tuple[str, Mapping[str, Entry]]] = {
    "sampler": ("`search: {sampler: NAME, …}`: what chooses values.", catalog.samplers()),
    "racing": ("`search: {racing: NAME, …}`: what stops trials early.", catalog.racing_rules()),
}


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


def page() -> str:
    return HEAD + "\n".join(_lines()) + "\n"


def undocumented() -> list[str]:
    """The options that no docstring says the meaning of."""
    parts = {
        "train": catalog.train_options().values(), "compute": catalog.compute_options().values(),
        "cv": options_of(Cv), "search": options_of(Search),
    }  # fmt: skip
    tables = (
        catalog.datasets(),
        catalog.models(),
        catalog.samplers(),
        catalog.racing_rules(),
        catalog.probes(),
    )
    named = {entry.name: entry.options for table in tables for entry in table.values()}
    return [
        f"{part}.{option.name}"
        for part, options in [*parts.items(), *named.items()]
        for option in options
        if not option.meaning
    ]


def _lines() -> Iterator[str]:
    for part, (text, entries) in SECTIONS.items():
        yield from _entries(part, text, entries)
    yield from _section("train", "How a network is trained.", catalog.train_options().values())
    yield from _section("compute", "On what; `compute: auto` measures.", catalog.compute_options().values())
    yield from _section("cv", "The folds that every trial is scored on; one value each.", options_of(Cv))
    yield from _section("search", "Which values are tried; one value each.", options_of(Search))
    for part, (text, entries) in RULES.items():
        yield from _entries(part, text, entries)
    for part, text in {"tracker": TRACKER, "provenance": PROVENANCE, "objective": OBJECTIVE}.items():
        yield from ("", f"## {part}", "", text)
    yield ""
    yield from _table(
        ("metric", "what it is", "better"),
        [
            (metric.name, metric.summary, "higher" if metric.higher_is_better else "lower")
            for metric in catalog.metrics().values()
        ],
    )
    yield from _entries(
        "probes", "Of `harness audit`: `--set PROBE.OPTION=VALUE`; one value each.", catalog.probes()
    )


def _section(name: str, text: str, options: Iterable[Option]) -> Iterator[str]:
    yield from ("", f"## {name}", "", text, "")
    yield from _options(options)


def _entries(name: str, text: str, entries: Mapping[str, Entry]) -> Iterator[str]:
    yield from ("", f"## {name}", "", text)
    for entry in entries.values():
        yield from ("", f"### {name}: {entry.name}", "", _cell(entry.summary))
        if entry.options:
            yield ""
            yield from _options(entry.options)


def _options(options: Iterable[Option]) -> Iterator[str]:
    rows = [
        (
            option.name,
            _allowed(option),
            "required" if option.required else _text(option.default),
            option.meaning,
        )
        for option in options
    ]
    yield from _table(("option", "takes", "default", "meaning"), rows)


def _allowed(option: Option) -> str:
    names = {
        "sampler": catalog.samplers(), "racing": catalog.racing_rules(), "split": catalog.split_makers(),
    }  # fmt: skip
    if option.name in names and not option.choices:
        return "one of " + ", ".join(names[option.name]) + ", or your own code" * option.or_own
    return option.allowed()


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for first, *others in rows:
        yield f"| `{first}` | {' | '.join(map(_cell, others))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _text(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
