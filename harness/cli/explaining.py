"""explain: what a name of a study file means, what it takes, and why its default is that."""

import re
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from harness.cli.options import Form, printed
from harness.config import topics
from harness.config.topics import Topic
from harness.errors import UsageError, did_you_mean
from harness.invocation import command
from harness.scoring.quantities import QUANTITIES, WORDS

MOST_COLUMNS = 100  # lines longer than that are hard to read
SAID = {**QUANTITIES, **WORDS}  # words of the terminal and of reports
ALSO = {
    "±": "95 % interval", "± 95 %": "95 % interval", "interval": "95 % interval", "95 %": "95 % interval",
    "p": "t-test", "ttest": "t-test", "mcnemar's test": "McNemar", "sealed": "seal", "folds": "fold",
    "guessing": "chance", "within-noise": "bitwise", "drift": "bitwise", "optimism": "luck", "leakage": "leak",
    "trials": "trial", "test accuracy": "test", "cheapest": "cheapest within one error",
}  # fmt: skip


@dataclass(frozen=True)
class Explained:
    """What `harness explain --json` prints: all that the word may mean."""

    explained: tuple[Topic, ...]


def _names(incomplete: str) -> list[str]:
    return [name for name in (*topics.topics(), *SAID) if name.startswith(incomplete)]


def explain(
    name: Annotated[
        str | None,
        typer.Argument(
            help="search.racing, train.lr, resnet, accuracy, corrected: a name of a study file, or a word of a report.",
            autocompletion=_names,
        ),
    ] = None,
    form: Form = "text",
) -> None:
    """Explain a name of a study file: its values, default and why.

    Without a name, the parts of a study file. The end of a name will do where it is the only one: harness explain rung.
    """
    found = meanings_of(name)
    if printed(Explained(tuple(found)), form, "explained"):
        return
    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    whole = found if len(found) == 1 else [Topic(topic.name, topic.meaning) for topic in found]
    print("\n".join(line for topic in whole for line in _lines(topic, width)))
    if len(found) > 1:
        print(f"{command('explain', found[0].name)} says more of one")


def meanings_of(name: str | None) -> list[Topic]:
    """What a name may mean; without one, the parts of a study file. Raises UsageError for one that means nothing."""
    if name is None:
        return [topics.topics()[part] for part in topics.PARTS]
    said = {word.casefold(): word for word in SAID}
    if word := said.get(ALSO.get(name.casefold(), name).casefold()):
        return [Topic(word, SAID[word], page="harness/docs/scores.md")]
    found = topics.find(name)
    if not found:
        last = sorted({known.rpartition(".")[2] for known in topics.topics()} | {*SAID, *ALSO})
        guess = did_you_mean(name, last).partition(" (")[0].partition("; known")[0]
        raise UsageError(f"nothing is called {name!r}{guess}")
    return found


def _lines(topic: Topic, width: int) -> Iterator[str]:
    yield topic.name
    meaning = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", topic.meaning)  # a link of a page
    yield from _wrapped(meaning[:1].upper() + meaning[1:], width, "  ")
    for what, text in (
        ("takes", topic.takes),
        ("default", topic.default),
        ("why", topic.why),
        ("source", topic.source),
    ):
        if text:
            yield from _wrapped(text, width, f"  {what:<8} ")
    longest = max(map(len, topic.names), default=0)
    for name, meaning in topic.names.items():
        yield from _wrapped(meaning, width, f"    {name:<{longest}}  ")
    if topic.page:
        yield f"  {'more':<8} {topic.page}"


def _wrapped(text: str, width: int, first: str) -> list[str]:
    """Lines of the text, the first behind `first`, the others below it."""
    following = " " * (len(first) if len(first) < width // 2 else 6)
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=following, break_on_hyphens=False
    ) or [first.rstrip()]
