"""This process's environment, changed for a while: whoever calls harness from Python finds theirs as it was."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# For Python processes that are started: `python -m` and `python -c` would import a random.py of the current folder.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
MLFLOW = {  # its client reads them at every call, so whoever uses one has them as long as it does
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # we deliver again; by default a call that fails takes 244 s
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """With these variables, which are put back afterwards, also after an exception."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def unless_set(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables that the user has not set."""
    return {name: value for name, value in variables.items() if name not in os.environ}
