"""The page of all options, harness/docs/options.md, as the code has them.

python -m tests.options_page     writes it; `tests/test_options_page.py` fails while it is another
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.config import catalog, topics
from harness.config.signatures import Option

PAGE = Path(__file__).parents[1] / "harness" / "docs" / "options.md"
HEAD = """# All options of a study file

Written by `python -m tests.options_page` from the signatures and docstrings that declare the options; edit those.
`harness list` says the same for the version that is installed: `harness list train`, `harness list models resnet`.

A study file has a map for each section. What is not named there has its default. In `model` and `train` a list
(`[16, 32, 64]`) or a range (`{low: 1e-3, high: 1.0, log: true}`, `{low: 2, high: 8, step: 2}`) in place of the value is
searched; whether a range is of integers follows from what the option takes.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


def page() -> str:
    return HEAD + "\n".join(_lines()) + "\n"


def undocumented() -> list[str]:
    """The options that no docstring says the meaning of."""
    named = {entry.name: entry.options for table in topics.tables().values() for entry in table.values()}
    return [
        f"{part}.{option.name}"
        for part, options in {**topics.fixed_options(), **named}.items()
        for option in options
        if not option.meaning
    ]


def _lines() -> Iterator[str]:
    options, entries = topics.fixed_options(), topics.tables()
    for part, text in {**topics.PARTS, **topics.RULES}.items():
        yield from ("", f"## {part}", "", text)
        if part in options:
            yield ""
            yield from _options(options[part])
        for entry in entries.get(part, {}).values():
            yield from ("", f"### {part}: {entry.name}", "", _cell(entry.summary))
            if entry.options:
                yield ""
                yield from _options(entry.options)
        if part == "objective":
            yield ""
            yield from _table(
                ("metric", "what it is", "better"),
                [
                    (metric.name, metric.summary, "higher" if metric.higher_is_better else "lower")
                    for metric in catalog.metrics().values()
                ],
            )


def _options(options: Iterable[Option]) -> Iterator[str]:
    rows = [
        (
            option.name,
            topics.allowed(option),
            "required" if option.required else topics.text_of(option.default),
            option.meaning,
        )
        for option in options
    ]
    yield from _table(("option", "takes", "default", "meaning"), rows)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for first, *others in rows:
        yield f"| `{first}` | {' | '.join(map(_cell, others))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
