"""The library that draws charts on a page, as one script that needs no network."""

from contextlib import suppress
from functools import cache
from importlib.metadata import version

from harness.errors import HarnessError
from harness.files import read_json, sealed_json, write_file


@cache
def bundle() -> str:
    """Vega, Vega-Lite and vega-embed: 0.9 MB.

    To make it takes two seconds, so it is kept in the user's cache folder, where that can be written.
    """
    from platformdirs import user_cache_path

    kept = user_cache_path("harness", appauthor=False) / f"vega-{version('vl-convert-python')}.json"
    with suppress(OSError, ValueError, HarnessError):  # it is not there, or damaged
        return str(read_json(kept)["script"])
    import vl_convert

    made = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    with suppress(OSError, HarnessError):
        write_file(kept, sealed_json({"script": made}))
    return made
