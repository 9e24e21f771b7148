"""The run of all benchmarks."""

from importlib import import_module

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.__main__ import NAMES, parse


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_all_gives_every_benchmark_what_it_takes(name: str) -> None:
    small = getattr(import_module(f"tests.benchmarks.{name}"), "SMALL", ())
    options, _ = parse(name, ["--runs", "1", *small])
    assert all(getattr(options, flag.removeprefix("--").replace("-", "_")) is not None for flag in small[::2])


def test_what_a_benchmark_lacks_does_not_end_the_run_of_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks, "NAMES", ["card_folds"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    benchmarks.run_all([])
    assert "not run: card_folds needs a CUDA GPU" in capsys.readouterr().out
