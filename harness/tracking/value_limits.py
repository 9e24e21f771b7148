"""Spells values the way MLflow can hold them: names, lengths, dotted paths."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.records import Scalar

MOST_PARAM_CHARACTERS = 6000  # MLflow's limits; it cuts silently
MOST_TAG_CHARACTERS = 8000
NOT_ALLOWED = re.compile(r"[^\w\-./: ]")


def params(values: Mapping[str, Scalar]) -> dict[str, str]:
    """Values spelled as in a study file, within MLflow's limits."""
    return {
        NOT_ALLOWED.sub("_", path)[:250]: cut(
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), MOST_PARAM_CHARACTERS
        )
        for path, value in values.items()
    }


def flattened(document: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Dotted path -> value; ranges and lists stay whole."""
    return dict(_leaves(document, path))


def _leaves(document: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, Mapping) and "low" not in value:
            yield from _leaves(value, here)
        else:
            yield here, value


def cut(text: str, most: int = MOST_TAG_CHARACTERS) -> str:
    """The text, or its beginning and how long it was."""
    if len(text) <= most:
        return text
    end = f"… [{len(text):,} characters]"
    return text[: most - len(end)] + end
