"""harness: tune, cross-validate, track and reproduce image classifiers, with scores you can believe.

In Python: `harness.tune("quickstart")` runs a study, `harness.load_study("quickstart")` gives its records as pandas
frames, `harness.check_network(build)` tries a network of your own. Importing harness imports nothing else.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import check_network, load_study, tune
    from harness.version import __version__

__all__ = ["__version__", "check_network", "load_study", "tune"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from harness import version

        return version.__version__
    if name in ("check_network", "load_study", "tune"):
        from harness import api  # which imports all of it

        return getattr(api, name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
