"""python -m tests.benchmarks NAME [--runs N] [--json] [options of the benchmark]"""

import argparse
import json
from importlib import import_module
from pathlib import Path

from tests.benchmarks.interleave import measure, summary, table

NOT_BENCHMARKS = ("__init__", "__main__", "interleave")


def main() -> None:
    names = sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if path.stem not in NOT_BENCHMARKS and not path.stem.startswith("test_")
    )
    outer = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__, add_help=False)
    outer.add_argument("name", choices=names)
    chosen, rest = outer.parse_known_args()
    benchmark = import_module(f"tests.benchmarks.{chosen.name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks {chosen.name}",
        description=benchmark.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=5, help="rounds; at least five for a figure to quote")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    benchmark.add_arguments(parser)
    options = parser.parse_args(rest)
    if hasattr(benchmark, "report"):  # a simulation: it has figures, but nothing to time
        rows, show = benchmark.report(options), benchmark.table
    else:
        rows, show = summary(measure(benchmark.contenders(options), runs=options.runs)), table
    document = {"schema": 1, "benchmark": chosen.name, "options": vars(options), "rows": rows}
    print(json.dumps(document, indent=2, default=str) if options.json else show(rows))


if __name__ == "__main__":
    main()
