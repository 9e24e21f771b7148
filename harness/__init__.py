"""harness: tune, cross-validate, track and reproduce image classifiers, with scores you can believe.

In Python: `harness.tune("quickstart")` runs a study, `harness.tune({…}, model=Net, data=(images, labels), name="mine")`
one of your own, `harness.load_study("quickstart")` gives its records as pandas frames and its model. For code of your
own that a study names: `harness.check_network(build)` tries a network, `harness.load_weights(network, file)` gives it
the weights of a file, and `Between`, `NamesFile` and `Images` are for signatures.
Importing harness imports nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.api import load_study, tune
    from harness.config.signatures import Between, NamesFile
    from harness.data.images import Images
    from harness.models.weight_files import load_weights
    from harness.search.contract import check_network
    from harness.version import __version__

__all__ = [
    "Between",
    "Images",
    "NamesFile",
    "__version__",
    "check_network",
    "load_study",
    "load_weights",
    "tune",
]
FROM = {  # what is imported when it is asked for
    "Between": "harness.config.signatures",
    "Images": "harness.data.images",
    "NamesFile": "harness.config.signatures",
    "__version__": "harness.version",
    "check_network": "harness.search.contract",
    "load_study": "harness.api",
    "load_weights": "harness.models.weight_files",
    "tune": "harness.api",
}


def __getattr__(name: str) -> Any:
    if name not in FROM:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(FROM[name]), name)
