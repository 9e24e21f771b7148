"""Spells values the way MLflow can hold them: names, lengths."""

import json
import re
from collections.abc import Mapping
from typing import Any

MOST_PARAM_CHARACTERS = 6000  # MLflow's limits; it cuts silently
MOST_TAG_CHARACTERS = 8000
MOST_NAME_CHARACTERS = 250
NOT_ALLOWED = re.compile(r"[^\w\-./: ]")


def params(values: Mapping[str, Any]) -> dict[str, str]:
    """Values and ranges spelled as in a study file, within MLflow's limits."""
    return {
        allowed(path): cut(
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), MOST_PARAM_CHARACTERS
        )
        for path, value in values.items()
    }


def allowed(name: str) -> str:
    """The name of a parameter or metric, with what MLflow refuses replaced."""
    return NOT_ALLOWED.sub("_", name)[:MOST_NAME_CHARACTERS]


def cut(text: str, most: int = MOST_TAG_CHARACTERS) -> str:
    """The text, or its beginning and how long it was."""
    if len(text) <= most:
        return text
    end = f"… [{len(text):,} characters]"
    return text[: most - len(end)] + end
