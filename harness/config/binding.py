"""Binds the sections of a study file to what they set: every name to its option, every value to its type.

What is wrong is added to the list `problems`, so that all problems of a file are reported together.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.config import catalog, own_code, plugins
from harness.config.kinds import KINDS, MLFLOW, NO_NETWORK, NO_TRACKER, STRATIFIED, is_table
from harness.config.sections import Cv, Search, Section, cv_problems
from harness.config.settings import Choice, Conditional, Searched, Setting, expanded, parse_setting
from harness.config.signatures import Option
from harness.config.yaml import parse_value
from harness.errors import Problem, UsageError, did_you_mean
from harness.records import Scalar
from harness.synonyms import SYNONYMS

AnySection = TypeVar("AnySection", bound=Section)
OF_TIMM = re.compile(r"\w+(_patch\d|\.\w)|(deit|beit|eva|resnetv2|nfnet|mixer|levit|tf_|hf_hub)")
OF_TORCHVISION = re.compile(
    r"(wide_resnet|resnet|resnext|densenet|vgg|mobilenet|efficientnet|convnext|vit|swin|regnet|squeezenet|shufflenet|"
    r"mnasnet|googlenet|inception|alexnet|maxvit)_?\w*\d|(alexnet|googlenet|(convnext|efficientnet)_\w+)$"
)


def named(part: str, given: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """Bind a section whose `name` says whose options it takes.   part: "data", "model", "model[1]", …."""
    name, kind = given.get("name"), part.partition("[")[0]
    entry = catalog.entry(kind, name) if isinstance(name, str) else None
    if entry is None:
        word = KINDS[kind].word
        said = f"unknown {word} {name!r}" if name is not None else f"must name a {word}"
        ready_made = kind == "model" and entry_of_library(str(name))
        hint = ready_made or did_you_mean(str(name), list(catalog.known(kind)))
        problems.append(Problem(f"{part}.name", said + hint))
        return {}
    if entry.problem:
        problems.append(Problem(f"{part}.name", entry.problem))
        return {}
    rest = {key: value for key, value in given.items() if key != "name"}
    options = {option.name: option for option in entry.options}
    return {"name": name, **bind(part, rest, options, f"option of {name}", problems)}


def alternatives(given: Any) -> list[Any]:
    """The maps of a section `model`, of which each trial takes one; `name: [a, b]` is one for each name."""
    if isinstance(given, list):
        return given
    if isinstance(given, dict) and isinstance(given.get("name"), list):
        return [{**given, "name": name} for name in given["name"]]
    return [given]


def bound_models(given: Any, train: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The section `model`: a model and its options; of several, their names and by name the options of each.

    train: the section of that name, whose loop may have no use for a network.
    """
    loops = own_code.loops(train)
    without = [name for name, has_network in loops.items() if not has_network]
    if without and len(without) < len(loops):
        said = f"{', '.join(without)} takes no network, and the others do; write a study for each, and compare them"
        problems.append(Problem("train.loop", said))
        return {}
    maps = alternatives(given)
    names_none = maps == [{"name": NO_NETWORK}]
    if without:
        if given and not names_none:
            problems.append(
                Problem("model", f"the training loop {without[0]} takes no network; leave the section out")
            )
        return {"name": NO_NETWORK}
    if names_none:
        problems.append(
            Problem("model.name", "none is for a training loop of your own that takes no network")
        )
        return {}
    if not maps:
        problems.append(Problem("model", "the list is empty"))
    bound = []
    for number, one in enumerate(maps):
        part = f"model[{number}]" if isinstance(given, list) else "model"
        if isinstance(one, dict):
            bound.append(named(part, one, problems))
        else:
            problems.append(Problem(part, f"must be a map of names and values (got {one!r})"))
    options = {str(one.pop("name")): one for one in bound if one}
    if len(options) < len(maps) and not problems:
        problems.append(
            Problem("model", "names a model twice; a list or a range in one map tries several values")
        )
    if len(options) == 1:
        (name,) = options
        return {"name": name, **options[name]}
    return {"name": Choice(tuple(options)), **options}


