"""The options of a section `train`: harness's, and those of the user's own code that the section names.

An argument of such code that is no option of harness is a new one, beside the others. One that has the name of an
option that harness reads with some values only, as `gamma` with `schedule: step`, is the code's own option where
harness does not read it in that study, and else refused; see `plugins.given` for what harness gives by name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.config import catalog
from harness.config.catalog import Entry
from harness.config.kinds import KINDS
from harness.config.settings import ends
from harness.config.signatures import Option, ReadWith
from harness.errors import Problem

CHOICES = tuple(kind.partition(".")[2] for kind in KINDS if kind.startswith("train."))
HARNESS = "harness"  # its own training loop
OF_ALL_LOOPS = ("loop", "keep_models")  # options that no loop reads
READ_AS = {"weight": "class_weights"}  # the option that an argument comes from, where it has another name


def options_of(train: Mapping[str, Any]) -> dict[str, Option]:
    """Every option that a section `train` may have.

    train: values or settings by name; what is missing has its default. What cannot be used has no options.
    """
    options = _harness_options(train)
    for choice, entry in named_in(train):
        for name in (READ_AS.get(name, name) for name in entry.takes):
            if name in options:
                options[name] = _also_read_with(options[name], choice, entry.name)
    return options | _owned(train)


def owners(train: Mapping[str, Any]) -> dict[str, ReadWith]:
    """The options of the user's own code, by name: with which values of which option there are any."""
    return {name: option.read_with[0] for name, option in _owned(train).items()}


def problems_of(train: Mapping[str, Any]) -> Iterator[Problem]:
    """Own code that has the name of a younger default, which no record has; options that two in a study have."""
    known, seen = _harness_options(train), dict[str, tuple[Option, str, str]]()
    for choice, entry in named_in(train):
        if known[choice].younger and entry.name == known[choice].default:
            word = KINDS[f"train.{choice}"].word
            yield Problem(
                f"train.{choice}", f"{entry.place} has the name of harness's own {word}; give it another name"
            )
        for option in entry.options:
            said = f"{entry.place} has the argument {option.name}, and so has"
            beside, other, place = seen.setdefault(option.name, (option, choice, entry.place))
            if option.name in known and is_read(known[option.name], train):
                reader = " and ".join(sorted({condition.name for condition in known[option.name].read_with}))
                yield Problem(f"train.{choice}", f"{said} the {reader} of this study; give it another name")
            elif other != choice or replace(beside, meaning="") != replace(option, meaning=""):
                yield Problem(
                    f"train.{choice}", f"{said} {place}, with another meaning; give it another name"
                )


def named_in(train: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    """The user's own code that a section `train` names: the option that names it, and what is known of it."""
    for choice in CHOICES:
        for name in ends(train.get(choice)):
            kind = f"train.{choice}"
            entry = catalog.entry(kind, name) if isinstance(name, str) else None
            if entry and entry.place:
                yield choice, entry


def loops(train: Mapping[str, Any]) -> dict[str, bool]:
    """The training loops that a section `train` names, and whether each trains a network that it is given."""
    own = {
        entry.name: "network" in entry.takes
        for choice, entry in named_in(train)
        if choice == "loop" and not entry.problem
    }
    return {str(name): own.get(str(name), True) for name in ends(train.get("loop", HARNESS))}


def unread_problems(train: Mapping[str, Any], given: Iterable[str]) -> Iterator[Problem]:
    """Options that a study gives, and that the training loops of the user's own which it names do not take."""
    options = options_of(train)
    places = " and ".join(entry.place for choice, entry in named_in(train) if choice == "loop")
    for name in given:
        for condition in options[name].read_with if name in options else ():
            if condition.name == "loop" and not any(condition.holds(loop) for loop in loops(train)):
                said = f"nothing reads it: {places} takes no argument {name}; leave it out"
                yield Problem(f"train.{name}", said)


def _harness_options(train: Mapping[str, Any]) -> dict[str, Option]:
    """The options of harness; with a training loop of the user's own they are read where harness's own loop is used."""
    options = dict(catalog.train_options())
    if not any(choice == "loop" for choice, _ in named_in(train)):
        return options
    by_harness = ReadWith("loop", (HARNESS,), unless=False)
    return {
        name: option if name in OF_ALL_LOOPS else replace(option, read_with=(*option.read_with, by_harness))
        for name, option in options.items()
    }


def _owned(train: Mapping[str, Any]) -> dict[str, Option]:
    """The options of own code, each with the names of the code that has it as its first condition."""
    found: dict[str, Option] = {}
    for choice, entry in named_in(train):
        for option in entry.options:
            before = found[option.name].read_with[0].values if option.name in found else ()
            condition = ReadWith(choice, (*before, entry.name), unless=False)
            found[option.name] = replace(option, read_with=(condition, *option.read_with))
    return found


def _also_read_with(option: Option, choice: str, name: str) -> Option:
    return replace(
        option,
        read_with=tuple(
            replace(one, values=(*one.values, name)) if one.name == choice and not one.unless else one
            for one in option.read_with
        ),
    )


def is_read(option: Option, train: Mapping[str, Any]) -> bool:
    """Whether an option of `options_of` is read with some values that trials may have."""
    known = catalog.train_options()
    return all(
        any(
            condition.holds(value) for value in ends(train.get(condition.name, known[condition.name].default))
        )
        for condition in option.read_with
    )
