"""A `harness check` that asks this process, where its own would import torch anew: seconds a test."""

import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.search import checking

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def check_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **given: Any) -> Done:
        return Done([], 0, stdout=checking.answered(given["input"]) + "\n", stderr="")

    names: dict[str, Callable[..., object] | int] = {"run": answer, "PIPE": subprocess.PIPE}
    monkeypatch.setattr("harness.cli.check.subprocess", SimpleNamespace(**names))