def bound_train(given: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The section with the options of the user's own code that it names."""
    known = catalog.train_options()
    first = bind("train", {name: given[name] for name in given if name in known}, known, "", [])
    problems += own_code.problems_of(first)
    problems += own_code.unread_problems(first, given)
    return bind("train", given, own_code.options_of(first), "train option", problems)


def bound_trackers(given: Any, problems: list[Problem]) -> tuple[str, ...]:
    """The names of trackers: one, a list of them, or none."""
    names = given if isinstance(given, list) else [given]
    if names in ([NO_TRACKER], [None]):
        return ()
    for name in names:
        if name == MLFLOW:
            continue
        known = [MLFLOW, NO_TRACKER, *plugins.names("tracker")]
        said = f"unknown tracker {name!r}{did_you_mean(str(name), known)}"
        try:
            if not isinstance(name, str) or plugins.find("tracker", name) is None:
                problems.append(Problem("tracker", said))
        except UsageError as error:
            problems.append(Problem("tracker", str(error)))
    return tuple(dict.fromkeys(str(name) for name in names))


def bound_cv(given: dict[str, Any], problems: list[Problem]) -> Cv | None:
    """The section with the options of the user's own split maker, where it names one."""
    own, name = Cv.model_fields.keys() - {"options"}, given.get("split", STRATIFIED)
    own_values = {key: value for key, value in given.items() if key in own}
    if not isinstance(name, str):
        return validated(Cv, "cv", own_values, problems)
    if problem := _split_problem(name):
        problems.append(Problem("cv.split", problem))
        return None
    options = split_options(name)
    problems += [
        Problem(f"cv.{key}", f"unknown cv option{in_another_section(str(key), [*own, *options])}")
        for key in given
        if key not in own and key not in options
    ]
    bound = bind("cv", {key: given[key] for key in given if key in options}, options, "cv option", problems)
    only_fixed("cv", bound, "all trials of a study have the same folds", problems)
    if any(isinstance(value, Searched) for value in bound.values()):
        return None
    cv = validated(Cv, "cv", {**own_values, "options": bound}, problems)
    problems += cv_problems(cv) if cv else []
    return cv


def bound_search(given: dict[str, Any], problems: list[Problem]) -> Search | None:
    """The section with what its racing rule and its sampler, chosen by name, add to it."""
    known = {"racing": catalog.racing_rules(), "sampler": catalog.samplers()}
    chosen = {part: str(given.get(part, Search.model_fields[part].default)) for part in known}
    unknown = [part for part in known if chosen[part] not in known[part]]
    problems += [
        Problem(
            f"search.{part}", f"unknown value {chosen[part]!r}{did_you_mean(chosen[part], list(known[part]))}"
        )
        for part in unknown
    ]
    own = Search.model_fields.keys() - {"options"}
    options = search_options(**chosen)
    rest = {key: value for key, value in given.items() if key not in own}
    for key in [key for key in rest if key not in options]:
        del rest[key]
        having = [
            f"{part} {name}"
            for part, entries in known.items()
            for name, entry in entries.items()
            if key in [option.name for option in entry.options]
        ]
        said = f"is an option of {' and '.join(having)} only" if having else "unknown search option"
        guess = "" if having else in_another_section(str(key), [*own, *options])
        problems.append(Problem(f"search.{key}", said + guess))
    bound = bind("search", rest, options, "search option", problems)
    only_fixed("search", bound, "a study has one search", problems)
    if unknown or any(isinstance(value, Searched) for value in bound.values()):
        return None
    own_values = {key: value for key, value in given.items() if key in own}
    return validated(Search, "search", {**own_values, "options": bound}, problems)


def probe_options(changes: Sequence[str]) -> dict[str, dict[str, Scalar]]:
    """The options of an audit's probes, by probe, of `PROBE.OPTION=VALUE` texts.

    Raises UsageError for what is no probe, no option of it, or no value that it takes.
    """
    known = catalog.probes()
    problems: list[Problem] = []
    given: dict[str, dict[str, Any]] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        name, _, option = path.strip().partition(".")
        if not equals or not option:
            raise UsageError(f"--set must look like permuted_labels.epochs=20 (got {change!r})")
        if name not in known:
            raise UsageError(f"--set {path}: no probe {name!r}{did_you_mean(name, list(known))}")
        try:
            given.setdefault(name, {})[option] = parse_value(text)
        except ValueError as error:
            raise UsageError(f"--set {path}: is not YAML: {error}") from None
    for name, values in given.items():
        options = {option.name: option for option in known[name].options}
        bound = bind(name, values, options, f"option of {name}", problems)
        only_fixed(name, bound, "an audit has one of each", problems)
    if problems:
        raise UsageError("; ".join(f"--set {problem.path}: {problem.message}" for problem in problems))
    return given


def bind(
    part: str, given: Mapping[str, Any], options: Mapping[str, Option], what: str, problems: list[Problem]
) -> dict[str, Any]:
    """Every option with the value or range it was given, or its default."""
    problems += [
        Problem(f"{part}.{key}", f"unknown {what}{in_another_section(str(key), list(options))}")
        for key in given
        if key not in options
    ]
    bound: dict[str, Any] = {}
    for name, option in options.items():
        path = f"{part}.{name}"
        if name in given:
            bound[name], found = parse_setting(given[name], option, path)
            problems += found
        elif option.required:
            problems.append(Problem(path, f"is required: {option.allowed()}"))
        else:
            bound[name] = option.default
    return bound


def places(part: str, bound: Mapping[str, Setting], options: Iterable[Option]) -> dict[str, dict[str, str]]:
    """Where the paths lead that values may be, from this process's folder: absolute path by dotted name and text."""
    found: dict[str, dict[str, str]] = {}
    for option in options:
        setting = bound.get(option.name) if option.names_file else None
        setting = setting.setting if isinstance(setting, Conditional) else setting
        texts = setting.values if isinstance(setting, Choice) else (setting,)
        paths = [text for text in texts if isinstance(text, str) and "." in text]
        if paths:
            found[f"{part}.{option.name}"] = {text: str(expanded(Path(text)).absolute()) for text in paths}
    return found


def setting_named(name: str) -> str:
    """The name with its section, like train.epochs, that is meant by a word, misspelt perhaps; "" for none."""
    return in_another_section(name, ()).partition("did you mean '")[2].partition("'")[0]


def in_another_section(name: str, known: Sequence[str]) -> str:
    """As `did_you_mean`, but first of all what another section of a study knows by this name."""
    word = SYNONYMS.get(name, name)
    sections: dict[str, Iterable[str]] = {
        "train": catalog.train_options(), "compute": catalog.compute_options(),
        "cv": Cv.model_fields.keys() - {"options"}, "search": Search.model_fields.keys() - {"options"},
    }  # fmt: skip
    found = [f"{part}.{word}" for part, names in sections.items() if word in names and word not in known]
    if not found and (word in known or get_close_matches(name, known, n=1)):
        return did_you_mean(name, known)
    found += [
        f"{part}.{close}"
        for part, names in sections.items()
        for close in get_close_matches(name, list(names), n=1, cutoff=0.8)
    ]
    return f"; did you mean '{found[0]}'?" if found else did_you_mean(name, known)


def entry_of_library(name: str) -> str:
    """How a study names a network of torchvision or timm, where this seems to be one; else ""."""
    library = "timm_net" if OF_TIMM.match(name) else "torchvision_net" if OF_TORCHVISION.match(name) else ""
    return library and f"; did you mean 'name: {library}' with 'architecture: {name}'?"


def only_fixed(part: str, bound: Mapping[str, Setting], why: str, problems: list[Problem]) -> None:
    """Refuse lists and ranges in a section that trials cannot differ in."""
    problems += [
        Problem(f"{part}.{name}", f"must be one value: {why}")
        for name, setting in bound.items()
        if isinstance(setting, Searched)
    ]


def validated(
    kind: type[AnySection], part: str, given: dict[str, Any], problems: list[Problem]
) -> AnySection | None:
    """The section with the values given, or None where pydantic finds something wrong with them."""
    try:
        return kind(**given)
    except ValidationError as error:
        for detail in error.errors():
            name = ".".join(str(piece) for piece in detail["loc"])
            if detail["type"] == "extra_forbidden":
                message = f"unknown {part} option{in_another_section(name, list(kind.model_fields))}"
            else:
                allowed = detail["msg"].replace("Input should be", "must be")
                message = f"{allowed} (got {detail['input']!r})"
            problems.append(Problem(f"{part}.{name}", message))
        return None
    except TypeError:  # a key that is not text
        problems.append(Problem(part, "every name must be text"))
        return None


def split_options(name: str) -> dict[str, Option]:
    """The options that a split maker brings with it.

    A class of scikit-learn's kind that can shuffle does so, by the study's seed, unless a study says `shuffle: false`.
    """
    entry = catalog.entry("cv.split", name)
    options = {option.name: option for option in entry.options} if entry else {}
    if entry and "random_state" in entry.takes and "shuffle" in options:
        options["shuffle"] = replace(options["shuffle"], default=True)
    return options


def search_options(racing: str, sampler: str) -> dict[str, Option]:
    """The options that the racing rule and the sampler bring with them."""
    entries = (catalog.racing_rules().get(racing), catalog.samplers().get(sampler))
    return {option.name: option for entry in entries if entry for option in entry.options}


def _split_problem(name: str) -> str:
    """Why a split maker cannot be used, or ""."""
    if is_table(name):
        return ""
    entry = catalog.entry("cv.split", name)
    if entry is None:
        return f"unknown split maker {name!r}{did_you_mean(name, list(catalog.known('cv.split')))}"
    if name == STRATIFIED and entry.place:
        return f"{entry.place} has the name of harness's own split maker; give it another name"
    taken = [option.name for option in entry.options if option.name in Cv.model_fields]
    if taken and not entry.problem:
        return f"{entry.place} has the argument {taken[0]}, and so has cv; give it another name"
    return entry.problem
