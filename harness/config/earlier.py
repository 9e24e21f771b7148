"""What a study goes on with where a default has become another one since it began."""

from collections.abc import Mapping
from typing import Any

from harness.config.binding import search_options
from harness.config.study_file import Study


def as_begun(study: Study, definition: Mapping[str, Any]) -> tuple[Study, dict[str, Any]]:
    """The study with the defaults of its `search` that held when it began, and those of them that are others now.

    definition: of its record.   An option that it does not have, and that has today's default, has the earlier one.
    """
    known, search = definition["search"], study.search
    fields = {
        name: was
        for name, was in search.earlier().items()
        if name not in known and getattr(search, name) == type(search).model_fields[name].default != was
    }
    options = {
        name: option.earlier
        for name, option in search_options(search.racing, search.sampler).items()
        if name not in known and search.options.get(name) == option.default != option.earlier
    }
    changed = search.model_copy(update={**fields, "options": {**search.options, **options}})
    return study.model_copy(update={"search": changed}), fields | options
