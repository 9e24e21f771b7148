"""Documents with a fixed shape: frozen dataclasses in Python, JSON on disk, on stdout and in pages. One way each."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import PurePath
from typing import Any, TypeVar

from harness.errors import RecordError
from harness.records import SCHEMA, require_known

Document = TypeVar("Document")
# Metadata of a field whose own fields are written in its place, and nothing where it is None: what some rows lack.
INLINE: Mapping[str, bool] = {"inline": True}
WHERE_SET: Mapping[str, bool] = {
    "where_set": True
}  # of a field that is written only if it is neither None nor empty
# Of a field that has documents of their own: they are written as they are by themselves, each with its `schema`.
WHOLE: Mapping[str, bool] = {"whole": True}


def to_json(document: Any) -> Any:
    """A dataclass as the dictionary that is written or printed, with `schema` where it is the outermost.

    A float that is not finite becomes None, which JSON knows.
    """
    plain = plain_json(document)
    return {"schema": SCHEMA, **plain} if is_dataclass(document) else plain


def plain_json(value: Any) -> Any:
    """Dataclasses, mappings, sequences, paths and numbers as JSON's own types."""
    if is_dataclass(value) and not isinstance(value, type):
        written: dict[str, Any] = {}
        for field in fields(value):
            found = getattr(value, field.name)
            if field.metadata == WHOLE:
                found = [to_json(part) for part in found] if isinstance(found, tuple) else to_json(found)
            found = plain_json(found)
            if field.metadata == INLINE:
                written |= found or {}
            elif found or field.metadata != WHERE_SET:
                written[field.name] = found
        return written
    if isinstance(value, Mapping):
        return {str(key): plain_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PurePath) else value


def from_json(kind: type[Document], document: Mapping[str, Any]) -> Document:
    """The document of that type that was written as this dictionary; fields that it does not know are left out.

    Raises RecordError for another shape, NewerRecord for what a newer release has written.
    """
    require_known(dict(document))
    try:
        read: Document = _reader(kind).validate_python(document)  # type: ignore[arg-type]
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not a {kind.__name__}: {' '.join(str(error).split())[:200]}") from None
    return read


@cache
def _reader(kind: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
