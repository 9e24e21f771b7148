"""Reads YAML 1.2 from people: one document, no duplicate keys, no aliases, no tags, bounded size and depth.

Integers have at most 64 bits: Python can hold larger ones, but neither print nor convert them all.
"""

from collections.abc import Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

from harness.errors import Problem, StudyError
from harness.redaction import holds_secret

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_VALUES = 5_000  # names and values together; 64 KB can hold 30,000, which take seconds
MAX_INTEGER = 2**64
# What the parser raises over bytes nobody meant as YAML; a ValueError passes through as it is.
PARSER_ERRORS = (
    YAMLError, RecursionError, OverflowError, AttributeError, KeyError, TypeError, AssertionError
)  # fmt: skip


def parse_yaml(raw: bytes, *, source: str) -> tuple[dict[str, Any], str]:
    """The map that a study file holds, and its text. Raises StudyError that names the line."""
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError(f"is too large; a study file has at most {MAX_BYTES:,} bytes")
        text = raw.decode("utf-8-sig")
        document = _load(text)
        if document is None:
            raise ValueError("is empty; a study needs at least data, model and search")
        if not isinstance(document, dict):
            raise ValueError(f"must be a map of sections (got {type(document).__name__})")
    except UnicodeDecodeError:
        raise StudyError(source, [Problem("", "is not UTF-8 text")]) from None
    except ValueError as error:
        raise StudyError(source, [Problem("", str(error))]) from None
    return document, text


def parse_value(text: str) -> Any:
    """One value the way a study file would write it: a scalar, a list or a map. Raises ValueError."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"has {len(text):,} characters; at most {MAX_BYTES:,}")
    return _load(text)


def refuse_secrets(text: str, overrides: Sequence[str], *, source: str) -> None:
    """A study and its overrides are recorded, shown and handed on as they are. Raises StudyError with the places."""
    places = [f"--set {override.partition('=')[0]}" for override in overrides if holds_secret(override)]
    if holds_secret(text):
        lines = [number for number, line in enumerate(text.splitlines(), 1) if holds_secret(line)]
        places += [f"line {number}" for number in lines] or [""]
    if places:
        said = "holds what looks like a secret, and a study is recorded as it is"
        raise StudyError(source, [Problem(place, said) for place in places])


def question(text: str) -> str:
    """The comment lines at the top of a study file, without their marks."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return "\n".join(lines).strip()


def _load(text: str) -> Any:
    try:
        _refuse_tricks(text)
        value = YAML(typ="safe", pure=True).load(StringIO(text))
        _refuse_odd_values(value)
        return value
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{where}{(error.problem or 'is not YAML').splitlines()[0]}") from None
    except PARSER_ERRORS as error:
        first = str(error).strip().splitlines()
        raise ValueError(f"is not YAML ({first[0] if first else type(error).__name__})") from None


def _refuse_tricks(text: str) -> None:
    depth = num_values = 0
    for event in YAML(typ="safe", pure=True).parse(StringIO(text)):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"line {line}: anchors and aliases are not allowed; write the value out")
        if isinstance(event, ScalarEvent | CollectionStartEvent) and getattr(event, "tag", None):
            raise ValueError(f"line {line}: tags are not allowed (got {event.tag})")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"line {line}: nested deeper than {MAX_DEPTH}")
        num_values += isinstance(event, ScalarEvent | CollectionStartEvent)
        if num_values > MAX_VALUES:
            raise ValueError(f"line {line}: more than {MAX_VALUES:,} names and values")


def _refuse_odd_values(value: Any) -> None:
    """What YAML can write and nothing here can use: huge integers, NUL, halves of characters."""
    if isinstance(value, dict | list):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            _refuse_odd_values(item)
    elif isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise ValueError("has an integer of more than 64 bits")
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= char <= "\udfff" for char in value)):
        raise ValueError("has a character that no text has (NUL or a surrogate)")
