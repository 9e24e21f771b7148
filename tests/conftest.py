"""What all tests share: a study file to vary, and a world without the user's settings."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from harness.environment import MLFLOW
from tests import no_network
from tests.check_here import check_here
from tests.mlflow_database import empty_database, home, migrate_once, new_home
from tests.own_models import own_model
from tests.tuned_study import _tuned, tuned, tuning_of

__all__ = ["_tuned", "check_here", "empty_database", "home", "new_home", "own_model", "tuned", "tuning_of"]

SETTINGS = ("HARNESS_HOME", "HARNESS_STORAGE", "MLFLOW_TRACKING_URI", "COLUMNS")


def _written_is_enough(file: int) -> None:
    """In place of os.fsync: no test cuts the power, and tests that train nothing wait for the disk half of their time.

    Processes that a test starts do sync.   Raises OSError, as os.fsync, if `file` is not open.
    """
    os.fstat(file)


os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # several processes of many threads each wait more than they compute
writes_no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, False  # until all tests are collected
os.environ.pop("UV_RUN_RECURSION_DEPTH", None)  # or advice would be for who runs the tests by uv
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every process of a test compiles what it imports
os.fsync = _written_is_enough
migrate_once()
no_network.forbid()
for name in SETTINGS:  # fixtures of a module or of the session are made before those of a test
    os.environ.pop(name, None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's background jobs have it
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("repeatable", derandomize=True)  # the same examples in every run
settings.load_profile("repeatable")

STUDY = """\
# Does it work?
data: {name: digits, test_fraction: 0.8}
model: {name: resnet, depth: 1, width: 4, dropout: {low: 0.0, high: 0.5}}
train: {epochs: 1, batch_size: [256, 512], lr: {low: 0.01, high: 0.5, log: true}, augment: none}
cv: {folds: 3}
search: {trials: 4, batch: 2}
objective: accuracy
"""


def pytest_collection_finish() -> None:
    sys.dont_write_bytecode = writes_no_bytecode


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that what MLflow itself sets during the test ends with it
        monkeypatch.delenv(name)
    for name, value in MLFLOW.items():  # as every command has it
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _nobody_leaves_this_machine() -> Iterator[None]:
    no_network.attempts.clear()
    yield
    assert not no_network.attempts, "a test may not reach another machine"


@pytest.fixture(autouse=True)
def _seal_the_test_images_again() -> Iterator[None]:
    """One test may open them, the next and the fixtures of a module may train: in a user's process that is an error."""
    yield
    if opened := sys.modules.get("harness.data.test_set"):
        opened.opened = False  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _be_wary_of_nothing_any_more() -> Iterator[None]:
    """A process that has looked into somebody else's records stays wary to its end; the next test is another."""
    yield
    if known := sys.modules.get("harness.config.plugins"):
        known.be_wary(False)


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A small valid study file called `small.yaml`."""
    path = tmp_path / "small.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return path
