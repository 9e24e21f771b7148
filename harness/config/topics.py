"""What there is to know of every name that a study file has: what it takes, what it means, why its default is that.

Made of the signatures and docstrings that declare the options, so `harness explain` and docs/options.md say the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from harness.config import catalog
from harness.config.catalog import Entry
from harness.config.sections import Cv, Search, options_of
from harness.config.signatures import DEFAULT, Option
from harness.documents import WHERE_SET

PARTS: Mapping[str, str] = {
    "data": "`data: {name: NAME, …}`: the images; one value each.",
    "model": "`model: {name: NAME, …}`: the network.",
    "train": "How a network is trained.",
    "compute": "On what; `compute: auto` measures.",
    "cv": "The folds that every trial is scored on; one value each.",
    "search": "Which values are tried; one value each.",
    "tracker": "`tracker: NAME`, or a list of names: who is told what comes of the study, `mlflow` by default, and "
    "`none` for nobody; see [mlflow.md](mlflow.md#without-mlflow-and-beside-it). It may be another at every run.",
    "provenance": "`provenance: hashes` (the default) keeps the names and hashes of files with uncommitted changes; "
    "`diff` their text as well, without lines that may hold a secret (extra `diff`).",
    "objective": "`objective: NAME`: the metric that trials are chosen by. Or a list, `[accuracy, parameters]`: that "
    "metric, then up to three more, or costs, which are minimised: `parameters`, `model_bytes`, `seconds_per_fold`; "
    "see [search.md](search.md#several-objectives).",
}
RULES: Mapping[str, str] = {
    "sampler": "`search: {sampler: NAME, …}`: what chooses values.",
    "racing": "`search: {racing: NAME, …}`: what stops trials early.",
    "probes": "Of `harness audit`: `--set PROBE.OPTION=VALUE`; one value each.",
}
PAGES: Mapping[str, str] = {  # of harness/docs, where it is not options.md
    **dict.fromkeys(("model.timm_net", "model.torchvision_net"), "weights"),
    **dict.fromkeys(
        ("train.loss", "train.optimizer", "train.schedule", "train.augment", "cv.split"), "own_code"
    ),
    **dict.fromkeys(("search", "sampler", "racing", "objective"), "search"),
    "train.loop": "loops",
    "tracker": "mlflow",
    "probes": "probes",
}


@dataclass(frozen=True)
class Topic:
    """A name, with its dots, and what it means.

    takes, default: of an option, as text.   why: its default is that.   names: what can be named there, each with what
    it is; of a part or an entry its options.   source: where it is from.   page: of harness/docs that has more.
    """

    name: str
    meaning: str
    takes: str = field(default="", metadata=WHERE_SET)
    default: str = field(default="", metadata=WHERE_SET)
    why: str = field(default="", metadata=WHERE_SET)
    names: Mapping[str, str] = field(default_factory=dict, metadata=WHERE_SET)
    source: str = field(default="", metadata=WHERE_SET)
    page: str = field(default="", metadata=WHERE_SET)


def fixed_options() -> dict[str, tuple[Option, ...]]:
    """Of the parts of a study file that have the same options in every study."""
    return {
        "train": tuple(catalog.train_options().values()),
        "compute": tuple(catalog.compute_options().values()),
        "cv": options_of(Cv),
        "search": options_of(Search),
    }


def tables() -> dict[str, Mapping[str, Entry]]:
    """The entries that have options of their own, by what they are named in."""
    return {
        "data": catalog.known("data"),
        "model": catalog.known("model"),
        "sampler": catalog.samplers(),
        "racing": catalog.racing_rules(),
        "probes": catalog.probes(),
    }


def text_of(value: object) -> str:
    """A default as a study file has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def allowed(option: Option) -> str:
    """What an option takes, with the names that a table has."""
    named = _named(option.name) if not option.choices else {}
    return f"one of {', '.join(named)}{', or your own code' * option.or_own}" if named else option.allowed()


def find(word: str) -> list[Topic]:
    """What a word may mean: a whole name like `search.racing`, or the end of one, like `racing` or `depth`.

    A study file leaves out what an option is of: `model.depth` is that of every model, `search.confidence` a rule's.
    """
    known = topics()
    if word in known:
        return [known[word]]
    if whole := [topic for name, topic in known.items() if name.endswith(f".{word}")]:
        return whole
    part, _, last = word.rpartition(".")
    ends = [topic for name, topic in known.items() if name.endswith(f".{last}")]
    return [topic for topic in ends if topic.name.startswith(part)] or ends


@cache
def topics() -> dict[str, Topic]:
    """All, by name."""
    return {topic.name: topic for topic in _topics()}


def _topics() -> Iterator[Topic]:
    fixed, entries = fixed_options(), tables()
    for part, meaning in {**PARTS, **RULES}.items():
        names = {option.name: _split(option.meaning)[0] for option in fixed.get(part, ())}
        names |= {entry.name: entry.summary for entry in entries.get(part, {}).values()}
        if part == "objective":
            names |= {metric.name: metric.summary for metric in catalog.metrics().values()}
        yield Topic(part, meaning, names=names, page=_page(part))
        yield from _of_options(part, fixed.get(part, ()))
        for entry in entries.get(part, {}).values():
            name = f"{part}.{entry.name}"
            names = {option.name: _split(option.meaning)[0] for option in entry.options}
            yield Topic(
                name, entry.problem or entry.summary, names=names, source=entry.source, page=_page(name)
            )
            yield from _of_options(name, entry.options)
    for metric in catalog.metrics().values():
        better = "higher" if metric.higher_is_better else "lower"
        yield Topic(f"objective.{metric.name}", f"{metric.summary} {better.capitalize()} is better.")


def _of_options(part: str, options: Iterable[Option]) -> Iterator[Topic]:
    for option in options:
        meaning, why = _split(option.meaning)
        name = f"{part}.{option.name}"
        default = "required" if option.required else text_of(option.default)
        names = _named(option.name) if not option.choices else {}
        yield Topic(name, meaning, allowed(option), default, why, names, page=_page(name))


def _split(meaning: str) -> tuple[str, str]:
    first, _, why = meaning.partition(f" {DEFAULT}")
    return first, why


def _named(option: str) -> dict[str, str]:
    """What a table has for an option of this name: each with what it is."""
    known = {"split": catalog.split_makers, "sampler": catalog.samplers, "racing": catalog.racing_rules}
    return {entry.name: entry.summary for entry in known[option]().values()} if option in known else {}


def _page(name: str) -> str:
    """Of harness/docs: that of the name, or of what it is a part of."""
    while name and name not in PAGES:
        name = name.rpartition(".")[0]
    return f"harness/docs/{PAGES.get(name, 'options')}.md"
