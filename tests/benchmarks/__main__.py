"""python -m tests.benchmarks NAME [--runs N] [--json] [options of the benchmark], or `all` of them at a small size"""

import argparse
import datetime
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.benchmarks.interleave import Contenders, measure, summary, table

NOT_BENCHMARKS = ("__init__", "__main__", "interleave")
NAMES = sorted(
    path.stem
    for path in Path(__file__).parent.glob("*.py")
    if path.stem not in NOT_BENCHMARKS and not path.stem.startswith("test_")
)


def main() -> None:
    outer = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__, add_help=False)
    outer.add_argument("name", choices=[*NAMES, "all"])
    chosen, rest = outer.parse_known_args()
    if chosen.name == "all":
        run_all(rest)
        return
    options, benchmark = parse(chosen.name, rest)
    document, text = run(chosen.name, benchmark, options)
    print(json.dumps(document, indent=2, default=str) if options.json else f"{text}\n\n{hardware()}")


def run_all(rest: list[str]) -> None:
    """Every benchmark, one round each unless --runs says more, at its SMALL size if it has one.

    --root goes to those that take one.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks all")
    parser.add_argument("--runs", default="1")
    parser.add_argument("--root")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(rest)
    documents = []
    for name in NAMES:
        arguments = ["--runs", chosen.runs, *getattr(import_module(f"tests.benchmarks.{name}"), "SMALL", ())]
        if chosen.root and "root" in vars(parse(name, [])[0]):
            arguments += ["--root", chosen.root]
        options, benchmark = parse(name, arguments)
        print(f"== {name}", file=sys.stderr)
        try:
            document, text = run(name, benchmark, options)
        except SystemExit as missing:  # what it needs is not here
            document, text = {"schema": 1, "benchmark": name, "not_run": str(missing)}, f"not run: {missing}"
        documents.append(document)
        if not chosen.json:
            print(f"## {name}\n\n{text}\n", flush=True)
    print(json.dumps(documents, indent=2, default=str) if chosen.json else hardware())


def parse(name: str, arguments: list[str]) -> tuple[argparse.Namespace, ModuleType]:
    benchmark = import_module(f"tests.benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks {name}",
        description=benchmark.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=5, help="rounds; at least five for a figure to quote")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    benchmark.add_arguments(parser)
    return parser.parse_args(arguments), benchmark


def run(name: str, benchmark: ModuleType, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The benchmark's document, and its table."""

    def contenders(number: int) -> Contenders:
        options.round = number
        found: Contenders = benchmark.contenders(options)
        return found

    if hasattr(benchmark, "report"):  # a simulation: it has figures, but nothing to time
        rows, text = benchmark.report(options), benchmark.table
    else:
        rows, text = summary(measure(contenders, runs=options.runs)), table
    document = {
        "schema": 1, "benchmark": name, "hardware": hardware(), "options": vars(options), "rows": rows
    }  # fmt: skip
    return document, text(rows)


def hardware() -> str:
    """Where and when this is measured, in a line."""
    from harness.training import ComputeOptions, fingerprint, resolve

    found = fingerprint(resolve(ComputeOptions()))
    parts = [
        found.get("gpu", ""),
        f"{os.cpu_count()} processors, {found['processor']} ({found['instructions']})",
    ]
    parts += [f"torch {found['torch']}", str(datetime.date.today())]
    return ", ".join(filter(None, parts))


if __name__ == "__main__":
    main()
